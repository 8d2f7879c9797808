//! One call, from the parts of its request to an answer or the reason why there is none.

use std::fmt::{Display, Write as _};

use bytes::Bytes;
use futures_util::Stream;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Limited};
use reqwest::{Request, Response, Url};
use serde::{Deserialize, Serialize};

use crate::{
    Peer, Place,
    error::{BoxError, Error, PeerName},
    limits::{Limits, Plan},
    place::Encoded,
    refusal::Refusal,
    stream::Upload,
};

/// A call in the making; see [`Peer::call`]. Nothing happens before [`Call::send`] or [`Call::forward`].
#[must_use]
#[derive(Debug)]
pub struct Call<'a> {
    peer: &'a Peer,
    method: Method,
    template: &'static str,
    url: String,
    questions: char,
    headers: HeaderMap,
    body: Option<Bytes>,
    limits: Limits,
}

impl<'a> Call<'a> {
    pub(crate) fn new(peer: &'a Peer, method: Method, place: &Place) -> Call<'a> {
        Call {
            peer,
            method,
            template: place.template(),
            url: format!("{}{}", peer.base, place.path()),
            questions: '?',
            headers: HeaderMap::new(),
            body: None,
            limits: Limits::DEFAULT,
        }
    }

    /// Adds a parameter to the query.
    pub fn query(self, name: &str, value: impl Display) -> Self {
        self.raw_query(format_args!("{}={}", Encoded(name), Encoded(&value.to_string())))
    }

    /// Adds a parameter that is encoded already, as it came in a query.
    pub fn raw_query(mut self, parameter: impl Display) -> Self {
        // Writing to a string cannot fail.
        let _ = write!(self.url, "{}{parameter}", self.questions);
        self.questions = '&';
        self
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body as it is. Its type is a header of its own.
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// Sets the body to `value` as JSON.
    ///
    /// # Panics
    /// When `value` has no JSON, such as a map whose keys are no texts.
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("our own types have JSON");
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.into())
    }

    /// Sets what the call may cost, instead of [`Limits::DEFAULT`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends it and waits for the whole answer.
    ///
    /// # Errors
    /// Whenever there is no answer with a status of 2xx.
    pub async fn send(mut self) -> Result<Answer, Error> {
        let (peer, by_assertion) = (self.peer.name, self.by_assertion());
        let body = self.body.take().map(reqwest::Body::from);
        let response = self.execute(body, None, false).await?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        // All of it is here already.
        let body =
            body.collect().await.map_err(|error| Error::without_answer(peer, error.into()))?;
        let answer =
            Answer { peer, status: parts.status, headers: parts.headers, body: body.to_bytes() };
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(Refusal::error(peer, answer.status, &answer.headers, answer.body, by_assertion))
    }

    /// Sends it without a body and hands the answer's body on while it arrives, under the limits of [`Call::forward`].
    ///
    /// # Errors
    /// As [`Call::send`].
    pub async fn stream(self) -> Result<http::Response<reqwest::Body>, Error> {
        self.streamed(None).await
    }

    /// Sends it with a body that is passed on while it arrives, and hands the answer's body on likewise.
    ///
    /// The call has one attempt and all the time that its request has left. A body of which the other service takes or gives
    /// nothing for 10 s ends it. Dropping the future, or the answer's body, ends the call on the other side too.
    ///
    /// # Errors
    /// As [`Call::send`], and [`Error::Upload`] when `body` fails.
    pub async fn forward<E: Into<BoxError>>(
        self,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> Result<http::Response<reqwest::Body>, Error> {
        let upload = Upload::default();
        let body = upload.body(body);
        self.streamed(Some((body, upload))).await
    }

    async fn streamed(
        mut self,
        sent: Option<(reqwest::Body, Upload)>,
    ) -> Result<http::Response<reqwest::Body>, Error> {
        self.limits = Limits::STREAM;
        let (peer, limit, by_assertion) = (self.peer.name, self.limits.answer, self.by_assertion());
        let (body, upload) = sent.unzip();
        let response = http::Response::from(self.execute(body, upload, true).await?);
        if response.status().is_success() {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|cause| Error::Unreachable { peer, cause })?.to_bytes();
        Err(Refusal::error(peer, parts.status, &parts.headers, body, by_assertion))
    }

    fn by_assertion(&self) -> bool {
        self.headers.contains_key(AUTHORIZATION)
    }

    async fn execute(
        self,
        body: Option<reqwest::Body>,
        upload: Option<Upload>,
        stream: bool,
    ) -> Result<Response, Error> {
        let peer = self.peer.name;
        let url = Url::parse(&self.url)
            .map_err(|error| Error::BadAnswer { peer, what: format!("no address: {error}") })?;
        let mut request = Request::new(self.method, url);
        *request.headers_mut() = self.headers;
        *request.body_mut() = body;
        let mut extensions = Extensions::new();
        extensions.insert(Plan {
            peer,
            template: self.template,
            limits: self.limits,
            until: None,
            stream,
        });
        if let Some(upload) = upload {
            extensions.insert(upload);
        }
        let sent = self.peer.http.execute_with_extensions(request, &mut extensions).await;
        sent.map_err(|error| Error::without_answer(peer, error))
    }
}

/// A good answer, all of it.
#[derive(Clone, Debug)]
pub struct Answer {
    peer: PeerName,
    /// 200 to 299.
    pub status: StatusCode,
    /// As they came.
    pub headers: HeaderMap,
    /// As it came; nothing is compressed between services.
    pub body: Bytes,
}

impl Answer {
    /// The body, read as JSON.
    ///
    /// # Errors
    /// [`Error::BadAnswer`] when it is something else. The message has no value of the answer in it.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what =
                format!("it is other JSON than expected, from line {line} column {column} on");
            Error::BadAnswer { peer: self.peer, what }
        })
    }
}
