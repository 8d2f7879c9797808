//! What answers look like, whatever the handler does.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, response::IntoResponse, routing::get};
use http::{StatusCode, header};
use platform::{
    deadline::Deadline,
    extract::Json,
    problem::{FieldError, Problem},
    service::{Policy, RouteLimits, ServerConfig},
};
use serde_json::json;
use tracing::{Event, Subscriber, field::Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::kit::Service;

fn router() -> Router {
    Router::new()
        .route("/hello", get(async || "hello").put(async || "put"))
        .route("/songs/{id}", get(async || Json(json!({ "id": 1 }))))
        .route("/panic", get(panics))
        .route("/stuck", get(async || std::future::pending::<()>().await))
        .route("/left", get(left))
        .route("/bare", get(async || StatusCode::CONFLICT))
        .route("/broken", get(broken))
        .route("/wrong", get(wrong))
        .route("/denied", get(async || Problem::new(StatusCode::UNAUTHORIZED, "denied", "No.")))
        .route("/busy", get(async || Problem::unavailable("busy", "Full.", MILLIS(1500))))
        .route("/large", get(async || "la".repeat(2000)))
        .route("/own", get(own))
}

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

async fn panics() -> &'static str {
    panic!("on purpose")
}

/// How many seconds are left, rounded up.
async fn left() -> String {
    let left = Deadline::current().unwrap().remaining();
    left.as_millis().div_ceil(1000).to_string()
}

async fn broken() -> Problem {
    Problem::internal(anyhow::anyhow!("the disk is on fire").context("reading a song"))
}

async fn wrong() -> Problem {
    let errors = vec![
        FieldError::new("/title", "has more than 300 characters").limit(300),
        FieldError::new("/password", "invalid type: string \"hunter2\""),
    ];
    Problem::invalid(errors)
}

async fn own() -> impl IntoResponse {
    let policy = "default-src 'self'";
    [(header::CACHE_CONTROL, "max-age=60"), (header::CONTENT_SECURITY_POLICY, policy)]
}

