//! What is refused, and how it is said.

use serde_json::{Value, json};

use crate::service::{PASSWORD, Reply, Service};

fn pointers(reply: &Reply) -> Vec<&str> {
    let errors = reply.json["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_mistake_of_a_sign_up_is_named_at_once() {
    let service = Service::start().await;
    let reply = service.post("/users", json!({})).await;
    assert_eq!((reply.status, pointers(&reply)), (400, vec!["/username", "/email", "/password"]));
    let reply = service.sign_up("a b", "nobody", "short").await;
    assert_eq!(pointers(&reply), ["/username", "/email", "/password"]);
    assert_eq!(reply.json["errors"][2]["limit"], 8);

    let good = json!({"username": "ada", "email": "a@example.org", "password": PASSWORD});
    for (field, value, pointer) in [
        ("admin", json!(true), "/admin"),
        ("username", json!(7), "/username"),
        ("email", json!(["a@example.org"]), "/email"),
        ("email", json!("a b@example.org"), "/email"),
        ("email", json!(format!("{}@example.org", "a".repeat(250))), "/email"),
        ("password", json!("a".repeat(129)), "/password"),
        ("password", json!("ada12345"), "/password"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let reply = service.post("/users", body).await;
        assert_eq!((reply.status, pointers(&reply)), (400, vec![pointer]), "{reply:?}");
    }
    // What was read can be sent back: fields that nobody can set are no mistake.
    let mut sent_back = good;
    sent_back["id"] = json!(1);
    sent_back["favourite_musics"] = json!([]);
    assert_eq!(service.post("/users", sent_back).await.status, 201);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_get_the_same_answer() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let wrong = service.sign_in("ada", "wrong wrong wrong").await;
    let nobody = service.sign_in("nobody", "wrong wrong wrong").await;
    let too_long = service.sign_in("ada", &"x".repeat(2000)).await;
    assert_eq!(wrong.status, 401);
    for other in [&nobody, &too_long] {
        assert_eq!((other.status, &other.json["detail"]), (401, &wrong.json["detail"]));
        assert_eq!(other.json["type"], "/problems/invalid-credentials");
    }
    let missing = service.post("/api-token-auth", json!({"username": "ada"})).await;
    assert_eq!((missing.status, pointers(&missing)), (400, vec!["/password"]));
}

#[tokio::test]
async fn credentials_that_nobody_has_are_refused() {
    let service = Service::start().await;
    let never_issued = "Token trk_00000000000000000000000000000000000000";
    for authorization in [
        "",
        "Token",
        "Token ",
        "Token x",
        never_issued,
        "Digest x",
        "Basic %%%",
        "Basic YWRh",
        "Basic YWRhOng=",
    ] {
        let reply = service.exchange(authorization).await;
        assert_eq!(reply.status, 401, "{authorization:?}: {reply:?}");
        assert_eq!(reply.json["type"], "/problems/invalid-credentials");
    }
    assert_eq!(service.post("/credentials/exchange", Value::Null).await.status, 400);
}

#[tokio::test]
async fn nothing_large_is_read() {
    let service = Service::start().await;
    let reply = service.sign_in("ada", &"x".repeat(5000)).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    assert_eq!(reply.json["errors"][0]["limit"], 4096, "{reply:?}");
}
