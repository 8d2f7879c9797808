//! The query APIs of Jaeger, v1 and v3, as its page and Grafana call them.

mod adjust;
mod otlp;
mod params;
mod v1;
mod v1_trace;
mod v3;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    StatusCode, Uri,
    header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

use crate::{
    Store,
    turns::{AT_ONCE, Turns},
};

pub(crate) use otlp::otlp_json;

/// What every handler gets.
#[derive(Clone)]
struct Jaeger {
    store: Arc<dyn Store>,
    turns: Turns,
}

/// All routes; whatever else is asked for is a 404.
pub(crate) fn router(store: Arc<dyn Store>) -> Router {
    Router::new()
        .merge(v1::router())
        .merge(v3::router())
        .method_not_allowed_fallback(async |uri: Uri| {
            failure_for(&uri, StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
        })
        .fallback(async |uri: Uri| failure_for(&uri, StatusCode::NOT_FOUND, "page not found"))
        .with_state(Jaeger { store, turns: Turns::new(AT_ONCE) })
}

fn failure_for(uri: &Uri, status: StatusCode, message: &str) -> Response {
    if uri.path().starts_with("/api/v3/") {
        v3::failure(status, message)
    } else {
        v1::failure(status, message)
    }
}

impl Jaeger {
    /// Asks the store and writes the answer where it may take its time, when its turn comes.
    async fn ask(&self, answer: impl FnOnce(&dyn Store) -> Response + Send + 'static) -> Response {
        let store = Arc::clone(&self.store);
        let answer = self.turns.take(move || answer(&*store));
        answer.await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "an answer of the Jaeger API broke off");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
    }
}

fn json(body: &impl Serialize, pretty: bool) -> Response {
    // Strings, numbers and lists of them cannot fail.
    let text = if pretty { serde_json::to_vec_pretty(body) } else { serde_json::to_vec(body) };
    let body = text.unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// A body of JSON that calls itself text, as errors of Jaeger do.
fn error(status: StatusCode, body: &impl Serialize) -> Response {
    let mut text = serde_json::to_string(body).unwrap_or_default();
    text.push('\n');
    let headers =
        [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, Body::from(text)).into_response()
}

#[cfg(test)]
mod tests;
