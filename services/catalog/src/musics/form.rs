//! The body of a write: every mistake at once, each with its place and its limit.

use platform::problem::FieldError;
use serde_json::{Map, Value};
use songs::song::{self, Song, Wrong};

/// The fields that a body has.
///
/// Only a duration can be null: it is not known then. A text that is null is a mistake: an empty one says that there is none.
#[derive(Debug, Default)]
pub(super) struct Changes {
    title: Option<String>,
    artist: Option<String>,
    album: Option<String>,
    genre: Option<String>,
    duration_ms: Option<Option<i64>>,
}

impl Changes {
    /// Reads a body of `PATCH`: what is not there stays as it is.
    pub(super) fn read(body: Value) -> Result<Changes, Vec<FieldError>> {
        let fields = object(body)?;
        collect(fields, Vec::new())
    }

    /// The song with these changes.
    pub(super) fn apply(self, song: Song) -> Song {
        Song {
            title: self.title.unwrap_or(song.title),
            artist: self.artist.unwrap_or(song.artist),
            album: self.album.unwrap_or(song.album),
            genre: self.genre.unwrap_or(song.genre),
            duration_ms: self.duration_ms.unwrap_or(song.duration_ms),
        }
    }
}

/// Reads a body of `POST` or `PUT`: title and artist have to be there, the rest is empty where it is not.
pub(super) fn whole(body: Value) -> Result<Song, Vec<FieldError>> {
    let fields = object(body)?;
    let missing = ["title", "artist"].into_iter().filter(|name| !fields.contains_key(*name));
    let missing = missing.map(|name| field(Wrong::new(name, "is missing"))).collect();
    let none = String::new;
    let nothing =
        Song { title: none(), artist: none(), album: none(), genre: none(), duration_ms: None };
    Ok(collect(fields, missing)?.apply(nothing))
}

fn object(body: Value) -> Result<Map<String, Value>, Vec<FieldError>> {
    match body {
        Value::Object(fields) => Ok(fields),
        other => {
            let detail =
                format!("must be an object with the fields of a music, not {}", kind(&other));
            Err(vec![FieldError::new("", detail)])
        }
    }
}

fn collect(
    fields: Map<String, Value>,
    mut wrong: Vec<FieldError>,
) -> Result<Changes, Vec<FieldError>> {
    let mut changes = Changes::default();
    for (name, value) in fields {
        let outcome = match name.as_str() {
            "title" => text("title", value, |it| song::name("title", it))
                .map(|it| changes.title = Some(it)),
            "artist" => text("artist", value, |it| song::name("artist", it))
                .map(|it| changes.artist = Some(it)),
            "album" => text("album", value, song::album).map(|it| changes.album = Some(it)),
            "genre" => text("genre", value, song::genre).map(|it| changes.genre = Some(it)),
            "duration_ms" => duration(&value).map(|it| changes.duration_ms = Some(it)),
            // What was read can be sent back.
            "id" | "created_by" => Ok(()),
            _ => {
                let known =
                    "is not a field of a music; title, artist, album, genre and duration_ms are";
                wrong.push(FieldError::new(pointer(&name), known));
                Ok(())
            }
        };
        wrong.extend(outcome.err().map(field));
    }
    if wrong.is_empty() { Ok(changes) } else { Err(wrong) }
}

fn text(
    field: &'static str,
    value: Value,
    rule: impl Fn(&str) -> Result<String, Wrong>,
) -> Result<String, Wrong> {
    match value {
        Value::String(text) => rule(&text),
        other => Err(Wrong::new(field, format!("must be a text, not {}", kind(&other)))),
    }
}

fn duration(value: &Value) -> Result<Option<i64>, Wrong> {
    let Value::Number(number) = value else {
        return match value {
            Value::Null => Ok(None),
            other => {
                let detail =
                    format!("must be a whole number of milliseconds or null, not {}", kind(other));
                Err(Wrong::new("duration_ms", detail))
            }
        };
    };
    match number.as_i64() {
        Some(given) => song::duration(given).map(Some),
        None if number.is_u64() => Err(song::duration_limit(false)),
        None => Err(Wrong::new("duration_ms", "must be a whole number of milliseconds")),
    }
}

fn field(wrong: Wrong) -> FieldError {
    let error = FieldError::new(pointer(wrong.field), wrong.detail);
    FieldError { limit: wrong.limit.map(Into::into), ..error }
}

/// RFC 6901. A name that a stranger chose is cut: it is only there to be recognised.
fn pointer(name: &str) -> String {
    let name: String = name.chars().take(60).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn song() -> Song {
        whole(json!({"title": " T ", "artist": "A", "genre": "g", "duration_ms": 7})).unwrap()
    }

    #[test]
    fn what_a_whole_body_leaves_out_is_empty() {
        let Song { title, album, genre, duration_ms, .. } = song();
        assert_eq!((&*title, &*album, &*genre, duration_ms), ("T", "", "g", Some(7)));
    }

    #[test]
    fn a_patch_changes_what_it_has_and_null_clears_a_duration() {
        let patch = |body| Changes::read(body).unwrap().apply(song());
        assert_eq!(patch(json!({})), song());
        assert_eq!(patch(json!({"id": 1, "created_by": "x"})), song());
        assert_eq!(patch(json!({"duration_ms": null})), Song { duration_ms: None, ..song() });
        assert_eq!(patch(json!({"genre": ""})), Song { genre: String::new(), ..song() });
        let nulls = json!({"title": null, "artist": null, "album": null, "genre": null});
        assert_eq!(Changes::read(nulls).unwrap_err().len(), 4);
    }

    #[test]
    fn every_mistake_is_told_with_its_place_and_limit() {
        let wrong = whole(json!({
            "title": "x".repeat(301), "album": 5, "genre": ["pop"], "duration_ms": -1, "a/b~c": 0
        }));
        let wrong = wrong.unwrap_err();
        let told: Vec<_> = wrong
            .iter()
            .map(|it| (it.pointer.as_str(), it.limit.as_ref().and_then(Value::as_i64)))
            .collect();
        // In the order of the names, after what is missing.
        assert_eq!(
            told,
            [
                ("/artist", None),
                ("/a~1b~0c", None),
                ("/album", None),
                ("/duration_ms", Some(0)),
                ("/genre", None),
                ("/title", Some(300)),
            ]
        );
        assert_eq!(whole(json!([1])).unwrap_err()[0].pointer, "");
    }

    #[test]
    fn durations_are_whole_numbers_within_a_day() {
        let duration =
            |value| Changes::read(json!({ "duration_ms": value })).map(|it| it.duration_ms);
        assert_eq!(duration(json!(86_400_000)).unwrap(), Some(Some(86_400_000)));
        for wrong in [json!(86_400_001), json!(u64::MAX), json!(1.5), json!("7"), json!(true)] {
            assert!(duration(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
