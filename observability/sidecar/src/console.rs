//! The console: pages about what the store holds, made on the server, complete without JavaScript.
//!
//! A file per page. All state is in the URL. Text from outside reaches a page only through `maud`, which escapes it, and the content
//! security policy forbids inline scripts and styles, so that a mistake there would still not run. The console reads; it changes nothing.

mod about;
mod alerts;
mod assets;
mod delivery;
mod error;
mod fetch;
mod finder;
mod format;
mod layout;
mod logs;
mod metrics;
mod objectives;
mod params;
mod services;
mod trace;
mod traces;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, middleware::map_response, response::Response, routing::get};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use maud::Markup;

use self::{
    error::Error,
    fetch::Fetcher,
    layout::{Fill, Nav, Palette},
};
use crate::{
    Agent, Alerts, Store,
    turns::{AT_ONCE, Turns},
};

/// What the pages know.
#[derive(Clone)]
struct Console {
    store: Arc<dyn Store>,
    agent: Agent,
    alerts: Alerts,
    objectives: objectives::Objectives,
    links: Arc<alerts::Links>,
    turns: Turns,
    surroundings: Arc<Surroundings>,
    metrics: metrics::Scraper,
}

/// Where the other ends listen.
struct Surroundings {
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
    /// `None` where the traces' destination has its own.
    jaeger: Option<SocketAddr>,
    internal: SocketAddr,
}

/// The same as addresses that the reader's machine can use.
struct Addresses {
    otlp_grpc: String,
    otlp_http: String,
    jaeger: Option<String>,
    internal: String,
}

impl Surroundings {
    /// A port on this machine, or on all its interfaces, is reached by the name by which the console was.
    fn seen_from(&self, headers: &HeaderMap) -> Addresses {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let authority = host.and_then(|text| text.parse::<http::uri::Authority>().ok());
        let seen = |at: SocketAddr| match &authority {
            Some(authority) if at.ip().is_loopback() || at.ip().is_unspecified() => {
                format!("http://{}:{}", authority.host(), at.port())
            }
            _ => format!("http://{at}"),
        };
        Addresses {
            otlp_grpc: seen(self.otlp_grpc),
            otlp_http: seen(self.otlp_http),
            jaeger: self.jaeger.map(seen),
            internal: seen(self.internal),
        }
    }
}

/// The console over a store, over the pipelines of an agent, and over the record of alerts.
pub fn router(
    store: Arc<dyn Store>,
    agent: Agent,
    alerts: Alerts,
    config: &crate::Config,
) -> Router {
    let surroundings = Surroundings {
        otlp_grpc: config.otlp_grpc_listen,
        otlp_http: config.otlp_http_listen,
        jaeger: config.serves_jaeger().then_some(config.jaeger_listen),
        internal: config.internal_listen,
    };
    let fetcher = Fetcher::new();
    let console = Console {
        store,
        agent,
        alerts,
        objectives: objectives::Objectives::of(config.prometheus.as_ref(), &fetcher),
        links: Arc::new(alerts::Links::of(config)),
        turns: Turns::new(AT_ONCE),
        surroundings: Arc::new(surroundings),
        metrics: metrics::Scraper::new(&config.scrape, &fetcher),
    };
    Router::new()
        .route("/", get(traces::list))
        .route("/live", get(traces::live))
        .route("/traces/{id}", get(trace::show))
        .route("/find", get(finder::find))
        .route("/logs", get(logs::list))
        .route("/services", get(services::list))
        .route("/metrics", get(metrics::list))
        .route("/alerts", get(alerts::show))
        .route("/alerts.json", get(alerts::json))
        .route("/delivery", get(delivery::show))
        .route("/delivery.json", get(delivery::json))
        .route("/about", get(about::show))
        .route("/assets/{version}/{name}", get(assets::serve))
        .fallback(|| async { Error::no_page() })
        .method_not_allowed_fallback(|| async { Error::not_allowed() })
        .with_state(console)
        .layer(map_response(guard))
}

impl Console {
    /// Asks the store on a thread that may be busy for a while, when its turn comes.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Store) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let store = Arc::clone(&self.store);
        self.turns.take(move || question(&*store)).await.map_err(Error::broken)
    }

    fn fill(&self) -> Fill {
        let stats = self.store.stats();
        Fill {
            used: (stats.span_bytes + stats.log_bytes) as u64,
            capacity: (stats.span_limit + stats.log_limit) as u64,
            evicted: stats.evicted_spans + stats.evicted_logs,
        }
    }

    fn palette(&self) -> Palette {
        Palette::of(self.store.services().iter().map(String::as_str))
    }

    fn page(&self, title: &str, current: Nav, body: &Markup) -> Markup {
        layout::page(title, current, Some(self.fill()), body)
    }
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Headers that keep a browser from doing what a page did not mean. Answers are not kept, unless they say otherwise.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
