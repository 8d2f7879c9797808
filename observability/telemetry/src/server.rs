//! One server span, one duration, one access line per request.

use std::{
    pin::Pin,
    task::{Context as TaskContext, Poll, ready},
    time::Instant,
};

use axum::extract::MatchedPath;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{Link, SpanContext, SpanKind, Status, TraceContextExt, TraceState, Tracer},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::{
    Telemetry, loki,
    metrics::{CANCELLED, Route, ServerLabels, known_method, status_error},
};

/// Put around a router by `Router::layer`: there the matched route is known.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    telemetry: Telemetry,
    edge: bool,
}

/// Bytes that a span keeps of what the client has written: this layer sees requests that are refused for their length further in.
const MAX_TEXT: usize = 1 << 10;

impl ServerLayer {
    /// With `edge`, a `traceparent` from outside is no parent: the request starts a trace of its own that links to it. Else anybody could
    /// decide what is sampled, or put spans into strangers' traces. The link has the ids only, not the `tracestate`.
    pub fn new(telemetry: &Telemetry, edge: bool) -> ServerLayer {
        ServerLayer { telemetry: telemetry.clone(), edge }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerSpans<S>;

    fn layer(&self, inner: S) -> ServerSpans<S> {
        ServerSpans { inner, layer: self.clone() }
    }
}

/// The service that [`ServerLayer`] makes.
#[derive(Clone, Debug)]
pub struct ServerSpans<S> {
    inner: S,
    layer: ServerLayer,
}

impl<S, B, R> Service<Request<B>> for ServerSpans<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Served<S::Future>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Served<S::Future> {
        let exchange = Exchange::begin(&self.layer, &request);
        let _active = exchange.context.clone().attach();
        let _entered = exchange.lines.enter();
        let inner = self.inner.call(request);
        drop(_entered);
        Served { inner, exchange: Some(exchange) }
    }
}

pin_project! {
    /// The future of one request. Dropped before its end (the client has gone), it books the request as cancelled.
    pub struct Served<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }

    impl<F> PinnedDrop for Served<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(exchange) = this.project().exchange.take() {
                exchange.end(None);
            }
        }
    }
}

impl<F, R, E> Future for Served<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _active = this.exchange.as_ref().map(|exchange| exchange.context.clone().attach());
        let entered = this.exchange.as_ref().map(|exchange| exchange.lines.enter());
        let result = this.inner.poll(cx);
        drop(entered);
        let mut result = ready!(result);
        if let Some(exchange) = this.exchange.take() {
            match &mut result {
                Ok(response) => {
                    exchange.announce(response.headers_mut());
                    exchange.end(Some(response.status()));
                }
                // A handler's service is infallible; were it not, this request has no answer either.
                Err(_) => exchange.end(None),
            }
        }
        Poll::Ready(result)
    }
}

/// A request from its first poll to its answer.
struct Exchange {
    telemetry: Telemetry,
    context: Context,
    /// Gives the ids to the lines that tracing-loki ships; none without it.
    lines: tracing::Span,
    method: &'static str,
    route: Route,
    begun: Instant,
}

impl Exchange {
    fn begin<B>(layer: &ServerLayer, request: &Request<B>) -> Exchange {
        let telemetry = layer.telemetry.clone();
        let method = known_method(request.method());
        let route: Route =
            request.extensions().get::<MatchedPath>().map(|path| path.as_str().into());
        telemetry.inner.measures.active_requests.inc();
        let remote = remote(request);
        // An invalid parent must not be set at all: the samplers would take it for one that was not sampled.
        let (parent, link) = match remote {
            Some(remote) if layer.edge => (Context::new(), Some(without_state(&remote))),
            Some(remote) => (Context::new().with_remote_span_context(remote), None),
            None => (Context::new(), None),
        };
        let context = if telemetry.inner.requests {
            let name = match &route {
                Some(route) => format!("{method} {route}"),
                None => method.to_owned(),
            };
            let mut span = telemetry.inner.tracer.span_builder(name).with_kind(SpanKind::Server);
            if telemetry.records(&parent) {
                span = span.with_attributes(attributes(request, method, route.as_deref()));
                if let Some(link) = link {
                    span = span.with_links(vec![Link::with_context(link)]);
                }
            }
            let span = telemetry.inner.tracer.build_with_context(span, &parent);
            parent.with_span(span)
        } else {
            parent
        };
        let lines = telemetry.inner.loki.as_ref().filter(|_| telemetry.inner.requests);
        let lines = lines
            .map_or_else(tracing::Span::none, |_| loki::request(context.span().span_context()));
        Exchange { telemetry, context, lines, method, route, begun: Instant::now() }
    }

