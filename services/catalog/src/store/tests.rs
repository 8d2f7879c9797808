use platform::storage::testing::TestDatabase;
use telemetry::Telemetry;
use tempfile::TempDir;

use super::*;

/// A file, or a database on the server that `MUSICWALLET_TEST_POSTGRES` names.
async fn catalog() -> (Db, (TestDatabase, TempDir)) {
    let folder = TempDir::new().unwrap();
    let database = TestDatabase::new(folder.path(), "catalog");
    let telemetry = Telemetry::disabled("catalog");
    let db = Db::open(database.location(), None, &MIGRATIONS, &telemetry).await.unwrap();
    (db, (database, folder))
}

fn song(title: &str, artist: &str) -> Song {
    let [title, artist] = [title, artist].map(str::to_owned);
    Song { title, artist, album: String::new(), genre: String::new(), duration_ms: None }
}

/// The index of the words says the same as the table, or SQLite finds the difference. PostgreSQL has them in the row.
async fn check_words(db: &Db) {
    const TEXT: Sql = Sql {
        sqlite: "INSERT INTO musics_words (musics_words, rank) VALUES ('integrity-check', 1)",
        postgres: "SELECT 1",
    };
    db.write("INSERT musics_words", TEXT).execute().await.unwrap();
}

#[tokio::test]
async fn every_page_is_found_by_a_seek_and_needs_no_sorting() {
    let (db, (database, _folder)) = catalog().await;
    if database.dialect() == Dialect::Postgres {
        // It plans by what there is.
        let songs = (0..3_000).map(|number| Song {
            genre: format!("genre {}", number % 50),
            ..song(&format!("song{number}"), &format!("artist {}", number % 500))
        });
        let songs: Vec<Song> = songs.collect();
        let mut tx = db.begin().await.unwrap();
        assert_eq!(insert_missing(&mut tx, rows(&songs), Some(7)).await.unwrap().len(), 3_000);
        tx.query("ANALYZE", "ANALYZE musics").execute().await.unwrap();
        tx.commit().await.unwrap();
    }
    let filter = |words: Option<&str>, artist: Option<&str>, genre: Option<&str>, created_by| {
        let words = words.map(|word| matching(&[word.to_owned()].into()));
        let [artist, genre] = [artist, genre].map(|it| it.map(str::to_owned));
        Filter { words, artist, genre, created_by }
    };
    for (filter, expected) in [
        // "M": by the words; ">": behind an id; the order is that of the ids.
        (
            filter(Some("song2999"), Some("a"), Some("g"), Some(1)),
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
        let mut tx = db.begin().await.unwrap();
        let query = filter.bind(tx.query("EXPLAIN musics", filter.way().plan)).bind(0).bind(1);
        if database.dialect() == Dialect::Sqlite {
            let plan = query.fetch_all::<(i64, i64, i64, String)>().await.unwrap();
            let plan: Vec<String> = plan.into_iter().map(|it| it.3).collect();
            assert!(plan[0].contains(expected), "{plan:?}");
            assert!(!plan.iter().any(|it| it.contains("TEMP B-TREE")), "{plan:?}");
            continue;
        }
        // PostgreSQL chooses the index by itself, whichever way we mean.
        let plan = query.fetch_all::<(String,)>().await.unwrap();
        let plan: Vec<String> = plan.into_iter().map(|it| it.0).collect();
        let has = |part: &str| plan.iter().any(|it| it.contains(part));
        assert!(has("Index Cond: ") && has("(id > ") && !has("Sort"), "{plan:?}");
    }
    if database.dialect() == Dialect::Postgres {
        let filter = filter(Some("song2999"), None, None, None);
        let mut tx = db.begin().await.unwrap();
        let query = filter.bind(tx.query("EXPLAIN musics", filter.way().plan)).bind(0).bind(1);
        let plan = query.fetch_all::<(String,)>().await.unwrap();
        assert!(plan.iter().any(|it| it.0.contains("Index Scan on musics_by_lexemes")), "{plan:?}");
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

#[tokio::test]
async fn two_imports_at_the_same_time_add_each_song_once() {
    let (db, _database) = catalog().await;
    let songs: Vec<_> = (0..200).map(|number| song(&format!("Song {number}"), "A")).collect();
    let rows = rows(&songs);
    let import = async || {
        let mut tx = db.begin().await.unwrap();
        let added = insert_missing(&mut tx, rows.clone(), None).await.unwrap();
        tx.commit().await.unwrap();
        added.len()
    };
    let (one, other, third) = tokio::join!(import(), import(), import());
    assert_eq!(one + other + third, 200);
}

#[tokio::test]
async fn two_changes_at_the_same_time_follow_each_other() {
    let (db, _database) = catalog().await;
    let id = insert(&db, &song("", "A"), 7).await.unwrap();
    let add = async |letter: &str| {
        let mut tx = db.begin().await.unwrap();
        let Music { title, .. } = find_in(&mut tx, id).await.unwrap().unwrap();
        update(&mut tx, id, &song(&(title + letter), "A")).await.unwrap();
        tx.commit().await.unwrap();
    };
    tokio::join!(add("x"), add("x"), add("x"));
    assert_eq!(find(&db, id).await.unwrap().unwrap().title, "xxx");
}

#[tokio::test]
async fn words_of_every_script_are_found_by_their_beginnings() {
    let (db, _database) = catalog().await;
    let titles = [
        "Björk",
        "夜に駆ける",
        "Ночь",
        "naïve ★",
        "3 AM",
        "rock'n'roll",
        "O\\'Brien",
        "Zebra zebras",
    ];
    for title in titles {
        insert(&db, &song(title, "Somebody"), 1).await.unwrap();
    }
    for (search, expected) in [
        ("bj", vec!["Björk"]),
        ("駆", vec!["夜に駆ける"]),
        ("ноч", vec!["Ночь"]),
        ("★ naive", vec!["naïve ★"]),
        ("3", vec!["3 AM"]),
        ("n roll", vec!["rock'n'roll"]),
        ("o'brien", vec!["O\\'Brien"]),
        ("zeb", vec!["Zebra zebras"]),
        ("ebra", vec![]),
        ("som", titles.to_vec()),
    ] {
        let words = Some(matching(&text::words([search])));
        let filter = Filter { words, ..Filter::default() };
        let found = page(&db, &filter, 0, 100).await.unwrap();
        let found: Vec<_> = found.iter().map(|it| it.title.as_str()).collect();
        assert_eq!(found, expected, "{search}");
        assert_eq!(count(&db, &filter).await.unwrap() as usize, expected.len());
    }
}
