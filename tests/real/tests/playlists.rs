//! 44 real playlists: each is a person who brings a library along and takes it away again. Every number is counted here a second time.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use crate::{
    harness::{App, PASSWORD, Reply, Shape},
    songs::{Key, key, shared, songs},
};

struct Playlist {
    file: String,
    rows: u64,
    refused: u64,
    /// Its songs by the matching rule, each once, in their order.
    songs: Vec<Key>,
}

/// One file for each playlist, as its owner would have exported it.
fn playlists() -> Vec<Playlist> {
    let text = shared("playlists.csv");
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let mut order: Vec<String> = Vec::new();
    let mut files: HashMap<String, Vec<(String, String)>> = HashMap::new();
    for record in reader.records() {
        let record = record.unwrap();
        let rows = files.entry(record[0].to_owned()).or_insert_with(|| {
            order.push(record[0].to_owned());
            Vec::new()
        });
        rows.push((record[1].to_owned(), record[2].to_owned()));
    }
    order.iter().map(|name| playlist(&files[name])).collect()
}

fn playlist(rows: &[(String, String)]) -> Playlist {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["Track Name", "Artist Name(s)"]).unwrap();
    let (mut songs, mut seen, mut refused) = (Vec::new(), HashSet::new(), 0);
    for (title, artist) in rows {
        writer.write_record([title, artist]).unwrap();
        let key = key(title, artist);
        if key.0.is_empty() || key.1.is_empty() {
            refused += 1;
        } else if seen.insert(key.clone()) {
            songs.push(key);
        }
    }
    let file = String::from_utf8(writer.into_inner().unwrap()).unwrap();
    Playlist { file, rows: rows.len() as u64, refused, songs }
}

#[test]
fn real_playlists_come_in_and_go_out_as_an_independent_count_has_them() {
    let (catalog, playlists) = (songs(), playlists());
    let rows: u64 = playlists.iter().map(|it| it.rows).sum();
    let refused: u64 = playlists.iter().map(|it| it.refused).sum();
    let kept: usize = playlists.iter().map(|it| it.songs.len()).sum();
    let all: HashSet<&Key> = playlists.iter().flat_map(|it| &it.songs).collect();
    let new = all.iter().filter(|it| !catalog.different.contains(**it)).count();
    assert_eq!((playlists.len(), rows, refused), (44, 25_061, 3));
    assert_eq!((kept, all.len(), new), (24_214, 21_674, 19_395));

    for shape in [Shape::One, Shape::Each] {
        // People come from addresses of their own, because signing up is limited for each.
        let app = &App::start_with(shape, &[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")]);
        let ada = app.someone("ada");
        assert_eq!(app.import(&ada, catalog.bytes.clone()).status, 200);
        let mut sums = [0; 4];
        let mut people = Vec::new();
        for (number, playlist) in playlists.iter().enumerate() {
            let person = someone(app, number);
            let reply = app.import_library(&person, playlist.file.clone());
            assert_eq!(reply.status, 200, "{}", reply.text);
            let counts = counts(&reply);
            assert_eq!(counts[0], playlist.rows, "{}", reply.text);
            assert_eq!(counts[1], playlist.songs.len() as u64, "{}", reply.text);
            assert_eq!(counts[3], playlist.refused, "{}", reply.text);
            assert_eq!(counts[0], counts[1] + counts[2] + counts[3], "{}", reply.text);
            sums[0] += counts[0];
            sums[1] += counts[1];
            sums[2] += reply.json["created"].as_u64().unwrap();
            sums[3] += counts[3];
            people.push(person);
        }
        assert_eq!(sums, [25_061, 24_214, 19_395, 3]);
        for (person, playlist) in people.iter().zip(&playlists) {
            comes_out_again(app, person, playlist);
        }
    }
}

/// Signs up and in, from an address of their own; the token.
fn someone(app: &App, number: usize) -> String {
    let post = |path: &str, body: Value| {
        let url = format!("{}{path}", app.url("gateway", "api"));
        let request = app.client().post(url).header("x-forwarded-for", format!("10.1.0.{number}"));
        Reply::to(request.json(&body))
    };
    let name = format!("person{number}");
    let email = format!("{name}@example.org");
    let new = json!({"username": name, "email": email, "password": PASSWORD});
    assert_eq!(post("/api/users/", new).status, 201);
    let issued = post("/api-token-auth/", json!({"username": name, "password": PASSWORD}));
    issued.json["token"].as_str().unwrap_or_else(|| panic!("{issued:?}")).to_owned()
}

/// rows, added, already, refused
fn counts(reply: &Reply) -> [u64; 4] {
    let count = |name: &str| reply.json[name].as_u64().unwrap();
    let refused = reply.json["refused"].as_array().unwrap().len() as u64;
    [count("rows"), count("added"), count("already"), refused]
}

/// What is exported has each accepted song once, in the order of the file; as CSV and as JSON; and importing it changes nothing.
fn comes_out_again(app: &App, person: &str, playlist: &Playlist) {
    let csv = app.get("/api/export?format=csv", person);
    assert_eq!(csv.status, 200, "{}", csv.text);
    let mut reader = csv::Reader::from_reader(csv.text.as_bytes());
    let names = reader.headers().unwrap().clone();
    assert_eq!((&names[0], &names[1]), ("title", "artist"));
    let exported: Vec<Key> =
        reader.records().map(|it| it.unwrap()).map(|it| key(&it[0], &it[1])).collect();
    assert_eq!(exported, playlist.songs);

    let json = app.get("/api/export?format=json", person).json;
    let text = |song: &Value, name: &str| song[name].as_str().unwrap().to_owned();
    let exported: Vec<Key> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|song| key(&text(song, "title"), &text(song, "artist")))
        .collect();
    assert_eq!(exported, playlist.songs);

    let again = app.import_library(person, csv.text);
    let songs = playlist.songs.len() as u64;
    assert_eq!(counts(&again), [songs, 0, songs, 0], "{}", again.text);
}
