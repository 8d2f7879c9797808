//! Keeping and letting go, one by one and all at once.

use serde_json::json;

use crate::app::{ANNA, App, BORIS, Place};

#[tokio::test]
async fn a_music_is_kept_listed_and_let_go() {
    let (app, _folder) = App::start().await;
    assert_eq!(app.metric("wallet_favourites_removed_total"), 0.0);
    let (one, two) = (app.music("One", "A").await, app.music("Two", "A").await);
    for (id, added) in [(one, true), (two, true), (one, false)] {
        let kept = app.keep(ANNA, id).await;
        assert_eq!((kept.status, kept.json), (200, json!({ "added": added })));
    }
    let list = app.get("/users/1/favourites").await;
    assert_eq!((list.status, &list.json["next"]), (200, &json!(null)));
    let newest = &list.json["items"][0];
    let copy = json!({"id": two, "title": "Two", "artist": "A", "album": "B", "genre": "g", "duration_ms": 5});
    assert_eq!(newest["music"], copy);
    let added_at = newest["added_at"].as_str().unwrap();
    let form: String =
        added_at.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    assert_eq!(form, "0000-00-00T00:00:00.000Z");
    assert!(added_at >= list.json["items"][1]["added_at"].as_str().unwrap());
    assert_eq!(app.ids(ANNA).await, [two, one]);
    assert!(app.ids(BORIS).await.is_empty());

    for removed in [true, false] {
        let answer = app.remove(ANNA, two).await;
        assert_eq!((answer.status, answer.json), (200, json!({ "removed": removed })));
    }
    assert_eq!(app.remove(BORIS, one).await.json, json!({"removed": false}));
    assert_eq!(app.ids(ANNA).await, [one]);
    app.keep(ANNA, two).await;
    assert_eq!(app.ids(ANNA).await, [two, one], "kept again, it is the newest again");
    assert_eq!(app.metric("wallet_favourites_added_total{source=\"api\"}"), 3.0);
    assert_eq!(app.metric("wallet_favourites_removed_total"), 1.0);
}

#[tokio::test]
async fn what_is_not_in_the_catalog_is_neither_kept_nor_let_go() {
    let (app, _folder) = App::start().await;
    for id in [7, 0, -1, i64::MAX, i64::MIN] {
        let refused = app.keep(ANNA, id).await;
        assert_eq!(refused.problem(), (404, "music-not-found"), "{id}");
        assert_eq!(refused.json["detail"], json!(format!("There is no music {id}.")));
        assert_eq!(app.remove(ANNA, id).await.problem(), (404, "music-not-found"), "{id}");
    }
    // One that was kept can be let go after it is gone.
    let id = app.music("One", "A").await;
    app.keep(ANNA, id).await;
    assert_eq!(app.catalog.delete(&format!("/musics/{id}"), BORIS).await.status, 204);
    assert_eq!(app.keep(ANNA, id).await.json, json!({"added": false}));
    assert_eq!(app.remove(ANNA, id).await.json, json!({"removed": true}));
    assert_eq!(app.keep(ANNA, id).await.status, 404);
}

#[tokio::test]
async fn of_those_who_keep_the_same_at_once_one_adds_it() {
    let (app, _folder) = App::start().await;
    for round in 0..5 {
        let id = app.music(&format!("Song {round}"), "A").await;
        let answers = tokio::join!(
            app.keep(ANNA, id),
            app.keep(ANNA, id),
            app.keep(ANNA, id),
            app.keep(BORIS, id)
        );
        let added = [&answers.0, &answers.1, &answers.2].map(|it| it.json["added"] == json!(true));
        assert_eq!(added.into_iter().filter(|it| *it).count(), 1, "{round}");
        assert_eq!(answers.3.json, json!({"added": true}));
    }
    assert_eq!((app.ids(ANNA).await.len(), app.ids(BORIS).await.len()), (5, 5));
    assert_eq!(app.metric("wallet_favourites_added_total{source=\"api\"}"), 10.0);
}

#[tokio::test]
async fn who_goes_takes_their_favourites_along_and_nobody_elses() {
    let (app, _folder) = App::start().await;
    for title in ["One", "Two"] {
        let id = app.music(title, "A").await;
        app.keep(ANNA, id).await;
        app.keep(BORIS, id).await;
    }
    let refused = app.delete("/users/1/favourites", BORIS).await;
    assert_eq!(refused.problem(), (403, "not-oneself"));
    for _ in 0..2 {
        assert_eq!(app.delete("/users/1/favourites", ANNA).await.status, 204);
    }
    assert_eq!((app.ids(ANNA).await.len(), app.ids(BORIS).await.len()), (0, 2));
    assert_eq!(app.metric("wallet_favourites_removed_total"), 2.0);
}

#[tokio::test]
async fn without_the_catalog_all_works_that_needs_it_not() {
    let (app, _folder) = App::start().await;
    let (one, two) = (app.music("One", "A").await, app.music("Two", "A").await);
    app.keep(ANNA, one).await;
    app.catalog_is_reachable(false);
    let refused = app.keep(ANNA, two).await;
    assert_eq!(refused.problem(), (503, "catalog-unavailable"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(app.keep(ANNA, one).await.json, json!({"added": false}));
    assert_eq!(app.remove(ANNA, two).await.json, json!({"removed": false}));
    assert_eq!(app.ids(ANNA).await, [one]);
    assert!(app.export(ANNA, "").await.2.contains("One,A,B,g,5,"));
    let known = app.import(ANNA, "title,artist\n ONE ,a\n").await;
    assert_eq!((known.status, &known.json["already"]), (200, &json!(1)));
    assert_eq!(app.remove(ANNA, one).await.json, json!({"removed": true}));
    app.catalog_is_reachable(true);
    assert_eq!(app.keep(ANNA, two).await.json, json!({"added": true}));
}

#[tokio::test]
async fn a_catalog_that_makes_no_sense_is_not_believed() {
    let (app, _folder) = App::start().await;
    let id = app.music("One", "A").await;
    app.catalog_is_an_impostor().await;
    assert_eq!(app.keep(ANNA, id).await.problem(), (502, "bad-gateway"));
    let import = app.import(ANNA, "title,artist\nOne,A\n").await;
    assert_eq!(import.problem(), (502, "bad-gateway"));
    assert!(app.ids(ANNA).await.is_empty());
}

#[tokio::test]
async fn without_a_valid_assertion_there_is_nothing_to_see() {
    let (app, _folder) = App::start().await;
    app.refuses_strangers(&[
        ("PUT", "/favourites/1"),
        ("DELETE", "/favourites/1"),
        ("GET", "/favourites?users=1"),
        ("GET", "/users/1/favourites"),
        ("DELETE", "/users/1/favourites"),
        ("POST", "/import"),
        ("GET", "/export"),
    ])
    .await;
}

#[tokio::test]
async fn a_second_wallet_on_the_same_data_does_not_start() {
    let place = Place::files();
    let app = App::start_in(&place).await;
    let config = wallet::Config::from_pairs(&[("WALLET_DATABASE", place.wallet.setting())]);
    let refused = wallet::database(&config).migrate().await.unwrap_err().to_string();
    assert!(
        refused.contains("in use by another MusicWallet") && refused.contains("WALLET_DATABASE"),
        "{refused}"
    );
    app.stop().await;
    let migrated = wallet::database(&config).migrate().await.unwrap();
    assert_eq!((migrated.version, migrated.applied), (1, vec![]));
}