    /// Tells the caller which trace to look at.
    fn announce(&self, headers: &mut http::HeaderMap) {
        let span = self.context.span();
        let ids = span.span_context();
        if !self.telemetry.inner.requests || !ids.is_valid() {
            return;
        }
        let (trace, flags) = (ids.trace_id(), ids.trace_flags().to_u8());
        let response = format!("00-{trace}-{}-{flags:02x}", ids.span_id());
        let values = [("traceresponse", response), ("x-trace-id", trace.to_string())];
        for (name, value) in values {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }

    fn end(self, status: Option<StatusCode>) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let error = match status {
            None => CANCELLED.into(),
            Some(status) if status.is_server_error() => status_error(status),
            Some(_) => "".into(),
        };
        let span = self.context.span();
        if self.telemetry.inner.requests {
            let _active = self.context.clone().attach();
            let _entered = self.lines.enter();
            let (method, route) = (self.method, self.route.as_deref().unwrap_or("unmatched"));
            let code = status.map(|status| status.as_u16());
            let duration_ms = (seconds * 1e6).round() / 1e3; // microseconds are all that is worth reading
            tracing::info!(target: "http", { http.request.method = method, http.route = route, http.response.status_code = code, duration_ms }, "request");
            if span.is_recording() {
                if let Some(status) = status {
                    let code = i64::from(status.as_u16());
                    span.set_attribute(KeyValue::new("http.response.status_code", code));
                }
                if !error.is_empty() {
                    span.set_attribute(KeyValue::new("error.type", error.clone()));
                    if error != CANCELLED {
                        span.set_status(Status::error(""));
                    }
                }
            }
            span.end();
        }
        let labels = ServerLabels {
            http_request_method: self.method,
            http_route: match self.route {
                Some(route) => String::from(&*route).into(),
                None => "unmatched".into(),
            },
            http_response_status_code: status.map(|status| status.as_u16()),
            error_type: error,
        };
        self.telemetry.inner.measures.active_requests.dec();
        self.telemetry.inner.measures.served(&labels, seconds, span.span_context());
    }
}

/// The caller's span, where it sent a valid one.
fn remote<B>(request: &Request<B>) -> Option<SpanContext> {
    request.headers().get("traceparent")?;
    let extracted = TraceContextPropagator::new()
        .extract_with_context(&Context::new(), &HeaderExtractor(request.headers()));
    let span = extracted.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// A stranger's `tracestate` is whatever the stranger likes.
fn without_state(of: &SpanContext) -> SpanContext {
    let state = TraceState::NONE;
    SpanContext::new(of.trace_id(), of.span_id(), of.trace_flags(), of.is_remote(), state)
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_TEXT)].to_owned()
}

/// The attributes that the semantic conventions name; not the client's address, which is a person's.
fn attributes<B>(request: &Request<B>, method: &'static str, route: Option<&str>) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(8);
    attributes.push(KeyValue::new("http.request.method", method));
    attributes.push(KeyValue::new("url.path", cut(request.uri().path())));
    attributes.push(KeyValue::new("url.scheme", "http"));
    if let Some(route) = route {
        attributes.push(KeyValue::new("http.route", route.to_owned()));
    }
    let version = match request.version() {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    attributes.push(KeyValue::new("network.protocol.version", version));
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    if let Some(authority) = authority.as_ref().or_else(|| request.uri().authority()) {
        attributes.push(KeyValue::new("server.address", cut(authority.host())));
        if let Some(port) = authority.port_u16() {
            attributes.push(KeyValue::new("server.port", i64::from(port)));
        }
    }
    let agent = request.headers().get(http::header::USER_AGENT).and_then(|it| it.to_str().ok());
    if let Some(agent) = agent {
        let short: String = agent.chars().take(100).collect();
        attributes.push(KeyValue::new("user_agent.original", short));
    }
    attributes
}
