//! Whatever comes in: a problem that names field and limit, never a 5xx, never half a change.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{ANNA, Answer, App, answer};

async fn body(app: &App, text: impl Into<reqwest::Body>) -> Answer {
    let request = app.request(Method::POST, "/musics", ANNA);
    answer(request.header("content-type", "application/json").body(text)).await
}

#[tokio::test]
async fn a_body_that_is_wrong_names_every_field_and_limit() {
    let (app, _folder) = App::start().await;
    let long = "x".repeat(301);
    for (given, pointers) in [
        (json!({}), vec!["/title", "/artist"]),
        (json!([]), vec![""]),
        (json!("text"), vec![""]),
        (json!(null), vec![""]),
        (json!({"title": null, "artist": null}), vec!["/artist", "/title"]),
        (json!({"title": "", "artist": " \n "}), vec!["/artist", "/title"]),
        (
            json!({"title": long, "artist": long, "album": long, "genre": &long[..101]}),
            vec!["/album", "/artist", "/genre", "/title"],
        ),
        (
            json!({"title": 5, "artist": {"a": 1}, "album": [], "genre": false, "duration_ms": "3:14"}),
            vec!["/album", "/artist", "/duration_ms", "/genre", "/title"],
        ),
        (json!({"title": "T", "artist": "A", "duration_ms": -1}), vec!["/duration_ms"]),
        (json!({"title": "T", "artist": "A", "duration_ms": 86_400_001}), vec!["/duration_ms"]),
        (
            json!({"title": "T", "artist": "A", "duration_ms": 9_223_372_036_854_775_808_u64}),
            vec!["/duration_ms"],
        ),
        (json!({"title": "T", "artist": "A", "duration_ms": 1.5}), vec!["/duration_ms"]),
        (json!({"title": "T\u{0}", "artist": "A\u{1b}[31m"}), vec!["/artist", "/title"]),
        (
            json!({"title": "T", "artist": "A", "owner": 7, "role/~": "admin"}),
            vec!["/owner", "/role~1~0"],
        ),
    ] {
        let refused = app.post("/musics", ANNA, given.clone()).await;
        assert_eq!(refused.problem(), (400, "invalid-input"), "{given}");
        assert_eq!(refused.pointers(), pointers, "{given}");
    }
    let refused = app
        .post("/musics", ANNA, json!({"title": "x".repeat(301), "artist": "A", "duration_ms": -1}))
        .await;
    assert_eq!(
        refused.json["errors"],
        json!([
            {"pointer": "/duration_ms", "detail": "must be 0 to 86400000 milliseconds", "limit": 0},
            {"pointer": "/title", "detail": "must have 300 characters at most, not 301", "limit": 300},
        ])
    );
    assert_eq!(app.total("").await, 0, "nothing was added");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_as_a_whole() {
    let (app, _folder) = App::start().await;
    let song = r#""title": "T", "artist": "A""#;
    for (text, why) in [
        (String::new(), "empty"),
        ("{".into(), "cut off"),
        (format!("{{{song}}} trailing"), "trailing"),
        (format!("{{{song}, \"duration_ms\": NaN}}"), "not a number"),
        (format!("{{{song}, \"duration_ms\": 1e400}}"), "out of range"),
        ("[".repeat(30_000), "deeply nested"),
        (
            format!("{{{song}, \"album\": {}1{}}}", "[".repeat(20_000), "]".repeat(20_000)),
            "nested inside",
        ),
    ] {
        let refused = body(&app, text).await;
        assert_eq!(refused.status, 400, "{why}: {}", refused.json);
    }
    let refused = body(&app, b"{\"title\": \"\xff\xfe\", \"artist\": \"A\"}".to_vec()).await;
    assert_eq!(refused.status, 400, "no UTF-8");
    assert_eq!(
        body(&app, r#"{"title": "\ud800", "artist": "A"}"#).await.status,
        400,
        "half a surrogate"
    );

    let large = json!({"title": "x".repeat(1 << 20), "artist": "A"});
    assert_eq!(app.post("/musics", ANNA, large).await.status, 413);
    let request = || app.request(Method::POST, "/musics", ANNA).body(format!("{{{song}}}"));
    assert_eq!(answer(request()).await.status, 415, "no type");
    assert_eq!(answer(request().header("content-type", "text/plain")).await.status, 415);
    let json = request().header("content-type", "application/json");
    assert_eq!(answer(json.header("content-encoding", "gzip")).await.status, 415);
    assert_eq!(app.total("").await, 0, "nothing was added");
}

#[tokio::test]
async fn a_query_that_is_wrong_names_every_parameter() {
    let (app, _folder) = App::start().await;
    let ids = (1..=501).map(|it| it.to_string()).collect::<Vec<_>>().join(",");
    for (path, pointers) in [
        ("/musics?limit=0".to_owned(), vec!["?limit"]),
        ("/musics?limit=501".into(), vec!["?limit"]),
        ("/musics?limit=-1&count=yes".into(), vec!["?limit", "?count"]),
        ("/musics?limit=1e9".into(), vec!["?limit"]),
        ("/musics?limit=9223372036854775808".into(), vec!["?limit"]),
        ("/musics?limit=5&limit=6".into(), vec!["?limit"]),
        ("/musics?cursor=abc".into(), vec!["?cursor"]),
        ("/musics?cursor=ffffffffffffffff".into(), vec!["?cursor"]),
        ("/musics?created_by=anna".into(), vec!["?created_by"]),
        ("/musics?offset=1&page_size=1000000000".into(), vec!["?offset", "?page_size"]),
        (
            format!("/musics?search={0}&artist={0}&genre={0}", "x".repeat(301)),
            vec!["?search", "?artist", "?genre"],
        ),
        ("/musics?artist=".into(), vec!["?artist"]),
        ("/musics?artist=%00".into(), vec!["?artist"]),
        ("/musics/batch".into(), vec!["?ids"]),
        ("/musics/batch?ids=".into(), vec!["?ids"]),
        ("/musics/batch?ids=1,,2".into(), vec!["?ids"]),
        ("/musics/batch?ids=1,x".into(), vec!["?ids"]),
        ("/musics/batch?ids=9223372036854775808".into(), vec!["?ids"]),
        ("/musics/batch?id=1".into(), vec!["?id"]),
        (format!("/musics/batch?ids={ids}"), vec!["?ids"]),
    ] {
        let refused = app.get(&path).await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.json);
        assert_eq!(refused.pointers(), pointers, "{path}");
    }
    // As many words as fit, each with a long answer, are still only a question.
    let many: Vec<String> = ('a'..='z').map(String::from).collect();
    assert_eq!(app.get(&format!("/musics?search={}", many.join("+"))).await.status, 200);
    let cjk: String = ('\u{4e00}'..).take(300).collect();
    assert_eq!(app.get(&format!("/musics?search={cjk}")).await.status, 200);
}

#[tokio::test]
async fn a_path_that_is_no_id_is_not_there() {
    let (app, _folder) = App::start().await;
    for path in [
        "/musics/0",
        "/musics/-1",
        "/musics/9223372036854775807",
        "/musics/9223372036854775808",
        "/musics/1.5",
        "/musics/x",
        "/musics/%00",
        "/musics/%ff",
        "/musics/%c0%af",
        "/musics/..%2f..%2fetc",
        "/musics/1/2",
        "/nothing",
    ] {
        let refused = app.get(path).await;
        assert!(matches!(refused.status, 400 | 404), "{path}: {}", refused.status);
        let refused = app.patch(path, ANNA, json!({"title": "T"})).await;
        assert!(matches!(refused.status, 400 | 404 | 405), "{path}: {}", refused.status);
    }
    assert_eq!(answer(app.request(Method::DELETE, "/musics", ANNA)).await.status, 405);
    assert_eq!(answer(app.request(Method::GET, "/musics/import", ANNA)).await.status, 405);
}

#[tokio::test]
async fn a_change_that_is_wrong_changes_nothing() {
    let (app, _folder) = App::start().await;
    let before = app.post("/musics", ANNA, json!({"title": "T", "artist": "A"})).await.json;
    for wrong in [
        json!({"title": "New", "duration_ms": -5}),
        json!({"title": "New", "artist": null}),
        json!({"title": "New", "plays": 1}),
    ] {
        assert_eq!(app.patch("/musics/1", ANNA, wrong.clone()).await.status, 400, "{wrong}");
        assert_eq!(app.put("/musics/1", ANNA, wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(app.get("/musics/1").await.json, before);
    assert_eq!(app.put("/musics/1", ANNA, Value::Null).await.status, 400);
}
