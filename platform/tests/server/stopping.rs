//! Beginning and ending.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, routing::get};
use platform::service::{Policy, ServerConfig};
use serde_json::json;
use tokio::{net::TcpStream, sync::Notify};

use crate::kit::{Service, short, within};

/// A request that has begun and ends when it is told to.
#[derive(Clone, Default)]
struct Gate {
    begun: Arc<Notify>,
    finish: Arc<Notify>,
}

fn router(gate: &Gate) -> Router {
    let waiting = async |State(gate): State<Gate>| {
        gate.begun.notify_one();
        gate.finish.notified().await;
        "finished"
    };
    Router::new()
        .route("/", get(async || "hello"))
        .route("/wait", get(waiting))
        .with_state(gate.clone())
}

/// Waits until nobody listens any more.
async fn closed(service: &Service) {
    within(async {
        while TcpStream::connect(service.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_that_still_prepares_itself_lives_and_says_what_it_awaits() {
    let prepared = Arc::new(Notify::new());
    let preparing = {
        let prepared = prepared.clone();
        async move { prepared.notified().await }
    };
    let router = router(&Gate::default());
    let service = Service::start_after(preparing, router, Policy::default(), short());
    let migrations = service.parts.health.latch("migrations");
    assert_eq!(service.internal("/health/live").await.status, 200);
    assert_eq!(service.internal("/metrics").await.status, 200);
    for probe in ["/health/ready", "/health/startup"] {
        let answer = service.internal(probe).await;
        let starting = json!({ "status": "starting", "awaited": ["endpoints", "migrations"] });
        assert_eq!((answer.status, answer.json), (503, starting));
    }
    drop(migrations);
    let awaited = json!({ "status": "starting", "awaited": ["endpoints"] });
    assert_eq!(service.internal("/health/startup").await.json, awaited);
    prepared.notify_one();
    assert_eq!(service.ask("GET /", b"").await.status, 200);
    assert_eq!(service.internal("/health/ready").await.json, json!({ "status": "ready" }));
    service.stop().await;
}

#[tokio::test]
async fn a_service_is_ready_when_its_latches_are_gone_and_until_it_stops() {
    let config = ServerConfig { notice: Duration::from_secs(60), ..short() };
    let service = Service::start(router(&Gate::default()), Policy::default(), config);
    let (migrations, keys) =
        (service.parts.health.latch("migrations"), service.parts.health.latch("keys"));
    for probe in ["/health/ready", "/health/startup"] {
        let answer = service.internal(probe).await;
        let starting = json!({ "status": "starting", "awaited": ["migrations", "keys"] });
        assert_eq!((answer.status, answer.json), (503, starting));
    }
    assert_eq!(service.internal("/health/live").await.status, 200);
    drop(migrations);
    let awaited = json!({ "status": "starting", "awaited": ["keys"] });
    assert_eq!(service.internal("/health/ready").await.json, awaited);
    drop(keys);
    assert_eq!(service.internal("/health/ready").await.json, json!({ "status": "ready" }));
    assert_eq!(service.internal("/health/startup").await.json, json!({ "status": "started" }));

    service.parts.stopping.cancel();
    within(async {
        while !service.parts.health.is_stopping() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let answer = service.internal("/health/ready").await;
    assert_eq!((answer.status, answer.json), (503, json!({ "status": "stopping" })));
    assert_eq!(service.internal("/health/startup").await.status, 200);
    // Not everybody has noticed yet, so it still serves, and sends its clients elsewhere.
    let answer = service.ask("GET /", b"").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
}

#[tokio::test]
async fn a_request_in_flight_ends_before_the_service_does() {
    let gate = Gate::default();
    let config = ServerConfig { drain: Duration::from_secs(60), ..short() };
    let service = Service::start(router(&gate), Policy::default(), config);
    let mut client = service.connect().await;
    client.send_request("GET /wait", b"").await;
    within(gate.begun.notified()).await;
    service.parts.stopping.cancel();
    closed(&service).await;
    assert!(!service.running.is_finished());
    assert_eq!(service.internal("/health/live").await.status, 200);
    gate.finish.notify_one();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.body), (200, b"finished".to_vec()));
    drop(client);
    service.stop().await;
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_the_service_from_it() {
    let gate = Gate::default();
    let service = Service::start(router(&gate), Policy::default(), short());
    let mut client = service.connect().await;
    client.send_request("GET /wait", b"").await;
    within(gate.begun.notified()).await;
    let telemetry = service.parts.telemetry.clone();
    service.stop().await;
    assert_eq!(client.rest().await, b"");
    let (_, metrics) = telemetry.render(None);
    let cut = r#"http_server_connections_cut_total{role="api",reason="drain"} 1"#;
    assert!(metrics.contains(cut), "{metrics}");
}

#[tokio::test]
async fn connections_without_a_whole_request_delay_the_end_by_no_more_than_their_own_limits() {
    let config = ServerConfig { drain: Duration::from_secs(60), ..short() };
    let service = Service::start(router(&Gate::default()), Policy::default(), config);
    let mut idle = service.connect().await;
    idle.send_request("GET /", b"").await;
    assert_eq!(idle.answer().await.status, 200);
    let mut half = service.connect().await;
    half.send(b"GET / HTTP/1.1\r\n").await;
    let silent = service.connect().await;
    service.becomes("http_server_connections", "role=\"api\"", 3.0).await;
    service.stop().await;
    drop((idle, half, silent));
}

#[tokio::test]
async fn work_in_the_background_ends_after_the_last_request_and_is_waited_for() {
    let gate = Gate::default();
    let config = ServerConfig { drain: Duration::from_secs(60), ..short() };
    let service = Service::start(router(&gate), Policy::default(), config);
    let (asked, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, may) = (asked.clone(), finish.clone());
    service.parts.background.spawn(|ending| async move {
        ending.cancelled().await;
        told.notify_one();
        may.notified().await;
    });
    let mut client = service.connect().await;
    client.send_request("GET /wait", b"").await;
    within(gate.begun.notified()).await;
    service.parts.stopping.cancel();
    closed(&service).await;
    assert!(tokio::time::timeout(Duration::ZERO, asked.notified()).await.is_err());
    gate.finish.notify_one();
    assert_eq!(client.answer().await.status, 200);
    drop(client);
    within(asked.notified()).await;
    assert!(!service.running.is_finished());
    finish.notify_one();
    service.stop().await;
}

#[tokio::test]
async fn work_in_the_background_that_does_not_end_is_left_behind() {
    let config = ServerConfig { finish: Duration::from_millis(50), ..short() };
    let service = Service::start(router(&Gate::default()), Policy::default(), config);
    service.parts.background.spawn(|_| std::future::pending());
    service.stop().await;
}
