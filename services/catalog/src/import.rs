//! Many songs by one CSV file.
//!
//! The upload is written to a temporary file and looked through first, so that a file that is too large or no UTF-8 changes nothing. Then
//! it is read again in batches of 1,000 records. Each batch is one transaction and one span; a batch that has been committed stays,
//! whatever comes after it. Sending the same file again therefore resumes: what is in already is only counted.
//!
//! A record ends in exactly one of three: *added*, *already* (a song with the same title and artist is there, or came earlier in
//! the file), *refused* (with the reason). What costs time, parsing and folding, is done on threads for blocking work.

mod batch;
mod lines;
mod records;
mod spool;

use std::{
    fs::File,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::State, routing::post};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use platform::{
    extract::Json,
    identity::Caller,
    problem::{FieldError, Problem},
    service::RouteLimits,
};
use serde::Serialize;
use tokio::task::{JoinError, spawn_blocking};

pub(crate) use batch::Batch;
pub(crate) use records::Records;
use records::Unreadable;

use crate::{
    Catalog,
    meter::{self, Origin},
    store,
};

/// Most records of a file, without the header.
const MAX_ROWS: usize = 100_000;
/// The route, and how large and how slow a request to it may be.
pub(crate) const LIMITS: (&str, RouteLimits) = (
    "/musics/import",
    RouteLimits {
        body: 32 << 20,
        deadline: Duration::from_secs(120),
        body_deadline: Duration::from_secs(120),
    },
);

/// What became of a file.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// All records; the sum of the next two and the number of the last.
    pub(crate) rows: u64,
    pub(crate) added: u64,
    pub(crate) already: u64,
    /// How many songs are new in the catalog: here, those that were added.
    pub(crate) created: u64,
    pub(crate) refused: Vec<Refused>,
}

/// A record that was left out.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    /// The physical line on which it begins.
    pub(crate) line: u64,
    /// Every field that is wrong, with its limit.
    pub(crate) reason: String,
}

pub(crate) fn router() -> Router<Catalog> {
    Router::new().route(LIMITS.0, post(import))
}

async fn import(
    State(catalog): State<Catalog>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Report>, Problem> {
    let begun = Instant::now();
    check_type(&headers)?;
    let file = spool::receive(body).await?;
    let (records, rows) = spawn_blocking(|| check(file)).await.map_err(died)??;
    let outcome = run(&catalog, records, caller.id, rows).await;
    match &outcome {
        Ok(report) => {
            meter::import_ended(true, begun.elapsed());
            tracing::info!(
                import.rows = report.rows,
                import.added = report.added,
                "imported a file of {rows} songs, {} of them new",
                report.added
            );
        }
        Err(_) => meter::import_ended(false, begun.elapsed()),
    }
    outcome.map(Json)
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/csv") {
        return Ok(());
    }
    let detail = "An import takes a file with the content type text/csv.";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail))
}

/// Looks through the whole file before anything is written.
fn check(file: File) -> Result<(Records<File>, usize), Problem> {
    let mut records = Records::open(file).map_err(unreadable)?;
    let rows = records.check(MAX_ROWS + 1).map_err(unreadable)?;
    if rows > MAX_ROWS {
        let detail = format!("A file can have {MAX_ROWS} songs at most; divide this one.");
        let wrong = FieldError::new("", "has too many lines").limit(MAX_ROWS);
        return Err(
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-rows", detail).error(wrong)
        );
    }
    let records = Records::open(records.into_inner()).map_err(unreadable)?;
    Ok((records, rows))
}

/// Adds batch after batch, until the end or until the service stops.
async fn run(
    catalog: &Catalog,
    mut records: Records<File>,
    created_by: i64,
    rows: usize,
) -> Result<Report, Problem> {
    let mut report = Report::default();
    loop {
        let mut batch;
        (records, batch) = import_batch(catalog, records, created_by).await?;
        report.rows += batch.rows;
        report.added += batch.added;
        report.already += batch.already;
        report.created += batch.added;
        report.refused.append(&mut batch.refused);
        if batch.last {
            return Ok(report);
        }
        if catalog.stopping.is_cancelled() {
            let detail = format!(
                "The service is stopping: {} of {rows} records are done, {} of them new. Send the same file again to resume.",
                report.rows, report.added
            );
            return Err(Problem::unavailable("import-interrupted", detail, Duration::from_secs(5)));
        }
    }
}

/// One transaction. Dropped in the middle, it has not happened.
#[tracing::instrument(
    name = "import batch",
    skip_all,
    fields(import.rows, import.added, import.already, import.refused)
)]
async fn import_batch(
    catalog: &Catalog,
    records: Records<File>,
    created_by: i64,
) -> Result<(Records<File>, Batch), Problem> {
    let read = spawn_blocking(|| Batch::read(records)).await.map_err(died)?;
    let (records, mut batch) = read.map_err(unreadable)?;
    if let Some(songs) = batch.songs.take() {
        let mut tx = catalog.db.begin().await?;
        let added = store::insert_missing(&mut tx, songs, Some(created_by)).await?;
        tx.commit().await?;
        batch.book(added);
    }
    let refused = batch.refused.len() as u64;
    let span = tracing::Span::current();
    span.record("import.rows", batch.rows);
    span.record("import.added", batch.added);
    span.record("import.already", batch.already);
    span.record("import.refused", refused);
    meter::imported(batch.added, batch.already, refused);
    meter::created(Origin::Import, batch.added);
    Ok((records, batch))
}

fn unreadable(why: Unreadable) -> Problem {
    match why {
        Unreadable::Io(cause) => Problem::internal(cause),
        why @ (Unreadable::Empty
        | Unreadable::Columns { .. }
        | Unreadable::Encoding { .. }
        | Unreadable::Utf16) => Problem::invalid(vec![FieldError::new("", why.to_string())]),
    }
}

/// A task for blocking work has panicked; it is never cancelled.
fn died(cause: JoinError) -> Problem {
    Problem::internal(cause)
}

#[cfg(test)]
mod tests;
