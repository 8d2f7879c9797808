//! Requests to the public API, as any client sends them: each has a client span and a `traceparent`.

use std::error::Error;

use anyhow::Context;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, COOKIE, SET_COOKIE},
};
use platform::config::HttpUrl;
use reqwest::{Request, Url, redirect, retry};
use serde::de::DeserializeOwned;
use serde_json::Value;
use telemetry::Telemetry;

/// The most bytes of an answer.
const LARGEST: usize = 1 << 20;
/// What a page of the same origin sends along: without it, no request that comes with a session's cookie changes anything.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The public API. Knows the way there, and keeps its connections.
pub(crate) struct Api {
    http: reqwest::Client,
    telemetry: Telemetry,
    base: String,
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Why there is none. Nothing in it is secret or personal.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Option<StatusCode>,
    /// The trace of the request at the gateway, if it answered.
    pub(crate) trace: Option<String>,
    pub(crate) why: String,
    /// Seconds after which it may be tried again.
    pub(crate) retry_after: Option<u64>,
}

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Failure {
        Failure { status: None, trace: None, why: why.into(), retry_after: None }
    }
}

impl Api {
    pub(crate) fn new(base: &HttpUrl, telemetry: &Telemetry) -> anyhow::Result<Api> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("musicwallet-prober/", env!("CARGO_PKG_VERSION")))
            // We let go of a connection before the server does, or a request could cross its farewell and be lost.
            .pool_idle_timeout(platform::service::KEEP_ALIVE / 2)
            // What is asked is measured as it is: whoever is sent elsewhere, or has to try again, is an answer or a failure.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .build()
            .context("setting up the HTTP client")?;
        Ok(Api { http, telemetry: telemetry.clone(), base: base.as_str().to_owned() })
    }

    /// Sends a request to `path`, whose pattern is `template`, with these cookies and this body, and waits for the whole answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        template: &'static str,
        path: &str,
        cookies: &str,
        body: Option<Value>,
    ) -> Result<Answer, Failure> {
        let url = Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| Failure::new(format!("it is no address: {error}")))?;
        let span = self.telemetry.client_span(&method, template, &url);
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        span.inject(headers);
        headers.insert(FETCH_SITE, HeaderValue::from_static("same-origin"));
        if let Ok(mut cookies) = HeaderValue::from_str(cookies)
            && !cookies.is_empty()
        {
            cookies.set_sensitive(true);
            headers.insert(COOKIE, cookies);
        }
        if let Some(body) = body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        }
        match self.answer(request).await {
            Ok((status, answer)) => {
                span.end(Ok(status));
                if status.is_success() { Ok(answer) } else { Err(answer.refusal(status)) }
            }
            Err((kind, why)) => {
                span.end(Err(kind));
                Err(Failure::new(why))
            }
        }
    }

    async fn answer(
        &self,
        request: Request,
    ) -> Result<(StatusCode, Answer), (&'static str, String)> {
        let unreachable = |error: reqwest::Error| ("unreachable", why(error));
        let mut response = self.http.execute(request).await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(("bad_answer", format!("its answer has more than {LARGEST} bytes")));
            }
        }
        Ok((status, Answer { headers, body }))
    }
}

impl Answer {
    /// The body, read as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let why =
                format!("it is other JSON than expected, from line {line} column {column} on");
            Failure { status: Some(StatusCode::OK), trace: self.trace(), ..Failure::new(why) }
        })
    }

    /// A cookie that is set, as it is sent back: `name=value`.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let set = self.headers.get_all(SET_COOKIE).iter().filter_map(|it| it.to_str().ok());
        let pairs = set.filter_map(|it| it.split(';').next());
        let found = pairs.into_iter().find(|it| it.split_once('=').is_some_and(|it| it.0 == name));
        found.map(str::to_owned)
    }

    fn trace(&self) -> Option<String> {
        self.header("x-trace-id").map(str::to_owned)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }

    fn refusal(&self, status: StatusCode) -> Failure {
        // The kind of a problem says what went wrong; its detail can repeat what was sent.
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let kind = problem["type"].as_str().and_then(|it| it.strip_prefix("/problems/"));
        let kind = kind.filter(|it| it.len() <= 64).unwrap_or("no problem document");
        Failure {
            status: Some(status),
            trace: self.trace(),
            why: format!("it answered {} ({kind})", status.as_u16()),
            retry_after: self.header("retry-after").and_then(|it| it.parse().ok()),
        }
    }
}

/// The reason at the bottom of an error, without the address.
fn why(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut reason: &dyn Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    format!("it cannot be reached: {reason}")
}
