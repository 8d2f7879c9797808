//! What may wait has limits, and what goes beyond them is counted.

use std::{fs, path::Path, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;

use crate::{
    destination::{Answer, Destination},
    kit::{Agent, traces},
};

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:1";

fn bytes(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(|it| it.unwrap().metadata());
    files.filter_map(Result::ok).map(|it| it.len()).sum() // one may have been deleted meanwhile
}

#[tokio::test]
async fn a_flood_on_a_slow_destination_costs_the_oldest_and_never_more_than_the_limit() {
    const LIMIT: u64 = 1 << 20;
    const SEGMENT: u64 = LIMIT / 8;
    let slow = Destination::start(|_, _| Answer::TakenAfter(Duration::from_millis(500))).await;
    let folder = tempfile::tempdir().unwrap();
    let size = [("SIDECAR_SPOOL_SIZE", "1MiB")];
    let agent = Agent::start(&slow.url(), Some(folder.path()), &size).await;
    let (requests, spans) = (400, 10);
    let mut most = 0;
    for request in 0..requests {
        let ids = request * spans + 1..=(request + 1) * spans;
        assert_eq!(agent.send_large(ids, 4 << 10).await.status(), 200);
        most = most.max(bytes(&folder.path().join("traces")));
    }
    let books = agent.settled().await;
    let all = requests * spans;
    // The reserve for notes on a full disk, and two segments of notes, may come on top.
    assert!(most <= LIMIT + (64 << 10) + 2 * SEGMENT, "{most} bytes");
    let number = |name: &str| books[name].as_u64().unwrap();
    let dropped = books["dropped"]["spool_full"].as_u64().unwrap();
    assert_eq!((number("received"), number("delivered") + dropped), (all, all), "{books:#}");
    assert!(dropped > 0, "16 MiB do not go at 128 KiB a time: {books:#}");
    let ids = slow.ids();
    assert_eq!(ids.len() as u64, number("delivered"), "nothing twice");
    assert!(ids.is_sorted(), "in order");
    // The newest half of what has room is there without a gap: older ones left for them.
    let newest: Vec<u64> = (all - LIMIT / (4 << 10) / 2..=all).collect();
    assert!(ids.ends_with(&newest), "{:?}", &ids[ids.len() - newest.len()..]);
}

#[tokio::test]
async fn a_large_request_goes_on_in_parts_that_every_destination_takes() {
    const LARGEST: usize = 1 << 20;
    let destination = Destination::start(|_, _| Answer::Taken).await;
    let agent = Agent::start(&destination.url(), None, &[]).await;
    let spans = |resource: u64| {
        let ids = resource * 1000 + 1..=resource * 1000 + 500;
        let span = |id: u64| Span {
            trace_id: vec![7; 16],
            span_id: id.to_be_bytes().to_vec(),
            name: "x".repeat(4 << 10),
            ..Span::default()
        };
        let mut request = traces(ids.map(span).collect());
        let name = AnyValue { value: Some(Value::StringValue(format!("service {resource}"))) };
        let attribute =
            KeyValue { key: "service.name".to_owned(), value: Some(name), ..KeyValue::default() };
        let resource = Resource { attributes: vec![attribute], ..Resource::default() };
        request.resource_spans[0].resource = Some(resource);
        request.resource_spans.remove(0)
    };
    let request = ExportTraceServiceRequest { resource_spans: vec![spans(1), spans(2)] };
    assert!(request.encoded_len() > 3 * LARGEST);
    assert_eq!(agent.post("traces", &request).await.status(), 200);
    let books = agent.settled().await;
    assert_eq!(
        (&books["received"], &books["delivered"]),
        (&1000.into(), &1000.into()),
        "{books:#}"
    );
    let attempts = destination.attempts();
    let sizes: Vec<usize> = attempts.iter().map(|it| it.bytes).collect();
    assert!(sizes.iter().all(|it| *it <= LARGEST) && sizes.len() >= 4, "{sizes:?}");
    let expected: Vec<u64> = (1001..=1500).chain(2001..=2500).collect();
    assert_eq!(destination.ids(), expected, "each once, and in order");
    let resources: Vec<String> = destination.resources();
    assert!(
        resources.is_sorted() && resources.iter().all(|it| it.starts_with("service ")),
        "{resources:?}"
    );
}

#[tokio::test]
async fn what_waits_too_long_is_given_up() {
    for spool in [None, Some(tempfile::tempdir().unwrap())] {
        let spool = spool.as_ref().map(tempfile::TempDir::path);
        let agent = Agent::start(NOWHERE, spool, &[("SIDECAR_SPOOL_AGE", "1s")]).await;
        agent.send(1..=7).await;
        let books = agent.settled().await;
        assert_eq!(
            (&books["delivered"], &books["dropped"]["expired"]),
            (&0.into(), &7.into()),
            "{books:#}"
        );
    }
}

#[tokio::test]
async fn a_spool_in_memory_has_the_same_limit_and_the_same_books() {
    let agent = Agent::start(NOWHERE, None, &[("SIDECAR_SPOOL_SIZE", "1MiB")]).await;
    for id in 1..=40 {
        assert_eq!(agent.send_large([id], 100 << 10).await.status(), 200);
    }
    let books = agent.books("traces").await;
    let number = |name: &str| books[name].as_u64().unwrap();
    let dropped = books["dropped"]["spool_full"].as_u64().unwrap();
    assert_eq!((number("received"), number("in_spool") + dropped), (40, 40), "{books:#}");
    assert!(number("waiting_bytes") <= 1 << 20 && dropped >= 30, "{books:#}");
}

#[tokio::test]
async fn a_request_that_never_fits_is_refused_and_not_counted_as_received() {
    let agent = Agent::start(NOWHERE, None, &[("SIDECAR_SPOOL_SIZE", "1MiB")]).await;
    assert_eq!(agent.send_large([1], 600 << 10).await.status(), 413, "more than half of a spool");
    assert_eq!(agent.books("traces").await["received"], 0);
}
