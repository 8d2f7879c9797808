//! What a destination answers, and what is made of it.

use std::{net::SocketAddr, time::Duration};

use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use tokio::net::TcpListener;

use crate::{
    destination::{Answer, Destination, resets_once},
    kit::{Agent, traces},
};

/// The agent, and a destination that answers by this script to the attempts from 0.
async fn with(
    script: impl Fn(usize, &[u64]) -> Answer + Send + Sync + 'static,
) -> (Agent, Destination) {
    let destination = Destination::start(script).await;
    (Agent::start(&destination.url(), None, &[]).await, destination)
}

#[tokio::test]
async fn what_is_refused_for_good_is_lost_alone_and_told_in_the_destinations_words() {
    let (agent, destination) = with(|_, ids| match ids.contains(&2) {
        true => Answer::Refused(400, None, "span 2 is too old\nand ugly"),
        false => Answer::Taken,
    })
    .await;
    for id in 1..=3 {
        agent.send([id]).await;
        agent.settled().await; // so that each is a batch of its own
    }
    let books = agent.settled().await;
    assert_eq!(
        (&books["delivered"], &books["dropped"]["refused"]),
        (&2.into(), &1.into()),
        "{books:#}"
    );
    assert_eq!(destination.ids(), [1, 2, 3], "nothing is sent twice");
    let told = agent.lines("span 2 is too old and ugly");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("ERROR") && told[0].contains("1 traces are lost"), "{told:?}");
}

#[tokio::test]
async fn losses_that_come_together_are_told_at_the_end_at_the_latest() {
    let (agent, _destination) = with(|_, _| Answer::Refused(400, None, "too old")).await;
    for id in 1..=3 {
        agent.send([id]).await;
        agent.settled().await;
    }
    assert_eq!(agent.lines("traces are lost").len(), 1, "the first at once");
    let lines = agent.all_lines();
    agent.stop().await;
    let told = lines.of("2 traces are lost");
    assert_eq!(told.len(), 1, "and the others in one: {told:?}");
}

#[tokio::test]
async fn a_page_is_no_answer() {
    let (agent, destination) = with(|nth, _| match nth {
        0 => Answer::Page,
        _ => Answer::Taken,
    })
    .await;
    agent.send([1]).await;
    let books = agent.books_when("delivered", |books| books["delivered"] == 1).await;
    assert_eq!((destination.attempts().len(), &books["dropped"]), (2, &serde_json::json!({})));
    let told = agent.lines("no answer of OTLP, but a page: 200 OK: <html>Welcome");
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn who_asks_for_time_gets_it() {
    for status in [429, 503] {
        let (agent, destination) = with(move |nth, _| match nth {
            0 => Answer::Refused(status, Some("2"), "later"),
            _ => Answer::Taken,
        })
        .await;
        agent.send([1]).await;
        let books = agent.books_when("delivered", |books| books["delivered"] == 1).await;
        let attempts = destination.attempts();
        assert_eq!(attempts.len(), 2, "{attempts:?}");
        let between = attempts[1].at - attempts[0].at;
        assert!(between >= Duration::from_secs(2), "{status}: {between:?}");
        assert_eq!(books["redelivered"], 0, "it is certain that it was not taken: {books:#}");
        assert_eq!(agent.lines("cannot deliver traces").len(), 1);
    }
}

#[tokio::test]
async fn who_does_not_say_when_is_asked_at_growing_distances() {
    let (agent, destination) = with(|nth, _| match nth {
        0..5 => Answer::Refused(500, None, "oops"),
        _ => Answer::Taken,
    })
    .await;
    agent.send([1]).await;
    let books = agent.books_when("delivered", |books| books["delivered"] == 1).await;
    let attempts = destination.attempts();
    assert_eq!(attempts.len(), 6);
    // 100 ms, twice as much each time, and a jitter on top.
    let least = [100, 200, 400, 800, 1600];
    for (pair, least) in attempts.windows(2).zip(least) {
        let between = pair[1].at - pair[0].at;
        assert!(between >= Duration::from_millis(least), "{between:?} is less than {least} ms");
    }
    assert_eq!(books["redelivered"], 5, "a 500 may have come after it was taken: {books:#}");
    assert_eq!(agent.lines("cannot deliver traces").len(), 1, "one line when it begins");
    assert_eq!(agent.lines("traces are delivered again").len(), 1, "and one when it is over");
}

#[tokio::test]
async fn what_is_rejected_of_a_request_that_was_taken_is_counted() {
    let (agent, destination) = with(|_, _| Answer::Partly(2, "two of them are odd")).await;
    agent.send(1..=5).await;
    let books = agent.settled().await;
    assert_eq!(
        (&books["delivered"], &books["dropped"]["rejected"]),
        (&3.into(), &2.into()),
        "{books:#}"
    );
    assert_eq!(destination.attempts().len(), 1);
    assert_eq!(agent.lines("two of them are odd").len(), 1);
    // One that rejects more than there were does not unbalance the books.
    let (agent, _destination) = with(|_, _| Answer::Partly(1000, "all, and more")).await;
    agent.send(1..=5).await;
    let books = agent.settled().await;
    assert_eq!(
        (&books["delivered"], &books["dropped"]["rejected"]),
        (&0.into(), &5.into()),
        "{books:#}"
    );
}

#[tokio::test]
async fn an_answer_that_is_reset_before_its_status_is_none() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let agent = Agent::start(&format!("http://{address}"), None, &[]).await;
    agent.send([1, 2]).await;
    resets_once(listener).await;
    let destination = Destination::start_at(address, |_, _| Answer::Taken).await;
    let books = agent.books_when("delivered", |books| books["delivered"] == 2).await;
    assert_eq!(destination.ids(), [1, 2]);
    assert_eq!(books["redelivered"], 2, "it may have taken them the first time: {books:#}");
}

