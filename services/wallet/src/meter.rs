//! The metrics of the wallet: a function each, whose parameters are the labels. They are declared in `observability/schema`.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};

const ADDED: &str = "wallet_favourites_added_total";
const REMOVED: &str = "wallet_favourites_removed_total";
const IMPORT_ROWS: &str = "wallet_import_rows_total";
const IMPORT_DURATION: &str = "wallet_import_duration_seconds";

/// How a music came to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// One request for one music.
    Api,
    /// A file with many.
    Import,
}

impl Origin {
    fn label(self) -> &'static str {
        match self {
            Origin::Api => "api",
            Origin::Import => "import",
        }
    }
}

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!(ADDED, "Musics that people began to keep");
    describe_counter!(REMOVED, "Musics that people do not keep any more");
    describe_counter!(IMPORT_ROWS, "Rows of imported files whose batch is in the database");
    describe_histogram!(IMPORT_DURATION, "Time of an import, the upload included");
    for origin in [Origin::Api, Origin::Import] {
        added(origin, 0);
    }
    removed(0);
    imported(0, 0, 0);
}

/// Somebody keeps `count` musics more.
pub(crate) fn added(origin: Origin, count: u64) {
    counter!(ADDED, "source" => origin.label()).increment(count);
}

/// Somebody keeps `count` musics less.
pub(crate) fn removed(count: u64) {
    counter!(REMOVED).increment(count);
}

/// Records of imported files by what became of them. Counted when their batch is in the database.
pub(crate) fn imported(added: u64, already: u64, refused: u64) {
    for (outcome, rows) in [("added", added), ("already", already), ("refused", refused)] {
        counter!(IMPORT_ROWS, "outcome" => outcome).increment(rows);
    }
}

/// An import ended: `completed`, or `interrupted` by a stop of the service, a failing database or the catalog.
pub(crate) fn import_ended(completed: bool, took: Duration) {
    let outcome = if completed { "completed" } else { "interrupted" };
    histogram!(IMPORT_DURATION, "outcome" => outcome).record(took);
}
