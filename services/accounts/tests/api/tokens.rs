//! Tokens that people name and end.

use reqwest::Method;
use serde_json::{Value, json};

use crate::service::Service;

#[tokio::test]
async fn a_token_is_named_shown_once_used_and_ended() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    let create = async |body: Value| service.write(Method::POST, "/tokens", &ada, body).await;
    let created = create(json!({"name": " my player\n"})).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_eq!((&created.json["id"], created.text("name")), (&json!(2), "my player"));
    let token = format!("Token {}", created.text("token"));
    let mine = service.assertion(&token).await;

    let listed = service.get("/tokens", &mine).await;
    assert!(!listed.text.contains("trk_"), "{listed:?}");
    let listed = listed.json.as_array().unwrap().clone();
    let names: Vec<_> = listed.iter().map(|it| (&it["id"], &it["name"])).collect();
    assert_eq!(names, [(&json!(1), &json!("sign-in")), (&json!(2), &json!("my player"))]);
    assert_eq!(listed[1]["expires_at"], created.json["expires_at"]);
    for time in ["created_at", "last_used_at", "expires_at"] {
        let text = listed[1][time].as_str().unwrap();
        assert!(text.starts_with("20") && text.len() == 24 && text.ends_with('Z'), "{text}");
    }
    assert_eq!(listed[1].as_object().unwrap().len(), 5);

    let gone = service.delete("/tokens/2", &mine).await;
    assert_eq!((gone.status, &*gone.text), (204, ""));
    assert_eq!(service.exchange(&token).await.status, 401);
    assert_eq!(service.delete("/tokens/2", &ada).await.kind(), "token-not-found");
    // Who has just ended it cannot make another one of it.
    let again = service.write(Method::POST, "/tokens", &mine, json!({"name": "x"})).await;
    assert_eq!((again.status, again.kind()), (401, "invalid-credentials"));
}

#[tokio::test]
async fn the_tokens_of_others_are_neither_seen_nor_ended() {
    let service = Service::start().await;
    let (_, ben) = (service.someone("ada").await, service.someone("ben").await);
    assert_eq!(service.get("/tokens", &ben).await.json.as_array().unwrap().len(), 1);
    for path in ["/tokens/1", "/tokens/77"] {
        let reply = service.delete(path, &ben).await;
        assert_eq!((reply.status, reply.kind()), (404, "token-not-found"));
    }
    assert_eq!(service.number("SELECT count(*) FROM tokens").await, 2);
    for (method, path) in
        [(Method::GET, "/tokens"), (Method::POST, "/tokens"), (Method::DELETE, "/tokens/1")]
    {
        let reply = service.write(method, path, "", json!({"name": "x"})).await;
        assert_eq!((reply.status, reply.kind()), (401, "not-signed-in"));
    }
}

#[tokio::test]
async fn a_name_has_one_to_a_hundred_characters() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    let create = async |body: Value| service.write(Method::POST, "/tokens", &ada, body).await;
    for (body, limit) in [
        (json!({}), Value::Null),
        (json!({"name": 7}), Value::Null),
        (json!({"name": "a\u{7}b"}), Value::Null),
        (json!({"name": "  "}), json!(1)),
        (json!({"name": "ä".repeat(101)}), json!(100)),
    ] {
        let reply = create(body).await;
        assert_eq!((reply.status, reply.pointers()), (400, vec!["/name"]), "{reply:?}");
        assert_eq!(reply.json["errors"][0]["limit"], limit, "{reply:?}");
    }
    assert_eq!(create(json!({"name": "x", "scope": "all"})).await.pointers(), ["/scope"]);
    assert_eq!(create(json!({"name": "ä".repeat(100)})).await.status, 201);
    assert_eq!(create(json!({"name": "🎧", "id": 7})).await.status, 201);
}

#[tokio::test]
async fn of_twenty_one_the_longest_unused_goes() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    service.sql("UPDATE tokens SET last_used_at = last_used_at + 60000").await;
    for number in 0..20 {
        let name = json!({"name": format!("n{number}")});
        assert_eq!(service.write(Method::POST, "/tokens", &ada, name).await.status, 201);
    }
    let listed = service.get("/tokens", &ada).await.json;
    let names: Vec<_> =
        listed.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[0], names[1]), (20, "sign-in", "n1"));
    service.sql("UPDATE tokens SET expires_at = 1 WHERE id = 3").await;
    assert_eq!(service.get("/tokens", &ada).await.json.as_array().unwrap().len(), 19);
}

#[tokio::test]
async fn tokens_that_end_within_a_week_are_counted_from_the_start_on() {
    let mut service = Service::start().await;
    let ada = service.someone("ada").await;
    for name in ["soon", "later"] {
        let made = service.write(Method::POST, "/tokens", &ada, json!({"name": name})).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    // As 84 days would, and 82 for one of them. That of signing in has as little left, and does not count.
    service.sql("UPDATE tokens SET expires_at = expires_at - 7257600000").await;
    service.sql("UPDATE tokens SET expires_at = expires_at + 172800000 WHERE name = 'later'").await;
    service.restart().await;
    while service.metric("accounts_tokens_ending") != 1.0 {
        tokio::task::yield_now().await;
    }
}
