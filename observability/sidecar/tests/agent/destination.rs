//! A destination that behaves as a test wants it to, and remembers what it was sent and when.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::Response,
    routing::post,
};
use futures_util::{StreamExt, stream};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::any_value::Value,
};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// That it has it.
    Taken,
    /// The same, after a while.
    TakenAfter(Duration),
    /// That it has it, but for so many, and why.
    Partly(u64, &'static str),
    /// A status, perhaps with when to come back, and a text.
    Refused(u16, Option<&'static str>, &'static str),
    /// A page, as somebody who knows nothing of telemetry does.
    Page,
    /// A status of success, and then half of a body.
    BrokenOff,
    /// Nothing, ever.
    Nothing,
}

/// One attempt, as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) at: Instant,
    /// Of spans, in order.
    pub(crate) ids: Vec<u64>,
    /// Of its body.
    pub(crate) bytes: usize,
    /// The first attribute of each resource.
    resources: Vec<String>,
}

/// A server on loopback; it is gone when it is dropped.
pub(crate) struct Destination {
    address: SocketAddr,
    attempts: Attempts,
    serving: JoinHandle<()>,
}

type Attempts = Arc<Mutex<Vec<Attempt>>>;
/// What the nth attempt is answered with, from 0.
type Script = Arc<dyn Fn(usize, &[u64]) -> Answer + Send + Sync>;

impl Destination {
    pub(crate) async fn start(
        script: impl Fn(usize, &[u64]) -> Answer + Send + Sync + 'static,
    ) -> Destination {
        Destination::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script).await
    }

    /// Where another one was.
    pub(crate) async fn start_at(
        address: SocketAddr,
        script: impl Fn(usize, &[u64]) -> Answer + Send + Sync + 'static,
    ) -> Destination {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (attempts, script): (Attempts, Script) = (Attempts::default(), Arc::new(script));
        let state = (Arc::clone(&attempts), script);
        let router = Router::new().route("/v1/{signal}", post(answer)).with_state(state);
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Destination { address, attempts, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first attribute of each resource, in the order of arrival.
    pub(crate) fn resources(&self) -> Vec<String> {
        self.attempts().into_iter().flat_map(|it| it.resources).collect()
    }

    /// All that it was sent, in the order of arrival.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.attempts().into_iter().flat_map(|it| it.ids).collect()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(
    State((attempts, script)): State<(Attempts, Script)>,
    body: Bytes,
) -> Response<Body> {
    let ids = ids(&body);
    let nth = {
        let mut attempts = attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.push(Attempt {
            at: Instant::now(),
            ids: ids.clone(),
            bytes: body.len(),
            resources: resources(&body),
        });
        attempts.len() - 1
    };
    let taken = || Response::new(Body::empty());
    match script(nth, &ids) {
        Answer::Taken => taken(),
        Answer::TakenAfter(time) => {
            tokio::time::sleep(time).await;
            taken()
        }
        Answer::Partly(rejected, why) => {
            let partial = ExportTracePartialSuccess {
                rejected_spans: rejected as i64,
                error_message: why.to_owned(),
            };
            let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
            Response::new(answer.encode_to_vec().into())
        }
        Answer::Refused(status, retry_after, text) => {
            let mut answer = Response::builder().status(status);
            if let Some(seconds) = retry_after {
                answer = answer.header("retry-after", seconds);
            }
            answer.body(text.into()).unwrap()
        }
        Answer::Page => {
            let page = Response::builder().header("content-type", "text/html; charset=utf-8");
            page.body("<html>Welcome".into()).unwrap()
        }
        Answer::BrokenOff => {
            let half = stream::iter([Ok(Bytes::from_static(b"half"))]);
            let end = stream::once(async {
                // By now the first part has left.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(io::Error::other("gone"))
            });
            let body = Body::from_stream(half.chain(end));
            Response::builder().header("content-length", 8).body(body).unwrap()
        }
        Answer::Nothing => std::future::pending().await,
    }
}

fn resources(body: &[u8]) -> Vec<String> {
    let request = ExportTraceServiceRequest::decode(body).unwrap_or_default();
    let resources = request.resource_spans.into_iter().filter_map(|it| it.resource);
    let first = resources.filter_map(|it| it.attributes.into_iter().next()?.value?.value);
    first
        .map(|it| match it {
            Value::StringValue(text) => text,
            other => format!("{other:?}"),
        })
        .collect()
}

/// Of the spans in a request; of another signal there are none.
fn ids(body: &[u8]) -> Vec<u64> {
    let request = ExportTraceServiceRequest::decode(body).unwrap_or_default();
    let scopes = request.resource_spans.into_iter().flat_map(|it| it.scope_spans);
    let id = |id: Vec<u8>| id.try_into().map_or(0, u64::from_be_bytes);
    scopes.flat_map(|it| it.spans).map(|it| id(it.span_id)).collect()
}

/// A server that takes one whole request, begins to answer and resets the connection; then it is gone, and its address is free.
pub(crate) async fn resets_once(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    stream.write_all(b"HTTP/1.1 2").await.unwrap();
    stream.set_zero_linger().unwrap(); // its end is a reset
}
