use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::Connection as _;
use tempfile::TempDir;

use super::*;

static SONGS: Migrations = Migrations {
    setting: "SONGS_DATABASE",
    list: &[
        Migration {
            version: 1,
            name: "songs",
            sqlite:
                "CREATE TABLE songs (id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE) STRICT;
                CREATE TABLE log (title TEXT) STRICT;
                CREATE TRIGGER logged AFTER INSERT ON songs BEGIN
                    INSERT INTO log VALUES (new.title);
                END;",
        },
        Migration { version: 2, name: "plays", sqlite: "ALTER TABLE songs ADD plays INTEGER" },
    ],
};
static SONGS_OF_OLD: Migrations =
    Migrations { setting: SONGS.setting, list: SONGS.list.split_at(1).0 };

const INSERT: &str = "INSERT INTO songs (title) VALUES ($1)";
/// Long enough to be caught in the middle.
const INSERT_MANY: &str = "INSERT INTO songs (title)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT $1 || i FROM n";
const COUNT: &str = "SELECT count(*) FROM songs";

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
    Db::open(path, &SONGS, &Telemetry::disabled("test")).await
}

async fn refusal(path: &Path, migrations: &Migrations) -> String {
    let opened = Db::open(path, migrations, &Telemetry::disabled("test")).await;
    opened.map(|_| ()).unwrap_err().to_string()
}

