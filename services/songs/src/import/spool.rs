//! Takes an upload to the disk, so that it needs no memory and can be read twice.

use std::{
    fs::File,
    io::{self, Write as _},
};

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use platform::problem::Problem;
use tokio::task::spawn_blocking;

use super::AGAIN;

/// How much is collected before it is written.
const CHUNK: usize = 1 << 20;

/// The body as a file without a name, which is gone when it is closed.
///
/// # Errors
/// 400 for a body that breaks off. One that is too large or too slow breaks off here, too; the server knows why, and says so instead. 503 when
/// the folder for temporary files has no room: other imports end soon, and give theirs back.
pub(super) async fn receive(mut body: Body) -> Result<File, Problem> {
    let mut file = blocking(tempfile::tempfile).await?;
    let (mut chunks, mut size) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(broken)?.into_data() else { continue };
        size += chunk.len();
        chunks.push(chunk);
        if size >= CHUNK {
            file = write(file, std::mem::take(&mut chunks)).await?;
            size = 0;
        }
    }
    write(file, chunks).await
}

async fn write(mut file: File, chunks: Vec<Bytes>) -> Result<File, Problem> {
    blocking(move || {
        for chunk in chunks {
            file.write_all(&chunk)?;
        }
        Ok(file)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let outcome = spawn_blocking(work).await.map_err(Problem::internal)?;
    outcome.map_err(|cause| match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let detail =
                "There is no room for another file now. Nothing was imported; send it again.";
            Problem::unavailable("import-no-room", detail, AGAIN).caused_by(cause)
        }
        _ => Problem::internal(cause),
    })
}

fn broken(cause: axum::Error) -> Problem {
    let detail = "The upload broke off before its end. Nothing was imported.";
    Problem::new(StatusCode::BAD_REQUEST, "incomplete-body", detail).caused_by(cause)
}
