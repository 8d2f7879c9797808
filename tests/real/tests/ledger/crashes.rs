//! The agent is killed at each step that an item takes through it, and at random; what it acknowledged arrives all the same.

use std::{collections::BTreeSet, thread, time::Duration};

use super::{
    agent::{self, Agent, DATA},
    compare::{Sent, Shown},
    destination::Destination,
    number,
    sender::{ITEMS, Sender},
    trap::{self, Trap},
};
use crate::{
    harness::eventually,
    table::{Table, asked},
};

/// A step of the way of an item, and what a kill just before it leads to. Where two requests are on their way, that is for both together.
struct Step {
    name: &'static str,
    /// Where the kill is to hit, and what the call must begin with.
    at: At,
    /// Whether the request that was being sent arrives, although nobody acknowledged it.
    arrives: bool,
    /// How many requests the destination gets twice.
    doubled: u64,
    /// How many requests the agent counts as redelivered, which are never fewer.
    redelivered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the record of a request is written.
    Append,
    /// After that, before the answer to its sender.
    Acknowledge,
    /// Before it is noted that a delivery begins.
    Begin,
    /// After that, before the request to the destination.
    Deliver,
    /// After the destination's answer, before it is noted.
    Settle,
    /// After the file of a new segment was made, before its header is written.
    Rotate,
    /// Before a segment is deleted in which all is settled.
    Delete,
}

const STEPS: [Step; 7] = [
    Step { name: "append", at: At::Append, arrives: false, doubled: 1, redelivered: 1 },
    Step { name: "acknowledge", at: At::Acknowledge, arrives: true, doubled: 1, redelivered: 1 },
    Step { name: "begin", at: At::Begin, arrives: false, doubled: 0, redelivered: 0 },
    Step { name: "deliver", at: At::Deliver, arrives: false, doubled: 0, redelivered: 1 },
    Step { name: "settle", at: At::Settle, arrives: false, doubled: 1, redelivered: 1 },
    Step { name: "rotate", at: At::Rotate, arrives: false, doubled: 0, redelivered: 0 },
    Step { name: "delete", at: At::Delete, arrives: false, doubled: 0, redelivered: 0 },
];

#[test]
fn a_kill_before_each_step_loses_nothing_and_what_comes_twice_is_counted() {
    let mut table = Table::new("Ledger, one kill before each step (units: requests)");
    for step in STEPS {
        killed_before(&step, &mut table);
    }
    table.judge();
}

fn killed_before(step: &Step, table: &mut Table) {
    let destination = Destination::start();
    let mut agent = Agent::start(&destination, "64KiB"); // in segments of 8 KiB
    let mut sender = Sender::new(agent.url(), 1);
    assert!(sender.send_spans(0));
    agent.settled();

    // One is at the destination, which does not answer yet: so the agent does nothing else until it is sent something, or answered.
    destination.hold();
    let is_large = matches!(step.at, At::Rotate | At::Delete); // then its segment is full enough to be given up
    assert!(sender.send_spans(if is_large { 5 << 10 } else { 0 }));
    eventually("it is at the destination", || {
        if destination.batches() == 2 { Ok(()) } else { Err(destination.batches().to_string()) }
    });
    if matches!(step.at, At::Begin | At::Deliver) {
        assert!(sender.send_spans(0)); // it is next
    }
    let segment = agent.segments().pop().unwrap();
    let next = segment.with_file_name(format!("{:020}.spool", 2));
    let otlp = sender.to.trim_start_matches("http://").parse().unwrap();
    let written = "write,writev,sendto,sendmsg";
    let trap = match step.at {
        At::Append | At::Settle => Trap::set(&agent, written, &trap::file(&segment), 1),
        At::Acknowledge => Trap::set(&agent, written, &trap::connection_to(otlp), 1),
        At::Begin => Trap::set(&agent, written, &trap::file(&segment), 2), // the first is that the one before is settled
        At::Deliver => Trap::set(&agent, written, &trap::connection_from(destination.address), 1),
        At::Rotate => Trap::set(&agent, written, &trap::file(&next), 1),
        At::Delete => Trap::set(&agent, "unlink,unlinkat", &trap::file(&segment), 1),
    };
    if matches!(step.at, At::Append | At::Acknowledge) {
        assert!(!sender.send_spans(0), "{}: nobody was there to acknowledge it", step.name);
    } else {
        destination.let_go();
    }
    let hit = trap.hit(&mut agent);
    let text = String::from_utf8_lossy(&hit);
    let is_hit = match step.at {
        At::Append => hit[4] == DATA,
        At::Begin => hit[4] == 2,
        At::Settle => hit[4] == 3,
        At::Acknowledge => text.starts_with("HTTP/1.1 200"),
        At::Deliver => text.starts_with("POST /v1/traces"),
        At::Rotate => text.starts_with("MWSPOOL") && agent::read(&next).is_none(),
        At::Delete => text.ends_with("1.spool") && segment.exists(),
    };
    table.row(&format!("killed before {}", step.name), "hit", hit_or_not(is_hit), is_hit);

    destination.let_go();
    agent.start_again();
    sender.to = agent.url();
    assert!(sender.send_spans(0), "it goes on");
    let flow = agent.settled();
    let verdict = sender.spans.compare(&destination.shown());
    let mut row = |what: &str, asked: u64, measured: u64| {
        table.equal(&format!("  {what}"), asked, measured);
    };
    row("acknowledged and lost", 0, verdict.lost.len() as u64);
    row("never sent", 0, verdict.strange.len() as u64);
    row("unaccounted", 0, flow["unaccounted"].as_i64().unwrap().unsigned_abs());
    row("not acknowledged, and there", u64::from(step.arrives), requests(&verdict.arrived));
    row("there twice", step.doubled, requests(&verdict.doubled));
    row("redelivered", step.redelivered, number(&flow, "redelivered") / ITEMS);
    row("received, and there", number(&flow, "received"), destination.shown().len() as u64);
    if step.at == At::Delete {
        row("segments that were not deleted", 0, u64::from(segment.exists()));
    }
}

