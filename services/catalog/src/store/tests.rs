use telemetry::Telemetry;
use tempfile::TempDir;

use super::*;

async fn catalog() -> (Db, TempDir) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("catalog.db");
    (Db::open(&path, &MIGRATIONS, &Telemetry::disabled("catalog")).await.unwrap(), folder)
}

fn song(title: &str, artist: &str) -> Song {
    let [title, artist] = [title, artist].map(str::to_owned);
    Song { title, artist, album: String::new(), genre: String::new(), duration_ms: None }
}

/// The index of the words says the same as the table, or SQLite finds the difference.
async fn check_words(db: &Db) {
    const TEXT: &str =
        "INSERT INTO musics_words (musics_words, rank) VALUES ('integrity-check', 1)";
    db.write("INSERT musics_words", TEXT).execute().await.unwrap();
}

#[tokio::test]
async fn every_page_is_found_by_a_seek_and_needs_no_sorting() {
    let (db, _folder) = catalog().await;
    let filter = |words: Option<&str>, artist: Option<&str>, genre: Option<&str>, created_by| {
        let [words, artist, genre] = [words, artist, genre].map(|it| it.map(str::to_owned));
        Filter { words, artist, genre, created_by }
    };
    for (filter, expected) in [
        // "M": by the words; ">": behind an id; the order is that of the ids.
        (
            filter(Some("\"a\"*"), Some("a"), Some("g"), Some(1)),
            "SCAN musics_words VIRTUAL TABLE INDEX 64:M1>",
        ),
        (
            filter(None, Some("a"), Some("g"), Some(1)),
            "USING INDEX musics_by_artist (artist_folded=? AND id>?)",
        ),
        (
            filter(None, None, Some("g"), Some(1)),
            "USING INDEX musics_by_created_by (created_by=? AND id>?)",
        ),
        (
            filter(None, None, Some("g"), None),
            "USING INDEX musics_by_genre (genre_folded=? AND id>?)",
        ),
        (filter(None, None, None, None), "USING INTEGER PRIMARY KEY (rowid>?)"),
    ] {
        let query = filter.bind(db.query("EXPLAIN musics", filter.way().plan)).bind(0).bind(1);
        let plan = query.fetch_all::<(i64, i64, i64, String)>().await.unwrap();
        let plan: Vec<String> = plan.into_iter().map(|it| it.3).collect();
        assert!(plan[0].contains(expected), "{plan:?}");
        assert!(!plan.iter().any(|it| it.contains("TEMP B-TREE")), "{plan:?}");
    }
}

#[tokio::test]
async fn the_index_of_words_keeps_step_with_every_change() {
    let (db, _folder) = catalog().await;
    let found = async |word: &str| {
        let words = Some(matching(&text::words([word])));
        count(&db, &Filter { words, ..Filter::default() }).await.unwrap()
    };
    let id = insert(&db, &song("Ágætis byrjun", "Sigur Rós"), 7).await.unwrap();
    assert_eq!((found("agae").await, found("ros").await, found("tea").await), (1, 1, 0));
    let mut tx = db.begin().await.unwrap();
    update(&mut tx, id, &song("Tea", "Sigur Rós")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((found("agae").await, found("ros").await, found("tea").await), (0, 1, 1));
    check_words(&db).await;
    assert!(!delete(&db, id, 8).await.unwrap() && delete(&db, id, 7).await.unwrap());
    assert_eq!(found("ros").await, 0);
    check_words(&db).await;
    assert_ne!(insert(&db, &song("New", "N"), 7).await.unwrap(), id, "an id is not given twice");
}

#[tokio::test]
async fn missing_songs_are_added_in_their_order_and_counted() {
    let (db, _folder) = catalog().await;
    let there = insert(&db, &song("song 5", "A"), 7).await.unwrap();
    let songs: Vec<_> =
        (0..1_000).rev().map(|number| song(&format!("Song {number}"), "a")).collect();
    let rows = rows(&songs);
    for expected in [999, 0] {
        let mut tx = db.begin().await.unwrap();
        assert_eq!(insert_missing(&mut tx, rows.clone(), None).await.unwrap().len(), expected);
        tx.commit().await.unwrap();
    }
    let all = page(&db, &Filter::default(), there, 500).await.unwrap();
    let titles = all.iter().map(|it| it.title.clone());
    assert!(
        titles.eq((0..1_000).rev().filter(|it| *it != 5).take(500).map(|it| format!("Song {it}")))
    );
    assert!(all.iter().all(|it| it.created_by.is_none() && it.duration_ms.is_none()));
    check_words(&db).await;
}
