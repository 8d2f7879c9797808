//! What people keep: the ancestor's way, lists and pages, files in and out, and days on which a service is away.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, PASSWORD, Reply, Shape, eventually, in_both_shapes};

fn keep(app: &App, token: &str, music: &Value) -> u16 {
    app.call(Method::POST, &format!("/api/users/{music}/add_fav_music/"), token, None).status
}

#[test]
fn favourites_are_kept_listed_newest_first_and_dropped() {
    in_both_shapes(|app| {
        let ada = app.someone("ada");
        let songs = app.get("/api/musics/?limit=5", &ada).json;
        for song in songs.as_array().unwrap() {
            assert_eq!(keep(app, &ada, &song["id"]), 200);
        }
        // Again, and the other way that the ancestor had: with the own id in the path.
        let again = app.call(
            Method::POST,
            "/api/users/1/add_fav_music/",
            &ada,
            Some(json!({"music": songs[4]["id"]})),
        );
        assert_eq!(
            (again.status, &again.json),
            (200, &json!({"status": "Success: Favourite music added"})),
            "{again:?}"
        );
        let path = "/api/users/99/add_fav_music/";
        app.call(Method::POST, path, &ada, Some(json!({"music": 1}))).is_problem(403, "not-self");
        app.call(Method::POST, "/api/users/9999999/add_fav_music/", &ada, None)
            .is_problem(404, "music-not-found");
        app.call(Method::DELETE, "/api/users/9999999/remove_fav_music/", &ada, None)
            .is_problem(404, "music-not-found");

        let (mut kept, mut path) = (Vec::new(), "/api/users/1/favourites/?limit=2".to_owned());
        loop {
            let page = app.get(&path, &ada);
            assert_eq!(page.status, 200, "{page:?}");
            assert!(page.header("degraded").is_empty(), "{page:?}");
            kept.extend(page.json.as_array().unwrap().iter().cloned());
            let Some(next) = page.header("link").strip_prefix('<') else { break };
            path = next.strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        }
        let musics: Vec<&Value> = kept.iter().map(|it| &it["music"]).collect();
        let newest_first: Vec<&Value> = songs.as_array().unwrap().iter().rev().collect();
        assert_eq!(musics, newest_first);
        assert!(kept[0]["added_at"].as_str().unwrap().ends_with('Z'), "{kept:?}");

        let path = format!("/api/users/{}/remove_fav_music/", songs[0]["id"]);
        for _ in 0..2 {
            let dropped = app.call(Method::DELETE, &path, &ada, None);
            assert_eq!(dropped.json["status"], json!("Success: Favourite music removed"));
        }
        let users = app.get("/api/users/", &ada).json;
        assert_eq!(users[0]["favourite_count"], json!(4), "{users}");
        assert_eq!(users[0]["favourite_musics"][0], songs[4], "{users}");
        app.get("/api/users/99/favourites/", &ada).is_problem(404, "user-not-found");
    });
}

#[test]
fn a_library_comes_in_and_goes_out_as_a_file() {
    in_both_shapes(|app| {
        let ada = app.someone("ada");
        let file = "\u{feff}Track Name;Artist Name(s);Album Name;duration\n\
                    Paper Lanterns;The Tin Orchard;;\n\
                    \"Two\nlines\";Ada;Deep;3:14\n\
                    paper lanterns ;the tin orchard;;\n\
                    ;Nobody;;\n";
        let report = app.import_library(&ada, file);
        assert_eq!(report.status, 200, "{}", report.text);
        let refused = json!([{"line": 6, "reason": "title must not be empty"}]);
        let expected =
            json!({"rows": 4, "added": 2, "already": 1, "created": 1, "refused": refused});
        assert_eq!(report.json, expected);

        let csv = app.get("/api/export?format=csv", &ada);
        assert!(csv.header("content-type").starts_with("text/csv"), "{csv:?}");
        assert!(csv.header("content-disposition").starts_with("attachment"), "{csv:?}");
        assert!(
            csv.text.starts_with("title,artist,album,genre,duration_ms,added_at"),
            "{}",
            csv.text
        );
        let json = app.get("/api/export?format=json", &ada).json;
        assert_eq!(json[0]["title"], json!("Paper Lanterns"), "{json}");
        assert_eq!(
            (&json[1]["title"], &json[1]["duration_ms"]),
            (&json!("Two\nlines"), &json!(194_000))
        );
        let again = app.import_library(&ada, csv.text);
        assert_eq!((&again.json["already"], &again.json["added"]), (&json!(2), &json!(0)));

        let latin = app.import_library(&ada, b"title,artist\n\xe9t\xe9,b\n".to_vec());
        latin.is_problem(400, "invalid-input");
        assert!(latin.text.contains("UTF-8"), "{}", latin.text);
        app.get("/api/export?format=xml", &ada).is_problem(400, "invalid-input");
    });
}

