//! Input as types: what does not fit is a [`Problem`] that names the field.
//!
//! Like axum's extractors of the same names, but every refusal is a 4xx of `application/problem+json` with a pointer: `/title` in a body,
//! `?limit` in a query, `{id}` in a path. Limits of size and time are the server's ([`service::Policy`](crate::service::Policy)).

use std::{error::Error as StdError, fmt};

use axum::{
    body::{Body, Bytes},
    extract::{
        self, FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request,
        path::ErrorKind,
        rejection::{PathRejection, QueryRejection},
    },
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE, request::Parts};
use http_body_util::BodyExt;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    layers::Fault,
    problem::{FieldError, Problem},
};

/// A body of JSON, of a request or of an answer.
///
/// Refuses a request whose `Content-Type` is not JSON (415), and what is not UTF-8, not JSON, nested deeper than 128, or not a `T` (400,
/// naming the first field that is wrong). Unknown fields are refused where `T` has `#[serde(deny_unknown_fields)]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

/// The parameters behind the `?`. Invalid percent-encoding, and what is not UTF-8 when decoded, are refused instead of replaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

/// The variable parts of the path: one value, a tuple in their order, or a struct by their names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path<T>(pub T);

/// The whole body as it is: [`read`] as an extractor.
#[derive(Clone, Debug, Default)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request.into_body()).await.map(Raw)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "The body has to be JSON, with Content-Type: application/json.";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported-media-type", detail)
                .error(FieldError::new("Content-Type", "has to be application/json")));
        }
        let bytes = read(request.into_body()).await?;
        parse(&bytes).map(Json)
    }
}

/// The whole body. For handlers that take it as it is; see [`Raw`]. Within the route's limit of size and time.
///
/// # Errors
/// See [`unreadable`].
pub async fn read(body: Body) -> Result<Bytes, Problem> {
    Ok(body.collect().await.map_err(unreadable)?.to_bytes())
}

/// Why a body could not be read to its end, for handlers that stream it: 413 when it is too large, 408 when it came too slowly, 400
/// when it broke off.
pub fn unreadable(error: axum::Error) -> Problem {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return fault.problem();
        }
        cause = error.source();
    }
    let detail = "The body broke off, or its framing is wrong.";
    Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail).caused_by(error)
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(json) => {
                let mut response = Response::new(Body::from(json));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase();
    let suffixed = essence.starts_with("application/") && essence.ends_with("+json");
    suffixed || essence == "application/json"
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let wrong =
        |pointer: String, detail: String| Problem::invalid(vec![FieldError::new(pointer, detail)]);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        wrong(String::new(), format!("is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    if text.trim_ascii().is_empty() {
        return Err(wrong(String::new(), "is empty; it has to be JSON".to_owned()));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (segments, detail) = located(&error);
        let escaped = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        wrong(segments.iter().map(escaped).collect(), detail)
    })?;
    let more = |error: serde_json::Error| wrong(String::new(), format!("is not JSON: {error}"));
    json.end().map_err(more)?;
    Ok(value)
}

/// Where serde found a mistake, and which.
fn located<E: fmt::Display>(error: &serde_path_to_error::Error<E>) -> (Vec<String>, String) {
    use serde_path_to_error::Segment;
    let name = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    let mut segments: Vec<String> = error.path().iter().filter_map(name).collect();
    let message = error.inner().to_string();
    // Where in the text it is tells a person nothing that the pointer does not, unless the text itself is broken.
    let message = match message.rsplit_once(" at line ") {
        Some((message, _)) if !segments.is_empty() || quoted(message).is_some() => message,
        _ => &message,
    };
    let Some((what, field)) = quoted(message) else { return (segments, message.to_owned()) };
    let detail = match what {
        "missing field" => "is missing",
        "duplicate field" => "is given more than once",
        "unknown field" => "is not known here",
        _ => return (segments, message.to_owned()),
    };
    // serde reports these three at the object, or at the field: it depends on the format.
    if segments.last().is_none_or(|last| last != field) {
        segments.push(field.to_owned());
    }
    (segments, detail.to_owned())
}

/// `("missing field", "title")` of "missing field `title`".
fn quoted(message: &str) -> Option<(&str, &str)> {
    let (what, rest) = message.split_once(" `")?;
    let (field, _) = rest.split_once('`')?;
    what.ends_with(" field").then_some((what, field))
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let broken: Vec<FieldError> = query.split('&').filter_map(undecodable).collect();
        if !broken.is_empty() {
            return Err(Problem::invalid(broken));
        }
        match extract::Query::try_from_uri(&parts.uri) {
            Ok(extract::Query(value)) => Ok(Query(value)),
            Err(wrong) => Err(Problem::invalid(vec![query_error(&wrong)])),
        }
    }
}

