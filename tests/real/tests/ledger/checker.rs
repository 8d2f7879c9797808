//! The checker is checked: whoever loses or doubles what was acknowledged is found out, to the unit.

use std::{collections::BTreeSet, fs};

use real::stack::{Jaeger, Loki, Ports, Storage};

use super::{
    agent::{self, Agent},
    compare::{Verdict, shown_by_jaeger, shown_by_loki},
    destination::{Destination, Lie},
    number,
    sender::{ITEMS, Sender, numbers},
};
use crate::harness::eventually;

/// A destination that lies about a batch, and what the checker says: what it lied about, and the verdict.
fn caught(lie: Lie) -> (BTreeSet<u64>, Verdict<u64>) {
    let destination = Destination::start();
    let agent = Agent::start(&destination, "1MiB");
    let mut sender = Sender::new(agent.url(), 1);
    for number in 0..9 {
        if number == 4 {
            agent.settled();
            destination.lies_once(lie);
        }
        assert!(sender.send_spans(0));
    }
    let flow = agent.settled();
    // The agent cannot know: it was told that all is well.
    assert_eq!((number(&flow, "received"), number(&flow, "delivered")), (9 * ITEMS, 9 * ITEMS));
    assert_eq!((&flow["unaccounted"], &flow["redelivered"]), (&0.into(), &0.into()), "{flow}");
    (destination.lied_about().into_iter().collect(), sender.spans.compare(&destination.shown()))
}

#[test]
fn a_batch_that_was_acknowledged_and_thrown_away_is_reported_to_the_unit() {
    let (lie, verdict) = caught(Lie::ThrowAway);
    let (doubled, arrived, strange) = Default::default();
    assert_eq!(verdict, Verdict { lost: lie, doubled, arrived, strange });
}

#[test]
fn a_batch_that_was_stored_twice_is_reported_to_the_unit() {
    let (lie, verdict) = caught(Lie::StoreTwice);
    let (lost, arrived, strange) = Default::default();
    assert_eq!(verdict, Verdict { lost, doubled: lie, arrived, strange });
}

#[test]
fn jaeger_and_loki_show_once_what_they_got_twice() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(Storage::Badger, Ports::Free, data.path()).unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    // So they cannot tell how often something came. A destination that keeps each arrival can, and `redelivered` is never below that.
    let mut sender = Sender::new(jaeger.otlp_url(), 1);
    assert!(sender.send_spans(0) && sender.send_last_again());
    sender.to = loki.otlp_url();
    assert!(sender.send_lines() && sender.send_last_again());
    for (sent, shown) in
        [(&sender.spans, shown_by_jaeger(&jaeger)), (&sender.lines, shown_by_loki(&loki))]
    {
        let (lost, doubled, arrived, strange) = Default::default();
        assert_eq!(sent.compare(&shown), Verdict { lost, doubled, arrived, strange });
    }
}

#[test]
fn a_segment_that_was_taken_away_is_reported_to_the_unit() {
    let destination = Destination::start();
    let mut agent = Agent::start(&destination, "64KiB"); // in segments of 8 KiB
    let mut sender = Sender::new(agent.url(), 1);
    destination.hold();
    assert!(sender.send_spans(0));
    eventually("the first batch is on its way", || {
        if destination.batches() == 1 { Ok(()) } else { Err("not yet") }
    });
    for _ in 0..20 {
        assert!(sender.send_spans(1000));
    }
    agent.kill();
    let segments = agent.segments();
    assert!(segments.len() >= 3, "{segments:?}");
    let taken = agent::read(&segments[1]).unwrap();
    fs::remove_file(&segments[1]).unwrap();
    let lost: BTreeSet<u64> = taken.data.iter().flat_map(|it| numbers(&it.1)).collect();
    assert!(lost.len() as u64 >= 3 * ITEMS, "{lost:?}");
    assert_eq!(lost.len() as u64, taken.data.iter().map(|it| it.0).sum::<u64>());

    agent.start_again();
    destination.let_go();
    let flow = agent.settled();
    assert_eq!(number(&flow, "unaccounted"), lost.len() as u64, "{flow}");
    assert_eq!(number(&flow, "received"), 21 * ITEMS, "{flow}");
    assert_eq!(flow["dropped"], serde_json::json!({}), "it is not explained away");
    let verdict = sender.spans.compare(&destination.shown());
    assert_eq!(verdict.lost, lost);
    // The first batch was on its way: it came twice, and is counted.
    assert_eq!(verdict.doubled, (1..=ITEMS).collect());
    assert_eq!(number(&flow, "redelivered"), ITEMS, "{flow}");
}
