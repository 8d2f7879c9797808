//! What is sent and what comes back when both sides behave.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, RawQuery},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use platform::{
    deadline::{self, Deadline},
    identity::CREDENTIAL_ENDED,
    problem::Problem,
};
use resilience::{Limits, Peer, Route};
use serde_json::{Value, json};

use crate::server::{serving, told};

const MUSIC: Route<1> = Route::new("/musics/{id}");
const MUSICS: Route<0> = Route::new("/musics");

async fn deadline_told(peer: &Peer, limits: Limits) -> u64 {
    let answer = peer.get(MUSICS).limits(limits).send().await.unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_call_brings_path_query_headers_and_body() {
    async fn echo(
        Path(id): Path<i64>,
        RawQuery(query): RawQuery,
        headers: HeaderMap,
        body: String,
    ) -> Json<Value> {
        let kind = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        Json(json!({ "id": id, "query": query, "type": kind, "body": body }))
    }
    let peer = serving(Router::new().route("/musics/{id}", post(echo))).await;
    let call = peer.post(MUSIC.at([17])).query("who", "a&b é").raw_query("limit=5");
    let answer = call.json(&json!({ "title": "x" })).send().await.unwrap();
    let expected = json!({
        "id": 17, "query": "who=a%26b%20%C3%A9&limit=5", "type": "application/json", "body": r#"{"title":"x"}"#
    });
    assert_eq!(answer.json::<Value>().unwrap(), expected);
}

#[tokio::test]
async fn the_other_side_is_told_how_long_the_attempt_may_take() {
    let echo = async |headers: HeaderMap| headers[deadline::HEADER].as_bytes().to_vec();
    let peer = serving(Router::new().route("/musics", get(echo))).await;
    assert_eq!(deadline_told(&peer, Limits::DEFAULT).await, 900);
    assert!((901..=2_000).contains(&deadline_told(&peer, Limits::SIGN_IN).await));
    let within = |millis| Deadline::after(Duration::from_millis(millis));
    let told = deadline::scope(within(9_000), deadline_told(&peer, Limits::DEFAULT)).await;
    assert_eq!(told, 900);
    let told = deadline::scope(within(700), deadline_told(&peer, Limits::DEFAULT)).await;
    assert!((1..=700).contains(&told), "{told}");
}

#[tokio::test]
async fn a_refusal_is_told_as_it_came() {
    let problem = r#"{"type":"/problems/not-owner","status":403,"detail":"no","errors":[]}"#;
    let refuse = async move || {
        (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/problem+json")], problem)
    };
    let peer = serving(Router::new().route("/musics", get(refuse))).await;
    let error = peer.get(MUSICS).send().await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::FORBIDDEN));
    assert_eq!(told(error).await, (403, problem.to_owned(), None));
}

#[tokio::test]
async fn a_busy_service_is_503_with_its_own_retry_after_and_a_slow_one_too() {
    let busy = async || (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "7")], "secret");
    let slow = async || (StatusCode::GATEWAY_TIMEOUT, "secret");
    let router = Router::new().route("/musics", get(busy)).route("/musics/{id}", get(slow));
    let peer = serving(router).await;
    for (place, after) in [(MUSICS.at([]), "7"), (MUSIC.at([1]), "1")] {
        let (status, body, retry) = told(peer.get(place).send().await.unwrap_err()).await;
        assert_eq!((status, retry.as_deref()), (503, Some(after)));
        assert!(body.contains("/problems/catalog-unavailable") && !body.contains("secret"));
    }
}

#[tokio::test]
async fn a_service_that_says_what_it_cannot_have_is_told_as_it_came() {
    let problem = r#"{"type":"/problems/database-unavailable","status":503}"#;
    let busy = async move || {
        let headers =
            [(header::RETRY_AFTER, "3"), (header::CONTENT_TYPE, "application/problem+json")];
        (StatusCode::SERVICE_UNAVAILABLE, headers, problem)
    };
    let peer = serving(Router::new().route("/musics", get(busy))).await;
    let error = peer.get(MUSICS).send().await.unwrap_err();
    assert_eq!(error.absent(), Some("catalog"));
    assert_eq!(told(error).await, (503, problem.to_owned(), Some("3".to_owned())));
}

#[tokio::test]
async fn a_broken_service_is_502_without_its_words() {
    let peer = serving(Router::new().route(
        "/musics",
        get(async || (StatusCode::INTERNAL_SERVER_ERROR, "secret").into_response()),
    ));
    let error = peer.await.get(MUSICS).send().await.unwrap_err();
    let (status, body, retry) = told(error).await;
    assert_eq!((status, retry), (502, None));
    assert!(body.contains("/problems/bad-gateway") && !body.contains("secret"), "{body}");
}

#[tokio::test]
async fn an_outcome_that_requests_share_is_for_each_what_it_is_alone() {
    let problem = r#"{"type":"/problems/not-owner","status":403,"detail":"no","errors":[]}"#;
    let refuse = async move || {
        (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/problem+json")], problem)
    };
    let broken = async || (StatusCode::INTERNAL_SERVER_ERROR, "secret");
    let router = Router::new().route("/musics", get(refuse)).route("/musics/{id}", get(broken));
    let peer = serving(router).await;
    let mut outcomes = Vec::new();
    for place in [MUSICS.at([]), MUSIC.at([1])] {
        let error = Arc::new(peer.get(place).send().await.unwrap_err());
        for shared in [Arc::clone(&error).shared(), error.shared()] {
            let cause = shared.extensions().get::<Arc<Problem>>().and_then(|it| it.cause());
            outcomes.push((shared.status().as_u16(), cause.map(|cause| format!("{cause:#}"))));
        }
    }
    let broken = (502, Some("catalog has answered 500 Internal Server Error".to_owned()));
    assert_eq!(outcomes, [(403, None), (403, None), broken.clone(), broken]);
}

#[tokio::test]
async fn an_assertion_that_is_refused_is_not_the_clients_fault() {
    let refuse = async || {
        (StatusCode::UNAUTHORIZED, [(header::CONTENT_TYPE, "application/problem+json")], "{}")
    };
    let peer = serving(Router::new().route("/musics", get(refuse))).await;
    assert_eq!(told(peer.get(MUSICS).send().await.unwrap_err()).await.0, 401);
    let assertion = header::HeaderValue::from_static("Bearer assertion");
    let call = peer.get(MUSICS).header(header::AUTHORIZATION, assertion);
    assert_eq!(told(call.send().await.unwrap_err()).await.0, 502);
}

#[tokio::test]
async fn a_credential_that_has_ended_behind_a_good_assertion_is_the_clients_to_know() {
    let ended =
        async || Problem::new(StatusCode::UNAUTHORIZED, CREDENTIAL_ENDED, "It was revoked.");
    let peer = serving(Router::new().route("/musics", get(ended))).await;
    let assertion = header::HeaderValue::from_static("Bearer assertion");
    let call = peer.get(MUSICS).header(header::AUTHORIZATION, assertion);
    let (status, body, _) = told(call.send().await.unwrap_err()).await;
    assert!(status == 401 && body.contains("It was revoked."), "{status} {body}");
}
