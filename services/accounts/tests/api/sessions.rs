//! Browser sessions.

use platform::{
    config::{HttpUrl, Value as _},
    identity::Verifier,
};
use serde_json::json;
use telemetry::Telemetry;

use crate::service::{PASSWORD, Service};

#[tokio::test]
async fn a_session_is_begun_used_and_ended() {
    let service = Service::start().await;
    service.sign_up("Ada", "a@example.org", PASSWORD).await;
    let begun = service.session("ada", PASSWORD, &[]).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    assert_eq!(begun.json["user"], json!({"id": 1, "username": "Ada"}));
    assert_eq!(begun.json.as_object().unwrap().len(), 4);
    let (session, device) = (begun.text("session"), begun.text("device"));
    assert_eq!((session.len(), device.len()), (43, 43), "256 bits");
    assert!(begun.text("expires_at").ends_with('Z'));
    let lifetime = "SELECT expires_at - created_at FROM sessions";
    assert_eq!(service.number(lifetime).await, 12 * 3_600_000);

    let exchanged = service.exchange_session(session).await;
    assert_eq!(exchanged.json["user"], json!({"id": 1, "username": "Ada"}));
    let url = HttpUrl::parse(&service.url).unwrap();
    let verifier = Verifier::new(&url, &Telemetry::disabled("test")).unwrap();
    let assertion = exchanged.text("assertion");
    assert_eq!(&*verifier.verify(assertion).await.unwrap().via, "session:1");
    let token = format!("Token {}", service.token("ada").await);
    let by_token = service.assertion(&token).await;
    assert_eq!(&*verifier.verify(&by_token).await.unwrap().via, "token:1");
    let basic = service.assertion("Basic QURBOnNldmVuIGJyYXZlIG90dGVycyBzaW5n").await;
    assert_eq!(&*verifier.verify(&basic).await.unwrap().via, "basic");

    for other in [&by_token, &basic] {
        let reply = service.delete("/sessions/current", other).await;
        assert_eq!((reply.status, reply.kind()), (404, "session-not-found"));
    }
    assert_eq!(service.exchange_session(session).await.status, 200);
    for _ in 0..2 {
        assert_eq!(service.delete("/sessions/current", assertion).await.status, 204);
    }
    let over = service.exchange_session(session).await;
    assert_eq!((over.status, over.kind()), (401, "invalid-credentials"));
    assert_eq!(service.exchange(&token).await.status, 200, "others are not ended");
    let counted = |name: &str| service.metric(&format!("accounts_sessions_{name}_total"));
    assert_eq!((counted("started"), counted("ended")), (1.0, 1.0));
    let exchanges = "accounts_exchanges_total{scheme=\"session\",result=\"success\"}";
    assert_eq!(service.metric(exchanges), 2.0);
}

/// S7.
#[tokio::test]
async fn each_sign_in_gives_another_session_and_an_ended_one_stays_ended() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let first = service.session("ada", PASSWORD, &[]).await;
    let known = [("x-device", first.text("device"))];
    let second = service.session("ada", PASSWORD, &known).await;
    assert_ne!(first.text("session"), second.text("session"));
    assert_eq!(first.text("device"), second.text("device"), "the browser is the same");
    let assertion = service.exchange_session(first.text("session")).await;
    service.delete("/sessions/current", assertion.text("assertion")).await;
    assert_eq!(service.exchange_session(first.text("session")).await.status, 401);
    assert_eq!(service.exchange_session(second.text("session")).await.status, 200);
    service.session("ada", PASSWORD, &known).await;
    assert_eq!(service.exchange_session(first.text("session")).await.status, 401);
}

#[tokio::test]
async fn a_session_ends_after_half_an_hour_without_use_and_after_half_a_day_with_it() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let session = service.session("ada", PASSWORD, &[]).await.text("session").to_owned();
    // 29 minutes later, and again: being used counts.
    for _ in 0..3 {
        service.sql("UPDATE sessions SET last_used_at = last_used_at - 1740000").await;
        assert_eq!(service.exchange_session(&session).await.status, 200);
    }
    service.sql("UPDATE sessions SET expires_at = expires_at - 43200000").await;
    assert_eq!(service.exchange_session(&session).await.status, 401);

    let session = service.session("ada", PASSWORD, &[]).await.text("session").to_owned();
    assert_eq!(service.number("SELECT count(*) FROM sessions").await, 1, "the old one is dropped");
    service.sql("UPDATE sessions SET last_used_at = last_used_at - 1800000").await;
    assert_eq!(service.exchange_session(&session).await.status, 401);
    service.session("ada", PASSWORD, &[]).await;
    assert_eq!(service.number("SELECT count(*) FROM sessions").await, 1);
}

#[tokio::test]
async fn twenty_sessions_a_person_and_the_longest_unused_goes_first() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let mut sessions = Vec::new();
    for _ in 0..21 {
        sessions.push(service.session("ada", PASSWORD, &[]).await.text("session").to_owned());
    }
    assert_eq!(service.exchange_session(&sessions[0]).await.status, 401);
    assert_eq!(service.exchange_session(&sessions[1]).await.status, 200);
    assert_eq!(service.number("SELECT count(*) FROM devices").await, 20);
}

#[tokio::test]
async fn what_is_no_session_is_refused_without_a_look() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let begun = service.session("ada", PASSWORD, &[]).await;
    let session = begun.text("session");
    let token = service.token("ada").await;
    service.spans.take();
    for wrong in ["", "x", &session[1..], &token, &format!("{session}="), "'; DROP TABLE users"] {
        let reply = service.exchange_session(wrong).await;
        assert_eq!((reply.status, reply.kind()), (401, "invalid-credentials"), "{wrong}");
    }
    assert_eq!(service.spans.take().len(), 6, "no statement among them");
    // A device signs nobody in, nor does a session that nobody has.
    assert_eq!(service.exchange_session(begun.text("device")).await.status, 401);
    assert_eq!(service.exchange_session(&"A".repeat(43)).await.status, 401);
    let wrong = service.session("ada", "wrong wrong", &[]).await;
    assert_eq!((wrong.status, wrong.kind()), (401, "invalid-credentials"));
    let lacking = service.post("/sessions", json!({"username": "ada", "remember": true})).await;
    assert_eq!(lacking.pointers(), ["/password", "/remember"]);
}
