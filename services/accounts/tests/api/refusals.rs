//! What is refused, and how it is said.

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{PASSWORD, Service};

#[tokio::test]
async fn every_mistake_of_a_sign_up_is_named_at_once() {
    let service = Service::start().await;
    let reply = service.post("/users", json!({})).await;
    assert_eq!((reply.status, reply.pointers()), (400, vec!["/username", "/email", "/password"]));
    let reply = service.sign_up("a b", "nobody", "short").await;
    assert_eq!(reply.pointers(), ["/username", "/email", "/password"]);
    assert_eq!(reply.json["errors"][2]["limit"], 8);

    let good = json!({"username": "ada", "email": "a@example.org", "password": PASSWORD});
    for (field, value, limit) in [
        ("admin", json!(true), Value::Null),
        ("username", json!(7), Value::Null),
        ("username", Value::Null, Value::Null),
        ("username", json!(""), json!(150)),
        ("username", json!("n".repeat(151)), json!(150)),
        ("username", json!("zero\u{200b}width"), Value::Null),
        ("username", json!("\u{430}da"), Value::Null), // Cyrillic and Latin
        ("username", json!("\u{ff21}da"), Value::Null), // full width: not what NFKC makes of it
        ("email", json!(["a@example.org"]), Value::Null),
        ("email", json!("a b@example.org"), Value::Null),
        ("email", json!("a@b@example.org"), Value::Null),
        ("email", json!(format!("{}@example.org", "a".repeat(250))), json!(254)),
        ("password", json!({"$ne": ""}), Value::Null),
        ("password", json!("Tr0ub4d"), json!(8)),
        ("password", json!("p".repeat(129)), json!(128)),
        ("password", json!("v7#kQ!p2"), Value::Null),
        ("password", json!("ada12345"), Value::Null),
        ("password", json!("password1"), Value::Null),
        ("password", json!("musicwallet99"), Value::Null),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let reply = service.post("/users", body).await;
        assert_eq!((reply.status, reply.kind()), (400, "invalid-input"), "{field}: {reply:?}");
        assert_eq!(reply.pointers(), [format!("/{field}")], "{reply:?}");
        assert_eq!(reply.json["errors"][0]["limit"], limit, "{reply:?}");
    }
    // What was read can be sent back: fields that nobody can set are no mistake.
    let mut sent_back = good;
    sent_back["id"] = json!(1);
    sent_back["favourite_musics"] = json!([]);
    assert_eq!(service.post("/users", sent_back).await.status, 201);
}

#[tokio::test]
async fn the_shortest_and_the_longest_good_password_are_good() {
    let service = Service::start().await;
    for (number, password) in ["v7#kQ!p2x", &"ä".repeat(128)].into_iter().enumerate() {
        let name = format!("ada{number}");
        assert_eq!(service.sign_up(&name, "a@example.org", password).await.status, 201);
        assert_eq!(service.sign_in(&name, password).await.status, 200);
    }
}

#[tokio::test]
async fn a_password_is_taken_byte_by_byte() {
    let service = Service::start().await;
    let password = " Caf\u{e9} noir, sans sucre ";
    assert_eq!(service.sign_up("ada", "a@example.org", password).await.status, 201);
    assert_eq!(service.sign_in("ada", password).await.status, 200);
    let decomposed = password.replace('\u{e9}', "e\u{301}");
    for other in [decomposed.as_str(), password.trim(), &password.to_lowercase()] {
        service.wait_out().await;
        assert_eq!(service.sign_in("ada", other).await.status, 401, "{other}");
    }
}

