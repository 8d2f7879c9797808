//! Nothing that was handed over is lost uncounted: what a sender was told to be received is compared, id by id, with what the stores
//! show, calm and through crashes. The comparison itself is tested on destinations that lie.
//!
//! `tests/real/endurance ledger` runs the same for longer, and prints the tables.

mod agent;
mod calm;
mod checker;
mod compare;
mod crashes;
mod destination;
mod fault;
mod load;
mod sender;
mod trap;

use serde_json::Value;

use crate::harness::{App, eventually};

/// Those that send telemetry.
const SERVICES: [&str; 4] = ["gateway", "accounts", "catalog", "wallet"];
const SIGNALS: [&str; 2] = ["traces", "logs"];

/// The console's books of a signal.
fn flow(all: &Value, signal: &str) -> Value {
    let pipelines = all["pipelines"].as_array().unwrap_or_else(|| panic!("no books: {all}"));
    pipelines.iter().find(|it| it["signal"] == signal).unwrap().clone()
}

fn number(flow: &Value, name: &str) -> u64 {
    flow[name].as_u64().unwrap_or_else(|| panic!("{name} of {flow}"))
}

/// The books of a signal, once nothing waits.
fn settled(all: impl Fn() -> Value, signal: &str) -> Value {
    eventually("the spool is empty", || {
        let flow = flow(&all(), signal);
        if flow["in_spool"] == 0 { Ok(flow) } else { Err(flow.to_string()) }
    })
}

/// The sum of the series of a family that have this label.
pub(crate) fn sum(text: &str, family: &str, label: &str) -> u64 {
    let start = format!("{family}{{");
    let series = text.lines().filter(|line| line.starts_with(&start) && line.contains(label));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// What a service's own books say of a signal.
#[derive(Clone, Copy, Debug)]
struct Own {
    enqueued: u64,
    exported: u64,
    dropped: u64,
    failed: u64,
    in_queue: u64,
}

impl Own {
    /// Once nothing waits in it.
    fn settled(app: &App, service: &str, signal: &str) -> Own {
        eventually(&format!("the queue of {service} is empty"), || {
            let text = app.internal(service, "/metrics").text;
            let of = |what: &str| {
                sum(&text, &format!("telemetry_{what}"), &format!("signal=\"{signal}\""))
            };
            let own = Own {
                enqueued: of("enqueued_items_total"),
                exported: of("exported_items_total"),
                dropped: of("dropped_items_total"),
                failed: of("failed_items_total"),
                in_queue: of("queue_items"),
            };
            // What is on its way is in none of them.
            if own.in_queue == 0 && own.is_balanced() { Ok(own) } else { Err(format!("{own:?}")) }
        })
    }

    fn lost(&self) -> u64 {
        self.dropped + self.failed
    }

    fn is_balanced(&self) -> bool {
        self.enqueued == self.exported + self.dropped + self.failed + self.in_queue
    }
}
