//! What happens to every request, whatever the route: one list of layers, and inside the innermost one list of steps.

mod answer;
mod body;

use std::{
    convert::Infallible,
    mem,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::HttpBody,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use telemetry::ServerLayer;
use tower::{Layer, Service};
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
    normalize_path::NormalizePath,
};

pub(crate) use body::Fault;
use body::Upload;

use crate::{
    deadline::{self, Deadline},
    health::Health,
    meter,
    problem::{FieldError, Problem},
    service::{Parts, Policy, RouteLimits},
};

/// A router with its layers.
pub(crate) type App = NormalizePath<Router>;

/// Bytes of a request's path and query: far more than any route needs. The span, which begins before this is looked at, has its own limit.
const MAX_URI: usize = 8 << 10;

/// Answers from this size on are compressed; for less, the work is more than the gain.
const COMPRESS_FROM: u64 = 1 << 10;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts the layers around `router`. Outermost last.
pub(crate) fn around(router: Router, policy: Policy, parts: &Parts, traced: bool) -> App {
    let edge = policy.edge;
    let compression = policy.compression;
    let guard = GuardLayer(Arc::new(Shared { policy, health: parts.health.clone() }));
    // A pair, because each `Router::layer` costs two allocations per request. axum's own limit of 2 MB inside: ours decides.
    let mut router = router.layer((guard, DefaultBodyLimit::disable()));
    if compression {
        // Outside of the guard, so that problems and refusals are compressed like anything else.
        router = router.layer(compress());
    }
    if traced {
        // Outside of all that answers, so that every answer is measured and carries its trace, the refusals too; inside of nothing but
        // the router, which tells it the matched route.
        router = router.layer(ServerLayer::new(&parts.telemetry, edge));
    }
    // Around the router, because routing comes next: `/musics/` is `/musics`.
    NormalizePath::trim_trailing_slash(router)
}

fn compress() -> CompressionLayer<impl Predicate> {
    let worth_it = SizeAbove::new(COMPRESS_FROM)
        .and(NotForContentType::GRPC)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::SSE);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_it)
}

/// Everything that protects a handler and completes its answer, as one layer with one boxed future: see [`Shared::answer`].
#[derive(Clone)]
struct GuardLayer(Arc<Shared>);

struct Shared {
    policy: Policy,
    health: Health,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, shared: Arc::clone(&self.0) }
    }
}

#[derive(Clone)]
struct Guard<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Guard<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let next = self.inner.clone();
        let ready = mem::replace(&mut self.inner, next);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(shared.answer(ready, request).await) })
    }
}

impl Shared {
    /// The steps, in order.
    async fn answer<S>(&self, handler: S, mut request: Request) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let version = request.version();
        let asked_id = self.asked_id(request.headers_mut());
        let limits = self.policy.limits_of(request.extensions().get::<MatchedPath>());
        let time = self.time(request.headers_mut(), limits);
        let (request, upload) = body::watch(request, limits);
        let mut response = match self.refusal(&request, limits) {
            Some(problem) => problem.into_response(),
            None => within(time, handler, request, upload.as_ref()).await,
        };
        answer::complete(&mut response);
        answer::log(&mut response);
        answer::protect(response.headers_mut());
        if let Some(id) = asked_id.or_else(new_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let unread = upload.is_some_and(|it| it.is_unread());
        if (unread || self.health.is_stopping()) && version <= Version::HTTP_11 {
            // The client's next request then goes to a new connection, and to another instance, instead of into one that is closed soon:
            // because the service stops, or because the rest of a body stands in the way.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The caller's id of the request, where callers are believed and it looks like one.
    fn asked_id(&self, headers: &mut HeaderMap) -> Option<HeaderValue> {
        let id = headers.remove(REQUEST_ID)?;
        let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let sane = (1..=64).contains(&id.len()) && id.as_bytes().iter().all(sane);
        (!self.policy.edge && sane).then_some(id)
    }

    /// How long the answer may take. A caller inside can only shorten it; one outside has no say.
    fn time(&self, headers: &mut HeaderMap, limits: &RouteLimits) -> Duration {
        let Some(asked) = headers.remove(deadline::HEADER) else { return limits.deadline };
        let asked = asked.to_str().ok().and_then(|millis| millis.parse().ok());
        match asked {
            Some(millis) if !self.policy.edge => limits.deadline.min(Duration::from_millis(millis)),
            _ => limits.deadline,
        }
    }

    /// What no handler has to see.
    fn refusal(&self, request: &Request, limits: &RouteLimits) -> Option<Problem> {
        let uri = request.uri();
        let length = uri.path().len() + uri.query().map_or(0, str::len);
        if length > MAX_URI {
            let detail = format!("The path and query have {length} bytes, more than {MAX_URI}.");
            return Some(Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", detail));
        }
        // Nothing is decompressed that was not asked for: 1 MB of zeros fits into 1 KB.
        let encoding = request.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|it| it != "identity") && !self.policy.encoded_bodies {
            let detail = "Bodies with a Content-Encoding are not accepted; send it as it is.";
            return Some(
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoded-body", detail)
                    .error(FieldError::new("Content-Encoding", "is not accepted here")),
            );
        }
        // HTTP/1 and 2 both enforce a Content-Length, so what it announces is the least that will come.
        (request.body().size_hint().lower() > limits.body as u64)
            .then(|| Fault::TooLarge { limit: limits.body }.problem())
    }
}

/// The handler's answer, or why there is none: it took too long, it panicked, or the body did not come as it should.
async fn within<S>(
    time: Duration,
    handler: S,
    request: Request,
    upload: Option<&Upload>,
) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let deadline = Deadline::after(time);
    let work = deadline::scope(deadline, caught(handler, request));
    let answer = tokio::time::timeout_at(deadline.instant(), work).await;
    match (answer, upload) {
        (Ok(response), Some(upload)) => upload.judge(response),
        (Ok(response), None) => response,
        (Err(_), Some(upload)) if upload.is_coming() => {
            Fault::TooSlow { within: time }.problem().into_response()
        }
        (Err(_), _) => {
            let time = humantime::format_duration(time);
            let detail = format!("There was no answer within {time}.");
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "deadline-exceeded", detail).into_response()
        }
    }
}

/// The handler's answer, or a problem where it panicked.
async fn caught<S>(mut handler: S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    // Whatever the handler left half-done is dropped with it; what it shares with others must bear that, as it must bear a client that
    // goes away.
    match AssertUnwindSafe(async move { handler.call(request).await }).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panic) => {
            meter::panicked("handler");
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("it did not say why");
            Problem::internal(anyhow::anyhow!("the handler panicked: {message}")).into_response()
        }
    }
}

/// The trace's id: one name for the request in answers, logs and spans. Without a trace, a random one.
fn new_id() -> Option<HeaderValue> {
    let id = telemetry::trace_id().unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
    HeaderValue::try_from(id).ok()
}
