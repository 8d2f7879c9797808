//! The list as long as nothing has ever arrived: how to send something, ready to be copied.

use maud::{Markup, html};

use crate::console::Addresses;

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";

/// The addresses, the variables for an SDK, and three calls.
pub(super) fn draw(at: &Addresses) -> Markup {
    html! {
        div.start {
            div {
                section.card {
                    h2 { "Waiting for the first trace" }
                    p { "Nothing has arrived yet. Send OpenTelemetry to one of these addresses, and this page shows it within a second." }
                    dl.plain {
                        div { dt { "OTLP over HTTP" } dd { code { (at.otlp_http) } } }
                        div { dt { "OTLP over gRPC" } dd { code { (at.otlp_grpc) } } }
                        @if let Some(jaeger) = &at.jaeger { div { dt { "Jaeger’s query API" } dd { code { (jaeger) } } } }
                    }
                }
                section.card {
                    h2 { "From any OpenTelemetry SDK" }
                    p { "These variables are enough. MusicWallet’s own services are set up already: call one of them." }
                    (copied("In the environment", &environment(at)))
                }
            }
            section.card {
                h2 { "Or with three calls" }
                p { "A span, a log line written during it, and both found again." }
                (copied("Send a span", &span(at)))
                (copied("Send a log line", &log(at)))
                @if let Some(jaeger) = &at.jaeger { (copied("Read the trace", &format!("curl {jaeger}/api/traces/{TRACE}"))) }
            }
        }
    }
}

fn environment(at: &Addresses) -> String {
    format!(
        "export OTEL_EXPORTER_OTLP_ENDPOINT={}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\nexport OTEL_SERVICE_NAME=my-service",
        at.otlp_http
    )
}

/// The service that both calls name.
const RESOURCE: &str =
    r#""resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "hello"}}]}"#;

fn span(at: &Addresses) -> String {
    format!(
        r#"curl {}/v1/traces -H 'content-type: application/json' -d '{{"resourceSpans": [{{
  {RESOURCE},
  "scopeSpans": [{{"spans": [{{
    "traceId": "{TRACE}", "spanId": "{SPAN}",
    "name": "say hello", "kind": 2,
    "startTimeUnixNano": "'$(date +%s)'000000000", "endTimeUnixNano": "'$(date +%s)'250000000"
  }}]}}]
}}]}}'"#,
        at.otlp_http
    )
}

fn log(at: &Addresses) -> String {
    format!(
        r#"curl {}/v1/logs -H 'content-type: application/json' -d '{{"resourceLogs": [{{
  {RESOURCE},
  "scopeLogs": [{{"logRecords": [{{
    "traceId": "{TRACE}", "spanId": "{SPAN}",
    "severityNumber": 9, "severityText": "INFO", "body": {{"stringValue": "hello from curl"}},
    "timeUnixNano": "'$(date +%s)'100000000"
  }}]}}]
}}]}}'"#,
        at.otlp_http
    )
}

fn copied(name: &str, text: &str) -> Markup {
    html! {
        div.code {
            div {
                h3 { (name) }
                button.small data-copy=(text) type="button" aria-label=(format!("Copy: {name}")) hidden { "Copy" }
            }
            pre { code { (text) } }
        }
    }
}
