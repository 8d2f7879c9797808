//! What works.

use platform::{
    config::{HttpUrl, Value as _},
    identity::Verifier,
    storage::Sql,
};
use serde_json::json;
use telemetry::Telemetry;

use crate::service::{PASSWORD, Service};

#[tokio::test]
async fn a_credential_is_exchanged_for_an_assertion_that_others_verify_with_the_published_keys() {
    let service = Service::start().await;
    let new = service.sign_up("Ada", " ada@example.org ", PASSWORD).await;
    let expected = json!({"id": 1, "username": "Ada", "email": "ada@example.org"});
    assert_eq!((new.status, &new.json), (201, &expected), "{new:?}");
    let token = service.token("ada").await;
    let url = HttpUrl::parse(&service.url).unwrap();
    let verifier = Verifier::new(&url, &Telemetry::disabled("test")).unwrap();
    for authorization in [
        format!("Token {token}"),
        format!("Bearer {token}"),
        format!("bEARER  {token} "),
        "Basic QURBOnNldmVuIGJyYXZlIG90dGVycyBzaW5n".to_owned(), // ADA and the password
        "basic QURBOnNldmVuIGJyYXZlIG90dGVycyBzaW5n".to_owned(),
    ] {
        let exchanged = service.exchange(&authorization).await;
        assert_eq!(exchanged.status, 200, "{authorization}: {exchanged:?}");
        assert_eq!(exchanged.json["user"], json!({"id": 1, "username": "Ada"}));
        let caller = verifier.verify(exchanged.json["assertion"].as_str().unwrap()).await.unwrap();
        assert_eq!((caller.id, &*caller.name), (1, "Ada"));
    }
    let success = |series: &str| service.metric(&format!("accounts_{series}_total"));
    assert_eq!(success("sign_ups"), 1.0);
    assert_eq!(
        service.metric("accounts_sign_ins_total{result=\"success\"}"),
        3.0,
        "{}",
        service.telemetry.render(None).1
    );
    for (scheme, count) in [("token", 3.0), ("basic", 2.0)] {
        let series = format!("accounts_exchanges_total{{scheme=\"{scheme}\",result=\"success\"}}");
        assert_eq!(service.metric(&series), count, "{}", service.telemetry.render(None).1);
    }
}

#[tokio::test]
async fn the_exchange_of_a_token_is_one_statement() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let token = service.token("ada").await;
    service.spans.take();
    assert_eq!(service.exchange(&format!("Token {token}")).await.status, 200);
    let names = |service: &Service| {
        let spans = service.spans.take().into_iter();
        let names = spans.map(|span| span.name.into_owned());
        names.filter(|name| name != "LOCK").collect::<Vec<_>>() // PostgreSQL's, for what SQLite has anyway
    };
    assert_eq!(names(&service), ["SELECT tokens", "POST /credentials/exchange"]);
    service.sign_in("ada", PASSWORD).await;
    assert_eq!(
        names(&service),
        [
            "SELECT sign_in_failures",
            "INSERT sign_in_failures",
            "SELECT users",
            "verify password",
            "DELETE sign_in_failures",
            "BEGIN",
            "UPDATE users",
            "INSERT tokens",
            "DELETE tokens",
            "COMMIT",
            "POST /api-token-auth"
        ]
    );
}

#[tokio::test]
async fn names_are_told_to_who_is_signed_in() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    service.someone("Ben").await;
    let names = service.get("/users/names?ids=2,1,77,2,-3", &ada).await;
    assert_eq!(names.json, json!([{"id": 1, "username": "ada"}, {"id": 2, "username": "Ben"}]));
    let ben = service.get("/users/by-name?username=bEN", &ada).await;
    assert_eq!(ben.json, json!({"id": 2, "username": "Ben"}));
    for nobody in ["nobody", "", "no%20body", "b%D0%B5n"] {
        let reply = service.get(&format!("/users/by-name?username={nobody}"), &ada).await;
        assert_eq!((reply.status, reply.kind()), (404, "user-not-found"));
    }
    for path in ["/users/names?ids=1", "/users/by-name?username=ada"] {
        for assertion in ["", "forged"] {
            let reply = service.get(path, assertion).await;
            assert_eq!(
                (reply.status, &reply.headers["www-authenticate"]),
                (401, &"Bearer".parse().unwrap())
            );
        }
    }
    let most = (0..500).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(service.get(&format!("/users/names?ids={most}"), &ada).await.status, 200);
    let many = format!("{most},500");
    for ids in ["", "a", "1,,2", "1;2", "1.5", "9223372036854775808", &many] {
        let reply = service.get(&format!("/users/names?ids={ids}"), &ada).await;
        assert_eq!((reply.status, reply.pointers()), (400, vec!["?ids"]), "{ids}");
    }
    for path in ["/users/names", "/users/by-name"] {
        assert_eq!(service.get(path, &ada).await.status, 400);
    }
}