fn service(policy: Policy) -> Service {
    Service::start(router(), policy, ServerConfig::default())
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_service_lives() {
    let service = service(Policy::default());
    let answer = service.ask("GET /panic", b"").await;
    assert_eq!((answer.status, answer.problem()), (500, "internal"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("on purpose"));
    assert_eq!(service.metric("http_server_panics_total", "place=\"handler\""), 1.0);
    assert_eq!(service.ask("GET /hello", b"").await.body, b"hello");
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let service = service(Policy::default());
    for path in ["/nowhere", "/songs", "/songs/1/2", "/%ff", "/..%2fhello", "/%c0%af/"] {
        let answer = service.ask(&format!("GET {path}"), b"").await;
        assert_eq!((answer.status, answer.problem()), (404, "not-found"), "{path}");
    }
    let answer = service.ask("DELETE /hello", b"").await;
    assert_eq!((answer.status, answer.problem()), (405, "method-not-allowed"));
    assert_eq!(answer.header("allow"), Some("GET,HEAD,PUT"));
    assert_eq!(service.ask("BREW /hello", b"").await.status, 405);
    let answer = service.ask("GET /bare", b"").await;
    assert_eq!((answer.status, answer.problem()), (409, "conflict"));
}

#[tokio::test]
async fn a_trailing_slash_changes_nothing() {
    let service = service(Policy::default());
    assert_eq!(service.ask("GET /hello/", b"").await.body, b"hello");
    assert_eq!(service.ask("GET /songs/7/?a=b", b"").await.json, json!({ "id": 1 }));
    let metrics = service.internal("/metrics").await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains(r#"http_route="/songs/{id}""#), "{metrics}");
}

#[tokio::test]
async fn a_problem_names_fields_limits_and_challenges() {
    let service = service(Policy::default());
    let answer = service.ask("GET /wrong", b"").await;
    assert_eq!((answer.status, answer.problem()), (400, "invalid-input"));
    let title =
        json!({ "pointer": "/title", "detail": "has more than 300 characters", "limit": 300 });
    assert_eq!(answer.json["errors"][0], title);
    assert_eq!(answer.json["title"], "invalid input");
    assert_eq!(answer.json["detail"], "/title: has more than 300 characters (and 1 more)");

    let answer = service.ask("GET /denied", b"").await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    let answer = service.ask("GET /busy", b"").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_headers_that_protect() {
    let service = service(Policy::default());
    for path in ["/hello", "/nowhere", "/panic", "/broken"] {
        let answer = service.ask(&format!("GET {path}"), b"").await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name} of {path}");
        }
        assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "of {path}");
    }
    let answer = service.ask("GET /own", b"").await;
    assert_eq!(answer.header("cache-control"), Some("max-age=60"));
    assert_eq!(answer.header("content-security-policy"), Some("default-src 'self'"));
}

#[tokio::test]
async fn callers_inside_are_believed_and_callers_outside_are_not() {
    let inside = service(Policy::default());
    let asked = "x-request-id: abc-1.2_3\r\nx-deadline-ms: 5000";
    let answer = inside.ask(&format!("GET /left\r\n{asked}"), b"").await;
    assert_eq!(answer.header("x-request-id"), Some("abc-1.2_3"));
    assert_eq!(answer.body, b"5");
    for deadline in ["999999", "99999999999999999999", "-5", "soon"] {
        let answer = inside.ask(&format!("GET /left\r\nx-deadline-ms: {deadline}"), b"").await;
        assert_eq!(answer.body, b"10", "{deadline}");
    }
    let odd = inside.ask("GET /hello\r\nx-request-id: <script>", b"").await;
    assert_eq!(odd.header("x-request-id").map(str::len), Some(32));

    let edge = service(Policy::edge());
    let answer = edge.ask(&format!("GET /left\r\n{asked}"), b"").await;
    assert_eq!(answer.header("x-request-id").map(str::len), Some(32));
    assert_eq!(answer.body, b"10");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_504() {
    let limits = RouteLimits { deadline: MILLIS(100), ..RouteLimits::DEFAULT };
    let service = service(Policy { limits, ..Policy::default() });
    let answer = service.ask("GET /stuck", b"").await;
    assert_eq!((answer.status, answer.problem()), (504, "deadline-exceeded"));
    assert_eq!(answer.json["detail"], "There was no answer within 100ms.");
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_accepts_it() {
    let service = service(Policy::edge());
    let gzip = "Accept-Encoding: gzip";
    let mut client = service.connect().await;
    client.send_request(&format!("GET /large\r\n{gzip}\r\nConnection: close"), b"").await;
    let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(answer.contains("content-encoding: gzip"), "{answer}");
    assert!(answer.len() < 1000, "{} bytes", answer.len());
    assert_eq!(service.ask("GET /large", b"").await.body.len(), 4000);
    assert_eq!(service.ask(&format!("GET /hello\r\n{gzip}"), b"").await.body, b"hello");
}

/// Every event, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0 += &format!(" {field}={value:?}");
            }
        }
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

#[tokio::test]
async fn a_problem_is_logged_once_with_its_cause_and_without_what_the_client_sent() {
    let service = service(Policy::default());
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let lines = |log: &Log| -> Vec<String> {
        let lines = std::mem::take(&mut *log.0.lock().unwrap());
        lines.into_iter().filter(|line| line.contains("problem.kind")).collect()
    };
    let answer = service.ask("GET /broken", b"").await;
    assert!(!String::from_utf8_lossy(&answer.body).contains("disk"), "the client learns no cause");
    let [line] = &lines(&log)[..] else { panic!("not one line") };
    assert!(line.starts_with("ERROR") && line.contains("reading a song: the disk is on fire"));

    service.ask("GET /wrong", b"").await;
    let [line] = &lines(&log)[..] else { panic!("not one line") };
    assert!(line.starts_with("DEBUG") && line.contains("/password"), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
}
