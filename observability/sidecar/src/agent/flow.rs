//! The books of a pipeline as people and programs read them.

use std::collections::BTreeMap;

use humantime::format_rfc3339_seconds;
use serde::Serialize;
use spool::Reason;

use super::Pipeline;

/// `received = delivered + dropped + in spool`, in items, since the spool began. No term is computed from others.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Flow {
    /// `traces`, `logs` or `metrics`.
    pub(crate) signal: &'static str,
    /// Where it goes.
    pub(crate) destination: String,
    /// What senders were told to be received.
    pub(crate) received: u64,
    /// What the destination acknowledged.
    pub(crate) delivered: u64,
    /// What was given up, by reason; without those that never were.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    /// What waits.
    pub(crate) in_spool: u64,
    /// Bytes of what waits.
    pub(crate) waiting_bytes: u64,
    /// What the destination may have twice; no term of the sum.
    pub(crate) redelivered: u64,
    /// What the sum lacks: 0, unless somebody changed the files.
    pub(crate) unaccounted: i64,
    /// Why nothing is delivered, if that is so.
    pub(crate) trouble: Option<Trouble>,
}

/// Why nothing is delivered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trouble {
    /// RFC 3339.
    pub(crate) since: String,
    /// `unreachable`, `timeout`, `overloaded`, `server_error`, `refused` or `unreadable`.
    pub(crate) reason: &'static str,
    /// In the words of the destination or the connection.
    pub(crate) why: String,
}

impl Flow {
    pub(super) fn of(pipeline: &Pipeline) -> Flow {
        let books = pipeline.books();
        let dropped = Reason::ALL.map(|reason| (reason.as_str(), books.dropped(reason)));
        Flow {
            signal: pipeline.signal(),
            destination: pipeline.destination().to_owned(),
            received: books.received,
            delivered: books.delivered,
            dropped: dropped.into_iter().filter(|(_, items)| *items > 0).collect(),
            in_spool: books.in_spool.units,
            waiting_bytes: books.in_spool.bytes,
            redelivered: books.redelivered,
            unaccounted: books.unaccounted(),
            trouble: pipeline.trouble().map(|it| Trouble {
                since: format_rfc3339_seconds(it.since).to_string(),
                reason: it.reason,
                why: it.why,
            }),
        }
    }
}
