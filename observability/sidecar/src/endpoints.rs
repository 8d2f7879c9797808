//! The four sockets of the sidecar, and what is behind them.

use std::{sync::Arc, time::Duration};

use axum::Router;
use platform::service::{Parts, Policy, RouteLimits};

use crate::{
    Alerts, Config, Store,
    agent::Agent,
    console,
    credential::Credential,
    host::only_known_hosts,
    jaeger, meter,
    otlp::{self, Budget, Receiver},
    store::MemoryStore,
};

/// What may be received and not yet kept, decoded too: four exports of the largest size, or one that becomes four times as large.
const IN_FLIGHT: usize = 4 * otlp::LARGEST;

/// Makes the store; role, routes and limits of each socket but the internal one, at which `alerts` arrive.
///
/// # Errors
/// One sentence, when the console's token cannot be used.
pub fn endpoints(
    config: &Config,
    parts: &Parts,
    alerts: Alerts,
) -> anyhow::Result<Vec<(&'static str, Router, Policy)>> {
    let credential = config.token_file.as_deref().map(Credential::from_file).transpose()?;
    let store: Arc<dyn Store> =
        Arc::new(MemoryStore::new(config.traces_memory.bytes(), config.logs_memory.bytes()));
    meter::start();
    meter::alerts(&alerts.board());
    tokio::spawn(meter::watch(store.clone(), parts.stopping.clone()));
    let agent = Agent::start(config, parts)?;
    let watched = agent.clone();
    parts.background.spawn(|ending| meter::watch_agent(watched, ending));
    let receiver = Receiver { store: store.clone(), agent, budget: Budget::new(IN_FLIGHT) };
    let hosts = |router: Router| {
        let router = match &credential {
            Some(credential) => credential.clone().demanded_by(router),
            None => router,
        };
        only_known_hosts(router, &config.allowed_hosts)
    };
    let http = otlp::http(receiver.clone()).merge(otlp::loki(receiver.clone()));
    let mut endpoints = vec![
        ("otlp-grpc", otlp::grpc(receiver.clone()), receiving()),
        ("otlp-http", http, receiving()),
    ];
    if config.serves_jaeger() {
        endpoints.push(("jaeger", hosts(jaeger::router(store.clone())), asking()));
    }
    let console = console::router(store, receiver.agent, alerts, config);
    endpoints.push(("console", hosts(console), asking()));
    Ok(endpoints)
}

/// Questions are short, but for the file that Jaeger's page sends to be read.
fn asking() -> Policy {
    const FILE: RouteLimits = RouteLimits { body: 16 << 20, ..RouteLimits::DEFAULT };
    Policy { compression: true, overrides: &[("/api/transform", FILE)], ..Policy::default() }
}

/// Exports are large and may be packed. Their size and the time that they take are limited by the receivers, which answer in OTLP's own
/// words; the server's limits are only behind them.
fn receiving() -> Policy {
    let limits = RouteLimits {
        body: usize::MAX,
        deadline: Duration::from_secs(90),
        body_deadline: Duration::from_secs(60),
    };
    Policy { limits, encoded_bodies: true, ..Policy::default() }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    #[test]
    fn the_receivers_refuse_in_their_own_words_before_the_server_does() {
        let limits = receiving().limits;
        assert!(limits.body > otlp::LARGEST);
        assert!(limits.body_deadline > otlp::SLOWEST && limits.deadline > otlp::SLOWEST);
    }

    #[tokio::test]
    async fn a_file_of_sixteen_mebibytes_may_be_transformed() {
        let policy = asking();
        let (path, limits) = policy.overrides[0];
        assert_eq!((path, limits.body), ("/api/transform", 16 << 20));
        let router = jaeger::router(Arc::new(MemoryStore::new(1 << 20, 1 << 20)));
        let request = Request::post(path).body(Body::from(r#"{"resourceSpans":[]}"#)).unwrap();
        assert_eq!(router.oneshot(request).await.unwrap().status(), StatusCode::OK);
    }
}
