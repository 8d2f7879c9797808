//! A person's library as a file: from the local copy, oldest first, so that an import of it changes nothing, or keeps all in the same order.

use std::io;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use csv::WriterBuilder;
use futures_util::stream::try_unfold;
use http::{
    HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use opentelemetry::{Context, trace::FutureExt as _};
use platform::{
    extract::Query,
    identity::Caller,
    openapi::{OpenApiRouter, routes},
    problem::{FieldError, Problem},
    storage::Db,
};
use serde::Serialize;
use songs::paging;
use tracing::{Instrument as _, Span};
use utoipa::ToSchema;

use crate::{
    Wallet,
    store::{self, Favourite},
};

/// How many favourites are read, and held in memory, at once.
const PAGE: u32 = 500;
const COLUMNS: [&str; 6] = ["title", "artist", "album", "genre", "duration_ms", "added_at"];

pub(crate) fn router() -> OpenApiRouter<Wallet> {
    OpenApiRouter::new().routes(routes!(export))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

/// One's own library as a file, oldest first
///
/// An answer that breaks off is not all of it.
#[utoipa::path(
    get, path = "/export", tag = "favourites",
    params(("format" = Option<String>, Query, description = "`csv` or `json`; csv without it.", pattern = "^(csv|json)$")),
    responses((status = 200, description = "The file.", headers(("content-disposition" = String)), content(
        (String = "text/csv", example = "title,artist,album,genre,duration_ms,added_at\nPaper Lanterns,The Tin Orchard,Low Water,indie folk,214000,2026-02-03T04:05:06.789Z\n"), (Vec<Line> = "application/json")
    )))
)]
async fn export(
    State(wallet): State<Wallet>,
    caller: Caller,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let mut format = Format::Csv;
    paging::parameters(given, "format is", |name, value| {
        Some(match (name, value) {
            ("format", "csv") => Ok(()),
            ("format", "json") => {
                format = Format::Json;
                Ok(())
            }
            ("format", _) => Err(FieldError::new("", "must be csv or json")),
            _ => return None,
        })
    })
    .map_err(Problem::invalid)?;
    let first = store::oldest(&wallet.db, caller.id, 0, PAGE).await?;
    let export = Export { db: wallet.db, user: caller.id, format, begun: false };
    // The statements of later pages belong to this request's trace, though its answer has begun.
    let (context, lines) = (Context::current(), Span::current());
    let pages = try_unfold(Some((export, first)), move |state| {
        step(state).with_context(context.clone()).instrument(lines.clone())
    });
    let mut response = Body::from_stream(pages).into_response();
    let headers = response.headers_mut();
    match format {
        Format::Csv => {
            let kind = HeaderValue::from_static("text/csv; charset=utf-8");
            headers.insert(CONTENT_TYPE, kind);
            let name = HeaderValue::from_static("attachment; filename=\"favourites.csv\"");
            headers.insert(CONTENT_DISPOSITION, name);
        }
        Format::Json => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
    }
    Ok(response)
}

/// A library on its way out.
struct Export {
    db: Db,
    user: i64,
    format: Format,
    /// Whether something of it has been written.
    begun: bool,
}

type Progress = Option<(Export, Vec<Favourite>)>;

/// Writes a page and reads the next one; `None` after the last.
async fn step(state: Progress) -> io::Result<Option<(Bytes, Progress)>> {
    let Some((mut export, page)) = state else { return Ok(None) };
    let last = page.len() < PAGE as usize;
    let after = page.last().map_or(0, |favourite| favourite.id);
    let bytes = export.write(page, last)?;
    if last {
        return Ok(Some((bytes, None)));
    }
    let next = store::oldest(&export.db, export.user, after, PAGE).await;
    // The answer has begun: all that the client sees is that it breaks off.
    let next = next.map_err(|error| {
        let error = anyhow::Error::from(error);
        tracing::error!("an export broke off: {error:#}");
        io::Error::other(error)
    })?;
    Ok(Some((bytes, Some((export, next)))))
}

/// One favourite in a file.
#[derive(Serialize, ToSchema)]
struct Line {
    #[schema(example = "Paper Lanterns")]
    title: String,
    #[schema(example = "The Tin Orchard")]
    artist: String,
    #[schema(example = "Low Water")]
    album: String,
    #[schema(example = "indie folk")]
    genre: String,
    #[schema(example = 214_000)]
    duration_ms: Option<i64>,
    #[schema(format = DateTime, example = "2026-02-03T04:05:06.789Z")]
    added_at: String,
}

impl From<Favourite> for Line {
    fn from(favourite: Favourite) -> Line {
        let added_at = favourite.added_at();
        let store::Music { title, artist, album, genre, duration_ms, .. } = favourite.music;
        Line { title, artist, album, genre, duration_ms, added_at }
    }
}

impl Export {
    fn write(&mut self, page: Vec<Favourite>, last: bool) -> io::Result<Bytes> {
        let lines = page.into_iter().map(Line::from);
        let begun = std::mem::replace(&mut self.begun, true);
        match self.format {
            Format::Csv => csv(lines, begun),
            Format::Json => json(lines, begun, last),
        }
    }
}

fn csv(lines: impl Iterator<Item = Line>, begun: bool) -> io::Result<Bytes> {
    let mut writer = WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    if !begun {
        writer.write_record(COLUMNS)?;
    }
    for line in lines {
        writer.serialize(line)?;
    }
    let written = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(written.into())
}

fn json(lines: impl Iterator<Item = Line>, mut begun: bool, last: bool) -> io::Result<Bytes> {
    let mut written = Vec::new();
    if !begun {
        written.push(b'[');
    }
    for line in lines {
        if begun {
            written.push(b',');
        }
        serde_json::to_writer(&mut written, &line)?;
        begun = true;
    }
    if last {
        written.push(b']');
    }
    Ok(written.into())
}
