use platform::storage::{self, testing::TestDatabase};
use telemetry::Telemetry;

use super::*;

#[tokio::test]
async fn a_database_of_before_keeps_its_people_and_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::new(folder.path(), "accounts");
    let before = Migrations { list: &MIGRATIONS.list[..1], ..MIGRATIONS };
    storage::migrate(database.location(), None, &before).await.unwrap();
    let user = Sql {
        sqlite: "INSERT INTO users VALUES (7, 'Ada', 'ada', 'ada', 'a@example.org', 'hash', 1)",
        postgres: "INSERT INTO users OVERRIDING SYSTEM VALUE VALUES (7, 'Ada', 'ada', 'ada', 'a@example.org', 'hash', 1)",
    };
    database.run(user).await;
    let token_of_before = Sql {
        sqlite: "INSERT INTO tokens VALUES (9, 7, x'01', 1, 2, 3)",
        postgres: "INSERT INTO tokens OVERRIDING SYSTEM VALUE VALUES (9, 7, '\\x01', 1, 2, 3)",
    };
    database.run(token_of_before).await;

    let telemetry = Telemetry::disabled("test");
    let db = Db::open(database.location(), None, &MIGRATIONS, &telemetry).await.unwrap();
    let found = credentials(&db, "ada").await.unwrap().unwrap();
    assert_eq!((found.person.id, found.locked), (7, false));
    let used = token(&db, vec![1], 2).await.unwrap().unwrap();
    assert_eq!((used.person.id, used.via, used.last_used_at), (7, Via::Token(9), 2));
    let listed = serde_json::to_value(tokens(&db, 7, 2).await.unwrap()).unwrap();
    assert_eq!(listed[0]["name"], "sign-in");
    assert_eq!(listed[0]["expires_at"], "1970-01-01T00:00:00.003Z");
}

#[tokio::test]
async fn named_tokens_that_end_soon_are_counted_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::new(folder.path(), "accounts");
    let telemetry = Telemetry::disabled("test");
    let db = Db::open(database.location(), None, &MIGRATIONS, &telemetry).await.unwrap();
    let (username, key, looks) = ("Ada", "ada", "ada");
    let user =
        NewUser { username, key, looks, email: "a@example.org", password_hash: "hash", now: 1 };
    let user = insert_user(&db, &user).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let all = [("ended", 100), ("soon", 101), ("soon, too", 200), ("later", 201), ("sign-in", 150)];
    for (at, (name, expires)) in all.into_iter().enumerate() {
        insert_token(&mut tx, user, name, vec![at as u8], 1, expires).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(ending_tokens(&db, 100, 200).await.unwrap(), 2);
}