#[tokio::test]
async fn an_answer_that_is_broken_off_after_its_status_is_one() {
    let (agent, destination) = with(|_, _| Answer::BrokenOff).await;
    agent.send([1]).await;
    let books = agent.settled().await;
    assert_eq!((&books["delivered"], &books["redelivered"]), (&1.into(), &0.into()), "{books:#}");
    assert_eq!(destination.attempts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_that_is_refused_only_the_request_is_lost_that_is_not_wanted() {
    // The first attempt is of one request; meanwhile the others come, and then all go together.
    let (agent, destination) = with(|nth, ids| match nth {
        0 => Answer::Refused(503, Some("1"), "later"),
        _ if ids.contains(&2) => Answer::Refused(400, None, "span 2 is too old"),
        _ => Answer::Taken,
    })
    .await;
    for id in 1..=3 {
        agent.send([id]).await;
    }
    let books = agent.settled().await;
    assert_eq!(
        (&books["delivered"], &books["dropped"]["refused"]),
        (&2.into(), &1.into()),
        "{books:#}"
    );
    let attempts: Vec<Vec<u64>> = destination.attempts().into_iter().map(|it| it.ids).collect();
    assert_eq!(attempts[1..], [vec![1, 2, 3], vec![1], vec![2], vec![3]]);
    assert!(books["trouble"].is_null(), "the last one was delivered: {books:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_refuses_everything_does_not_look_well_and_one_that_has_moved_loses_nothing()
 {
    let (agent, _refusing) = with(|_, _| Answer::Refused(404, None, "no such page")).await;
    agent.send([1]).await;
    let books = agent.settled().await;
    assert_eq!(books["trouble"]["reason"], "refused", "{books:#}");

    let (agent, _moved) = with(|nth, _| match nth {
        0 => Answer::Refused(308, None, "over there"),
        _ => Answer::Taken,
    })
    .await;
    agent.send([1]).await;
    let books = agent.settled().await;
    assert_eq!((&books["delivered"], &books["dropped"]), (&1.into(), &serde_json::json!({})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_wholly_sampled_away_says_nothing_of_the_destination() {
    let destination = Destination::start(|nth, _| match nth {
        0 => Answer::Refused(404, None, "no such page"),
        _ => Answer::Taken,
    })
    .await;
    let sampling = [("SIDECAR_SAMPLING_RATIO", "0"), ("SIDECAR_SAMPLING_WAIT", "10ms")];
    let agent = Agent::start(&destination.url(), None, &sampling).await;
    let send = async |trace: u8, code: StatusCode| {
        let status = Some(Status { code: code.into(), ..Status::default() });
        let span =
            Span { trace_id: vec![trace; 16], span_id: vec![1; 8], status, ..Span::default() };
        assert_eq!(agent.post("traces", &traces(vec![span])).await.status(), 200);
        agent.settled().await
    };
    let refused = send(1, StatusCode::Error).await;
    assert_eq!(refused["trouble"]["reason"], "refused", "{refused:#}");
    let sampled = send(2, StatusCode::Unset).await;
    assert_eq!(sampled["dropped"]["sampled"], 1, "{sampled:#}");
    assert_eq!(sampled["trouble"], refused["trouble"], "nobody was asked");
    assert_eq!(agent.lines("delivered again").len(), 0);
    assert_eq!(destination.attempts().len(), 1);
    let taken = send(3, StatusCode::Error).await;
    assert!(taken["trouble"].is_null() && taken["delivered"] == 1, "{taken:#}");
    assert_eq!(agent.lines("delivered again").len(), 1);
}
