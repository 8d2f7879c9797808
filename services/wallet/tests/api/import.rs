//! Libraries that are brought along.

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
async fn an_import_keeps_each_song_once_in_the_order_of_the_file_and_a_rerun_keeps_nothing() {
    let (app, _folder) = App::start().await;
    let there = app.music("SONG 7", "artist 7").await;
    let (file, refused) = odd_songs();
    let report = app.import(ANNA, file.clone()).await;
    assert_eq!(report.status, 200, "{}", report.json);
    let expected =
        json!({"rows": 2503, "added": 2501, "already": 1, "created": 2500, "refused": refused});
    assert_eq!(report.json, expected);
    let kept = app.favourites(ANNA, 500).await;
    let titles: Vec<_> =
        kept.iter().rev().map(|it| it["music"]["title"].as_str().unwrap()).collect();
    assert_eq!((titles.len(), titles[2_500]), (2501, "Two\r\nlines"));
    // The copy is one of the catalog's music, which was spelled otherwise.
    let expected = |number: usize| match number {
        7 => "SONG 7".to_owned(),
        number => format!("Song {number}"),
    };
    assert!(titles[..2_500].iter().zip(1..).all(|(title, number)| *title == expected(number)));
    assert_eq!(kept[2_494]["music"]["id"], json!(there));
    assert_eq!(app.musics().await, 2501);

    let again = app.import(ANNA, file.clone()).await.json;
    assert_eq!(
        (&again["added"], &again["already"], &again["created"], &again["rows"]),
        (&json!(0), &json!(2502), &json!(0), &json!(2503))
    );
    let other = app.import(BORIS, file).await.json;
    assert_eq!((&other["added"], &other["created"]), (&json!(2501), &json!(0)));

    let count = |outcome| app.metric(&format!("wallet_import_rows_total{{outcome=\"{outcome}\"}}"));
    assert_eq!((count("added"), count("already"), count("refused")), (5002.0, 2504.0, 3.0));
    assert_eq!(app.metric("wallet_favourites_added_total{source=\"import\"}"), 5002.0);
    assert_eq!(app.metric("wallet_import_duration_seconds_count{outcome=\"completed\"}"), 3.0);
}

#[tokio::test]
async fn files_are_read_as_exporters_write_them() {
    let (app, _folder) = App::start().await;
    for (file, songs) in [
        ("\u{feff}\"Track Name\",\"Artist Name(s)\",\"Album Name\"\nA,One,B\n", 1),
        ("track;artist;duration\nB;Two, too;3:14\n", 1),
        ("title\tartist\nC\tThree\nD\tFour\n", 2),
        ("title,artist\n", 0),
    ] {
        let report = app.import(ANNA, file).await;
        assert_eq!((report.status, &report.json["added"]), (200, &json!(songs)), "{file}");
    }
    let kept = app.favourites(ANNA, 500).await;
    assert_eq!(kept[2]["music"]["duration_ms"], json!(194_000));
    assert_eq!(kept[3]["music"]["album"], json!("B"));
}

#[tokio::test]
async fn a_file_that_is_no_list_of_songs_changes_nothing() {
    let (app, _folder) = App::start().await;
    app.refuses_bad_files("/import").await;
    assert_eq!((app.ids(ANNA).await.len(), app.musics().await), (0, 0));
}

#[tokio::test]
async fn of_musics_with_the_same_name_the_one_that_is_kept_stays() {
    let (app, _folder) = App::start().await;
    let first = app.music("Same", "A").await;
    let second = app.music("SAME", "a").await;
    app.keep(ANNA, second).await;
    let report = app.import(ANNA, "title,artist\nsame,A\n").await.json;
    assert_eq!((&report["added"], &report["already"]), (&json!(0), &json!(1)));
    assert_eq!(app.ids(ANNA).await, [second]);
    app.import(BORIS, "title,artist\nsame,A\n").await;
    assert_eq!(app.ids(BORIS).await, [first], "the lowest id, for whoever keeps none");
}

#[tokio::test]
async fn a_catalog_that_goes_away_interrupts_an_import_and_sending_it_again_resumes() {
    let (app, _folder) = App::start().await;
    let file = songs(10_000);
    let import = app.import(ANNA, file.clone());
    let cut = async {
        while app.metric("wallet_import_rows_total{outcome=\"added\"}") == 0.0 {
            tokio::task::yield_now().await;
        }
        app.catalog_is_reachable(false);
    };
    let (interrupted, ()) = tokio::join!(import, cut);
    assert_eq!(interrupted.problem(), (503, "catalog-unavailable"));
    assert!(interrupted.header("retry-after").is_some());
    let kept = app.ids(ANNA).await.len();
    assert!(kept > 0 && kept < 10_000 && kept.is_multiple_of(1_000), "{kept}");
    let detail = interrupted.json["detail"].as_str().unwrap();
    assert_eq!(
        detail,
        format!(
            "catalog cannot be reached: {kept} of 10000 records are done, {kept} of them new. Send the same file again to resume."
        )
    );
    assert_eq!(app.metric("wallet_import_duration_seconds_count{outcome=\"interrupted\"}"), 1.0);

    let nothing = app.import(BORIS, file.clone()).await;
    assert!(nothing.json["detail"].as_str().unwrap().contains("0 of 10000 records are done"));
    app.catalog_is_reachable(true);
    let resumed = app.import(ANNA, file).await.json;
    assert_eq!((&resumed["already"], &resumed["added"]), (&json!(kept), &json!(10_000 - kept)));
    assert_eq!(app.ids(ANNA).await, (1..=10_000).rev().collect::<Vec<_>>());
    assert_eq!(app.musics().await, 10_000, "nothing twice, nothing lost");
}

