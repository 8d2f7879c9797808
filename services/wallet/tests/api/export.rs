//! Libraries that are taken away.

use serde_json::{Value, json};

use crate::{
    app::{ANNA, App, BORIS},
    served::songs,
};

/// Texts that a file has to bear.
const HARD: [[&str; 3]; 7] = [
    ["Comma, \"quote\"", "Semi;colon", "Tab\there"],
    ["Two\r\nlines", "One\nmore", "\\"],
    ["=SUM(A1)", "@artist", "-1"],
    ["夜に駆ける", "YOASOBI", "🔥"],
    ["Группа крови", "Кино", "e\u{301}"],
    ["'Til", "NULL", "null"],
    ["\u{feff}Mark", "title", "artist"],
];

#[tokio::test]
async fn what_is_exported_can_be_imported_again_and_changes_nothing() {
    let (app, _folder) = App::start().await;
    for (number, [title, artist, album]) in HARD.into_iter().enumerate() {
        let body = json!({"title": title, "artist": artist, "album": album, "genre": "g", "duration_ms": number});
        let id = app.catalog.post("/musics", BORIS, body).await.json["id"].as_i64().unwrap();
        app.keep(ANNA, id).await;
    }
    // Two with one name, which the catalog cannot tell apart.
    for title in ["Same", "same"] {
        let id = app.music(title, "A").await;
        app.keep(ANNA, id).await;
    }
    let (kind, name, file) = app.export(ANNA, "").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    assert_eq!(name.as_deref(), Some("attachment; filename=\"favourites.csv\""));
    assert!(file.starts_with("title,artist,album,genre,duration_ms,added_at\n"), "{file}");
    let again = app.import(ANNA, file.clone()).await.json;
    assert_eq!(again, json!({"rows": 9, "added": 0, "already": 9, "created": 0, "refused": []}));
    assert_eq!(app.export(ANNA, "?format=csv").await.2, file);

    // Somebody else who brings the file has the same songs in the same order.
    let other = app.import(BORIS, file.clone()).await.json;
    assert_eq!((&other["added"], &other["created"]), (&json!(8), &json!(0)));
    let without_time = |(_, _, file): (String, Option<String>, String)| -> Vec<Value> {
        let mut lines: Vec<Value> = serde_json::from_str(&file).unwrap();
        for line in &mut lines {
            line.as_object_mut().unwrap().remove("added_at").unwrap();
        }
        lines
    };
    let annas = without_time(app.export(ANNA, "?format=json").await);
    let borises = without_time(app.export(BORIS, "?format=json").await);
    assert_eq!(borises, annas[..8]);
    assert_eq!(
        annas[0],
        json!({"title": "Comma, \"quote\"", "artist": "Semi;colon", "album": "Tab\there", "genre": "g", "duration_ms": 0})
    );
}

#[tokio::test]
async fn a_long_library_comes_whole_and_in_order_in_both_formats() {
    let (app, _folder) = App::start().await;
    // Less than a page, one that is just full, more.
    for count in [499, 500, 501, 1_000, 1_234] {
        app.import(ANNA, songs(count)).await;
        let (kind, name, text) = app.export(ANNA, "?format=json").await;
        assert_eq!((kind.as_str(), name), ("application/json", None));
        let lines: Vec<Value> = serde_json::from_str(&text).unwrap();
        let titles = lines.iter().map(|it| it["title"].as_str().unwrap().to_owned());
        assert!(titles.eq((1..=count).map(|it| format!("Song {it}"))), "{count}");
        let (_, _, text) = app.export(ANNA, "").await;
        let titles = text.lines().skip(1).map(|it| it.split(',').next().unwrap().to_owned());
        assert!(titles.eq((1..=count).map(|it| format!("Song {it}"))), "{count}");
        let added_at = text.lines().nth(1).unwrap().rsplit(',').next().unwrap();
        assert_eq!(lines[0]["added_at"], json!(added_at));
    }
}

#[tokio::test]
async fn an_empty_library_is_a_file_too() {
    let (app, _folder) = App::start().await;
    assert_eq!(app.export(ANNA, "").await.2, "title,artist,album,genre,duration_ms,added_at\n");
    assert_eq!(app.export(ANNA, "?format=json").await.2, "[]");
}

#[tokio::test]
async fn an_export_is_read_by_pages_within_one_trace() {
    let (app, _folder) = App::start().await;
    app.import(ANNA, songs(1_200)).await;
    app.spans.take();
    app.export(ANNA, "").await;
    let spans = app.spans.take();
    let root = spans.iter().find(|it| it.name == "GET /export").unwrap().span_context.span_id();
    let statements: Vec<_> = spans.iter().filter(|it| it.name == "SELECT favourites").collect();
    assert_eq!(statements.len(), 3);
    assert!(statements.iter().all(|it| it.parent_span_id == root));
}
