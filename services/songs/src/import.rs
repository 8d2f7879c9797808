//! Many songs by one CSV file.
//!
//! The upload is written to a temporary file and looked through first, so that a file that is too large or no UTF-8 changes nothing. Then
//! it is read again in batches of 1,000 records. Each batch is one transaction of the [`Destination`] and one span; a batch that has been
//! committed stays, whatever comes after it. Sending the same file again therefore resumes: what is in already is only counted.
//!
//! A record ends in exactly one of three: *added*, *already* (a song with the same title and artist is there, or came earlier in
//! the file), *refused* (with the reason). What costs time, parsing, is done on threads for blocking work.

mod batch;
mod lines;
mod records;
mod spool;

use std::{
    fs::File,
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use platform::{
    problem::{FieldError, Problem},
    service::RouteLimits,
};
use serde::Serialize;
use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub use batch::Batch;
pub use records::{Records, Unreadable};

use crate::song::Song;

/// Most records of a file, without the header.
const MAX_ROWS: usize = 100_000;
/// How long to wait before a file is sent again.
const AGAIN: Duration = Duration::from_secs(5);

/// How large and how slow a request with a file may be.
pub const LIMITS: RouteLimits = RouteLimits {
    body: 32 << 20,
    deadline: Duration::from_secs(120),
    body_deadline: Duration::from_secs(120),
};

/// What became of a file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Report {
    /// All records; the sum of the next two and the number of the last.
    #[schema(example = 3)]
    pub rows: u64,
    /// Those that the destination did not have.
    #[schema(example = 1)]
    pub added: u64,
    /// Those that it had, or that came earlier in the file.
    #[schema(example = 1)]
    pub already: u64,
    /// How many songs are new in the catalog.
    #[schema(example = 1)]
    pub created: u64,
    /// Those that cannot be a song, in their order.
    pub refused: Vec<Refused>,
}

/// A record that was left out.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refused {
    /// The physical line on which it begins.
    #[schema(example = 4)]
    pub line: u64,
    /// Every field that is wrong, with its limit.
    #[schema(example = "artist must not be empty")]
    pub reason: String,
}

/// Where the songs of a file go.
pub trait Destination: Sync {
    /// Takes songs with different keys, 1 to 1,000, wholly or not at all. What has been counted as taken is durable.
    ///
    /// A 503 is passed on with how far the import has come.
    fn take(&self, songs: Vec<Song>) -> impl Future<Output = Result<Taken, Problem>> + Send;

    /// Counts the records of a batch that is through.
    fn count(&self, added: u64, already: u64, refused: u64);

    /// Counts an import that ran to its end, or was stopped by the service or by what it needs. `took` begins with the request, so it has
    /// the upload in it. An import whose client went away is not counted, nor is a file that was refused.
    fn end(&self, completed: bool, took: Duration);
}

/// What a [`Destination`] did with songs; the others were there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many it did not have.
    pub added: u64,
    /// How many are new in the catalog.
    pub created: u64,
}

/// Answers a request that has a file: takes all of it, until the end or until `stopping`.
///
/// # Errors
/// 415 for another type, 400 for what is no list of songs, 413 for too many: then nothing was taken. 503 in the middle says how many
/// records are done.
pub async fn receive(
    destination: &impl Destination,
    stopping: &CancellationToken,
    headers: &HeaderMap,
    body: Body,
) -> Result<Report, Problem> {
    let begun = Instant::now();
    check_type(headers)?;
    let file = spool::receive(body).await?;
    let (records, rows) = spawn_blocking(|| check(file)).await.map_err(died)??;
    let outcome = run(destination, stopping, records, rows).await;
    destination.end(outcome.is_ok(), begun.elapsed());
    if let Ok(report) = &outcome {
        tracing::info!(
            import.rows = report.rows,
            import.added = report.added,
            "imported a file of {rows} songs, {} of them new",
            report.added
        );
    }
    outcome
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

/// Takes batch after batch.
async fn run(
    destination: &impl Destination,
    stopping: &CancellationToken,
    mut records: Records<File>,
    rows: usize,
) -> Result<Report, Problem> {
    let mut report = Report::default();
    loop {
        let mut batch;
        (records, batch) = match import_batch(destination, records).await {
            Ok(done) => done,
            Err(why) if why.status() == StatusCode::SERVICE_UNAVAILABLE => {
                let told = interrupted(why.kind(), why.detail(), &report, rows);
                return Err(match why.cause() {
                    Some(cause) => told.caused_by(anyhow::anyhow!("{cause:#}")),
                    None => told,
                });
            }
            Err(why) => return Err(why),
        };
        report.rows += batch.rows;
        report.added += batch.added;
        report.already += batch.already;
        report.created += batch.created;
        report.refused.append(&mut batch.refused);
        if batch.last {
            return Ok(report);
        }
        if stopping.is_cancelled() {
            let why = "The service is stopping";
            return Err(interrupted("import-interrupted", why, &report, rows));
        }
    }
}

fn interrupted(kind: &'static str, why: &str, report: &Report, rows: usize) -> Problem {
    let detail = format!(
        "{}: {} of {rows} records are done, {} of them new. Send the same file again to resume.",
        why.trim_end_matches('.'),
        report.rows,
        report.added
    );
    Problem::unavailable(kind, detail, AGAIN)
}

/// One transaction. Dropped in the middle, it has not happened.
#[tracing::instrument(
    name = "import batch",
    skip_all,
    fields(import.rows, import.added, import.already, import.refused)
)]
async fn import_batch(
    destination: &impl Destination,
    records: Records<File>,
) -> Result<(Records<File>, Batch), Problem> {
    let read = spawn_blocking(|| Batch::read(records)).await.map_err(died)?;
    let (records, mut batch) = read.map_err(unreadable)?;
    if !batch.songs.is_empty() {
        let songs = std::mem::take(&mut batch.songs);
        let different = songs.len() as u64;
        batch.book(different, destination.take(songs).await?);
    }
    let refused = batch.refused.len() as u64;
    let span = tracing::Span::current();
    span.record("import.rows", batch.rows);
    span.record("import.added", batch.added);
    span.record("import.already", batch.already);
    span.record("import.refused", refused);
    destination.count(batch.added, batch.already, refused);
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
