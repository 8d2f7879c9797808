//! What goes wrong, as a page that looks like the others and says what to do.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use maud::html;

use super::layout::{Nav, page};

/// A failed request: a status and sentences for a person.
#[derive(Debug)]
pub(super) struct Error {
    status: StatusCode,
    title: &'static str,
    text: String,
    advice: &'static str,
}

impl Error {
    /// 400 for a parameter that cannot be used; the sentence names it.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        let advice = "Correct the address, or start again from the newest traces.";
        Self {
            status: StatusCode::BAD_REQUEST,
            title: "That cannot be read",
            text: text.into(),
            advice,
        }
    }

    /// 404 for an address that is none.
    pub(super) fn no_page() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: "There is no such page",
            text: "The address does not belong to the console.".to_owned(),
            advice: "The newest traces, the logs, the services and the metrics are in the bar above.",
        }
    }

    /// 404 for a trace that is not stored.
    pub(super) fn no_trace(id: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: "This trace is not here",
            text: format!("No span of trace {id} is stored."),
            advice: "It may not have arrived yet (exporters send every second or so), it may have been dropped by a \
                     sampler, or it was the oldest when the store was full. Load this page again in a moment.",
        }
    }

    /// 500 for a page that could not be made. The cause is logged, the reader cannot act on it.
    pub(super) fn broken(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "a page of the console could not be made");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            title: "This page could not be made",
            text: "The console made a mistake; it is in the log of the sidecar.".to_owned(),
            advice: "The other pages are not affected.",
        }
    }

    /// 405: pages are only read.
    pub(super) fn not_allowed() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            title: "Pages can only be read",
            text: "The console answers GET and HEAD.".to_owned(),
            advice: "Telemetry is sent to the OTLP ports, not to this one.",
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = html! {
            section.card.message {
                p.code-number { (self.status.as_u16()) }
                h1 { (self.title) }
                p { (self.text) }
                p.muted { (self.advice) }
                a.button href="/" { "Newest traces" }
            }
        };
        (self.status, page(self.title, Nav::None, None, &body)).into_response()
    }
}
