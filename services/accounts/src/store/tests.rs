use platform::storage;
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use telemetry::Telemetry;

use super::*;

#[tokio::test]
async fn a_database_of_before_keeps_its_people_and_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let before = Migrations { list: &MIGRATIONS.list[..1], ..MIGRATIONS };
    storage::migrate(&path, &before).await.unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    let rows = "INSERT INTO users VALUES (7, 'Ada', 'ada', 'ada', 'a@example.org', 'hash', 1); \
         INSERT INTO tokens VALUES (9, 7, x'01', 1, 2, 3)";
    sqlx::raw_sql(rows).execute(&mut old).await.unwrap();
    old.close().await.unwrap();

    let db = Db::open(&path, &MIGRATIONS, &Telemetry::disabled("test")).await.unwrap();
    let found = credentials(&db, "ada").await.unwrap().unwrap();
    assert_eq!((found.person.id, found.locked), (7, false));
    let used = token(&db, vec![1], 2).await.unwrap().unwrap();
    assert_eq!((used.person.id, used.via, used.last_used_at), (7, Via::Token(9), 2));
    let listed = serde_json::to_value(tokens(&db, 7, 2).await.unwrap()).unwrap();
    assert_eq!(listed[0]["name"], "sign-in");
    assert_eq!(listed[0]["expires_at"], "1970-01-01T00:00:00.003Z");
}
