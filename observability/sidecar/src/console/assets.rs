//! Style, script and icon, built into the program. Their path names their content, so browsers may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};

use super::error::Error;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/app.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Changes with any byte of the three files: FNV-1a, 64 bits. It separates versions, it does not protect.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let bytes = [STYLE, SCRIPT, ICON].into_iter().flat_map(str::bytes);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
});

/// The address of `style.css`, `app.js` or `icon.svg`.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// `GET /assets/{version}/{name}`.
pub(super) async fn serve(
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Path((version, name)) = path.map_err(|_| Error::no_page())?;
    let (content_type, body) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", STYLE),
        "app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(Error::no_page()),
    };
    if version != *VERSION {
        return Err(Error::no_page());
    }
    let tag = format!("\"{version}\"");
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let fresh =
        known.is_some_and(|tags| tags.split(',').any(|t| t.trim().trim_start_matches("W/") == tag));
    let lasting = [(ETAG, tag), (CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned())];
    if fresh {
        return Ok((StatusCode::NOT_MODIFIED, lasting).into_response());
    }
    Ok((lasting, [(CONTENT_TYPE, content_type)], body).into_response())
}
