use platform::storage::testing::TestDatabase;
use telemetry::Telemetry;
use tempfile::TempDir;

use super::*;

/// A wallet over a new database, which is gone with what comes after it.
async fn over(
    database: impl FnOnce(&std::path::Path, &str) -> TestDatabase,
) -> (Db, TestDatabase, TempDir) {
    let folder = TempDir::new().unwrap();
    let database = database(folder.path(), "wallet");
    let telemetry = Telemetry::disabled("wallet");
    let db = Db::open(database.location(), None, &MIGRATIONS, &telemetry).await.unwrap();
    (db, database, folder)
}

fn music(id: i64) -> Music {
    let [title, artist, album, genre] = ["T", "A", "", ""].map(str::to_owned);
    Music { id, title: format!("{title}{id}"), artist, album, genre, duration_ms: None }
}

macro_rules! plan {
    ($db:ident, $text:expr) => {{
        let text = format!("EXPLAIN QUERY PLAN {}", $text);
        let query = $db.query("EXPLAIN favourites", &*String::leak(text)).bind(1).bind(2).bind(3);
        let rows = query.fetch_all::<(i64, i64, i64, String)>().await.unwrap();
        rows.into_iter().map(|it| it.3).collect::<Vec<_>>()
    }};
}

#[tokio::test]
async fn every_page_is_found_by_a_seek_and_needs_no_sorting() {
    let (db, ..) = &over(TestDatabase::file).await; // how SQLite does it
    for (text, seek) in [(NEWEST, "id<?"), (OLDEST, "id>?")] {
        let plan = plan!(db, text);
        let index = "SEARCH favourites USING INDEX favourites_by_user";
        assert_eq!(plan, [format!("{index} (user_id=? AND {seek})")]);
    }
    let plan = plan!(db, NEWEST_OF.sqlite).join("\n");
    assert!(plan.contains("USING COVERING INDEX favourites_by_user (user_id=?)"), "{plan}");
    assert!(plan.contains("USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
}

#[tokio::test]
async fn favourites_are_kept_once_in_their_order_and_no_place_is_given_twice() {
    let (db, ..) = &over(TestDatabase::new).await;
    let keep = async |ids: &[i64]| {
        let musics: Vec<Music> = ids.iter().map(|id| music(*id)).collect();
        insert(db, 1, rows(&musics)).await.unwrap()
    };
    assert_eq!((keep(&[30, 10, 20]).await, keep(&[20, 40, 10]).await), (3, 1));
    let found = oldest(db, 1, 0, 500).await.unwrap();
    assert_eq!(found.iter().map(|it| it.music.id).collect::<Vec<_>>(), [30, 10, 20, 40]);
    assert_eq!(found[1].music, music(10));
    let last = found[3].id;
    assert!(delete(db, 1, 40).await.unwrap() && !delete(db, 1, 40).await.unwrap());
    keep(&[40]).await;
    assert!(newest(db, 1, i64::MAX, 1).await.unwrap()[0].id > last);
    let keys = json!([text::match_key("t10", " a "), text::match_key("t11", "a")]).to_string();
    let kept = kept_keys(db, 1, keys.clone()).await.unwrap();
    assert!(kept.into_iter().eq([text::match_key("T10", "A")]));
    assert!(kept_keys(db, 2, keys).await.unwrap().is_empty());
}
