//! The innermost middleware: an attempt's time limit, which the other side is told, and an answer that has all arrived.

use async_trait::async_trait;
use http::{Extensions, HeaderValue};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use platform::deadline;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use tokio::time::Instant;

use crate::{
    error::Error,
    limits::Plan,
    stream::{self, Upload},
};

pub(crate) struct Attempt;

#[async_trait]
impl Middleware for Attempt {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let plan = Plan::of(extensions)?;
        let Some(limit) = plan.attempt(Instant::now()) else {
            return Err(Error::TimedOut { peer: plan.peer }.into());
        };
        // Reqwest's own limit counts until the answer's last byte, also where the body is handed on.
        *request.timeout_mut() = Some(limit);
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        request.headers_mut().insert(deadline::HEADER, HeaderValue::from(millis));
        let upload = extensions.get::<Upload>().cloned();
        let sent = next.run(request, extensions);
        let answer = match upload {
            Some(upload) => upload.watched(plan.peer, sent).await?,
            None => sent.await.map_err(|error| Error::without_answer(plan.peer, error))?,
        };
        if plan.stream {
            return Ok(stream::limited(answer, plan.peer));
        }
        Ok(whole(answer, &plan).await?)
    }
}

/// The answer with its whole body, if that is within its limit.
async fn whole(answer: Response, plan: &Plan) -> std::result::Result<Response, Error> {
    let peer = plan.peer;
    let too_long = || {
        let what = format!("it is longer than {} bytes", plan.limits.answer);
        Error::BadAnswer { peer, what }
    };
    let (parts, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
    if body.size_hint().lower() > plan.limits.answer as u64 {
        return Err(too_long()); // it says so itself: nothing of it has to arrive
    }
    let body = Limited::new(body, plan.limits.answer).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return too_long();
        }
        match error.downcast::<reqwest::Error>() {
            Ok(error) => Error::without_answer(peer, (*error).into()),
            Err(cause) => Error::Unreachable { peer, cause },
        }
    })?;
    Ok(Response::from(http::Response::from_parts(parts, body.to_bytes())))
}
