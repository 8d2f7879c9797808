//! A destination that is not there, comes back, or is silent.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};

use crate::{
    destination::{Answer, Destination},
    kit::Agent,
};

fn logs(records: usize) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs {
        log_records: vec![LogRecord::default(); records],
        ..ScopeLogs::default()
    }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }],
    }
}

#[tokio::test]
async fn after_an_absence_all_is_delivered_in_order_without_a_hand() {
    let first = Destination::start(|_, _| Answer::Taken).await;
    let address = first.address();
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(&first.url(), Some(folder.path()), &[]).await;
    agent.send(1..=10).await;
    agent.settled().await;
    assert_eq!(first.ids(), (1..=10).collect::<Vec<_>>());
    // A server that goes away also closes its connections; here the agent has to find a new one anyway.
    drop(first);
    for id in 11..=30 {
        agent.send([id]).await;
    }
    let books = agent.books_when("it is noticed", |books| !books["trouble"].is_null()).await;
    assert!(books["in_spool"].as_u64().unwrap() > 0, "{books:#}");
    let second = Destination::start_at(address, |_, _| Answer::Taken).await;
    let books = agent.settled().await;
    assert_eq!((&books["delivered"], &books["trouble"]), (&30.into(), &serde_json::Value::Null));
    let mut delivered = second.ids();
    // What the first one was sent on its last breath may come again.
    delivered.dedup();
    assert_eq!(delivered, (11..=30).collect::<Vec<_>>(), "in order");
    assert_eq!(agent.lines("traces are delivered again").len(), 1);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_a_destination_that_is_away() {
    let agent = Agent::start("http://nowhere.invalid:4318", None, &[]).await;
    agent.send([1]).await;
    let books = agent.books_when("it is noticed", |books| !books["trouble"].is_null()).await;
    assert_eq!(books["trouble"]["reason"], "unreachable", "{books:#}");
    assert_eq!((&books["in_spool"], &books["redelivered"]), (&1.into(), &0.into()), "{books:#}");
    let told = agent.lines("nowhere.invalid");
    assert!(told.len() == 1 && told[0].contains("failed to lookup address"), "{told:?}");
}

/// Takes as long as an attempt may: 10 s.
#[tokio::test]
async fn a_destination_that_never_answers_holds_up_nobody_else_and_is_given_up() {
    let silent = Destination::start(|nth, _| match nth {
        0 => Answer::Nothing,
        _ => Answer::Taken,
    })
    .await;
    let other = Destination::start(|_, _| Answer::Taken).await;
    let settings = [("SIDECAR_LOGS_ENDPOINT", other.url())];
    let agent =
        Agent::start(&silent.url(), None, &settings.each_ref().map(|it| (it.0, &*it.1))).await;
    agent.send([1, 2]).await;
    let began = Instant::now();
    assert_eq!(agent.post("logs", &logs(3)).await.status(), 200);
    while agent.books("logs").await["delivered"] != 3 {
        assert!(began.elapsed() < Duration::from_secs(5), "lines wait for spans");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    agent.send([3]).await; // nor do senders wait
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    agent.books_when("it is given up", |books| books["trouble"]["reason"] == "timeout").await;
    let books = agent.settled().await;
    assert_eq!((&books["delivered"], &books["redelivered"]), (&3.into(), &2.into()), "{books:#}");
    let attempts = silent.attempts();
    let waited = attempts[1].at - attempts[0].at;
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(15), "{waited:?}");
    assert_eq!(silent.ids(), [1, 2, 1, 2, 3]);
}