/// What is wrong with the encoding of one `name=value`.
fn undecodable(pair: &str) -> Option<FieldError> {
    let bytes = pair.as_bytes();
    let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let well_formed = (0..bytes.len()).all(|at| bytes[at] != b'%' || (hex(at + 1) && hex(at + 2)));
    let decoded = percent_encoding::percent_decode_str(pair).decode_utf8();
    let detail = match &decoded {
        _ if !well_formed => "has a % that is not followed by two hexadecimal digits",
        Err(_) => "is not UTF-8",
        Ok(text) if text.contains('\0') => "contains a NUL",
        Ok(_) => return None,
    };
    let name = pair.split('=').next().unwrap_or_default();
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    Some(FieldError::new(format!("?{name}"), detail))
}

fn query_error(wrong: &QueryRejection) -> FieldError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(wrong);
    while let Some(error) = cause {
        type Located = serde_path_to_error::Error<serde::de::value::Error>; // which is serde_urlencoded's error
        if let Some(error) = error.downcast_ref::<Located>() {
            let (segments, detail) = located(error);
            return FieldError::new(format!("?{}", segments.join(".")), detail);
        }
        cause = error.source();
    }
    FieldError::new("?", wrong.to_string())
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains("%00") {
            return Err(nul_in(parts, state).await);
        }
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(value)) => Ok(Path(value)),
            Err(PathRejection::FailedToDeserializePathParams(wrong)) => {
                Err(path_error(wrong.into_kind(), parts.extensions.get()))
            }
            Err(ours) => Err(Problem::internal(anyhow::anyhow!("{ours}"))),
        }
    }
}

async fn nul_in<S: Send + Sync>(parts: &mut Parts, state: &S) -> Problem {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let with_nul =
        |(name, value): (&str, &str)| value.contains('\0').then(|| format!("{{{name}}}"));
    let name = params.ok().and_then(|params| params.iter().find_map(with_nul));
    Problem::invalid(vec![FieldError::new(name.unwrap_or_default(), "contains a NUL")])
}

fn path_error(kind: ErrorKind, route: Option<&MatchedPath>) -> Problem {
    let named = |at: usize| {
        let name = |part: &str| Some(part.split_once('{')?.1.split_once('}')?.0.to_owned());
        let route = route.map_or("", |route| route.as_str());
        route.split('/').filter_map(name).nth(at).unwrap_or_default()
    };
    let not_a = |expected: &str| match expected {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "is not a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "is not a whole number of that size",
        _ => "is not what is expected here",
    };
    let (name, detail) = match kind {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            (key, not_a(expected_type).to_owned())
        }
        ErrorKind::ParseErrorAtIndex { index, expected_type, .. } => {
            (named(index), not_a(expected_type).to_owned())
        }
        ErrorKind::ParseError { expected_type, .. } => (named(0), not_a(expected_type).to_owned()),
        ErrorKind::InvalidUtf8InPathParam { key } => (key, "is not UTF-8".to_owned()),
        ErrorKind::DeserializeError { key, message, .. } => (key, message),
        ErrorKind::Message(message) => (named(0), message),
        ours => return Problem::internal(anyhow::anyhow!("{ours}")),
    };
    Problem::invalid(vec![FieldError::new(format!("{{{name}}}"), detail)])
}

#[cfg(test)]
mod tests {
    use axum::{Router, response::IntoResponse, routing::get};
    use http::Request as HttpRequest;
    use serde::Deserialize;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused is looked at")]
    struct Song {
        title: String,
        duration: Option<i64>,
        #[serde(default)]
        tags: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only what is refused is looked at")]
    struct Page {
        limit: Option<u32>,
        search: Option<String>,
    }

    fn refused(body: &[u8]) -> (u16, String, String) {
        let problem = parse::<Song>(body).unwrap_err();
        let error = &problem.errors()[0];
        (problem.status().as_u16(), error.pointer.clone(), error.detail.clone())
    }

    fn at(body: &str) -> String {
        let (status, pointer, detail) = refused(body.as_bytes());
        assert_eq!(status, 400);
        format!("{pointer} {detail}")
    }

