//! People and songs.

use reqwest::Method;
use serde_json::json;

use crate::harness::{App, Shape, eventually, in_both_shapes};

#[test]
fn a_song_is_created_read_edited_found_and_deleted() {
    in_both_shapes(|app| {
        let (ada, ben) = (app.someone("ada"), app.someone("ben"));
        let new = json!({"title": "Ærlig Sommer", "artist": "Nora Vik", "duration_ms": 181_000});
        let created = app.post("/api/musics/", &ada, new);
        assert_eq!(
            (created.status, &created.json["created_by"]),
            (201, &json!("ada")),
            "{created:?}"
        );
        let path = created.header("location").to_owned();
        assert_eq!(path, format!("/api/musics/{}/", created.json["id"]));
        assert_eq!(app.get(&path, &ben).json, created.json);

        let mut sent_back = created.json.clone();
        sent_back["genre"] = json!("pop");
        let edited = app.call(Method::PUT, &path, &ada, Some(sent_back));
        assert_eq!((edited.status, &edited.json["genre"]), (200, &json!("pop")), "{edited:?}");
        let patched = app.call(Method::PATCH, &path, &ada, Some(json!({"album": "Fjord"})));
        assert_eq!((patched.status, &patched.json["album"]), (200, &json!("Fjord")), "{patched:?}");

        let found = app.get("/api/musics/?search=aerlig%20SOMM&created_by=ada", &ben);
        let folded = app.get("/api/musics/?search=vik&artist=nora%20vik", &ben);
        assert_eq!(folded.json[0], patched.json, "{folded:?}");
        assert_eq!(found.json[0], patched.json, "{found:?}");

        app.call(Method::DELETE, &path, &ben, None).is_problem(403, "not-owner");
        app.call(Method::PUT, &path, &ben, Some(patched.json.clone())).is_problem(403, "not-owner");
        assert_eq!(app.get(&path, &ada).json, patched.json);
        assert_eq!(app.call(Method::DELETE, &path, &ada, None).status, 204);
        assert_eq!(app.get(&path, &ada).status, 404);
    });
}

#[test]
fn a_first_start_has_songs_and_their_pages_have_each_once() {
    in_both_shapes(|app| {
        let ada = app.someone("ada");
        let all = app.get("/api/musics/?limit=500&count=true", &ada);
        let songs = all.json.as_array().unwrap().clone();
        assert!((20..=50).contains(&songs.len()), "{}", songs.len());
        assert_eq!(all.header("total-count"), songs.len().to_string());
        assert!(songs.iter().all(|song| song["created_by"].is_null()));

        let (mut pages, mut path) = (Vec::new(), "/api/musics/?limit=7".to_owned());
        loop {
            let page = app.get(&path, &ada);
            pages.extend(page.json.as_array().unwrap().iter().cloned());
            let Some(next) = page.header("link").strip_prefix('<') else { break };
            path = next.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
        assert_eq!(pages, songs);
    });
}

#[test]
fn both_spellings_of_a_credential_and_basic_name_the_same_person() {
    let app = App::start(Shape::One);
    let token = app.someone("ada");
    let url = format!("{}/api/musics", app.url("gateway", "api"));
    for credential in [format!("Token {token}"), format!("bearer {token}")] {
        let reply = app.client().get(&url).header("authorization", credential).send().unwrap();
        assert_eq!(reply.status(), 200);
    }
    let basic = |password| app.client().get(&url).basic_auth("ADA", Some(password)).send().unwrap();
    assert_eq!(basic(crate::harness::PASSWORD).status(), 200);
    assert_eq!(basic("wrong").status(), 401);
    app.get("/api/musics/", "").is_problem(401, "not-signed-in");
    app.get("/api/musics/", "trk_no").is_problem(401, "invalid-credentials");
    for long in ["x".repeat(4_071), "\"".repeat(1_990)] {
        app.get("/api/musics/", &long).is_problem(401, "invalid-credentials");
    }
    // The longest name and password, in characters of several bytes.
    let (name, password) = ("夜".repeat(150), "\u{1f98a}".repeat(128));
    let nobody = app.client().get(&url).basic_auth("月".repeat(150), Some(&password)).send();
    assert_eq!(nobody.unwrap().status(), 401, "nobody is called that");
    let new = json!({"username": name, "email": "l@example.org", "password": password});
    let signed_up = app.post("/api/users/", "", new);
    assert_eq!(signed_up.status, 201, "{signed_up:?}");
    let longest = app.client().get(&url).basic_auth(&name, Some(&password)).send().unwrap();
    assert_eq!(longest.status(), 200);
}

#[test]
fn an_import_ends_each_line_once_and_a_second_one_changes_nothing() {
    in_both_shapes(|app| {
        let ada = app.someone("ada");
        let csv = "title,artist,album,popularity\n\
                   Wide Water,The Ferns,Delta,1\n\
                   \"Two\nLines\",The Ferns,,2\n\
                   ,Nobody,,3\n\
                   wide water ,the ferns,,4\n";
        let first = app.import(&ada, csv);
        assert_eq!(first.status, 200, "{first:?}");
        let counts = |reply: &crate::harness::Reply| {
            ["rows", "added", "already", "created"].map(|key| reply.json[key].as_u64().unwrap())
        };
        assert_eq!(counts(&first), [4, 2, 1, 2]);
        let refused = first.json["refused"].as_array().unwrap();
        assert_eq!((refused.len(), &refused[0]["line"]), (1, &json!(5)), "{refused:?}");
        assert!(refused[0]["reason"].as_str().unwrap().contains("title"), "{refused:?}");
        assert_eq!(counts(&app.import(&ada, csv)), [4, 0, 3, 0]);
        let found = app.get("/api/musics/?created_by=ada", &ada);
        assert_eq!(found.json.as_array().unwrap().len(), 2, "{found:?}");
    });
}

#[test]
fn an_import_that_a_stop_of_the_catalog_interrupts_is_told_how_far_it_came() {
    let app = App::start(Shape::Each);
    let ada = app.someone("ada");
    let rows = (0..100_000).map(|n| format!("Song {n},The Ferns\n"));
    let csv = format!("title,artist\n{}", rows.collect::<String>());
    let interrupted = std::thread::scope(|scope| {
        let import = scope.spawn(|| app.import(&ada, csv));
        eventually("a batch is done", || {
            let added = app.metric("catalog", "catalog_import_rows_total{outcome=\"added\"}");
            if added > Some(0.0) { Ok(()) } else { Err(format!("{added:?}")) }
        });
        app.signal("catalog", "TERM");
        import.join().unwrap()
    });
    interrupted.is_problem(503, "import-interrupted");
    assert_eq!(interrupted.header("retry-after"), "5");
    let detail = interrupted.json["detail"].as_str().unwrap();
    assert!(detail.contains("of 100000 records are done"), "{detail}");
    assert!(detail.contains("Send the same file again to resume"), "{detail}");
}
