//! The OpenAPI 3.1 document of a service, made from the routes that it serves, and a page to try them.
//!
//! A handler is annotated with what is its own: its answer and its refusals. What every route has comes from here: the refusals of the
//! layers, the headers of every answer, who may call, and the shape of a problem. So the document cannot forget a route, and a
//! route cannot forget them.
//!
//! ```
//! use platform::openapi::{About, Callers, OpenApiRouter, documented, routes};
//!
//! /// Says hello.
//! #[utoipa::path(get, path = "/greetings", responses((status = 200, body = String)))]
//! async fn greet() -> &'static str {
//!     "Hello!"
//! }
//!
//! let about = About { title: "Greeter", description: "Says hello.", callers: Callers::People };
//! let router = OpenApiRouter::new().routes(routes!(greet));
//! let served: axum::Router = documented(router, &about);
//! ```

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{
    StatusCode,
    header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use crate::{extract::Path, problem::Problem};

/// Routes that are collected with their documentation, from utoipa-axum.
pub use utoipa_axum::{router::OpenApiRouter, routes};

/// Where the document is.
pub const DOCUMENT: &str = "/openapi.json";
/// Where the page is.
pub const PAGE: &str = "/docs";

/// What a document says about its service as a whole.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name for people.
    pub title: &'static str,
    /// What it is for, in Markdown.
    pub description: &'static str,
    /// Who may call. A route for everybody says `security(())`.
    pub callers: Callers,
}

/// Who calls the routes of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// People and their programs: a token, a name and a password, or the cookie of a session.
    People,
    /// Other services, with a signed assertion.
    Services,
}

/// The routes, with their document at [`DOCUMENT`] and the page at [`PAGE`], both for everybody.
pub fn documented(router: OpenApiRouter, about: &About) -> Router {
    let (router, document) = router.split_for_parts();
    let document = Bytes::from(complete(&document, about).to_string());
    let json = [(CONTENT_TYPE, "application/json")];
    // What was typed in is gone with the page.
    let config = Config::from(DOCUMENT).try_it_out_enabled(true).persist_authorization(false);
    let config = Arc::new(config);
    let files = Arc::clone(&config);
    router
        .route(DOCUMENT, get(async move || (json, document)))
        .route(PAGE, get(async move || file("index.html", &config)))
        .route("/docs/{name}", get(async move |Path(name): Path<String>| file(&name, &files)))
}

/// A file of the page, which refers to its others as if it were a folder's index: a trailing slash counts for nothing here.
fn file(name: &str, config: &Arc<Config<'static>>) -> Response {
    let found = match utoipa_swagger_ui::serve(name, Arc::clone(config)) {
        Ok(Some(file)) => file,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => return Problem::internal(anyhow::anyhow!("{error}")).into_response(),
    };
    let mut bytes = found.bytes.into_owned();
    if name == "index.html" {
        let page = String::from_utf8_lossy(&bytes);
        let page = page.replace("=\"./", "=\"").replace("href=\"", "href=\"docs/");
        bytes = page.replace("src=\"", "src=\"docs/").into_bytes();
    }
    // The page has styles in its elements and asks for the document; everything comes from here.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
                  base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [(CONTENT_TYPE, found.content_type.as_str()), (CONTENT_SECURITY_POLICY, policy)];
    (headers, bytes).into_response()
}

/// Refusals that the layers and extractors make for every route, with what they mean.
const EVERYWHERE: [(&str, &str); 7] = [
    ("400", "The input is not valid; `errors` names each field, its limit and the remedy."),
    ("414", "Path and query have more than 8 KiB."),
    ("429", "Too many attempts; `Retry-After` says when the next one makes sense."),
    ("500", "A mistake of ours; the trace tells which."),
    ("502", "A service behind this one gave an answer that makes no sense."),
    (
        "503",
        "Something that is needed cannot be had at the moment; `Retry-After` says when to try again.",
    ),
    ("504", "There was no answer within the time of this route."),
];
/// The same, for routes that take a body.
const WITH_BODY: [(&str, &str); 3] = [
    ("408", "The body did not arrive in time."),
    ("413", "The body is larger than this route takes; `errors` has the limit."),
    ("415", "The body has another type than this route takes, or is encoded."),
];
const UNAUTHORIZED: (&str, &str) =
    ("401", "The credential is missing, wrong, revoked or has expired.");

/// The document with what is the same for every route.
fn complete(document: &OpenApi, about: &About) -> Value {
    // A document is made of strings, numbers and maps.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["info"] = json!({
        "title": about.title,
        "description": about.description,
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    document["security"] = match about.callers {
        Callers::People => json!([{"token": []}, {"bearer": []}, {"basic": []}, {"session": []}]),
        Callers::Services => json!([{"assertion": []}]),
    };
    let components = &mut document["components"];
    components["securitySchemes"] = schemes(about.callers);
    components["schemas"]["Problem"] = problem();
    components["headers"] = headers();
    components["responses"] = EVERYWHERE
        .iter()
        .chain(&WITH_BODY)
        .chain([&UNAUTHORIZED])
        .map(|(status, meaning)| (refusal_name(status), refusal(status, meaning)))
        .collect::<Map<_, _>>()
        .into();
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            complete_operation(method, path, operation);
        }
    }
    document
}