    #[test]
    fn a_body_that_does_not_fit_is_refused_at_the_field() {
        assert_eq!(at("{}"), "/title is missing");
        assert_eq!(at(r#"{"title":"a","title":"b"}"#), "/title is given more than once");
        assert_eq!(at(r#"{"title":"a","owner":1}"#), "/owner is not known here");
        assert_eq!(
            at(r#"{"title":"a","tags":["b",3]}"#),
            "/tags/1 invalid type: integer `3`, expected a string"
        );
        assert_eq!(
            at(r#"{"title":"a","duration":9223372036854775808}"#),
            "/duration invalid value: integer `9223372036854775808`, expected i64"
        );
        assert_eq!(at(r#"{"title":"a","duration":1e400}"#), "/duration number out of range");
        assert_eq!(at(r#"{"title":"a","duration":NaN}"#), "/duration expected value");
        assert_eq!(at(r#"{"title":"\ud800"}"#), "/title unexpected end of hex escape");
    }

    #[test]
    fn a_body_that_is_no_json_is_refused_as_a_whole() {
        assert_eq!(at(""), " is empty; it has to be JSON");
        assert_eq!(at(" \n"), " is empty; it has to be JSON");
        assert_eq!(at("{"), " EOF while parsing an object at line 1 column 1");
        assert!(at(r#"{"title":"a"} x"#).starts_with(" is not JSON: trailing characters"));
        assert_eq!(refused(b"{\"title\":\"\xff\"}").2, "is not UTF-8 from byte 10 on");
    }

    #[test]
    fn nesting_has_a_limit_and_never_overflows_the_stack() {
        let deep = "[".repeat(100_000);
        assert!(at(&deep).contains("invalid type: sequence"), "{}", at(&deep));
        let inside = format!(r#"{{"title":"a","x":{deep}"#);
        assert_eq!(at(&inside), "/x is not known here");
        let problem = parse::<Value>(deep.as_bytes()).unwrap_err();
        assert_eq!(problem.status(), 400);
        assert!(problem.detail().contains("recursion limit exceeded"), "{problem}");
    }

    #[test]
    fn only_json_types_count_as_json() {
        let is = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            is_json(&headers)
        };
        assert!(is("application/json"));
        assert!(is("Application/JSON; charset=utf-8"));
        assert!(is("application/merge-patch+json"));
        assert!(!is("text/json") && !is("application/jsonx") && !is(""));
        assert!(!is_json(&HeaderMap::new()));
    }

    async fn ask(uri: &str) -> (u16, Value) {
        let app = Router::new()
            .route("/songs", get(async |Query(_): Query<Page>| "ok".into_response()))
            .route("/songs/{id}", get(async |Path(_): Path<i64>| "ok".into_response()))
            .route("/of/{user}/{id}", get(async |Path(_): Path<(String, u32)>| "ok"));
        let request = HttpRequest::get(uri).body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = read(response.into_body()).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        (status, body["errors"][0].clone())
    }

    #[tokio::test]
    async fn a_query_that_does_not_fit_is_refused_at_the_parameter() {
        assert_eq!(ask("/songs?limit=5&search=%C3%A4+b&other=1").await.0, 200);
        for (query, pointer, detail) in [
            ("limit=x", "?limit", "invalid digit found in string"),
            ("limit=-1", "?limit", "invalid digit found in string"),
            ("limit=99999999999", "?limit", "number too large to fit in target type"),
            ("limit=", "?limit", "cannot parse integer from empty string"),
            ("limit=1&limit=2", "?limit", "is given more than once"),
            ("search=%zz", "?search", "has a % that is not followed by two hexadecimal digits"),
            ("search=%4", "?search", "has a % that is not followed by two hexadecimal digits"),
            ("search=%ff", "?search", "is not UTF-8"),
            ("search=%c0%80", "?search", "is not UTF-8"),
            ("search=a%00b", "?search", "contains a NUL"),
        ] {
            let expected = json!({ "pointer": pointer, "detail": detail });
            assert_eq!(ask(&format!("/songs?{query}")).await, (400, expected), "{query}");
        }
    }

    #[tokio::test]
    async fn a_path_that_does_not_fit_is_refused_at_its_part() {
        assert_eq!(ask("/songs/-5").await.0, 200);
        for (path, pointer, detail) in [
            ("/songs/abc", "{id}", "is not a whole number of that size"),
            ("/songs/9223372036854775808", "{id}", "is not a whole number of that size"),
            ("/songs/%ff", "{id}", "is not UTF-8"),
            ("/songs/..%2f..%2fetc", "{id}", "is not a whole number of that size"),
            ("/of/me/-1", "{id}", "is not a whole number, 0 or more"),
            ("/of/%00/1", "{user}", "contains a NUL"),
        ] {
            let expected = json!({ "pointer": pointer, "detail": detail });
            assert_eq!(ask(path).await, (400, expected), "{path}");
        }
    }
}
