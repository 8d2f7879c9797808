//! What operators do past the API.

use accounts::operator;
use platform::storage::Sql;
use secrecy::ExposeSecret;
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;

use crate::{
    secrets::Lines,
    service::{PASSWORD, Service},
};

#[tokio::test]
async fn accounts_are_listed_with_what_counts() {
    let service = Service::start().await;
    service.someone("ada").await;
    service.someone("Ben").await;
    service.session("ben", PASSWORD, &[]).await;
    service.session("ben", PASSWORD, &[]).await;
    service.token("ada").await;
    service.sql("UPDATE tokens SET name = 'old', expires_at = 1 WHERE user_id = 2").await;
    service.sql("UPDATE tokens SET name = 'player', expires_at = 4102444800000 WHERE id = 3").await;
    service.sql("UPDATE sessions SET last_used_at = 1 WHERE id = 1").await;
    service.sql("UPDATE users SET created_at = 1500").await;
    let listed = service
        .operate(async |db| {
            operator::lock(db, "root", "BEN").await.unwrap();
            operator::list(db, "root").await.unwrap()
        })
        .await;
    let expected = json!([
        {"id": 1, "username": "ada", "created_at": "1970-01-01T00:00:01.500Z", "locked": false, "tokens": 2, "sessions": 0,
         "named_token_ends_at": "2100-01-01T00:00:00.000Z"},
        {"id": 2, "username": "Ben", "created_at": "1970-01-01T00:00:01.500Z", "locked": true, "tokens": 0, "sessions": 1,
         "named_token_ends_at": null},
    ]);
    assert_eq!(serde_json::to_value(listed).unwrap(), expected);
}

#[tokio::test]
async fn who_is_locked_has_no_credential_until_they_are_unlocked() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    let token = format!("Token {}", service.token("ada").await);
    let session = service.session("ada", PASSWORD, &[]).await.text("session").to_owned();
    let basic = "Basic YWRhOnNldmVuIGJyYXZlIG90dGVycyBzaW5n";
    service.operate(async |db| operator::lock(db, "root", "Ada").await.unwrap()).await;
    let locked = service.sign_in("ada", PASSWORD).await;
    let unknown = service.sign_in("nobody", PASSWORD).await;
    assert_eq!((locked.status, locked.told()), (401, unknown.told()));
    for authorization in [&token, basic] {
        service.wait_out().await;
        assert_eq!(service.exchange(authorization).await.status, 401, "{authorization}");
    }
    assert_eq!(service.exchange_session(&session).await.status, 401);
    service.wait_out().await;
    assert_eq!(service.session("ada", PASSWORD, &[]).await.status, 401);
    let patch = service
        .write(reqwest::Method::PATCH, "/users/1", &ada, json!({"email": "new@example.org"}))
        .await;
    assert_eq!(patch.status, 401, "an assertion of before changes nothing");

    service.operate(async |db| operator::unlock(db, "root", "ada").await.unwrap()).await;
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200, "nor is there a wait");
    assert_eq!(service.exchange(&token).await.status, 200);
    assert_eq!(service.exchange_session(&session).await.status, 200);
}

#[tokio::test]
async fn who_is_unlocked_need_not_wait_at_a_device_that_failed_meanwhile() {
    let service = Service::start().await;
    service.someone("ada").await;
    let begun = service.session("ada", PASSWORD, &[]).await;
    let known = [("x-device", begun.text("device"))];
    service.operate(async |db| operator::lock(db, "root", "ada").await.unwrap()).await;
    assert_eq!(service.session("ada", PASSWORD, &known).await.status, 401);
    service.sql("UPDATE sign_in_failures SET next_at = next_at + 60000").await;
    service.operate(async |db| operator::unlock(db, "root", "ada").await.unwrap()).await;
    assert_eq!(service.session("ada", PASSWORD, &known).await.status, 201);
}

#[tokio::test]
async fn a_password_that_is_reset_is_random_and_ends_all_else() {
    let mut service = Service::start().await;
    service.someone("ada").await;
    let token = format!("Token {}", service.token("ada").await);
    let session = service.session("ada", PASSWORD, &[]).await.text("session").to_owned();
    let failures = Sql {
        sqlite: "INSERT INTO sign_in_failures VALUES (x'00', 1, 1, 1)",
        postgres: "INSERT INTO sign_in_failures VALUES ('\\x00', 1, 1, 1)",
    };
    service.sql(failures).await;
    service.sign_in("ada", "wrong wrong").await;
    service.sql("UPDATE sign_in_failures SET next_at = next_at + 60000").await;
    let reset = async |service: &mut Service| {
        let new = async |db: &_| operator::reset_password(db, "root", "ada").await.unwrap();
        service.operate(new).await.expose_secret().to_owned()
    };
    let (first, second) = (reset(&mut service).await, reset(&mut service).await);
    assert_eq!((first.len(), second.len(), first != second), (20, 20, true));
    assert_eq!(service.sign_in("ada", &second).await.status, 200, "and nothing to wait for");
    assert_eq!(service.exchange(&token).await.status, 401);
    assert_eq!(service.exchange_session(&session).await.status, 401);
    for old in [PASSWORD, &first] {
        service.wait_out().await;
        assert_eq!(service.sign_in("ada", old).await.status, 401);
    }
    assert_eq!(service.number("SELECT count(*) FROM sign_in_failures").await, 2);
}

#[tokio::test]
async fn each_use_is_one_line_with_operator_id_and_result_and_without_the_name() {
    let service = Service::start().await;
    service.someone("canary").await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(LevelFilter::INFO)
        .with_writer(move || writer.clone())
        .finish();
    let password = service
        .operate(async |db| {
            let _guard = tracing::subscriber::set_default(subscriber);
            operator::list(db, "root").await.unwrap();
            operator::lock(db, "root", "canary").await.unwrap();
            operator::unlock(db, "root", "canary").await.unwrap();
            let nobody = operator::lock(db, "grace", "canary.two").await.unwrap_err();
            assert_eq!(
                format!("{nobody:#}"),
                "lock did nothing: nobody has the username canary.two"
            );
            assert!(operator::reset_password(db, "root", "no body").await.is_err());
            operator::reset_password(db, "root", "canary").await.unwrap()
        })
        .await;
    let text = lines.text();
    assert!(!text.contains("canary") && !text.contains(password.expose_secret()), "{text}");
    let events: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["fields"].clone())
        .map(|it| json!([it["operator"], it["action"], it["subject"], it["result"]]))
        .collect();
    assert_eq!(
        json!(events),
        json!([
            ["root", "list", null, "done"],
            ["root", "lock", 1, "done"],
            ["root", "unlock", 1, "done"],
            ["grace", "lock", null, "failed"],
            ["root", "reset-password", null, "failed"],
            ["root", "reset-password", 1, "done"],
        ])
    );
}