#[tokio::test]
async fn a_name_that_looks_like_another_is_taken() {
    let service = Service::start().await;
    assert_eq!(service.sign_up("ace", "a@example.org", PASSWORD).await.status, 201);
    for imitation in ["ACE", "\u{430}\u{441}\u{435}"] {
        let reply = service.sign_up(imitation, "a@example.org", PASSWORD).await;
        assert_eq!((reply.status, reply.kind()), (409, "username-taken"), "{imitation}");
    }
    assert_eq!(service.sign_in("\u{430}\u{441}\u{435}", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_get_the_same_answer_after_the_same_work() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let hashes = || service.metric("accounts_hash_duration_seconds_count");
    let mut answers = Vec::new();
    for name in ["ada", "nobody", "no body", "", "zero\u{200b}", &"n".repeat(1000), "nul\u{0}"] {
        let before = hashes();
        let reply = service.sign_in(name, "wrong wrong wrong").await;
        assert_eq!((reply.status, reply.kind()), (401, "invalid-credentials"), "{name}");
        assert_eq!(hashes(), before + 1.0, "{name}");
        answers.push(reply.told());
    }
    let (before, long) = (hashes(), "x".repeat(2000));
    for name in ["ada", "nobody"] {
        answers.push(service.sign_in(name, &long).await.told());
    }
    assert_eq!(hashes(), before, "nobody has a password of 2,000 characters");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(service.metric("accounts_sign_ins_total{result=\"refused\"}"), 9.0);

    let basic = |user: &str| match user {
        "ada" => "Basic YWRhOndyb25nIHdyb25n", // wrong wrong
        _ => "Basic bm9ib2R5Ondyb25nIHdyb25n",
    };
    service.wait_out().await;
    let (known, unknown) =
        (service.exchange(basic("ada")).await, service.exchange(basic("?")).await);
    assert_eq!(known.told(), unknown.told());
    assert_eq!(known.status, 401);
}

#[tokio::test]
async fn what_a_sign_in_lacks_is_named() {
    let service = Service::start().await;
    for (body, pointers) in [
        (json!({"username": "ada"}), vec!["/password"]),
        (json!({}), vec!["/username", "/password"]),
        (json!({"username": "ada", "password": 5, "totp": ""}), vec!["/password", "/totp"]),
        (json!(["ada", PASSWORD]), vec![""]),
        (json!(PASSWORD), vec![""]),
    ] {
        let reply = service.post("/api-token-auth", body).await;
        assert_eq!((reply.status, reply.pointers()), (400, pointers), "{reply:?}");
    }
}

#[tokio::test]
async fn credentials_that_nobody_has_are_refused() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let mut token = service.token("ada").await;
    let last = token.pop().unwrap();
    token.push(if last == '0' { '1' } else { '0' });
    for authorization in [
        "",
        "Token",
        "Token ",
        "Token x",
        "Token trk_00000000000000000000000000000000000000",
        "Digest x",
        "trk_00000000000000000000000000000000000000",
        "Basic",
        "Basic %%%",
        "Basic YWRh",     // ada, without a colon
        "Basic YWRhOng=", // ada:x
        "Basic YWRhOv8=", // not UTF-8
        "Basic Og==",     // :
        &format!("Token {token}"),
        &format!("Bearer {}", "é".repeat(21)),
    ] {
        let reply = service.exchange(authorization).await;
        assert_eq!(reply.status, 401, "{authorization:?}: {reply:?}");
        assert_eq!(reply.kind(), "invalid-credentials");
    }
    // What cannot be a token is not looked for.
    service.spans.take();
    service.exchange(&format!("Token {token}")).await;
    assert_eq!(service.spans.take().len(), 1);
    for body in [
        Value::Null,
        json!({}),
        json!({"authorization": 7}),
        json!({"authorization": "x", "y": 1}),
        json!({"session": 7}),
        json!({"session": "x", "authorization": "Token x"}),
    ] {
        assert_eq!(service.post("/credentials/exchange", body).await.status, 400);
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_or_too_large_are_refused() {
    let service = Service::start().await;
    let deep = "[".repeat(4000);
    for path in ["/users", "/api-token-auth", "/sessions", "/credentials/exchange"] {
        let post =
            async |body: &str| service.call(Method::POST, path, "", Some(body.to_owned())).await;
        for body in ["", "{", "null", "{\"username\":1e400}", "{\"a\":\"\\ud800\"}", &deep] {
            assert_eq!(post(body).await.status, 400, "{path} {body:.40}");
        }
        let large = post(&format!("{{\"username\":\"{}\"}}", "x".repeat(5000))).await;
        assert_eq!((large.status, large.kind()), (413, "body-too-large"), "{path}");
        assert_eq!(large.json["errors"][0]["limit"], 4096, "{large:?}");
        assert_eq!(service.call(Method::POST, path, "", None).await.status, 415, "{path}");
        assert_eq!(service.call(Method::PUT, path, "", None).await.status, 405, "{path}");
    }
    assert_eq!(service.get("/users/1", "").await.status, 401);
    assert_eq!(service.get("/nothing", "").await.status, 404);
}
