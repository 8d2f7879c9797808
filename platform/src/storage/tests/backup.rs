//! Copies of files, and putting them back.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use telemetry::Telemetry;
use tempfile::TempDir;

use super::{INSERT, SONGS, SONGS_OF_OLD};
use crate::storage::{Db, Restore, backup::backup};

async fn open(path: &Path) -> Db {
    Db::open(path, None, &SONGS, &Telemetry::disabled("test")).await.unwrap()
}

async fn count(db: &Db) -> i64 {
    let query = db.query("SELECT songs", "SELECT count(*) FROM songs");
    query.fetch_one::<(i64,)>().await.unwrap().0
}

async fn restore(from: &Path, path: &Path) -> anyhow::Result<Option<std::path::PathBuf>> {
    let restored = Restore::prepare(from, path, &SONGS).await?.run()?;
    Ok(restored.before().map(Path::to_owned))
}

#[tokio::test]
async fn a_copy_is_made_while_others_write_and_brings_back_its_moment() {
    let folder = TempDir::new().unwrap();
    let (path, copy) = (folder.path().join("songs.db"), folder.path().join("copy.db"));
    let db = open(&path).await;
    db.write("INSERT songs", INSERT).bind("one").execute().await.unwrap();
    let tx = db.begin().await.unwrap(); // somebody is in the middle of writing
    backup(&path, &copy, &SONGS).await.unwrap();
    drop(tx);
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let again = backup(&path, &copy, &SONGS).await.unwrap_err().to_string();
    assert!(again.contains("is there already"), "{again}");

    db.write("INSERT songs", INSERT).bind("two").execute().await.unwrap();
    let busy = restore(&copy, &path).await.unwrap_err().to_string();
    assert!(busy.contains("in use by another MusicWallet"), "{busy}");
    assert_eq!(count(&db).await, 2);
    db.close().await;
    drop(db);

    let before = restore(&copy, &path).await.unwrap().unwrap();
    assert_eq!(count(&open(&path).await).await, 1);
    assert_eq!(count(&open(&before).await).await, 2, "nothing of what was there is lost");
}

#[tokio::test]
async fn what_is_no_whole_backup_of_this_program_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("songs.db");
    let db = open(&path).await;
    for number in 0..2_000 {
        let title = format!("a title that takes its place {number}");
        db.write("INSERT songs", INSERT).bind(title).execute().await.unwrap();
    }
    backup(&path, &at("good.db"), &SONGS).await.unwrap();
    db.close().await;
    drop(db);
    let mut bytes = fs::read(at("good.db")).unwrap();
    let half = bytes.len() / 2;
    bytes[half..half + 4096].fill(0xff);
    fs::write(at("damaged.db"), &bytes).unwrap();
    fs::write(at("other.db"), "no database, whatever its name says").unwrap();
    for (name, told) in
        [("missing.db", "no backup"), ("damaged.db", "damaged"), ("other.db", "not a database")]
    {
        let refused = restore(&at(name), &path).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{name}: {refused}");
    }
    let newer = Restore::prepare(&at("good.db"), &at("new.db"), &SONGS_OF_OLD).await;
    assert!(newer.unwrap_err().to_string().contains("newer MusicWallet"));
    assert_eq!(count(&open(&path).await).await, 2_000);
    assert!(restore(&at("good.db"), &at("new.db")).await.unwrap().is_none());
    assert_eq!(count(&open(&at("new.db")).await).await, 2_000);
}

#[tokio::test]
async fn an_operator_works_beside_the_service_but_not_on_another_version() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("songs.db");
    let telemetry = Telemetry::disabled("test");
    let attach = async |migrations| Db::attach(&*path, None, migrations, &telemetry).await;
    let missing = attach(&SONGS).await.unwrap_err().to_string();
    assert!(missing.contains("there is no database"), "{missing}");
    let service = open(&path).await;
    let operator = attach(&SONGS).await.unwrap();
    operator.write("INSERT songs", INSERT).bind("theirs").execute().await.unwrap();
    assert_eq!(count(&service).await, 1);
    let older = attach(&SONGS_OF_OLD).await.unwrap_err().to_string();
    assert!(older.contains("another version"), "{older}");
}

#[tokio::test]
async fn a_backup_takes_the_place_of_what_is_damaged_and_of_a_log_that_was_left_behind() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("songs.db");
    let db = open(&path).await;
    db.write("INSERT songs", INSERT).bind("one").execute().await.unwrap();
    backup(&path, &at("copy.db"), &SONGS).await.unwrap();
    for title in ["two", "three"] {
        db.write("INSERT songs", INSERT).bind(title).execute().await.unwrap();
    }
    let log = fs::read(at("songs.db-wal")).unwrap();
    assert!(!log.is_empty());
    db.close().await;
    drop(db);

    // Somebody moved the damaged file away, but not its log.
    fs::remove_file(&path).unwrap();
    fs::write(at("songs.db-wal"), &log).unwrap();
    assert_eq!(restore(&at("copy.db"), &path).await.unwrap(), None);
    let restored = open(&path).await;
    assert_eq!(count(&restored).await, 1);
    restored.close().await;
    drop(restored);

    fs::write(&path, "damaged").unwrap();
    let prepared = Restore::prepare(&at("copy.db"), &path, &SONGS).await.unwrap();
    drop(prepared);
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");
    assert!(!at("songs.db.restoring").exists());
    let restored = Restore::prepare(&at("copy.db"), &path, &SONGS).await.unwrap().run().unwrap();
    let before = restored.before().unwrap().to_owned();
    assert_eq!(fs::read_to_string(&before).unwrap(), "damaged");
    restored.undo();
    assert_eq!(fs::read_to_string(&path).unwrap(), "damaged");

    fs::remove_file(&path).unwrap();
    fs::write(at("songs.db-wal"), &log).unwrap();
    let restored = Restore::prepare(&at("copy.db"), &path, &SONGS).await.unwrap().run().unwrap();
    assert!(path.exists() && !at("songs.db-wal").exists());
    restored.undo();
    assert!(!path.exists(), "there was nothing");
    assert_eq!(fs::read(at("songs.db-wal")).unwrap(), log);
}