#[tokio::test]
async fn a_stop_ends_an_import_after_its_batch_and_sending_it_again_resumes() {
    let place = Place::new();
    let app = App::start_in(&place).await;
    app.get("/export").await;
    app.stopping.cancel(); // for a second, it still takes requests
    let interrupted = app.import(ANNA, songs(2_500)).await;
    assert_eq!(interrupted.problem(), (503, "import-interrupted"));
    let detail = interrupted.json["detail"].as_str().unwrap();
    assert!(detail.contains("1000 of 2500 records are done, 1000 of them new"), "{detail}");
    app.stop().await;

    let app = App::start_in(&place).await;
    assert_eq!(app.ids(ANNA).await.len(), 1_000);
    let resumed = app.import(ANNA, songs(2_500)).await.json;
    assert_eq!((&resumed["added"], &resumed["already"]), (&json!(1500), &json!(1000)));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_whole_batches() {
    let (app, _folder) = App::start().await;
    app.get("/favourites?users=1").await;
    let file = songs(10_000);
    let socket = app.begin_upload("/import", ANNA, &file, file.len()).await;
    while app.metric("wallet_import_rows_total{outcome=\"added\"}") == 0.0 {
        tokio::task::yield_now().await;
    }
    drop(socket);
    app.idle().await;
    let kept = app.ids(ANNA).await.len();
    assert!(kept > 0 && kept < 10_000 && kept.is_multiple_of(1_000), "{kept}");
    let resumed = app.import(ANNA, file).await.json;
    assert_eq!((&resumed["already"], &resumed["added"]), (&json!(kept), &json!(10_000 - kept)));
}

#[tokio::test]
async fn two_imports_of_the_same_file_at_once_keep_and_create_each_song_once() {
    let (app, _folder) = App::start().await;
    let (one, other, friend) = tokio::join!(
        app.import(ANNA, songs(3_000)),
        app.import(ANNA, songs(3_000)),
        app.import(BORIS, songs(3_000))
    );
    let sum =
        |name: &str| [&one, &other].map(|it| it.json[name].as_u64().unwrap()).iter().sum::<u64>();
    assert_eq!((sum("added"), sum("already")), (3_000, 3_000));
    assert_eq!(friend.json["added"], json!(3_000));
    assert_eq!(sum("created") + friend.json["created"].as_u64().unwrap(), 3_000);
    assert_eq!((app.ids(ANNA).await.len(), app.musics().await), (3_000, 3_000));
}

#[tokio::test]
async fn an_import_is_one_trace_with_a_span_for_each_batch_and_one_call_in_it() {
    let (app, _folder) = App::start().await;
    // `capture` filters business spans out, so this test installs a subscriber that has them, for the same captured spans.
    let provider = SdkTracerProvider::builder().with_span_processor(app.spans.clone()).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("wallet"));
    let _installed = tracing_subscriber::registry().with(spans).set_default();
    app.get("/favourites?users=1").await; // has the keys of accounts fetched
    app.import(BORIS, songs(1)).await; // and those of the catalog
    app.spans.take();
    app.import(ANNA, songs(1_345)).await;
    let spans = app.spans.take();
    let names: Vec<&str> = spans.iter().map(|it| it.name.as_ref()).collect();
    let batch = ["SELECT favourites", "POST /musics/match", "INSERT favourites", "import batch"];
    assert_eq!(names, [&batch[..], &batch, &["POST /import"]].concat());
    let traces: BTreeSet<_> =
        spans.iter().map(|it| it.span_context.trace_id().to_string()).collect();
    assert_eq!(traces.len(), 1);
    for batch in spans[..8].chunks(4) {
        assert!(batch[..3].iter().all(|it| it.parent_span_id == batch[3].span_context.span_id()));
    }
    app.import(ANNA, songs(1_345)).await;
    let names: Vec<_> = app.spans.take().into_iter().map(|it| it.name.into_owned()).collect();
    assert!(!names.iter().any(|it| it == "POST /musics/match"), "all is kept: nobody is asked");
}
