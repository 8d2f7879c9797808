//! What every database does alike. They run over files, and over a server where `MUSICWALLET_TEST_POSTGRES` names one.

mod backup;
mod file;

use tempfile::TempDir;

use super::{testing::TestDatabase, *};

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
            postgres: "CREATE TABLE songs (
                    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title TEXT NOT NULL UNIQUE
                );
                CREATE TABLE log (title TEXT);
                CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
                    'BEGIN INSERT INTO log VALUES (new.title); RETURN new; END';
                CREATE TRIGGER logged AFTER INSERT ON songs FOR EACH ROW EXECUTE FUNCTION log();",
        },
        Migration {
            version: 2,
            name: "plays",
            sqlite: "ALTER TABLE songs ADD plays INTEGER",
            postgres: "ALTER TABLE songs ADD plays BIGINT",
        },
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
    database: TestDatabase,
}

fn place() -> Place {
    let dir = TempDir::new().unwrap();
    let database = TestDatabase::new(dir.path(), "songs");
    Place { _dir: dir, database }
}

impl Place {
    async fn open(&self) -> Db {
        let telemetry = Telemetry::disabled("test");
        Db::open(self.database.location(), None, &SONGS, &telemetry).await.unwrap()
    }

    async fn migrate(&self, migrations: &Migrations) -> anyhow::Result<Migrated> {
        migrate(self.database.location(), None, migrations).await
    }

    async fn refusal(&self, migrations: &Migrations) -> String {
        self.migrate(migrations).await.unwrap_err().to_string()
    }
}

async fn count(db: &Db) -> i64 {
    let (count,): (i64,) = db.query("SELECT songs", COUNT).fetch_one().await.unwrap();
    count
}

#[tokio::test]
async fn migrate_tells_what_it_applied() {
    let place = place();
    let first = place.migrate(&SONGS_OF_OLD).await.unwrap();
    assert_eq!((first.version, first.applied), (1, vec![(1, "songs")]));
    let second = place.migrate(&SONGS).await.unwrap();
    assert_eq!((second.version, second.applied), (2, vec![(2, "plays")]));
    assert_eq!(place.migrate(&SONGS).await.unwrap().applied, []);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let place = place();
    let broken = Migrations {
        setting: "SONGS_DATABASE",
        list: &[Migration {
            version: 1,
            name: "no",
            sqlite: "CREATE TABLE a (b); NONSENSE",
            postgres: "CREATE TABLE a (b BIGINT); NONSENSE",
        }],
    };
    let told = place.refusal(&broken).await;
    assert!(told.contains("cannot be opened") && told.contains("songs"), "{told}");
    assert_eq!(place.migrate(&SONGS).await.unwrap().applied.len(), 2);
}

#[tokio::test]
async fn a_database_of_another_build_is_refused() {
    let place = place();
    place.migrate(&SONGS_OF_OLD).await.unwrap();
    let other = Migrations {
        setting: "SONGS_DATABASE",
        list: &[Migration {
            version: 1,
            name: "songs",
            sqlite: "CREATE TABLE other (id INTEGER)",
            postgres: "CREATE TABLE other (id INTEGER)",
        }],
    };
    let told = place.refusal(&other).await;
    assert!(told.contains("another build: its migration 1 is not ours"), "{told}");
}

