//! Whether the service lives, has started, and wants requests; and its metrics. On the internal port only.
//!
//! | path | 200 means | else |
//! |---|---|---|
//! | `/health/live` | its threads still get on | no answer: restart it |
//! | `/health/startup` | it was ready once | 503 that names what it awaits |
//! | `/health/ready` | it wants requests | 503 that names what it awaits, or that it is stopping |
//!
//! Whether the services that it calls are well is no part of this: their callers would all restart, or leave, together with them.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use telemetry::Telemetry;

use crate::{extract::Json, service::Parts};

/// The routes of the internal port.
pub(crate) fn router(parts: &Parts) -> Router {
    let health = Router::new()
        .route("/health/live", get(async || Report::of("live")))
        .route("/health/startup", get(startup))
        .route("/health/ready", get(ready))
        .with_state(parts.health.clone());
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(parts.telemetry.clone());
    health.merge(metrics)
}

/// What a probe is told.
#[derive(Serialize)]
struct Report {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    awaited: Vec<&'static str>,
}

impl Report {
    fn of(status: &'static str) -> Json<Report> {
        Json(Report { status, awaited: Vec::new() })
    }
}

async fn startup(State(health): State<Health>) -> Response {
    if health.inner.started.load(Ordering::Relaxed) {
        return Report::of("started").into_response();
    }
    match health.awaited().clone() {
        none if none.is_empty() => Report::of("started").into_response(),
        awaited => not_yet("starting", awaited),
    }
}

async fn ready(State(health): State<Health>) -> Response {
    if health.is_stopping() {
        return not_yet("stopping", Vec::new());
    }
    match health.awaited().clone() {
        none if none.is_empty() => Report::of("ready").into_response(),
        awaited => not_yet("starting", awaited),
    }
}

/// Not a [`Problem`](crate::problem::Problem): it is what a probe is there for, and nothing for the log.
fn not_yet(status: &'static str, awaited: Vec<&'static str>) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(Report { status, awaited })).into_response()
}

async fn metrics(State(telemetry): State<Telemetry>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let (content_type, text) = telemetry.render(accept);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

/// What the service awaits before it is ready, and whether it is stopping. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    awaited: Mutex<Vec<&'static str>>,
    started: AtomicBool,
    stopping: AtomicBool,
}

/// Something that has to be done before the service is ready: drop it when it is.
#[derive(Debug)]
#[must_use = "the service counts as ready once its latches are dropped"]
pub struct Latch {
    health: Health,
    name: &'static str,
}

impl Health {
    /// Of a service that awaits nothing yet.
    pub fn new() -> Health {
        Health::default()
    }

    /// The service is not ready before the latch is dropped. `name` is what `/health/ready` calls it.
    pub fn latch(&self, name: &'static str) -> Latch {
        self.awaited().push(name);
        Latch { health: self.clone(), name }
    }

    /// From now on the service asks to be left out: it is about to stop.
    pub fn stop_ready(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Relaxed)
    }

    fn awaited(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.inner.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let mut awaited = self.health.awaited();
        if let Some(at) = awaited.iter().position(|name| *name == self.name) {
            awaited.remove(at);
        }
        if awaited.is_empty() {
            self.health.inner.started.store(true, Ordering::Relaxed);
        }
    }
}
