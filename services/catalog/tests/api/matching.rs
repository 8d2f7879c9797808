//! What the wallet asks: songs by what they are called, and the end of a creator.

use serde_json::{Value, json};

use crate::app::{ANNA, App, BORIS};

fn song(title: &str, artist: &str) -> Value {
    json!({"title": title, "artist": artist, "album": "", "genre": "", "duration_ms": null})
}

/// Id and newness of each answer.
fn told(answers: &Value) -> Vec<(i64, bool)> {
    let answers = answers.as_array().unwrap_or_else(|| panic!("{answers}"));
    answers
        .iter()
        .map(|it| (it["id"].as_i64().unwrap(), it["created"].as_bool().unwrap()))
        .collect()
}

#[tokio::test]
async fn songs_are_found_by_their_key_or_added_in_order_each_once() {
    let (app, _folder) = App::start().await;
    app.post("/musics", BORIS, json!({"title": "Déjà Vu", "artist": "Beyoncé", "album": "B"}))
        .await;
    app.post("/musics", BORIS, json!({"title": "DÉJÀ VU", "artist": "BEYONCÉ"})).await;
    let wanted = json!({"songs": [
        {"title": "New", "artist": "N", "genre": " g ", "duration_ms": 5},
        song(" de\u{301}ja\u{300} vu ", "beyoncé"),
        song("Deja Vu", "Beyonce"),
        song("NEW", "n"),
    ]});
    let answers = app.post("/musics/match", ANNA, wanted.clone()).await;
    assert_eq!(answers.status, 200, "{}", answers.json);
    // The lowest id wins; accents make another song; what comes twice is created once.
    assert_eq!(told(&answers.json), [(3, true), (1, false), (4, true), (3, false)]);
    assert_eq!(
        (&answers.json[0], &answers.json[1]),
        (
            &json!({"created": true, "id": 3, "title": "New", "artist": "N", "album": "", "genre": "g", "duration_ms": 5, "created_by": ANNA}),
            &json!({"created": false, "id": 1, "title": "Déjà Vu", "artist": "Beyoncé", "album": "B", "genre": "", "duration_ms": null, "created_by": BORIS}),
        )
    );
    assert_eq!(app.get("/musics/4").await.json["created_by"], json!(ANNA));
    assert_eq!(app.metric("catalog_musics_created_total{source=\"import\"}"), 2.0);

    let again = app.post("/musics/match", BORIS, wanted).await.json;
    assert_eq!(told(&again), [(3, false), (1, false), (4, false), (3, false)]);
    assert_eq!(app.metric("catalog_musics_created_total{source=\"import\"}"), 2.0);
    assert_eq!(app.total("").await, 4);
}

#[tokio::test]
async fn a_thousand_of_the_longest_songs_fit_and_one_more_does_not() {
    let (app, _folder) = App::start().await;
    let text = |number: usize, length| {
        let digits = number.to_string();
        "🔥".repeat(length - digits.len()) + &digits
    };
    let songs: Vec<Value> = (0..1_001)
        .map(|number| {
            let [title, artist, album] = [0; 3].map(|_| text(number, 300));
            json!({
                "title": title, "artist": artist, "album": album, "genre": text(number, 100),
                "duration_ms": 86_400_000
            })
        })
        .collect();
    let refused = app.post("/musics/match", ANNA, json!({ "songs": songs })).await;
    assert_eq!((refused.problem(), refused.pointers()), ((400, "invalid-input"), vec!["/songs"]));
    assert_eq!(refused.json["errors"][0]["limit"], json!(1_000));
    let answers = app.post("/musics/match", ANNA, json!({"songs": songs[..1_000]})).await;
    assert_eq!(answers.status, 200, "{}", answers.json);
    assert_eq!(told(&answers.json), (1..=1_000).map(|id| (id, true)).collect::<Vec<_>>());

    let large = json!({"songs": [song(&"x".repeat(4 << 20), "A")]});
    assert_eq!(app.post("/musics/match", ANNA, large).await.status, 413);
}

#[tokio::test]
async fn songs_that_are_none_are_named_with_their_place_and_none_is_added() {
    let (app, _folder) = App::start().await;
    let good = song("T", "A");
    for (given, pointers) in [
        (json!({}), vec!["/songs"]),
        (json!({"songs": []}), vec!["/songs"]),
        (json!({"songs": [good], "more": 1}), vec!["/more"]),
        (json!({"songs": {}}), vec!["/songs"]),
        (json!({"songs": [good, "T by A"]}), vec!["/songs/1"]),
        (json!({"songs": [good, {"title": "T"}]}), vec!["/songs/1/artist"]),
        (json!({"songs": [{"title": "T", "artist": "A", "id": 5}]}), vec!["/songs/0/id"]),
        (
            json!({"songs": [good, song("", "\u{1b}"), {"title": "T", "artist": "A", "duration_ms": -1}]}),
            vec!["/songs/1/title", "/songs/1/artist", "/songs/2/duration_ms"],
        ),
    ] {
        let refused = app.post("/musics/match", ANNA, given.clone()).await;
        assert_eq!(refused.problem(), (400, "invalid-input"), "{given}");
        assert_eq!(refused.pointers(), pointers, "{given}");
    }
    assert_eq!(app.total("").await, 0);
}

#[tokio::test]
async fn two_who_ask_for_the_same_songs_at_once_get_the_same_musics() {
    let (app, _folder) = App::start().await;
    let songs: Vec<Value> = (0..200).map(|it| song(&format!("Song {it}"), "A")).collect();
    let wanted = json!({ "songs": songs });
    let (one, other) = tokio::join!(
        app.post("/musics/match", ANNA, wanted.clone()),
        app.post("/musics/match", BORIS, wanted)
    );
    let (one, other) = (told(&one.json), told(&other.json));
    assert!(one.iter().zip(&other).all(|(one, other)| one.0 == other.0 && one.1 != other.1));
    assert_eq!(app.total("").await, 200);
}

#[tokio::test]
async fn who_goes_leaves_their_musics_to_nobody() {
    let (app, _folder) = App::start().await;
    for (title, user) in [("A1", ANNA), ("B1", BORIS), ("A2", ANNA)] {
        app.post("/musics", user, json!({"title": title, "artist": "A"})).await;
    }
    assert_eq!(app.delete("/creators/1", BORIS).await.problem(), (403, "not-oneself"));
    assert_eq!(app.delete("/creators/x", BORIS).await.status, 400);
    assert_eq!(app.total("&created_by=1").await, 2);
    for _ in 0..2 {
        assert_eq!(app.delete("/creators/1", ANNA).await.status, 204);
    }
    assert_eq!((app.total("&created_by=1").await, app.total("").await), (0, 3));
    assert_eq!(app.get("/musics/1").await.json["created_by"], json!(null));
    assert_eq!(app.get("/musics/2").await.json["created_by"], json!(BORIS));
    assert_eq!(app.delete("/musics/1", ANNA).await.status, 403, "it is nobody's");
}
