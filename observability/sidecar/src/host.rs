//! Console, query APIs and Alertmanager's webhook have no sign-in: they answer on this machine, and only under names of this machine.
//!
//! A page of a stranger could otherwise have its own name resolved to 127.0.0.1, read everything and forge alerts (DNS rebinding); the `Host`
//! header tells.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::HOST, uri::Authority};
use platform::problem::Problem;

/// Refuses requests for other hosts than the loopback ones and `allowed`, with 421.
pub(crate) fn only_known_hosts(router: Router, allowed: &[String]) -> Router {
    let allowed: Arc<[String]> = allowed.iter().map(|host| host.to_ascii_lowercase()).collect();
    router.layer(from_fn_with_state(allowed, check))
}

async fn check(State(allowed): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = header.and_then(|host| host.parse::<Authority>().ok());
    let host = authority.as_ref().or_else(|| request.uri().authority()).map(Authority::host);
    let host = host.map(str::to_ascii_lowercase).unwrap_or_default();
    let loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    if loopback || allowed.contains(&host) {
        return next.run(request).await;
    }
    let detail = "This host name is not known here. Ask for localhost, or add the name to CONSOLE_ALLOWED_HOSTS.";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown-host", detail).into_response()
}
