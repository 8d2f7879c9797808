//! What a song is, wherever it is kept: the one thing that catalog and wallet have to see alike, or a library would not come back as it went.
//!
//! [`song`] has the rules of a song's fields, [`text`] says when two texts are the same, [`import`] takes songs out of an uploaded file,
//! [`paging`] reads what a list of songs is asked for. Nothing here knows a database, or who calls; what becomes of the songs is the
//! service's own.

pub mod import;
pub mod paging;
pub mod song;
pub mod text;
