//! What only a file has: a folder, a lock, another program's bytes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::Connection as _;

use super::*;

struct Place {
    _dir: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("data/songs.db");
    Place { _dir: dir, path }
}

async fn open(path: &Path) -> anyhow::Result<Db> {
    Db::open(path, None, &SONGS, &Telemetry::disabled("test")).await
}

async fn refusal(path: &Path, migrations: &Migrations) -> String {
    let opened = Db::open(path, None, migrations, &Telemetry::disabled("test")).await;
    opened.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn a_missing_database_is_created_with_its_folder_and_stays() {
    let Place { path, _dir } = place();
    let db = open(&path).await.unwrap();
    assert_eq!(db.write("INSERT songs", INSERT).bind("Tea").execute().await.unwrap(), 1);
    db.close().await;
    drop(db);
    let db = open(&path).await.unwrap();
    assert_eq!(count(&db).await, 1);
    let (mode,): (String,) = db.query("PRAGMA", "PRAGMA journal_mode").fetch_one().await.unwrap();
    let (sync,): (i64,) = db.write("PRAGMA", "PRAGMA synchronous").fetch_one().await.unwrap();
    assert_eq!((mode.as_str(), sync), ("wal", 2));
}

#[tokio::test]
async fn a_second_program_on_the_same_database_is_refused_until_the_first_ends() {
    let Place { path, _dir } = place();
    let db = open(&path).await.unwrap();
    let expected = format!(
        "the database {} is in use by another MusicWallet; stop that one, or set SONGS_DATABASE to another file",
        path.display()
    );
    assert_eq!(refusal(&path, &SONGS).await, expected);
    assert_eq!(migrate(&*path, None, &SONGS).await.unwrap_err().to_string(), expected);
    drop(db);
    open(&path).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_stays_as_it_is() {
    let Place { path, _dir } = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let text = "title,artist\n".repeat(100);
    fs::write(&path, &text).unwrap();
    let told = refusal(&path, &SONGS).await;
    assert_eq!(
        told,
        format!(
            "the file {} is not a database; move it away, or set SONGS_DATABASE to another file",
            path.display()
        )
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_newer_database_is_refused_and_stays_as_it_is() {
    let Place { path, _dir } = place();
    migrate(&*path, None, &SONGS).await.unwrap();
    let before = fs::read(&path).unwrap();
    let told = refusal(&path, &SONGS_OF_OLD).await;
    assert_eq!(
        told,
        format!(
            "the database {} comes from a newer MusicWallet (its schema has version 2, this program knows 1); start the newer \
             program, or set SONGS_DATABASE to another file",
            path.display()
        )
    );
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_stays_as_it_is() {
    let Place { path, _dir } = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let options = sqlite::options(&path);
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let before = fs::read(&path).unwrap();
    let told = refusal(&path, &SONGS).await;
    assert!(told.contains("belongs to another program; set SONGS_DATABASE"), "{told}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_named_with_the_remedy() {
    let Place { path, _dir } = place();
    let folder = path.parent().unwrap();
    let remedy =
        "give the user that runs MusicWallet access to it, or set SONGS_DATABASE to another place";

    fs::write(folder, "a file where the folder should be").unwrap();
    let told = refusal(&path, &SONGS).await;
    let expected = format!(
        "the data directory {} cannot be created (a part of the path is a file); {remedy}",
        folder.display()
    );
    assert_eq!(told, expected);

    fs::remove_file(folder).unwrap();
    fs::create_dir_all(folder.join("songs.db.lock")).unwrap();
    let told = refusal(&path, &SONGS).await;
    let expected = format!(
        "the data directory {} cannot be used: {}.lock cannot be written (there is a folder of that name); {remedy}",
        folder.display(),
        path.display()
    );
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_folder_in_the_place_of_the_database_is_refused() {
    let Place { path, _dir } = place();
    fs::create_dir_all(&path).unwrap();
    let told = refusal(&path, &SONGS).await;
    assert!(told.contains("songs.db cannot be opened; give the user"), "{told}");
}

#[tokio::test]
async fn readers_cannot_write_and_do_not_wait_for_the_writer() {
    let Place { path, _dir } = place();
    let db = open(&path).await.unwrap();
    let read_only = db.query("INSERT songs", INSERT).bind("Milk").execute().await;
    assert!(matches!(read_only, Err(Error::Other(_))), "a reader writes: {read_only:?}");
    let _writer = db.begin().await.unwrap();
    assert_eq!(count(&db).await, 0);
}
