//! 26,229 real songs, through the API, in both shapes: the report and what can be read back agree with a count of our own.

use std::{
    collections::{HashMap, HashSet},
    fs,
};

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use crate::harness::{App, in_both_shapes};

/// Title and artist of a song, as the matching rule has them.
pub(crate) type Key = (String, String);

/// The matching rule, written a second time on purpose: title and artist, trimmed, NFC, lowercase.
pub(crate) fn key(title: &str, artist: &str) -> Key {
    let part = |text: &str| text.trim().nfc().collect::<String>().to_lowercase();
    (part(title), part(artist))
}

pub(crate) struct Songs {
    pub(crate) bytes: Vec<u8>,
    rows: u64,
    pub(crate) different: HashSet<Key>,
}

/// A file of the real data.
pub(crate) fn shared(name: &str) -> Vec<u8> {
    let shared =
        std::env::var("MUSICWALLET_SHARED").expect("MUSICWALLET_SHARED names the real data");
    fs::read(format!("{shared}/data/{name}")).unwrap()
}

pub(crate) fn songs() -> Songs {
    let bytes = shared("songs.csv");
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let keys: Vec<_> = reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            key(&record[0], &record[1])
        })
        .collect();
    Songs { rows: keys.len() as u64, different: keys.into_iter().collect(), bytes }
}

#[test]
fn the_real_songs_are_imported_and_read_back_as_an_independent_count_has_them() {
    let songs = songs();
    assert_eq!((songs.rows, songs.different.len()), (26_229, 26_159));
    in_both_shapes(|app| {
        let ada = app.someone("ada");
        let reply = app.import(&ada, songs.bytes.clone());
        assert_eq!(reply.status, 200, "{}", reply.text);
        let count = |name: &str| reply.json[name].as_u64().unwrap();
        assert_eq!(reply.json["refused"], serde_json::json!([]));
        assert_eq!(count("rows"), songs.rows);
        assert_eq!((count("added"), count("created")), (26_159, 26_159));
        assert_eq!(count("already"), songs.rows - 26_159);

        let read = all(app, &ada, "created_by=ada");
        let keys: HashSet<_> = read
            .iter()
            .map(|song| key(song["title"].as_str().unwrap(), song["artist"].as_str().unwrap()))
            .collect();
        assert_eq!(read.len(), keys.len(), "a song is there twice");
        assert_eq!(keys, songs.different);

        import_is_a_readable_trace(app, reply.trace_id());
        search_is_right_and_without_orphans(app, &ada, &read);
        let again = app.import(&ada, songs.bytes.clone());
        assert_eq!(again.json["already"].as_u64(), Some(songs.rows), "{}", again.text);
    });
}

/// Every page of a list.
fn all(app: &App, token: &str, query: &str) -> Vec<Value> {
    let (mut read, mut path) = (Vec::new(), format!("/api/musics/?{query}&limit=500"));
    loop {
        let page = app.get(&path, token);
        assert_eq!(page.status, 200, "{page:?}");
        read.extend(page.json.as_array().unwrap().iter().cloned());
        let Some(next) = page.header("link").strip_prefix('<') else { return read };
        path = next.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
    }
}

/// Batches are spans, rows are not: 27 batches of 1,000 and a handful of statements each.
fn import_is_a_readable_trace(app: &App, id: &str) {
    let trace = app.trace_when(id, |trace| {
        let batches = trace.names().iter().filter(|name| *name == "catalog: import batch").count();
        let orphans = trace.orphans().len();
        if batches == 27 && orphans == 0 {
            Ok(())
        } else {
            Err(format!("{batches} batches, {orphans} orphans"))
        }
    });
    assert!(trace.spans.len() < 250, "{} spans", trace.spans.len());
    let root = trace.span("gateway: POST /api/musics/import");
    assert!(root.parent.is_none());
}

/// Searches agree with a scan of what was read; each page is one trace without orphans.
fn search_is_right_and_without_orphans(app: &App, token: &str, songs: &[Value]) {
    for word in ["love", "señorita", "nicht"] {
        let fold = |text: &str| {
            let base: String = text
                .nfkd()
                .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
                .collect();
            base.to_lowercase()
        };
        let wanted = fold(word);
        let matches = |song: &Value| {
            ["title", "artist", "album"].iter().any(|field| {
                let text = fold(song[field].as_str().unwrap());
                text.split(|c: char| !c.is_alphanumeric()).any(|part| part.starts_with(&wanted))
            })
        };
        let expected: Vec<_> =
            songs.iter().filter(|song| matches(song)).map(|song| &song["id"]).collect();
        let found = all(app, token, &format!("created_by=ada&search={word}"));
        let found: Vec<_> = found.iter().map(|song| &song["id"]).collect();
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "search={word}");
    }
    let mut traces = HashMap::new();
    let mut path = "/api/musics/?search=love&limit=100".to_owned();
    for page in 0..5 {
        let reply = app.get(&path, token);
        traces.insert(reply.trace_id().to_owned(), page);
        path = reply.header("link").trim_start_matches('<').split('>').next().unwrap().to_owned();
    }
    assert_eq!(traces.len(), 5, "each page is a trace of its own");
    for (id, page) in traces {
        app.trace_when(&id, |trace| {
            let searched = trace.names().iter().any(|name| name == "catalog: GET /musics");
            let orphans = trace.orphans().len();
            if searched && orphans == 0 {
                Ok(())
            } else {
                Err(format!("page {page}: {:?}", trace.names()))
            }
        });
    }
}
