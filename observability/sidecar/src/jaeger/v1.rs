//! Jaeger's first API, of its old pages and of Grafana. Times are microseconds, in `dependencies` milliseconds.

use std::{
    collections::{HashMap, HashSet},
    time::SystemTime,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use serde::Serialize;

use super::{
    Jaeger,
    adjust::adjusted,
    error, json,
    params::{Params, Refusal, trace_id},
    v1_trace::{self, V1Trace},
};
use crate::{
    otlp,
    store::{SpanKind, Store, Trace, TraceId, TraceQuery, decode_spans},
};

/// How far back a search and the map of dependencies look where nobody says.
const SEARCH_LOOKBACK_NS: u64 = 2 * 24 * 3_600_000_000_000;
const DEPENDENCIES_LOOKBACK_NS: u64 = 24 * 3_600_000_000_000;

/// What a file that is transformed may take once it is decoded.
const TRANSFORM_MEMORY: usize = 256 << 20;

pub(super) fn router() -> Router<Jaeger> {
    Router::new()
        .route("/api/services", get(services))
        .route("/api/services/{service}/operations", get(operation_names))
        .route("/api/operations", get(operations))
        .route("/api/traces", get(search))
        .route("/api/traces/{id}", get(trace))
        .route("/api/dependencies", get(dependencies))
        .route("/api/transform", post(transform))
        .route("/api/metrics/{what}", get(metrics))
}

/// What every answer of v1 is in.
#[derive(Serialize)]
struct Envelope<T> {
    data: Option<T>,
    total: usize,
    limit: usize,
    offset: usize,
    errors: Option<Vec<Failure>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    msg: String,
    #[serde(rename = "traceID", skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    name: String,
    span_kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    parent: String,
    child: String,
    call_count: u64,
}

/// An answer that is an error only.
pub(super) fn failure(status: StatusCode, message: &str) -> Response {
    let failure = Failure { code: Some(status.as_u16()), msg: message.to_owned(), trace_id: None };
    let errors = Some(vec![failure]);
    error(status, &Envelope::<()> { data: None, total: 0, limit: 0, offset: 0, errors })
}

fn refused(why: &Refusal) -> Response {
    failure(StatusCode::BAD_REQUEST, why)
}

/// A list whose length is told.
fn counted<T: Serialize>(data: Vec<T>, params: &Params) -> Response {
    let total = data.len();
    json(&Envelope { data: Some(data), total, limit: 0, offset: 0, errors: None }, params.pretty())
}

/// A list whose length is not told: Jaeger has 0 there.
fn listed<T: Serialize>(data: Vec<T>, errors: Option<Vec<Failure>>, pretty: bool) -> Response {
    json(&Envelope { data: Some(data), total: 0, limit: 0, offset: 0, errors }, pretty)
}

async fn services(State(jaeger): State<Jaeger>, params: Params) -> Response {
    jaeger.ask(move |store| counted(store.services(), &params)).await
}

async fn operation_names(
    State(jaeger): State<Jaeger>,
    Path(service): Path<String>,
    params: Params,
) -> Response {
    let names = move |store: &dyn Store| {
        let operations = store.operations(&service, None);
        let mut names: Vec<String> = operations.into_iter().map(|it| it.name).collect();
        names.dedup(); // they are sorted
        counted(names, &params)
    };
    jaeger.ask(names).await
}

async fn operations(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let Some(service) = params.text(&["service"]) else {
        return refused(&"parameter 'service' is required".to_owned());
    };
    let operations = move |store: &dyn Store| {
        let kind = params.get(&["spanKind"]).map(SpanKind::from_name);
        let found = match kind {
            Some(None) => Vec::new(), // no span has a kind that there is not
            Some(kind) => store.operations(&service, kind),
            None => store.operations(&service, None),
        };
        let told =
            |it: crate::store::Operation| Operation { name: it.name, span_kind: it.kind.name() };
        counted(found.into_iter().map(told).collect(), &params)
    };
    jaeger.ask(operations).await
}

/// Either the traces that are named, or those that fit.
async fn search(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let search = match Search::read(&params) {
        Ok(search) => search,
        Err(why) => return refused(&why),
    };
    jaeger
        .ask(move |store| {
            let mut errors = Vec::new();
            let mut found = Vec::new();
            for id in &search.ids {
                match store.trace(*id) {
                    Some(trace) => found.push(trace),
                    None => errors.push(Failure {
                        code: None,
                        msg: "trace not found".to_owned(),
                        trace_id: Some(v1_trace::id(*id)),
                    }),
                }
            }
            if search.ids.is_empty() {
                found = store.find_traces(&search.query);
            }
            let errors = (!errors.is_empty()).then_some(errors);
            listed(shown(found, search.raw), errors, params.pretty())
        })
        .await
}

struct Search {
    ids: Vec<TraceId>,
    query: TraceQuery,
    raw: bool,
}

impl Search {
    fn read(params: &Params) -> Result<Search, Refusal> {
        let now = now();
        let mut ids: Vec<TraceId> = params
            .all("traceID")
            .map(|id| trace_id(id).map_err(|why| format!("cannot parse traceID param: {why}")))
            .collect::<Result<_, _>>()?;
        let mut named = HashSet::new();
        ids.retain(|id| named.insert(*id)); // or a short address could ask for a large trace a thousand times
        let query = TraceQuery {
            service: params.text(&["service"]),
            operation: params.text(&["operation"]),
            tags: params.tags("tag", "tags")?,
            start_min: params
                .time(&["start"], 1_000)?
                .unwrap_or(now.saturating_sub(SEARCH_LOOKBACK_NS)),
            // The microsecond that is named, to its end: starts have nanoseconds.
            start_max: params.time(&["end"], 1_000)?.map_or(now, |it| it.saturating_add(999)),
            duration_min: params.duration(&["minDuration"])?.unwrap_or(0),
            duration_max: longest(params.duration(&["maxDuration"])?),
            errors_only: false,
            after: None,
            limit: params.limit(&["limit"])?,
        };
        let raw = params.flag(&["raw"])?;
        if query.duration_max < query.duration_min {
            return Err("'maxDuration' should be greater than 'minDuration'".to_owned());
        }
        if ids.is_empty() && query.service.is_none() {
            return Err("parameter 'service' is required".to_owned());
        }
        Ok(Search { ids, query, raw })
    }
}

/// 0 says: no limit, as nothing does.
pub(super) fn longest(duration: Option<u64>) -> u64 {
    duration.filter(|it| *it > 0).unwrap_or(u64::MAX)
}

fn shown(traces: Vec<Trace>, raw: bool) -> Vec<V1Trace> {
    let shown = |trace: Trace| {
        if raw { V1Trace::from(&trace) } else { V1Trace::from(&adjusted(trace)).sorted() }
    };
    traces.into_iter().map(shown).collect()
}

/// `start` and `end` help other stores to find it, so they are checked, but this one needs no help. (Grafana sends milliseconds.)
async fn trace(State(jaeger): State<Jaeger>, Path(id): Path<String>, params: Params) -> Response {
    let checked = || -> Result<_, Refusal> {
        params.time(&["start"], 1_000)?;
        params.time(&["end"], 1_000)?;
        Ok((trace_id(&id)?, params.flag(&["raw"])?))
    };
    let (id, raw) = match checked() {
        Ok(checked) => checked,
        Err(why) => return refused(&why),
    };
    jaeger
        .ask(move |store| match store.trace(id) {
            Some(trace) => listed(shown(vec![trace], raw), None, params.pretty()),
            None => failure(StatusCode::NOT_FOUND, "trace not found"),
        })
        .await
}

async fn dependencies(State(jaeger): State<Jaeger>, params: Params) -> Response {
    let period = || -> Result<_, Refusal> {
        let end = params.time(&["endTs"], 1_000_000)?.unwrap_or_else(now);
        let lookback = params.millis(&["lookback"])?.unwrap_or(DEPENDENCIES_LOOKBACK_NS);
        Ok((end.saturating_sub(lookback), end))
    };
    let (start, end) = match period() {
        Ok(period) => period,
        Err(why) => return refused(&why),
    };
    jaeger
        .ask(move |store| {
            let service = params.get(&["service"]);
            let links = store.dependencies(start, end).into_iter();
            let links = links
                .filter(|it| service.is_none_or(|name| it.parent == name || it.child == name))
                .map(|it| Link { parent: it.parent, child: it.child, call_count: it.calls });
            listed(links.collect(), None, params.pretty())
        })
        .await
}

/// OTLP JSON, such as v3 gives and people save, as v1 would tell it. Nothing is kept.
async fn transform(State(jaeger): State<Jaeger>, params: Params, body: Bytes) -> Response {
    jaeger
        .ask(move |_| {
            let mut left = TRANSFORM_MEMORY;
            let room = |bytes: usize| {
                left = left.checked_sub(bytes).ok_or(otlp::Refusal::TooLarge)?;
                Ok(())
            };
            let data: TracesData = match otlp::json::read(&body, room) {
                Ok(data) => data,
                Err(otlp::Refusal::TooLarge) => {
                    let told = "the file takes more than 256 MiB once it is decoded; cut it";
                    return failure(StatusCode::PAYLOAD_TOO_LARGE, told);
                }
                Err(why) => {
                    return refused(&format!("cannot unmarshal OTLP: {}", why.message()));
                }
            };
            let mut traces: Vec<Trace> = Vec::new();
            let mut known: HashMap<TraceId, usize> = HashMap::new();
            for span in decode_spans(data.resource_spans) {
                let at = *known.entry(span.trace_id).or_insert_with(|| {
                    traces.push(Trace { id: span.trace_id, spans: Vec::new() });
                    traces.len() - 1
                });
                traces[at].spans.push(span);
            }
            listed(shown(traces, true), None, params.pretty())
        })
        .await
}

/// There is no store for metrics; Jaeger's page then has no monitor.
async fn metrics() -> Response {
    failure(StatusCode::NOT_IMPLEMENTED, "metrics querying is currently disabled")
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
