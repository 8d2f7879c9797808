//! A start that cannot be, an end, and a start after that.

use std::{
    fs,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};

use crate::{
    destination::{Answer, Destination},
    kit::Agent,
};

const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_folder_that_another_has_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(NOWHERE, Some(folder.path()), &[]).await;
    let told = Agent::try_start(NOWHERE, Some(folder.path()), &[]).await.err().unwrap();
    let expected = format!(
        "the spool of traces cannot be used; SIDECAR_SPOOL says where it is: the spool folder {} is in use by another \
         process: stop that one, or give this one a folder of its own",
        folder.path().join("traces").display()
    );
    assert_eq!(told, expected);
    agent.send([1]).await; // the first one does not notice
    assert_eq!(agent.books("traces").await["in_spool"], 1);
}

#[tokio::test]
async fn a_segment_of_a_newer_version_is_one_clear_sentence_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(NOWHERE, Some(folder.path()), &[]).await;
    agent.send([1]).await;
    agent.stop().await;
    let segment = folder.path().join("traces/00000000000000000001.spool");
    let mut bytes = fs::read(&segment).unwrap();
    // The version, and the checksum of what stands before itself.
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[..12]);
    bytes[12..16].copy_from_slice(&checksum.sum().to_le_bytes());
    fs::write(&segment, &bytes).unwrap();
    let told = Agent::try_start(NOWHERE, Some(folder.path()), &[]).await.err().unwrap();
    assert!(told.contains("is in version 2 of the spool's format"), "{told}");
    assert!(told.contains("run the program that wrote it") && !told.contains('\n'), "{told}");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[tokio::test]
async fn what_waits_for_a_destination_that_is_taken_away_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let both = [("SIDECAR_LOGS_ENDPOINT", NOWHERE), ("SIDECAR_METRICS_ENDPOINT", NOWHERE)];
    let agent = Agent::start(NOWHERE, Some(folder.path()), &both).await;
    assert_eq!(agent.lines("have no destination").len(), 0);
    let record = LogRecord::default();
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    let request = ExportLogsServiceRequest { resource_logs };
    assert_eq!(agent.post("logs", &request).await.status(), 200);
    agent.stop().await;
    // The thread of the one before may not have ended, and then the spool cannot be looked into.
    let deadline = Instant::now() + Duration::from_secs(30);
    let agent = loop {
        match Agent::try_start(NOWHERE, Some(folder.path()), &[]).await {
            Ok(agent) if !agent.lines("have no destination").is_empty() => break agent,
            Ok(agent) => drop(agent.stop().await),
            Err(error) => assert!(error.contains("in use"), "{error}"),
        }
        assert!(Instant::now() < deadline, "nobody tells of the logs that wait");
    };
    let told = agent.lines("1 logs wait in ");
    assert!(told.len() == 1 && told[0].contains("SIDECAR_LOGS_ENDPOINT"), "{told:?}");
    assert_eq!(agent.lines("have no destination").len(), 1, "no metrics wait");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let told = Agent::try_start(NOWHERE, Some(&file), &[]).await.err().unwrap();
    let named = told.contains("SIDECAR_SPOOL") && told.contains(file.to_str().unwrap());
    assert!(named && told.contains("Not a directory"), "{told}");
}

#[tokio::test]
async fn stopping_delivers_what_it_can() {
    let destination = Destination::start(|_, _| Answer::TakenAfter(Duration::from_millis(5))).await;
    let agent = Agent::start(&destination.url(), None, &[]).await;
    for id in 1..=5 {
        assert_eq!(agent.send_large([id], 1 << 20).await.status(), 200); // a batch each
    }
    agent.stop().await;
    assert_eq!(destination.ids(), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn stopping_takes_a_second_and_what_is_left_is_delivered_by_the_next_start() {
    let slow = Destination::start(|_, _| Answer::TakenAfter(Duration::from_millis(400))).await;
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::start(&slow.url(), Some(folder.path()), &[]).await;
    for id in 1..=10 {
        assert_eq!(agent.send_large([id], 1 << 20).await.status(), 200);
    }
    let took = agent.stop().await;
    // A second for the background, and a quarter for the internal port.
    assert!(took < Duration::from_secs(5), "{took:?}");
    let before = slow.ids().len();
    assert!((1..10).contains(&before), "{before}");
    let agent = loop {
        // The thread of the one before may not have ended: in a program of its own it would have.
        match Agent::try_start(&slow.url(), Some(folder.path()), &[]).await {
            Ok(agent) => break agent,
            Err(error) => assert!(error.contains("in use"), "{error}"),
        }
    };
    let books = agent.settled().await;
    assert_eq!((&books["received"], &books["delivered"]), (&10.into(), &10.into()), "{books:#}");
    let mut ids = slow.ids();
    let twice = ids.len() - 10;
    ids.dedup();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>(), "in order, and nothing is missing");
    assert!(
        books["redelivered"].as_u64() >= Some(twice as u64) && twice <= 1,
        "{twice}: {books:#}"
    );
}
