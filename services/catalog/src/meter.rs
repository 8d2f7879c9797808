//! The metrics of the catalog: a function each, whose parameters are the labels.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};

/// Describes all, and begins every counter at 0, so that its first event is an increase.
pub(crate) fn start() {
    describe_counter!("catalog_musics_created_total", "Songs that were added");
    describe_counter!("catalog_musics_deleted_total", "Songs that were removed by their owner");
    describe_counter!(
        "catalog_import_rows_total",
        "Rows of imported files, counted when their batch is in the database"
    );
    describe_histogram!(
        "catalog_import_duration_seconds",
        "Time of an import, the upload included"
    );
    for origin in [Origin::Api, Origin::Import, Origin::Seed] {
        created(origin, 0);
    }
    counter!("catalog_musics_deleted_total").increment(0);
    imported(0, 0, 0);
}

/// Where a song came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin {
    /// One request for one song.
    Api,
    /// A file with many.
    Import,
    /// The list of a first start.
    Seed,
}

/// Songs that were added.
pub(crate) fn created(origin: Origin, count: u64) {
    let source = match origin {
        Origin::Api => "api",
        Origin::Import => "import",
        Origin::Seed => "seed",
    };
    counter!("catalog_musics_created_total", "source" => source).increment(count);
}

/// A song was removed by its owner.
pub(crate) fn deleted() {
    counter!("catalog_musics_deleted_total").increment(1);
}

/// Records of imported files by what became of them. Counted when their batch is in the database.
pub(crate) fn imported(added: u64, already: u64, refused: u64) {
    for (outcome, rows) in [("added", added), ("already", already), ("refused", refused)] {
        counter!("catalog_import_rows_total", "outcome" => outcome).increment(rows);
    }
}

/// An import ended: `completed`, or `interrupted` by a stop of the service or a failing database. Its time counts from the request's
/// beginning, so it has the upload in it. An import whose client went away is not counted.
pub(crate) fn import_ended(completed: bool, took: Duration) {
    let outcome = if completed { "completed" } else { "interrupted" };
    histogram!("catalog_import_duration_seconds", "outcome" => outcome).record(took);
}
