use std::collections::BTreeSet;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::json;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{
    app::{ANNA, App, BORIS, Place},
    served::{odd_songs, songs},
};

#[tokio::test]
async fn an_import_ends_each_record_in_exactly_one_way_and_a_rerun_adds_nothing() {
    let (app, _folder) = App::start().await;
    app.post("/musics", BORIS, json!({"title": "song 7", "artist": "ARTIST 7"})).await;
    let (file, refused) = odd_songs();
    let report = app.import(ANNA, file.clone()).await;
    assert_eq!(report.status, 200, "{}", report.json);
    let expected =
        json!({"rows": 2503, "added": 2500, "already": 2, "created": 2500, "refused": refused});
    assert_eq!(report.json, expected);
    assert_eq!(app.total("").await, 2501);
    assert_eq!(app.total("&created_by=1").await, 2500);
    let song = app.get("/musics?search=song+2345").await.json["items"][0].clone();
    assert_eq!((&song["duration_ms"], &song["artist"]), (&json!(2345), &json!("Artist 5")));
    assert_eq!(app.ids("", 500).await.len(), 2501);

    let again = app.import(ANNA, file).await.json;
    assert_eq!(
        (&again["added"], &again["already"], &again["rows"]),
        (&json!(0), &json!(2502), &json!(2503))
    );
    assert_eq!(app.total("").await, 2501);

    let count =
        |outcome| app.metric(&format!("catalog_import_rows_total{{outcome=\"{outcome}\"}}"));
    assert_eq!((count("added"), count("already"), count("refused")), (2500.0, 2504.0, 2.0));
    assert_eq!(app.metric("catalog_musics_created_total{source=\"import\"}"), 2500.0);
    assert_eq!(app.metric("catalog_import_duration_seconds_count{outcome=\"completed\"}"), 2.0);
}

#[tokio::test]
async fn an_import_is_one_trace_with_a_span_for_each_batch_and_none_for_a_row() {
    let (app, _folder) = App::start().await;
    // `capture` filters business spans out, so this test installs a subscriber that has them, for the same captured spans.
    let provider = SdkTracerProvider::builder().with_span_processor(app.spans.clone()).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("catalog"));
    let _installed = tracing_subscriber::registry().with(spans).set_default();
    app.get("/musics").await; // has the keys of accounts fetched
    app.spans.take();
    app.import(ANNA, songs(2_345)).await;
    let mut spans = app.spans.take();
    spans.retain(|it| it.name != "LOCK"); // PostgreSQL's, for what SQLite has anyway
    let names: Vec<&str> = spans.iter().map(|it| it.name.as_ref()).collect();
    let batch = ["BEGIN", "INSERT musics", "COMMIT", "import batch"];
    assert_eq!(names, [&batch[..], &batch, &batch, &["POST /musics/import"]].concat());

    let traces: BTreeSet<_> =
        spans.iter().map(|it| it.span_context.trace_id().to_string()).collect();
    assert_eq!(traces.len(), 1);
    let root = spans.last().unwrap().span_context.span_id();
    for batch in spans[..12].chunks(4) {
        assert_eq!(batch[3].parent_span_id, root);
        assert!(batch[..3].iter().all(|it| it.parent_span_id == batch[3].span_context.span_id()));
    }
    let rows = |at: usize| {
        let found = spans[at].attributes.iter().find(|it| it.key.as_str() == "import.rows");
        found.map(|it| it.value.to_string())
    };
    assert_eq!([rows(3), rows(7), rows(11)].map(Option::unwrap), ["1000", "1000", "345"]);
}

#[tokio::test]
async fn a_file_that_is_no_list_of_songs_changes_nothing() {
    let (app, _folder) = App::start().await;
    app.refuses_bad_files("/musics/import").await;
    assert_eq!(app.total("").await, 0);
}

#[tokio::test]
async fn a_stop_ends_an_import_after_its_batch_and_sending_it_again_resumes() {
    let place = Place::new();
    let app = App::start_in(&place, &[]).await;
    app.get("/musics").await;
    app.stopping.cancel(); // for a second, it still takes requests
    let interrupted = app.import(ANNA, songs(2_500)).await;
    assert_eq!(interrupted.problem(), (503, "import-interrupted"));
    assert_eq!(
        interrupted.json["detail"],
        json!(
            "The service is stopping: 1000 of 2500 records are done, 1000 of them new. Send the same file again to resume."
        )
    );
    assert_eq!(app.metric("catalog_import_duration_seconds_count{outcome=\"interrupted\"}"), 1.0);
    app.stop().await;

    let app = App::start_in(&place, &[]).await;
    assert_eq!(app.total("").await, 1000);
    let resumed = app.import(ANNA, songs(2_500)).await.json;
    assert_eq!((&resumed["added"], &resumed["already"]), (&json!(1500), &json!(1000)));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_whole_batches() {
    let (app, _folder) = App::start().await;
    app.get("/musics").await;
    let file = songs(30_000);
    // Once in the middle of the upload, once in the middle of the import.
    for end in [file.len() / 2, file.len()] {
        let socket = app.begin_upload("/musics/import", ANNA, &file, end).await;
        if end == file.len() {
            while app.metric("catalog_import_rows_total{outcome=\"added\"}") == 0.0 {
                tokio::task::yield_now().await;
            }
        }
        drop(socket);
        app.idle().await;
        let there = app.total("").await;
        assert_eq!(there % 1000, 0, "no half batch");
        assert_eq!(there == 0, end < file.len());
    }
    let there = app.total("").await;
    let resumed = app.import(ANNA, file).await.json;
    assert_eq!((&resumed["already"], &resumed["added"]), (&json!(there), &json!(30_000 - there)));
}

#[tokio::test]
async fn others_read_and_write_while_an_import_runs() {
    let (app, _folder) = App::start().await;
    let import = app.import(ANNA, songs(10_000));
    let others = async {
        for number in 0..20 {
            let body = json!({"title": format!("Mine {number}"), "artist": "B"});
            assert_eq!(app.post("/musics", BORIS, body).await.status, 201);
            assert_eq!(app.get("/musics?search=mine").await.status, 200);
        }
    };
    let (report, ()) = tokio::join!(import, others);
    assert_eq!(report.json["added"], json!(10_000));
    assert_eq!(app.total("").await, 10_020);
}
