//! What works.

use std::{fs, sync::Arc};

use platform::{
    config::{HttpUrl, Value as _},
    identity::Verifier,
};
use serde_json::json;
use telemetry::Telemetry;

use crate::service::{PASSWORD, Service};

#[tokio::test]
async fn a_token_is_exchanged_for_an_assertion_that_others_verify_with_the_published_keys() {
    let service = Service::start().await;
    let new = service.sign_up("Ada", "ada@example.org", PASSWORD).await;
    assert_eq!((new.status, &new.json["username"]), (201, &json!("Ada")), "{new:?}");
    assert_eq!(new.json["email"], "ada@example.org");
    assert!(!new.text.contains("otters"));

    let token = service.sign_in("ada", PASSWORD).await;
    assert_eq!(token.status, 200, "{token:?}");
    let token = token.json["token"].as_str().unwrap();
    let url = HttpUrl::parse(&service.url).unwrap();
    let verifier = Arc::new(Verifier::new(&url, &Telemetry::disabled("test")).unwrap());
    for authorization in [
        format!("Token {token}"),
        format!("bearer  {token} "),
        "Basic QURBOnNldmVuIGJyYXZlIG90dGVycyBzaW5n".to_owned(), // ADA and the password
    ] {
        let exchanged = service.exchange(&authorization).await;
        assert_eq!(exchanged.status, 200, "{authorization}: {exchanged:?}");
        assert_eq!(exchanged.json["user"], json!({"id": new.json["id"], "username": "Ada"}));
        let caller = verifier.verify(exchanged.json["assertion"].as_str().unwrap()).await.unwrap();
        assert_eq!((caller.id, &*caller.name), (new.json["id"].as_i64().unwrap(), "Ada"));
    }
}

#[tokio::test]
async fn names_are_told_to_who_is_signed_in() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    service.someone("ben").await;
    let names = service.get("/users/names?ids=2,1,77,2", &ada).await;
    assert_eq!(names.json, json!([{"id": 1, "username": "ada"}, {"id": 2, "username": "ben"}]));
    let ben = service.get("/users/by-name?username=BEN", &ada).await;
    assert_eq!(ben.json, json!({"id": 2, "username": "ben"}));
    assert_eq!(service.get("/users/by-name?username=nobody", &ada).await.status, 404);
    for path in ["/users/names?ids=1", "/users/by-name?username=ada"] {
        assert_eq!(service.get(path, "").await.status, 401);
        assert_eq!(service.get(path, "forged").await.status, 401);
    }
    let many = (0..501).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    for ids in ["", "a", "1,,2", "1;2", "9223372036854775808", &many] {
        assert_eq!(
            service.get(&format!("/users/names?ids={ids}"), &ada).await.status,
            400,
            "{ids}"
        );
    }
}

#[tokio::test]
async fn twenty_tokens_a_person_and_the_longest_unused_goes_first() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let mut tokens = Vec::new();
    for _ in 0..21 {
        let token = service.sign_in("ada", PASSWORD).await;
        tokens.push(format!("Token {}", token.json["token"].as_str().unwrap()));
    }
    assert_eq!(service.exchange(&tokens[0]).await.status, 401);
    for token in &tokens[1..] {
        assert_eq!(service.exchange(token).await.status, 200);
    }
}

#[tokio::test]
async fn of_two_who_take_a_name_at_once_one_gets_it() {
    let service = Service::start().await;
    let (one, two) = tokio::join!(
        service.sign_up("Ünal", "a@example.org", PASSWORD),
        service.sign_up("u\u{308}NAL", "b@example.org", PASSWORD)
    );
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses, [201, 409], "{one:?} {two:?}");
}

#[tokio::test]
async fn a_copy_of_the_database_gives_no_credential() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let token = service.sign_in("ada", PASSWORD).await.json["token"].as_str().unwrap().to_owned();
    let mut copy = Vec::new();
    for entry in fs::read_dir(service.data.path()).unwrap() {
        copy.extend(fs::read(entry.unwrap().path()).unwrap());
    }
    let holds = |text: &str| copy.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("argon2id") && holds("ada"));
    assert!(!holds(PASSWORD) && !holds(&token) && !holds(&token[4..36]));
}