fn hit_or_not(is_hit: bool) -> &'static str {
    if is_hit { "hit" } else { "something else" }
}

fn requests(numbers: &BTreeSet<u64>) -> u64 {
    assert!((numbers.len() as u64).is_multiple_of(ITEMS), "half a request: {numbers:?}");
    numbers.len() as u64 / ITEMS
}

/// Senders at once.
const SENDERS: u64 = 3;
/// Numbers that a sender has for itself.
const EACH: u64 = 1 << 20;

#[test]
fn random_kills_lose_nothing_and_what_comes_twice_is_counted() {
    let kills = asked("LEDGER_KILLS", 5);
    let seed = asked("LEDGER_SEED", 1);
    let mut rng = fastrand::Rng::with_seed(seed);
    let destination = Destination::start();
    let mut agent = Agent::start(&destination, "512KiB"); // in segments of 64 KiB
    let mut sent = Sent::default();
    let mut windows = Windows::default();
    for kill in 0..kills {
        let senders: Vec<_> = (0..SENDERS)
            .map(|it| Sender::new(agent.url(), 1 + (kill * SENDERS + it) * EACH))
            .map(|mut sender| {
                thread::spawn(move || {
                    while sender.send_spans(0) {}
                    sender.spans
                })
            })
            .collect();
        thread::sleep(Duration::from_micros(rng.u64(50_000..500_000)));
        agent.kill();
        let mut of_this_life = Sent::default();
        for sender in senders {
            of_this_life.add(&sender.join().unwrap());
        }
        let before = destination.shown();
        let is_deletable = deletable(&agent);
        agent.start_again();
        agent.settled();
        windows.note(&of_this_life, &before, &destination.shown(), is_deletable);
        sent.add(&of_this_life);
    }
    let flow = agent.settled();
    let shown = destination.shown();
    let verdict = sent.compare(&shown);
    let mut table = Table::new(&format!("Ledger, {kills} random kills, seed {seed}"));
    windows.tell(&mut table);
    table.row("spans acknowledged", "> 0", sent.acknowledged.len(), !sent.acknowledged.is_empty());
    table.equal("spans acknowledged and lost", 0, verdict.lost.len() as u64);
    table.equal("spans never sent", 0, verdict.strange.len() as u64);
    table.equal("spans unaccounted", 0, flow["unaccounted"].as_i64().unwrap().unsigned_abs());
    table.equal("spans received, and there", number(&flow, "received"), shown.len() as u64);
    table.equal(
        "spans received, and delivered",
        number(&flow, "received"),
        number(&flow, "delivered"),
    );
    let again = shown.values().map(|times| times - 1).sum();
    table.between(
        "spans there once more, within redelivered",
        0,
        number(&flow, "redelivered"),
        again,
    );
    table.judge();
}

/// Whether all is settled in a segment that is there.
fn deletable(agent: &Agent) -> bool {
    let segments: Vec<_> = agent.segments().iter().filter_map(|it| agent::read(it)).collect();
    let settled = segments.last().map_or(0, |it| it.settled);
    segments.iter().any(|it| it.number < settled)
}

/// How many kills hit before which step; one can hit several, of several requests.
#[derive(Debug, Default)]
struct Windows {
    append: u64,
    acknowledge: u64,
    deliver: u64,
    settle: u64,
    delete: u64,
}

impl Windows {
    fn note(&mut self, sent: &Sent<u64>, before: &Shown<u64>, after: &Shown<u64>, deletable: bool) {
        let add = |to: &mut u64, hit: bool| *to += u64::from(hit);
        let mut in_doubt = sent.in_doubt.iter();
        add(&mut self.append, in_doubt.clone().any(|it| !after.contains_key(it)));
        add(&mut self.acknowledge, in_doubt.any(|it| after.contains_key(it)));
        add(&mut self.deliver, sent.acknowledged.iter().any(|it| !before.contains_key(it)));
        add(&mut self.settle, before.iter().any(|(it, times)| after[it] > *times));
        add(&mut self.delete, deletable);
    }

    /// No number is asked for: each step has a kill of its own above.
    fn tell(&self, table: &mut Table) {
        let Windows { append, acknowledge, deliver, settle, delete } = self;
        for (step, hits) in [
            ("append", append),
            ("acknowledge", acknowledge),
            ("deliver", deliver),
            ("settle", settle),
            ("delete", delete),
        ] {
            table.row(&format!("kills that hit before {step}"), "-", hits, true);
        }
    }
}
