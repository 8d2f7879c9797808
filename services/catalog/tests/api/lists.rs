use std::collections::BTreeSet;

use serde_json::json;

use crate::app::{ANNA, App, BORIS, Place};

/// Titles, artists and genres of a small catalog; ids count from 1.
const SONGS: [(&str, &str, &str); 8] = [
    ("Hoppípolla", "Sigur Rós", "post-rock"),             // 1
    ("Rose", "The Feelies", "Indie"),                     // 2
    ("夜に駆ける", "YOASOBI", "J-Pop"),                   // 3
    ("Группа крови", "Кино", "Rock"),                     // 4
    ("AC/DC Tribute (Re-Enough)", "Røyksopp", "Électro"), // 5
    ("★ 🔥", "David Bowie", ""),                          // 6
    ("Svefn-g-englar", "SIGUR  RO\u{301}S", "Post-Rock"), // 7
    ("Sigur's Lost Tape", "Tribute Band", "post rock"),   // 8
];

async fn start() -> (App, Place) {
    let (app, folder) = App::start().await;
    for (at, (title, artist, genre)) in SONGS.into_iter().enumerate() {
        let user = if at % 2 == 0 { ANNA } else { BORIS };
        let body = json!({"title": title, "artist": artist, "genre": genre, "album": "Best of"});
        assert_eq!(app.post("/musics", user, body).await.status, 201);
    }
    (app, folder)
}

async fn search(app: &App, text: &str) -> Vec<i64> {
    let url = reqwest::Url::parse_with_params("http://x", [("search", text)]).unwrap();
    app.ids(&format!("&{}", url.query().unwrap()), 2).await
}

#[tokio::test]
async fn a_search_finds_prefixes_of_all_its_words_without_case_and_accents() {
    let (app, _folder) = start().await;
    for (text, expected) in [
        ("sigur ros", vec![1, 7]),
        ("RÓS", vec![1, 2, 7]),
        ("hoppi", vec![1]),
        ("hoppipolla  SIGU best", vec![1]),
        ("polla", vec![]),
        ("royksopp", vec![5]),
        ("re-enough", vec![5]),
        ("g-englar", vec![7]),
        ("ac/dc", vec![5]),
        ("electro", vec![]), // of a genre, for which there is a filter
        ("крови кино", vec![4]),
        ("夜", vec![3]),
        ("駆夜", vec![3]),
        ("★", vec![6]),
        ("🔥bowie", vec![6]),
        ("sigur's lost", vec![8]),
        ("best of", vec![1, 2, 3, 4, 5, 6, 7, 8]),
        ("\" OR * NEAR(", vec![]),
    ] {
        assert_eq!(search(&app, text).await, expected, "{text:?}");
    }
    for nothing in ["", "+", "%22*%22", "...", "%E2%80%8D"] {
        let refused = app.get(&format!("/musics?search={nothing}")).await;
        assert_eq!(refused.problem(), (400, "invalid-input"), "{nothing:?}");
        assert_eq!(refused.pointers(), ["?search"]);
    }
}

#[tokio::test]
async fn filters_compare_whole_names_and_narrow_each_other() {
    let (app, _folder) = start().await;
    for (query, expected) in [
        ("&artist=sigur+ros", vec![1, 7]),
        ("&artist=SIGUR%20R%C3%93S", vec![1, 7]),
        ("&artist=sigur", vec![]),
        ("&genre=POST-ROCK", vec![1, 7]),
        ("&genre=electro", vec![5]),
        ("&genre=", vec![6]),
        ("&created_by=1", vec![1, 3, 5, 7]),
        ("&created_by=9", vec![]),
        ("&created_by=1&genre=rock", vec![]),
        ("&created_by=2&genre=rock", vec![4]),
        ("&search=s&artist=Sigur+Ros", vec![1, 7]),
        ("&search=s&artist=Sigur+Ros&genre=post-rock&created_by=1", vec![1, 7]),
        ("&search=s&created_by=2", vec![8]),
    ] {
        assert_eq!(app.ids(query, 1).await, expected, "{query}");
        assert_eq!(app.total(query).await, expected.len() as i64, "{query}");
    }
}

#[tokio::test]
async fn pages_have_every_song_once_also_when_songs_come_and_go() {
    let (app, _folder) = start().await;
    for limit in [1, 3, 8, 500] {
        assert_eq!(app.ids("", limit).await, (1..=8).collect::<Vec<_>>());
    }
    let first = app.get("/musics?limit=3").await.json;
    assert_eq!(first.get("total"), None);
    let next = first["next"].as_str().unwrap().to_owned();
    app.delete("/musics/3", ANNA).await;
    app.delete("/musics/5", ANNA).await;
    let second = app.get(&format!("/musics?limit=3&cursor={next}")).await.json;
    let ids: Vec<_> =
        second["items"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [4, 6, 7]);
    let exact = app.get("/musics?limit=6").await.json;
    assert_eq!((exact["items"].as_array().unwrap().len(), &exact["next"]), (6, &json!(null)));
}

#[tokio::test]
async fn changes_are_found_by_their_new_words_only() {
    let (app, _folder) = start().await;
    app.patch("/musics/1", ANNA, json!({"title": "Glósóli"})).await;
    assert_eq!(
        (search(&app, "hoppipolla").await, search(&app, "glosoli").await),
        (vec![], vec![1])
    );
    app.patch("/musics/1", ANNA, json!({"artist": "Jónsi"})).await;
    assert_eq!(app.ids("&artist=sigur+ros", 9).await, [7]);
    assert_eq!(app.ids("&artist=jonsi", 9).await, [1]);
    app.delete("/musics/1", ANNA).await;
    assert_eq!(search(&app, "glosoli").await, [0i64; 0]);
}

#[tokio::test]
async fn a_batch_has_those_that_exist_by_id() {
    let (app, _folder) = start().await;
    let batch = app.get("/musics/batch?ids=7,1,99,7,-3").await;
    let ids: Vec<_> = batch.json.as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [1, 7]);
    assert_eq!(batch.json[0], app.get("/musics/1").await.json);
    let all: Vec<String> = (1..=500).map(|it| it.to_string()).collect();
    let all = app.get(&format!("/musics/batch?ids={}", all.join(","))).await;
    assert_eq!(all.json.as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn each_page_of_a_search_is_one_trace_without_orphans() {
    let (app, _folder) = start().await;
    app.spans.take();
    assert_eq!(app.ids("&search=best&count=true", 3).await.len(), 8);
    let spans = app.spans.take();
    let traces: BTreeSet<_> =
        spans.iter().map(|it| it.span_context.trace_id().to_string()).collect();
    assert_eq!((spans.len(), traces.len()), (9, 3), "a request and two statements, three times");
    for request in spans.chunks(3) {
        let names: Vec<&str> = request.iter().map(|it| it.name.as_ref()).collect();
        assert_eq!(names, ["SELECT musics", "SELECT musics", "GET /musics"]);
        for statement in &request[..2] {
            assert_eq!(statement.parent_span_id, request[2].span_context.span_id());
        }
    }
}
