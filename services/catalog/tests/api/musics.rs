use serde_json::json;

use crate::app::{ANNA, App, BORIS, Place};

#[tokio::test]
async fn a_song_is_added_read_changed_and_removed() {
    let (app, _folder) = App::start().await;
    let song = json!({"title": "  Cafe\u{301} ", "artist": "Solène", "genre": "chanson", "duration_ms": 1000});
    let added = app.post("/musics", ANNA, song).await;
    assert_eq!(added.status, 201);
    let expected = json!({
        "id": 1, "title": "Café", "artist": "Solène", "album": "", "genre": "chanson", "duration_ms": 1000,
        "created_by": ANNA
    });
    assert_eq!(added.json, expected);
    assert_eq!(added.header("location"), Some("/musics/1"));
    assert_eq!(app.get("/musics/1").await.json, expected);
    assert_eq!(app.get("/musics/1/").await.json, expected, "with and without a slash");

    // What was read can be sent back, changed.
    let mut body = expected.clone();
    body["album"] = json!("Été");
    body["id"] = json!(99);
    body["created_by"] = json!("somebody");
    let put = app.put("/musics/1", ANNA, body.clone()).await;
    assert_eq!((put.status, &put.json["album"], &put.json["id"]), (200, &json!("Été"), &json!(1)));
    assert_eq!(put.json["created_by"], json!(ANNA));
    let put = app.put("/musics/1", ANNA, json!({"title": "T", "artist": "A"})).await;
    assert_eq!((&put.json["album"], &put.json["duration_ms"]), (&json!(""), &json!(null)));

    let patched = app.patch("/musics/1", ANNA, json!({"duration_ms": 5})).await;
    assert_eq!((patched.status, &patched.json["title"]), (200, &json!("T")));
    assert_eq!(app.get("/musics/1").await.json, patched.json);
    let cleared = app.patch("/musics/1", ANNA, json!({"duration_ms": null})).await;
    assert_eq!(cleared.json["duration_ms"], json!(null));
    assert_eq!(app.patch("/musics/1", ANNA, json!({})).await.json, cleared.json);

    assert_eq!(app.delete("/musics/1", ANNA).await.status, 204);
    for gone in [app.get("/musics/1").await, app.delete("/musics/1", ANNA).await] {
        assert_eq!(gone.problem(), (404, "music-not-found"));
    }
    assert_eq!(app.metric("catalog_musics_created_total{source=\"api\"}"), 1.0);
    assert_eq!(app.metric("catalog_musics_deleted_total"), 1.0);
}

#[tokio::test]
async fn only_the_owner_changes_and_removes() {
    let place = Place::new();
    let app = App::start_in(&place, &[("CATALOG_SEED", "true")]).await;
    let added = app.post("/musics", ANNA, json!({"title": "T", "artist": "A"})).await;
    let annas = added.header("location").unwrap();
    for (path, why) in [(annas, "another's"), ("/musics/1", "nobody's")] {
        let before = app.get(path).await;
        let body = json!({"title": "Mine now", "artist": "B"});
        for refused in [
            app.put(path, BORIS, body.clone()).await,
            app.patch(path, BORIS, body.clone()).await,
            app.delete(path, BORIS).await,
        ] {
            assert_eq!(refused.problem(), (403, "not-owner"), "{why}");
        }
        assert_eq!(app.get(path).await.json, before.json);
    }
    let body = json!({"title": "T", "artist": "B"});
    for absent in [
        app.put("/musics/99", BORIS, body.clone()).await,
        app.patch("/musics/99", BORIS, body).await,
    ] {
        assert_eq!(absent.problem(), (404, "music-not-found"));
    }
}

#[tokio::test]
async fn without_a_valid_assertion_there_is_nothing_to_see() {
    let (app, _folder) = App::start().await;
    app.refuses_strangers(&[
        ("GET", "/musics"),
        ("POST", "/musics"),
        ("GET", "/musics/1"),
        ("PUT", "/musics/1"),
        ("PATCH", "/musics/1"),
        ("DELETE", "/musics/1"),
        ("GET", "/musics/batch?ids=1"),
        ("POST", "/musics/import"),
        ("POST", "/musics/match"),
        ("DELETE", "/creators/1"),
    ])
    .await;
}

#[tokio::test]
async fn of_two_changes_at_the_same_time_none_is_lost() {
    let (app, _folder) = App::start().await;
    app.post("/musics", ANNA, json!({"title": "T", "artist": "A"})).await;
    let changes = [("title", "t"), ("artist", "a"), ("album", "b"), ("genre", "g")];
    for round in 0..5 {
        let patch = |(field, value): (&str, &str)| {
            let body = json!({ field: format!("{value}{round}") });
            let app = &app;
            async move { app.patch("/musics/1", ANNA, body).await }
        };
        let [a, b, c, d] = changes.map(patch);
        let answers = tokio::join!(a, b, c, d);
        assert_eq!(
            [answers.0.status, answers.1.status, answers.2.status, answers.3.status],
            [200; 4]
        );
        let music = app.get("/musics/1").await.json;
        for (field, value) in changes {
            assert_eq!(music[field], json!(format!("{value}{round}")));
        }
    }
}

#[tokio::test]
async fn a_first_start_plants_songs_once_and_only_into_an_empty_catalog() {
    let seeded = [("CATALOG_SEED", "true")];
    let place = Place::new();
    let app = App::start_in(&place, &[]).await;
    assert_eq!(app.total("").await, 0);
    app.stop().await;
    let app = App::start_in(&place, &seeded).await;
    assert_eq!(app.total("").await, 40);
    assert_eq!(app.total("&search=bjorkdal").await, 3);
    assert_eq!(app.get("/musics/1").await.json["created_by"], json!(null));
    assert_eq!(app.metric("catalog_musics_created_total{source=\"seed\"}"), 40.0);
    app.stop().await;
    let app = App::start_in(&place, &seeded).await;
    assert_eq!(app.total("").await, 40);
}

#[tokio::test]
async fn a_second_catalog_on_the_same_file_does_not_start() {
    let place = Place::file();
    let app = App::start_in(&place, &[]).await;
    let config = catalog::Config::from_pairs(&[("CATALOG_DATABASE", place.database.setting())]);
    let refused = catalog::database(&config).migrate().await.unwrap_err().to_string();
    assert!(
        refused.contains("in use by another MusicWallet") && refused.contains("CATALOG_DATABASE"),
        "{refused}"
    );
    app.stop().await;
    let migrated = catalog::database(&config).migrate().await.unwrap();
    assert_eq!((migrated.version, migrated.applied), (1, vec![]));
}