#[tokio::test]
async fn a_transaction_that_is_dropped_or_cancelled_has_not_happened() {
    let place = place();
    let db = place.open().await;
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
async fn a_statement_that_the_server_ends_may_be_tried_again() {
    let place = place();
    if place.database.dialect() == Dialect::Sqlite {
        return; // it ends none
    }
    let db = place.open().await;
    let mut tx = db.begin().await.unwrap();
    let (limits,): (String,) = tx
        .query(
            "SELECT",
            "SELECT current_setting('statement_timeout') || ' ' || current_setting('lock_timeout')",
        )
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(limits, "5s 2s");
    tx.query("SET", "SET LOCAL statement_timeout = '20ms'").execute().await.unwrap();
    let ended = tx.query("SELECT", "SELECT pg_sleep(10)").execute().await.unwrap_err();
    assert!(matches!(ended, Error::Unavailable(_)) && ended.kind() == "57014", "{ended:?}");
}

#[tokio::test]
async fn nothing_of_a_transaction_is_kept_in_which_a_statement_failed() {
    let place = place();
    let db = place.open().await;
    let mut tx = db.begin().await.unwrap();
    tx.query("INSERT songs", INSERT).bind("Tea").execute().await.unwrap();
    let again = tx.query("INSERT songs", INSERT).bind("Tea").execute().await;
    assert!(matches!(again, Err(Error::Unique(_))), "{again:?}");
    assert!(tx.commit().await.is_err());
    assert_eq!(count(&db).await, 0);
    db.write("INSERT songs", INSERT).bind("Tea").execute().await.unwrap();
}

#[tokio::test]
async fn values_of_every_kind_come_back_as_they_went_in() {
    let place = place();
    let db = place.open().await;
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
    let place = place();
    let db = place.open().await;
    let insert = || db.write("INSERT songs", INSERT).bind("Tea").execute();
    insert().await.unwrap();
    assert!(matches!(insert().await, Err(Error::Unique(_))));

    let mut writer = db.begin().await.unwrap();
    writer.query("INSERT songs", INSERT).bind("Milk").execute().await.unwrap();
    let waited = std::time::Instant::now();
    let busy = db.write("INSERT songs", INSERT).bind("Milk").execute().await.unwrap_err();
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
    let place = place();
    let (handle, location) = (telemetry.clone(), place.database.location());
    let work = runtime.spawn(async move {
        let db = Db::open(location, None, &SONGS, &handle).await.unwrap();
        handle_work(&db).await;
        db
    });
    let db = runtime.block_on(work).unwrap();

    let (system, unique, begin, pools) = match place.database.dialect() {
        Dialect::Sqlite => {
            ("sqlite", "2067", "BEGIN IMMEDIATE", [("songs/read", 4), ("songs/write", 1)])
        }
        Dialect::Postgres => ("postgresql", "23505", "BEGIN", [("songs", 8), ("songs", 8)]),
    };
    let spans = captured.take();
    let attribute = |at: usize, key: &str| {
        let found = spans[at].attributes.iter().find(|it| it.key.as_str() == key);
        found.map(|it| it.value.to_string())
    };
    let name = |at: usize| spans[at].name.as_ref();
    for key in ["error.type", "db.response.status_code"] {
        let told: Vec<_> = (0..spans.len()).map(|at| (name(at), attribute(at, key))).collect();
        assert_eq!(
            told,
            [
                ("BEGIN", None),
                ("INSERT songs", None),
                ("COMMIT", None),
                ("SELECT songs", None),
                ("INSERT songs", Some(unique.to_owned()))
            ]
        );
    }
    let texts: Vec<_> = (0..5).filter_map(|at| attribute(at, "db.query.text")).collect();
    assert_eq!(texts, [begin, INSERT, "COMMIT", COUNT, INSERT]);
    assert_eq!(attribute(0, "db.system.name").as_deref(), Some(system));
    let namespace = attribute(0, "db.namespace").unwrap();
    match place.database.dialect() {
        Dialect::Sqlite => assert_eq!(namespace, "songs"),
        Dialect::Postgres => {
            assert!(
                namespace.starts_with("songs_") && namespace.ends_with("|public"),
                "{namespace}"
            );
        }
    }

    let (_, metrics) = telemetry.render(None);
    let has = |line: String| {
        assert!(metrics.lines().any(|it| it == line), "{line}\nis missing in\n{metrics}");
    };
    for (pool, max) in pools {
        let pool = format!("db_client_connection_pool_name=\"{pool}\"");
        has(format!("db_client_connection_max{{{pool}}} {max}"));
        // A connection to a server is tested when it comes back, and meanwhile another one is made.
        if place.database.dialect() == Dialect::Sqlite {
            has(format!(
                "db_client_connection_count{{{pool},db_client_connection_state=\"idle\"}} 1"
            ));
        }
        has(format!("db_client_connection_count{{{pool},db_client_connection_state=\"used\"}} 0"));
        has(format!("db_client_connection_pending_requests{{{pool}}} 0"));
        has(format!("db_client_connection_timeouts_total{{{pool}}} 0"));
    }
    let duration =
        format!("db_client_operation_duration_seconds_count{{db_system_name=\"{system}\"");
    has(format!("{duration},db_query_summary=\"COMMIT\"}} 1"));
    has(format!("{duration},db_query_summary=\"INSERT songs\",error_type=\"{unique}\"}} 1"));
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
    let place = place();
    let db = place.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let db = db.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                // It reads first and writes then: what fails at once in a transaction of SQLite that begins as a reader, and what two do
                // at the same time in PostgreSQL, if they may.
                let mut tx = db.begin().await?;
                tx.lock("songs").await?;
                let (before,): (i64,) = tx.query("SELECT songs", COUNT).fetch_one().await?;
                let title = format!("song {before}");
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