#[tokio::test]
async fn twenty_tokens_a_person_and_the_longest_unused_goes_first() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let mut tokens = Vec::new();
    for _ in 0..21 {
        tokens.push(format!("Token {}", service.token("ada").await));
    }
    let gone = service.exchange(&tokens[0]).await;
    assert_eq!((gone.status, gone.kind()), (401, "invalid-credentials"));
    for token in &tokens[1..] {
        assert_eq!(service.exchange(token).await.status, 200);
    }
}

#[tokio::test]
async fn a_used_token_stays_and_an_expired_one_neither_counts_nor_takes_a_place() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(format!("Token {}", service.token("ada").await));
    }
    // An hour later: the first is used, the second and the third have expired, although the third was used last.
    service.sql("UPDATE tokens SET last_used_at = last_used_at - 3600000").await;
    service.sql("UPDATE tokens SET expires_at = 1 WHERE id IN (2, 3)").await;
    service.sql("UPDATE tokens SET last_used_at = last_used_at + 9999999 WHERE id = 3").await;
    assert_eq!(service.exchange(&tokens[0]).await.status, 200);
    for expired in &tokens[1..3] {
        let reply = service.exchange(expired).await;
        assert_eq!((reply.status, reply.kind()), (401, "invalid-credentials"));
    }
    for _ in 0..3 {
        service.token("ada").await;
    }
    // 20 - 2 + 3 is one too many: the fourth is the longest unused.
    assert_eq!(service.number("SELECT count(*) FROM tokens").await, 20);
    assert_eq!(service.exchange(&tokens[0]).await.status, 200);
    assert_eq!(service.exchange(&tokens[3]).await.status, 401);
    assert_eq!(service.exchange(&tokens[4]).await.status, 200);
}

#[tokio::test]
async fn the_use_of_a_token_is_noted_once_a_minute_and_a_note_that_fails_fails_nobody() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let token = format!("Token {}", service.token("ada").await);
    let statements = async || {
        service.spans.take();
        assert_eq!(service.exchange(&token).await.status, 200);
        let names = service.spans.take().into_iter().map(|span| span.name.into_owned());
        names.filter(|name| !name.starts_with("POST")).collect::<Vec<_>>()
    };
    assert_eq!(statements().await, ["SELECT tokens"]);
    service.sql("UPDATE tokens SET last_used_at = last_used_at - 60000").await;
    assert_eq!(statements().await, ["SELECT tokens", "UPDATE tokens"]);
    assert_eq!(statements().await, ["SELECT tokens"]);
    service.sql("UPDATE tokens SET last_used_at = last_used_at - 60000").await;
    service
        .sql(Sql {
            sqlite: "CREATE TRIGGER t BEFORE UPDATE ON tokens BEGIN SELECT raise(ABORT, 'no'); END",
            postgres: "ALTER TABLE tokens ADD CHECK (last_used_at < created_at) NOT VALID",
        })
        .await;
    assert_eq!(statements().await, ["SELECT tokens", "UPDATE tokens"]);
}

/// Gives everybody the password "right", with parameters that nobody uses any more.
const WEAK: &str = "UPDATE users SET password_hash = \
    '$argon2id$v=19$m=1024,t=1,p=1$eRmq/CzUOXbw32qRD7s0Yw$Dp9XiptdgszRuj7KP8AUhdM9mq6/Lpb9/4OUXWjH37s'";

#[tokio::test]
async fn a_password_hash_of_another_time_is_renewed_by_signing_in() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    service.sql(WEAK).await;
    let weak = "SELECT count(*) FROM users WHERE password_hash LIKE '%m=1024%'";
    assert_eq!(service.sign_in("ada", "wrong").await.status, 401);
    assert_eq!(service.number(weak).await, 1);
    service.wait_out().await;
    for _ in 0..2 {
        assert_eq!(service.sign_in("ada", "right").await.status, 200);
        assert_eq!(service.number(weak).await, 0);
    }
}

#[tokio::test]
async fn of_many_who_take_a_name_at_once_one_gets_it() {
    let service = Service::start().await;
    let spellings = ["Ünal", "u\u{308}NAL", "ünal", "ÜNAL", "U\u{308}nal", "üNal"];
    let attempts = spellings.map(|name| service.sign_up(name, "a@example.org", PASSWORD));
    let replies = futures_util::future::join_all(attempts).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1, "{replies:?}");
    let taken = replies.iter().filter(|reply| reply.status == 409);
    assert_eq!(taken.map(|reply| assert_eq!(reply.kind(), "username-taken")).count(), 5);
    // Nothing is left of those who did not get it.
    let ada = service.someone("ada").await;
    let names = service.get("/users/names?ids=1,2,3,4,5,6,7,8,9", &ada).await;
    assert_eq!(names.json.as_array().unwrap().len(), 2, "{names:?}");
}

#[tokio::test]
async fn accounts_outlive_the_service() {
    let mut service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let token = service.token("ada").await;
    service.restart().await;
    assert_eq!(service.exchange(&format!("Token {token}")).await.status, 200);
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200);
}
