//! Jaeger's present API: names of parameters in camel or snake case, times in RFC 3339, traces as OTLP JSON.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::get,
};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::{
    Jaeger,
    adjust::{adjusted, sort_events},
    error,
    otlp::otlp_json,
    params::{Params, Refusal, trace_id},
    v1::longest,
};
use crate::store::{self, ServiceCount, SpanKind, Store, Trace, TraceQuery, TraceSummary};

pub(super) fn router() -> Router<Jaeger> {
    Router::new()
        .route("/api/v3/services", get(services))
        .route("/api/v3/operations", get(operations))
        .route("/api/v3/trace-summaries", get(summaries))
        .route("/api/v3/traces", get(search))
        .route("/api/v3/traces/{id}", get(trace))
}

/// An answer that is an error.
pub(super) fn failure(status: StatusCode, message: &str) -> Response {
    let status_code = status.as_u16();
    error(status, &json!({ "error": { "httpCode": status_code, "message": message } }))
}

fn refused(why: &Refusal) -> Response {
    failure(StatusCode::BAD_REQUEST, why)
}

fn answer(body: &impl Serialize) -> Response {
    super::json(body, false)
}

async fn services(State(jaeger): State<Jaeger>) -> Response {
    jaeger.ask(|store| answer(&json!({ "services": store.services() }))).await
}

async fn operations(State(jaeger): State<Jaeger>, params: Params) -> Response {
    jaeger
        .ask(move |store| {
            let service = params.get(&["service"]).unwrap_or_default();
            let kind = params.get(&["spanKind", "span_kind"]).map(SpanKind::from_name);
            let found = match kind {
                Some(None) => Vec::new(), // no span has a kind that there is not
                Some(kind) => store.operations(service, kind),
                None => store.operations(service, None),
            };
            let operations: Vec<_> = found.iter().map(operation).collect();
            answer(&json!({ "operations": operations }))
        })
        .await
}

/// Jaeger's page insists on a kind.
fn operation(it: &store::Operation) -> serde_json::Value {
    let kind = if it.kind == SpanKind::Unspecified { SpanKind::Internal } else { it.kind };
    json!({ "name": it.name, "spanKind": kind.name() })
}

async fn summaries(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let query = match query(&params) {
        Ok((query, _)) => query,
        Err(why) => return refused(&why),
    };
    jaeger
        .ask(move |store| {
            let found = store.summaries(&query);
            let summaries: Vec<Summary<'_>> = found.iter().map(Summary::from).collect();
            answer(&json!({ "summaries": summaries }))
        })
        .await
}

async fn search(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let (query, raw) = match query(&params) {
        Ok(query) => query,
        Err(why) => return refused(&why),
    };
    jaeger.ask(move |store| traces(store.find_traces(&query), raw)).await
}

/// `startTime` and `endTime` help other stores to find it, so they are checked, but this one needs no help.
async fn trace(State(jaeger): State<Jaeger>, Path(id): Path<String>, params: Params) -> Response {
    let checked = || -> Result<_, Refusal> {
        params.rfc3339(&["startTime", "start_time"])?;
        params.rfc3339(&["endTime", "end_time"])?;
        Ok((trace_id(&id)?, params.flag(&["rawTraces", "raw_traces"])?))
    };
    let (id, raw) = match checked() {
        Ok(checked) => checked,
        Err(why) => return refused(&why),
    };
    jaeger.ask(move |store: &dyn Store| traces(store.trace(id).into_iter().collect(), raw)).await
}

fn traces(found: Vec<Trace>, raw: bool) -> Response {
    if found.is_empty() {
        return failure(StatusCode::NOT_FOUND, "No traces found");
    }
    let shown = |trace: Trace| {
        let mut trace = adjusted(trace);
        sort_events(&mut trace);
        trace
    };
    let found = if raw { found } else { found.into_iter().map(shown).collect() };
    answer(&json!({ "result": otlp_json(&found) }))
}

/// The search, and whether the traces are wanted as they came.
fn query(params: &Params) -> Result<(TraceQuery, bool), Refusal> {
    let start_min = params.rfc3339(&["query.startTimeMin", "query.start_time_min"])?;
    let start_max = params.rfc3339(&["query.startTimeMax", "query.start_time_max"])?;
    let (Some(start_min), Some(start_max)) = (start_min, start_max) else {
        return Err("query.startTimeMin and query.startTimeMax are required".to_owned());
    };
    if start_min >= start_max {
        return Err("query.startTimeMin has to be before query.startTimeMax".to_owned());
    }
    let depth = ["query.searchDepth", "query.search_depth", "query.numTraces", "query.num_traces"];
    let query = TraceQuery {
        service: params.text(&["query.serviceName", "query.service_name"]),
        operation: params.text(&["query.operationName", "query.operation_name"]),
        tags: params.tags("query.tag", "query.attributes")?,
        start_min,
        start_max,
        duration_min: params.duration(&["query.durationMin", "query.duration_min"])?.unwrap_or(0),
        duration_max: longest(params.duration(&["query.durationMax", "query.duration_max"])?),
        errors_only: false,
        after: None,
        limit: params.limit(&depth)?,
    };
    if query.duration_max < query.duration_min {
        return Err("query.durationMax has to be greater than query.durationMin".to_owned());
    }
    Ok((query, params.flag(&["query.rawTraces", "query.raw_traces"])?))
}

/// Jaeger's page checks every field, and one that is wrong makes it refuse the whole answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    trace_id: String,
    root_service_name: &'a str,
    root_operation_name: &'a str,
    min_start_time_unix_nano: String,
    max_end_time_unix_nano: String,
    span_count: usize,
    error_span_count: usize,
    orphan_span_count: usize,
    services: Vec<Service<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service<'a> {
    name: &'a str,
    span_count: usize,
    error_span_count: usize,
}

impl<'a> From<&'a TraceSummary> for Summary<'a> {
    fn from(it: &'a TraceSummary) -> Summary<'a> {
        let service = |it: &'a ServiceCount| Service {
            name: &it.name,
            span_count: it.spans,
            error_span_count: it.errors,
        };
        Summary {
            trace_id: it.id.to_string(),
            root_service_name: &it.root_service,
            root_operation_name: &it.root_operation,
            min_start_time_unix_nano: it.start_ns.to_string(),
            max_end_time_unix_nano: it.end_ns.to_string(),
            span_count: it.spans,
            error_span_count: it.errors,
            orphan_span_count: it.orphans,
            services: it.services.iter().map(service).collect(),
        }
    }
}
