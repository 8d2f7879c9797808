//! People: listed, looked at, changed and deleted.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::service::{PASSWORD, Service};

const OTHER: &str = "eight calm badgers hum";

#[tokio::test]
async fn people_are_listed_by_id_a_page_at_a_time() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    service.sql("INSERT INTO users (username, username_key, username_looks, email, password_hash, created_at) \
        WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 60) \
        SELECT 'n' || i, 'n' || i, 'n' || i, 'a@b', '', 0 FROM n")
        .await;
    service.sql("DELETE FROM users WHERE id = 30").await;
    let (mut seen, mut sizes, mut path) = (Vec::new(), Vec::new(), "/users".to_owned());
    loop {
        let page = service.get(&path, &ada).await.json;
        let items = page["items"].as_array().unwrap();
        sizes.push(items.len());
        seen.extend(items.iter().map(|item| item["id"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/users?cursor={next}");
    }
    assert_eq!(seen, (1..=60).filter(|id| *id != 30).collect::<Vec<_>>());
    assert_eq!(sizes, [25, 25, 9]);
    let first = service.get("/users?limit=1", &ada).await.json;
    assert_eq!(first["items"], json!([{"id": 1, "username": "ada"}]));
    assert_eq!(service.get("/users?limit=25", &ada).await.status, 200);
    for wrong in
        ["limit=0", "limit=26", "limit=x", "cursor=1", "cursor=", "page=2", "limit=1&limit=1"]
    {
        let reply = service.get(&format!("/users?{wrong}"), &ada).await;
        let pointer = format!("?{}", wrong.split('=').next().unwrap());
        assert_eq!((reply.status, reply.pointers()), (400, vec![&*pointer]), "{wrong}");
    }
    assert_eq!(service.get("/users", "").await.status, 401);
}

#[tokio::test]
async fn the_email_is_for_its_owner_only() {
    let service = Service::start().await;
    let (ada, ben) = (service.someone("ada").await, service.someone("ben").await);
    let own = json!({"id": 1, "username": "ada", "email": "a@example.org"});
    assert_eq!(service.get("/users/1", &ada).await.json, own);
    assert_eq!(service.get("/users/1", &ben).await.json, json!({"id": 1, "username": "ada"}));
    let nobody = service.get("/users/77", &ada).await;
    assert_eq!((nobody.status, nobody.kind()), (404, "user-not-found"));
    let reply = service.get("/users/ada", &ada).await;
    assert_eq!((reply.status, reply.pointers()), (400, vec!["{id}"]));
}

#[tokio::test]
async fn nobody_changes_or_deletes_somebody_else() {
    let service = Service::start().await;
    let (ada, ben) = (service.someone("ada").await, service.someone("ben").await);
    let whole = json!({"username": "eve", "email": "e@example.org", "password": OTHER});
    for (method, body) in [
        (Method::PUT, whole.clone()),
        (Method::PUT, json!({})),
        (Method::PATCH, json!({"username": "eve"})),
    ] {
        let reply = service.write(method.clone(), "/users/1", &ben, body.clone()).await;
        assert_eq!((reply.status, reply.kind()), (403, "not-self"));
        let reply = service.write(method.clone(), "/users/77", &ben, body.clone()).await;
        assert_eq!((reply.status, reply.kind()), (404, "user-not-found"));
        assert_eq!(service.write(method, "/users/1", "", body).await.status, 401);
    }
    assert_eq!(service.delete("/users/1", &ben).await.kind(), "not-self");
    assert_eq!(service.delete("/users/77", &ben).await.kind(), "user-not-found");
    assert_eq!(service.get("/users/1", &ada).await.json["username"], "ada");
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn what_is_given_changes_and_the_rest_stays() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    let patch = async |body: Value| service.write(Method::PATCH, "/users/1", &ada, body).await;
    let now = |username: &str, email: &str| json!({"id": 1, "username": username, "email": email});
    assert_eq!(patch(json!({})).await.json, now("ada", "a@example.org"));
    assert_eq!(patch(json!({"email": " l@example.org"})).await.json, now("ada", "l@example.org"));
    assert_eq!(patch(json!({"username": "Lovelace"})).await.json, now("Lovelace", "l@example.org"));
    // What was read can be sent back.
    let read = json!({"id": 9, "username": "Ada", "favourite_musics": [], "favourite_count": 0});
    assert_eq!(patch(read).await.json, now("Ada", "l@example.org"));
    assert_eq!(service.sign_in("lovelace", PASSWORD).await.status, 401, "the old name is free");
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200);

    let put = async |body: Value| service.write(Method::PUT, "/users/1", &ada, body).await;
    let lacking = put(json!({"username": "ada"})).await;
    assert_eq!((lacking.status, lacking.pointers()), (400, vec!["/email", "/password"]));
    let whole = json!({"username": "Countess", "email": "c@example.org", "password": OTHER});
    assert_eq!(put(whole).await.json, now("Countess", "c@example.org"));
    assert_eq!(service.sign_in("countess", OTHER).await.status, 200);
    assert_eq!(service.number("SELECT count(*) FROM users").await, 1);
}

#[tokio::test]
async fn the_rules_of_signing_up_hold_for_changes() {
    let service = Service::start().await;
    let ada = service.someone("ada").await;
    service.someone("ace").await;
    let patch = async |body: Value| service.write(Method::PATCH, "/users/1", &ada, body).await;
    for (body, pointers) in [
        (
            json!({"username": "a b", "email": "x", "password": "short"}),
            vec!["/username", "/email", "/password"],
        ),
        (json!({"password": "password1"}), vec!["/password"]),
        (json!({"password": "A@Example.org"}), vec!["/password"]),
        (json!({"password": null}), vec!["/password"]),
        (json!({"username": 7}), vec!["/username"]),
        (json!({"admin": true}), vec!["/admin"]),
        (json!([]), vec![""]),
    ] {
        let reply = patch(body).await;
        assert_eq!((reply.status, reply.pointers()), (400, pointers), "{reply:?}");
    }
    for taken in ["ace", "ACE", "\u{430}\u{441}\u{435}"] {
        let reply = patch(json!({"username": taken, "email": "new@example.org"})).await;
        assert_eq!((reply.status, reply.kind()), (409, "username-taken"), "{taken}");
    }
    assert_eq!(service.get("/users/1", &ada).await.json["email"], "a@example.org");
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn another_password_ends_all_other_sessions_and_tokens() {
    let service = Service::start().await;
    service.someone("ben").await;
    service.someone("ada").await;
    let device = service.session("ada", PASSWORD, &[]).await.text("device").to_owned();
    let (token, stolen) = (service.token("ada").await, service.token("ada").await);
    let (token, stolen) = (format!("Token {token}"), format!("Token {stolen}"));
    let session = service.session("ada", PASSWORD, &[]).await.text("session").to_owned();
    let stale = service.assertion(&stolen).await;
    let caller = service.assertion(&token).await;
    let patch = async |assertion: &str, password: &str| {
        service.write(Method::PATCH, "/users/2", assertion, json!({"password": password})).await
    };
    assert_eq!(patch(&caller, OTHER).await.status, 200);
    assert_eq!(service.exchange(&token).await.status, 200, "the one that was used stays");
    assert_eq!(service.exchange(&stolen).await.status, 401);
    assert_eq!(service.exchange_session(&session).await.status, 401);
    assert_eq!(service.metric("accounts_sessions_ended_total"), 2.0);
    assert_eq!(service.number("SELECT count(*) FROM devices WHERE user_id = 2").await, 0);
    assert_eq!(service.number("SELECT count(*) FROM tokens WHERE user_id = 1").await, 1);
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 401);
    service.wait_out().await;
    assert_eq!(service.sign_in("ada", OTHER).await.status, 200);

    // An assertion that outlives its credential makes nothing new of it.
    let takeover = patch(&stale, "nine loud herons stare").await;
    assert_eq!((takeover.status, takeover.kind()), (401, "invalid-credentials"));
    let name = json!({"name": "mine"});
    assert_eq!(service.write(Method::POST, "/tokens", &stale, name).await.status, 401);
    assert_eq!(service.delete("/users/2", &stale).await.status, 401);

    // By a session: it stays, with its device.
    let begun = service.session("ada", OTHER, &[("x-device", &device)]).await;
    let own = service.exchange_session(begun.text("session")).await.text("assertion").to_owned();
    service.session("ada", OTHER, &[]).await;
    assert_eq!(patch(&own, PASSWORD).await.status, 200);
    assert_eq!(service.exchange_session(begun.text("session")).await.status, 200);
    assert_eq!(service.exchange(&token).await.status, 401);
    let left = "SELECT count(*) FROM sessions JOIN devices ON devices.id = sessions.device_id";
    assert_eq!(service.number(left).await, 1);
    assert_eq!(service.number("SELECT count(*) FROM devices").await, 1);
}

#[tokio::test]
async fn who_signs_in_while_the_password_changes_keeps_nothing_of_it() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let own = format!("Token {}", service.token("ada").await);
    let caller = service.assertion(&own).await;
    for (old, new) in [(PASSWORD, OTHER), (OTHER, PASSWORD)] {
        let body = json!({"password": new});
        let change = service.write(Method::PATCH, "/users/1", &caller, body);
        let sign_ins = join_all((0..6).map(|_| service.sign_in("ada", old)));
        let (change, sign_ins) = tokio::join!(change, sign_ins);
        assert_eq!(change.status, 200, "{change:?}");
        for reply in sign_ins {
            let Some(token) = reply.json["token"].as_str() else { continue };
            assert_eq!(service.exchange(&format!("Token {token}")).await.status, 401);
        }
        assert_eq!(service.exchange(&own).await.status, 200);
        service.wait_out().await;
    }
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_and_its_id_is_not_given_again() {
    let service = Service::start().await;
    service.someone("ben").await;
    let ada = service.someone("ada").await;
    let session = service.session("ada", PASSWORD, &[]).await.text("session").to_owned();
    let token = format!("Token {}", service.token("ada").await);
    let gone = service.delete("/users/2", &ada).await;
    assert_eq!((gone.status, &*gone.text), (204, ""));
    assert_eq!(service.exchange(&token).await.status, 401);
    assert_eq!(service.exchange_session(&session).await.status, 401);
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 401);
    for path in ["/users/2", "/users/77"] {
        assert_eq!(service.delete(path, &ada).await.kind(), "user-not-found");
    }
    assert_eq!(
        service.write(Method::POST, "/tokens", &ada, json!({"name": "x"})).await.status,
        401
    );
    for left in [
        "SELECT count(*) FROM users WHERE id = 2",
        "SELECT count(*) FROM tokens WHERE user_id = 2",
        "SELECT count(*) FROM sessions WHERE user_id = 2",
        "SELECT count(*) FROM devices WHERE user_id = 2",
    ] {
        assert_eq!(service.number(left).await, 0, "{left}");
    }
    let again = service.sign_up("ada", "a@example.org", PASSWORD).await;
    assert_eq!((again.status, &again.json["id"]), (201, &json!(3)));
}
