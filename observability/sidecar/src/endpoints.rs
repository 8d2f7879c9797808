//! The four sockets of the sidecar, and what is behind them.

use std::{sync::Arc, time::Duration};

use axum::Router;
use platform::service::{Parts, Policy, RouteLimits};

use crate::{
    Config, Store, console,
    host::only_known_hosts,
    jaeger, meter,
    otlp::{self, Budget},
    store::MemoryStore,
};

/// What may be received and not yet kept: two exports of the largest size.
const IN_FLIGHT: usize = 2 * otlp::LARGEST;

/// Makes the store; role, routes and limits of each socket but the internal one.
pub fn endpoints(config: &Config, parts: &Parts) -> Vec<(&'static str, Router, Policy)> {
    let store: Arc<dyn Store> =
        Arc::new(MemoryStore::new(config.traces_memory.bytes(), config.logs_memory.bytes()));
    meter::start();
    tokio::spawn(meter::watch(store.clone(), parts.stopping.clone()));
    let budget = Budget::new(IN_FLIGHT);
    let hosts = |router: Router| only_known_hosts(router, &config.allowed_hosts);
    let pages = Policy { compression: true, ..Policy::default() };
    vec![
        ("otlp-grpc", otlp::grpc(store.clone(), budget.clone()), receiving()),
        ("otlp-http", otlp::http(store.clone(), budget), receiving()),
        ("jaeger", hosts(jaeger::router(store.clone())), pages.clone()),
        ("console", hosts(console::router(store, config)), pages),
    ]
}

/// Exports are large and may be packed. Their size is limited by the receivers, which answer in OTLP's own words; the server's limit is
/// only behind them.
fn receiving() -> Policy {
    let limits = RouteLimits {
        body: 2 * otlp::LARGEST,
        deadline: Duration::from_secs(30),
        body_deadline: Duration::from_secs(30),
    };
    Policy { limits, encoded_bodies: true, ..Policy::default() }
}