fn complete_operation(method: &str, path: &str, operation: &mut Value) {
    // Unique in the document, as OpenAPI demands; names of functions are not.
    let words = path.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
    operation["operationId"] =
        [method].into_iter().chain(words).collect::<Vec<_>>().join("_").into();
    let open = operation["security"].as_array().is_some();
    let body = !operation["requestBody"].is_null();
    let refusals = EVERYWHERE
        .iter()
        .chain(WITH_BODY.iter().filter(|_| body))
        .chain((!open).then_some(&UNAUTHORIZED));
    for (status, _) in refusals {
        if operation["responses"][status].is_null() {
            let name = refusal_name(status);
            operation["responses"][status] =
                json!({"$ref": format!("#/components/responses/{name}")});
        }
    }
    for (status, response) in operation["responses"].as_object_mut().into_iter().flatten() {
        if response["$ref"].is_string() {
            continue;
        }
        for name in ["traceresponse", "x-trace-id", "x-request-id"] {
            response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
        }
        // A refusal that a handler declares is a problem like all others.
        if status.starts_with(['4', '5']) && response["content"].is_null() {
            response["content"] = problem_content();
        }
        if response["description"].as_str().is_none_or(str::is_empty) {
            response["description"] = "Done.".into();
        }
    }
}

fn refusal_name(status: &str) -> String {
    format!("Refusal{status}")
}

fn refusal(status: &str, meaning: &str) -> Value {
    let mut headers = json!({
        "traceresponse": {"$ref": "#/components/headers/traceresponse"},
        "x-trace-id": {"$ref": "#/components/headers/x-trace-id"},
        "x-request-id": {"$ref": "#/components/headers/x-request-id"},
    });
    if ["429", "503"].contains(&status) {
        headers["retry-after"] = json!({"$ref": "#/components/headers/retry-after"});
    }
    if status == "401" {
        headers["www-authenticate"] = json!({"$ref": "#/components/headers/www-authenticate"});
    }
    json!({"description": meaning, "headers": headers, "content": problem_content()})
}

fn problem_content() -> Value {
    json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}})
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "description": "Stable: what a program can branch on.", "examples": ["/problems/invalid-input"]},
            "title": {"type": "string", "examples": ["invalid input"]},
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "examples": [400]},
            "detail": {"type": "string", "description": "For people.", "examples": ["/title: must not be empty"]},
            "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The trace of the request."},
            "errors": {
                "type": "array",
                "description": "Each field that is wrong.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {
                            "type": "string",
                            "description": "A JSON pointer into the body, `?name` for a parameter, `{name}` for a part of the path.",
                            "examples": ["/title"]
                        },
                        "detail": {"type": "string", "examples": ["must not be empty"]},
                        "limit": {"description": "The bound that was crossed, if there is one.", "examples": [1]}
                    }
                }
            }
        }
    })
}

fn headers() -> Value {
    let text =
        |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "traceresponse": text("The trace of the request, as W3C Trace Context has it."),
        "x-trace-id": text("The id of that trace alone."),
        "x-request-id": text("The id of the request: that of its trace, unless a service gave another."),
        "www-authenticate": text("Which credentials are taken."),
        "retry-after": {
            "description": "Seconds after which the same request makes sense again.",
            "schema": {"type": "integer", "minimum": 1}
        },
    })
}

fn schemes(callers: Callers) -> Value {
    match callers {
        Callers::People => json!({
            "token": {
                "type": "apiKey", "in": "header", "name": "authorization",
                "description": "`Token <token>`; POST /api-token-auth gives one."
            },
            "bearer": {"type": "http", "scheme": "bearer", "description": "The same token as `Bearer <token>`."},
            "basic": {"type": "http", "scheme": "basic", "description": "Username and password with each request."},
            "session": {
                "type": "apiKey", "in": "cookie", "name": "__Host-session",
                "description": "The cookie of POST /api/session. What changes something has to come from a page of this origin."
            },
        }),
        Callers::Services => json!({
            "assertion": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "Signed by accounts for 60 s; the gateway has it from POST /credentials/exchange."
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One thing.
    #[utoipa::path(get, path = "/things/{id}", params(("id" = i64, Path)), responses((status = 200, body = String), (status = 404, description = "There is none.")))]
    async fn one() {}

    #[utoipa::path(post, path = "/things", request_body = String, security(()), responses((status = 201, body = String)))]
    async fn add() {}

    fn document() -> Value {
        let about = About { title: "Things", description: "Has things.", callers: Callers::People };
        let (_, document) =
            OpenApiRouter::<()>::new().routes(routes!(one)).routes(routes!(add)).split_for_parts();
        complete(&document, &about)
    }

    #[test]
    fn every_operation_has_the_refusals_of_the_layers_and_its_own() {
        let document = document();
        let statuses = |path: &str, method: &str| -> Vec<String> {
            let responses = document["paths"][path][method]["responses"].as_object().unwrap();
            responses.keys().cloned().collect()
        };
        assert_eq!(
            statuses("/things/{id}", "get"),
            ["200", "400", "401", "404", "414", "429", "500", "502", "503", "504"]
        );
        assert_eq!(
            statuses("/things", "post"),
            ["201", "400", "408", "413", "414", "415", "429", "500", "502", "503", "504"]
        );
        let own = &document["paths"]["/things/{id}"]["get"]["responses"]["404"];
        assert_eq!(own["description"], "There is none.");
        assert!(own["content"]["application/problem+json"].is_object(), "{own}");
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["paths"]["/things"]["post"]["operationId"], "post_things");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn visit(document: &Value, at: &Value) {
            match at {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        let pointer = to.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{to}");
                    }
                    map.values().for_each(|it| visit(document, it));
                }
                Value::Array(all) => all.iter().for_each(|it| visit(document, it)),
                _ => {}
            }
        }
        let document = document();
        visit(&document, &document);
    }
}