/// Architecture §4: a service keeps working when another is down as far as its own data allows, and says so.
#[test]
fn favourites_are_listed_while_the_catalog_is_away_and_the_answer_says_so() {
    let mut app = App::start(Shape::Each);
    let ada = app.someone("ada");
    let song = app.get("/api/musics/1/", &ada).json;
    assert_eq!(keep(&app, &ada, &song["id"]), 200);
    app.kill("catalog");

    let kept = app.get("/api/users/1/favourites/", &ada);
    assert_eq!((kept.status, kept.header("degraded")), (200, "catalog"), "{kept:?}");
    assert_eq!(kept.json[0]["music"]["title"], song["title"]);
    let user = app.get("/api/users/1/", &ada);
    assert_eq!((user.status, user.header("degraded")), (200, "catalog"), "{user:?}");
    assert_eq!(user.json["favourite_musics"][0]["artist"], song["artist"]);
    app.get("/api/musics/1/", &ada).is_problem(503, "catalog-unavailable");
    app.call(Method::POST, "/api/users/2/add_fav_music/", &ada, None)
        .is_problem(503, "catalog-unavailable");
    // What is kept needs no catalog: keeping it again, dropping it, taking it away.
    assert_eq!(keep(&app, &ada, &song["id"]), 200);
    assert_eq!(app.get("/api/export", &ada).status, 200);
    let path = format!("/api/users/{}/remove_fav_music/", song["id"]);
    assert_eq!(app.call(Method::DELETE, &path, &ada, None).status, 200);

    app.restart("catalog");
    eventually("the catalog is back without a restart of anybody else", || {
        let reply = app.get("/api/musics/1/", &ada);
        if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
    });
}

#[test]
fn people_are_listed_while_the_wallet_is_away_and_the_answer_says_so() {
    let mut app = App::start(Shape::Each);
    let ada = app.someone("ada");
    assert_eq!(keep(&app, &ada, &json!(1)), 200);
    app.kill("wallet");
    let users = app.get("/api/users/", &ada);
    assert_eq!((users.status, users.header("degraded")), (200, "wallet"), "{users:?}");
    assert_eq!(users.json[0]["username"], json!("ada"));
    assert_eq!(users.json[0]["favourite_musics"], json!(null), "unknown is not none");
    app.get("/api/users/1/favourites/", &ada).is_problem(503, "wallet-unavailable");
    app.call(Method::DELETE, "/api/users/1/", &ada, None).is_problem(503, "wallet-unavailable");
    assert_eq!(app.get("/api/musics/1/", &ada).status, 200, "songs need no wallet");

    app.restart("wallet");
    eventually("the wallet is back", || {
        let reply = app.get("/api/users/1/", &ada);
        if reply.json["favourite_count"] == json!(1) { Ok(()) } else { Err(format!("{reply:?}")) }
    });
    assert_eq!(app.call(Method::DELETE, "/api/users/1/", &ada, None).status, 204);
}

#[test]
fn a_stopped_service_costs_no_more_than_its_deadline() {
    let app = App::start(Shape::Each);
    let ada = app.someone("ada");
    assert_eq!(keep(&app, &ada, &json!(1)), 200);
    app.signal("catalog", "STOP");
    let kept = app.get("/api/users/1/favourites/", &ada);
    assert_eq!((kept.status, kept.header("degraded")), (200, "catalog"), "{kept:?}");
    in_time(|| app.get("/api/musics/1/", &ada)).is_problem(503, "catalog-unavailable");
    app.signal("catalog", "CONT");
    answers_again(&app, "/api/musics/1/", &ada);

    app.signal("wallet", "STOP");
    let users = in_time(|| app.get("/api/users/", &ada));
    assert_eq!((users.status, users.header("degraded")), (200, "wallet"), "{users:?}");
    in_time(|| app.get("/api/users/1/favourites/", &ada)).is_problem(503, "wallet-unavailable");
    app.signal("wallet", "CONT");
    answers_again(&app, "/api/users/1/favourites/", &ada);
}

/// Nobody can be identified then, and nobody is let in by a guess.
#[test]
fn accounts_may_stop_for_a_while_or_crash_and_nobody_else_has_to_be_restarted() {
    let mut app = App::start(Shape::Each);
    let ada = app.someone("ada");
    let down = "accounts-unavailable";
    let who = json!({"username": "ada", "password": PASSWORD});
    app.signal("accounts", "STOP");
    // This token was never exchanged before, so the gateway does not know whose it is.
    in_time(|| app.get("/api/musics/1/", &ada)).is_problem(503, down);
    let sign_in = in_time(|| app.post("/api-token-auth/", "", who.clone()));
    sign_in.is_problem(503, down);
    assert!(!sign_in.header("retry-after").is_empty(), "{sign_in:?}");
    app.signal("accounts", "CONT");
    answers_again(&app, "/api/musics/1/", &ada);
    // The attempt that nobody waited for any more is booked as a failure, so this one may have to wait for a second.
    eventually("signing in works again", || {
        let reply = app.post("/api-token-auth/", "", who.clone());
        if reply.status == 200 { Ok(()) } else { Err(format!("{reply:?}")) }
    });

    app.kill("accounts");
    let unknown = "trk_never_seen_before";
    in_time(|| app.get("/api/musics/1/", unknown)).is_problem(503, down);
    app.restart("accounts");
    answers_again(&app, "/api/musics/1/", &ada);
    assert_eq!(app.post("/api-token-auth/", "", who).status, 200);
}

/// A call to another service has 2 s; the rest is for a busy machine.
#[track_caller]
fn in_time(request: impl FnOnce() -> Reply) -> Reply {
    let begun = Instant::now();
    let reply = request();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}: {reply:?}");
    reply
}

fn answers_again(app: &App, path: &str, token: &str) {
    eventually("it answers again", || {
        let reply = app.get(path, token);
        let whole = reply.status == 200 && reply.header("degraded").is_empty();
        if whole { Ok(()) } else { Err(format!("{reply:?}")) }
    });
}
