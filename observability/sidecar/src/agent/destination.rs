//! Where a signal goes on to: one address that takes OTLP over HTTP, and what its answers mean.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use prost::Message;
use reqwest::{Body, Client, Response, redirect::Policy};
use spool::Reason;

/// How long one attempt may take, the answer's body included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take; who is on this network is there at once.
const CONNECT: Duration = Duration::from_secs(1);
/// An answer is a few bytes, or the words of an error.
const LARGEST_ANSWER: usize = 64 << 10;
/// What of an error's words goes into the log.
const WORDS: usize = 200;
/// Longer than this nobody is waited for, whatever they say.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An address that takes one signal.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    url: String,
    client: Client,
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is there, but for `rejected` items, of which the destination said `why`.
    Delivered { rejected: u64, why: String },
    /// It is not wanted; sending it again would not help.
    Refused { reason: Reason, why: String },
    /// It may be sent again.
    Failed(Failure),
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// In the words that the services use for the same: unreachable, timeout, overloaded, `server_error`.
    pub(crate) reason: &'static str,
    /// Whether the destination may have taken it all the same.
    pub(crate) uncertain: bool,
    /// When the destination wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// What it said, or what the connection did.
    pub(crate) why: String,
}

impl Destination {
    /// `signal` below the OTLP address `base`: `http://jaeger:4318` and `traces`, `http://loki:3100/otlp` and `logs`.
    ///
    /// # Errors
    /// When no client can be made.
    pub(crate) fn new(base: &str, signal: &str) -> anyhow::Result<Destination> {
        // Only the configured address is asked, so no proxy and no redirect may lead elsewhere.
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT)
            .no_proxy()
            .redirect(Policy::none())
            .user_agent(concat!("musicwallet-sidecar/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Destination { url: format!("{}/v1/{signal}", base.trim_end_matches('/')), client })
    }

    /// The whole address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// One attempt. The parts are requests of OTLP in protobuf, which are one request when they stand one after the other.
    pub(crate) async fn send(&self, parts: Vec<Bytes>) -> Outcome {
        let length: usize = parts.iter().map(Bytes::len).sum();
        let body = Body::wrap_stream(stream::iter(parts.into_iter().map(Ok::<_, std::io::Error>)));
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))
            .header(CONTENT_LENGTH, length)
            .body(body);
        match request.send().await {
            Ok(answer) => read(answer).await,
            Err(error) => Outcome::Failed(failure(&error)),
        }
    }
}

async fn read(mut answer: Response) -> Outcome {
    let (status, retry_after) = (answer.status(), retry_after(answer.headers()));
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LARGEST_ANSWER => body.extend(&chunk),
            Ok(_) => break, // it ends, or nobody wants more of it
            // The status is the answer. What it says besides is not there: nothing was rejected that we know of.
            Err(_) => break,
        }
    }
    let words = || format!("{status}: {}", first_words(&body));
    let is_page = answer.headers().get(CONTENT_TYPE).is_some_and(is_html);
    if status.is_success() && is_page {
        // Whoever answers with a page knows nothing of telemetry: a wrong address, or a sign-in in front of the right one.
        let why = format!("no answer of OTLP, but a page: {}", words());
        return Outcome::Failed(Failure {
            reason: "unreachable",
            uncertain: true,
            retry_after,
            why,
        });
    }
    if status.is_success() {
        // The three answers have the same form; Loki's is empty.
        let told = PartialSuccess::of(&body);
        return Outcome::Delivered {
            rejected: told.rejected,
            why: first_words(told.message.as_bytes()),
        };
    }
    let reason = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => "overloaded",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "timeout",
        StatusCode::BAD_GATEWAY => "unreachable",
        status if status.is_server_error() => "server_error",
        status if status.is_client_error() => {
            return Outcome::Refused { reason: Reason::Refused, why: words() };
        }
        _ => "unreachable", // it is somewhere else, says somebody between
    };
    // A 500 may have come in the middle; somebody between knows nothing of what is behind.
    let uncertain = reason != "overloaded";
    Outcome::Failed(Failure { reason, uncertain, retry_after, why: words() })
}

fn failure(error: &reqwest::Error) -> Failure {
    let reason = if error.is_timeout() && !error.is_connect() { "timeout" } else { "unreachable" };
    let mut why = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        why = cause.to_string(); // the innermost says what happened: "Connection refused"
        source = cause.source();
    }
    Failure { reason, uncertain: !error.is_connect(), retry_after: None, why }
}

fn is_html(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"text/html")
}

/// Seconds; the form with a date is not used by what takes telemetry.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn first_words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * WORDS)]);
    let plain = text.chars().map(|it| if it.is_control() { ' ' } else { it });
    plain.take(WORDS).collect::<String>().trim().to_owned()
}

/// `ExportTracePartialSuccess` and its two sisters, which have the same fields.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    items: i64,
    #[prost(string, tag = "2")]
    error: String,
}

/// `ExportTraceServiceResponse` and its two sisters.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

struct Told {
    rejected: u64,
    message: String,
}

impl PartialSuccess {
    fn of(body: &[u8]) -> Told {
        let told = ExportResponse::decode(body).ok().and_then(|it| it.partial_success);
        let told = told.unwrap_or_default();
        Told { rejected: u64::try_from(told.items).unwrap_or(0), message: told.error }
    }
}