async fn count(db: &Db) -> i64 {
    let (count,): (i64,) = db.query("SELECT songs", COUNT).fetch_one().await.unwrap();
    count
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
async fn migrate_tells_what_it_applied() {
    let Place { path, _dir } = place();
    let first = migrate(&path, &SONGS_OF_OLD).await.unwrap();
    assert_eq!((first.version, first.applied), (1, vec![(1, "songs")]));
    let second = migrate(&path, &SONGS).await.unwrap();
    assert_eq!((second.version, second.applied), (2, vec![(2, "plays")]));
    assert_eq!(migrate(&path, &SONGS).await.unwrap().applied, []);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let Place { path, _dir } = place();
    let broken = Migrations {
        setting: "SONGS_DATABASE",
        list: &[Migration { version: 1, name: "no", sqlite: "CREATE TABLE a (b); NONSENSE" }],
    };
    let told = refusal(&path, &broken).await;
    assert!(told.contains("cannot be opened") && told.contains("songs.db"), "{told}");
    assert_eq!(migrate(&path, &SONGS).await.unwrap().applied.len(), 2);
}

#[tokio::test]
async fn a_newer_database_is_refused_and_stays_as_it_is() {
    let Place { path, _dir } = place();
    migrate(&path, &SONGS).await.unwrap();
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
async fn a_database_of_another_build_is_refused() {
    let Place { path, _dir } = place();
    migrate(&path, &SONGS_OF_OLD).await.unwrap();
    let other = Migrations {
        setting: "SONGS_DATABASE",
        list: &[Migration { version: 1, name: "songs", sqlite: "CREATE TABLE other (id INTEGER)" }],
    };
    let told = refusal(&path, &other).await;
    assert!(told.contains("another build: its migration 1 is not ours"), "{told}");
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
    assert_eq!(migrate(&path, &SONGS).await.unwrap_err().to_string(), expected);
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
async fn a_database_of_another_program_is_refused_and_stays_as_it_is() {
    let Place { path, _dir } = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let options = migrate::options(&path);
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
async fn a_transaction_that_is_dropped_or_cancelled_has_not_happened() {
    let Place { path, _dir } = place();
    let db = open(&path).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.query("INSERT songs", INSERT).bind("dropped").execute().await.unwrap();
    let (inside,): (i64,) = tx.query("SELECT songs", COUNT).fetch_one().await.unwrap();
    assert_eq!((inside, count(&db).await), (1, 0));
    drop(tx);

    let mut tx = db.begin().await.unwrap();
    let running = tx.query("INSERT songs", INSERT_MANY).bind("cancelled").execute();
    tokio::select! {
        biased;
        _ = running => panic!("it cannot be done at the first look"),
        () = std::future::ready(()) => {}
    }
    drop(tx);

    let mut tx = db.begin().await.unwrap();
    tx.query("INSERT songs", INSERT).bind("kept").execute().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&db).await, 1);
    let (title,): (String,) =
        db.query("SELECT songs", "SELECT title FROM songs").fetch_one().await.unwrap();
    assert_eq!(title, "kept");
}

#[tokio::test]
async fn values_of_every_kind_come_back_as_they_went_in() {
    let Place { path, _dir } = place();
    let db = open(&path).await.unwrap();
    type All = (Option<i64>, Option<String>, Option<f64>, Option<Vec<u8>>, Option<bool>);
    let select = || db.query("SELECT", "SELECT $1, $2, $3, $4, $5");
    let given =
        select().bind(i64::MIN).bind("Beyoncé 🐝").bind(0.1).bind(vec![0u8, 255]).bind(true);
    let expected =
        (Some(i64::MIN), Some("Beyoncé 🐝".to_owned()), Some(0.1), Some(vec![0, 255]), Some(true));
    assert_eq!(given.fetch_one::<All>().await.unwrap(), expected);
    let nulls = select()
        .bind(None::<i64>)
        .bind(None::<String>)
        .bind(None::<f64>)
        .bind(None::<Vec<u8>>)
        .bind(None::<bool>);
    assert_eq!(nulls.fetch_one::<All>().await.unwrap(), (None, None, None, None, None));
}

#[tokio::test]
async fn errors_say_what_a_caller_can_do() {
    let Place { path, _dir } = place();
    let db = open(&path).await.unwrap();
    let insert = || db.write("INSERT songs", INSERT).bind("Tea").execute();
    insert().await.unwrap();
    assert!(matches!(insert().await, Err(Error::Unique(_))));
    let read_only = db.query("INSERT songs", INSERT).bind("Milk").execute().await;
    assert!(matches!(read_only, Err(Error::Other(_))), "a reader writes: {read_only:?}");

    let _writer = db.begin().await.unwrap();
    let waited = std::time::Instant::now();
    let busy = insert().await.unwrap_err();
    assert!(matches!(busy, Error::Unavailable(_)), "{busy:?}");
    assert!(waited.elapsed() >= pool::ACQUIRE);
    assert_eq!(count(&db).await, 1, "readers do not wait for the writer");
    let problem = crate::problem::Problem::from(busy);
    assert_eq!((problem.status().as_u16(), problem.kind()), (503, "database-unavailable"));
}

#[test]
fn each_statement_is_a_span_and_a_duration_and_pools_are_measured() {
    let (telemetry, captured) = telemetry::testing::capture("test");
    let runtime = telemetry.runtime(2).unwrap();
    let Place { path, _dir } = place();
    let handle = telemetry.clone();
    let work = runtime.spawn(async move {
        let db = Db::open(&path, &SONGS, &handle).await.unwrap();
        handle_work(&db).await;
        db
    });
    let db = runtime.block_on(work).unwrap();

    let spans = captured.take();
    let attribute = |at: usize, key: &str| {
        let found = spans[at].attributes.iter().find(|it| it.key.as_str() == key);
        found.map(|it| it.value.to_string())
    };
    let name = |at: usize| spans[at].name.as_ref();
    let told: Vec<_> = (0..spans.len()).map(|at| (name(at), attribute(at, "error.type"))).collect();
    let unique = Some("2067".to_owned());
    assert_eq!(
        told,
        [
            ("BEGIN", None),
            ("INSERT songs", None),
            ("COMMIT", None),
            ("SELECT songs", None),
            ("INSERT songs", unique)
        ]
    );
    let texts: Vec<_> = (0..5).filter_map(|at| attribute(at, "db.query.text")).collect();
    assert_eq!(texts, ["BEGIN IMMEDIATE", INSERT, "COMMIT", COUNT, INSERT]);
    assert_eq!(attribute(0, "db.namespace").as_deref(), Some("songs"));

    let (_, metrics) = telemetry.render(None);
    for line in [
        "db_client_connection_max{db_client_connection_pool_name=\"songs/read\"} 4",
        "db_client_connection_max{db_client_connection_pool_name=\"songs/write\"} 1",
        "db_client_connection_count{db_client_connection_pool_name=\"songs/write\",db_client_connection_state=\"idle\"} 1",
        "db_client_connection_count{db_client_connection_pool_name=\"songs/write\",db_client_connection_state=\"used\"} 0",
        "db_client_connection_pending_requests{db_client_connection_pool_name=\"songs/read\"} 0",
        "db_client_connection_timeouts_total{db_client_connection_pool_name=\"songs/write\"} 0",
        "db_client_operation_duration_seconds_count{db_system_name=\"sqlite\",db_query_summary=\"COMMIT\"} 1",
        "db_client_operation_duration_seconds_count{db_system_name=\"sqlite\",db_query_summary=\"INSERT songs\",error_type=\"2067\"} 1",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\nis missing in\n{metrics}");
    }
    runtime.block_on(db.close());
}

async fn handle_work(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    tx.query("INSERT songs", INSERT).bind("Tea").execute().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(db).await, 1);
    db.write("INSERT songs", INSERT).bind("Tea").execute().await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_and_readers_never_find_the_database_locked() {
    let Place { path, _dir } = place();
    let db = open(&path).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let db = db.clone();
        tasks.spawn(async move {
            for song in 0..10 {
                // It reads first and writes then: what fails at once in a transaction that begins as a reader.
                let mut tx = db.begin().await?;
                let (before,): (i64,) = tx.query("SELECT songs", COUNT).fetch_one().await?;
                let title = format!("{writer}/{song}/{before}");
                tx.query("INSERT songs", INSERT).bind(title).execute().await?;
                tx.commit().await?;
            }
            Ok::<_, Error>(())
        });
    }
    for _ in 0..16 {
        let db = db.clone();
        tasks.spawn(async move {
            let mut last = 0;
            for _ in 0..50 {
                let (now,): (i64,) = db.query("SELECT songs", COUNT).fetch_one().await?;
                assert!(now >= last, "a reader went back in time: {now} after {last}");
                last = now;
            }
            Ok(())
        });
    }
    for outcome in tasks.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(count(&db).await, 80);
    let (logged,): (i64,) =
        db.query("SELECT log", "SELECT count(*) FROM log").fetch_one().await.unwrap();
    assert_eq!(logged, 80);
}
