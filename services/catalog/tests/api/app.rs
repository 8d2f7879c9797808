//! The catalog as it runs, over a real database.

use std::{ops::Deref, sync::Arc};

use platform::{identity::Signer, storage::testing::TestDatabase};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use crate::served::{ANNA, Answer, BORIS, answer};
use crate::served::{Served, accounts};

/// A database of its own: a file in a folder, or one on the server that `MUSICWALLET_TEST_POSTGRES` names.
pub(crate) struct Place {
    pub(crate) database: TestDatabase,
    _folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = TempDir::new().unwrap();
        Place { database: TestDatabase::new(folder.path(), "catalog"), _folder: folder }
    }

    /// A file in any case: what is tested is its lock.
    pub(crate) fn file() -> Place {
        let folder = TempDir::new().unwrap();
        Place { database: TestDatabase::file(folder.path(), "catalog"), _folder: folder }
    }
}

pub(crate) struct App(Served);

impl Deref for App {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

impl App {
    /// Over a new catalog.
    pub(crate) async fn start() -> (App, Place) {
        let place = Place::new();
        (App::start_in(&place, &[]).await, place)
    }

    /// Over the catalog that is there.
    pub(crate) async fn start_in(place: &Place, settings: &[(&str, &str)]) -> App {
        let signer = Arc::new(Signer::generate().unwrap());
        let accounts = accounts(&signer).await;
        let mut pairs = vec![
            ("CATALOG_DATABASE", place.database.setting()),
            ("CATALOG_ACCOUNTS_URL", accounts.as_str()),
        ];
        pairs.extend(settings);
        let config = catalog::Config::from_pairs(&pairs);
        let router = async |parts: &_| catalog::router(&config, parts).await;
        App(Served::start(catalog::NAME, catalog::policy(), &signer, router).await)
    }

    pub(crate) async fn put(&self, path: &str, user: i64, body: Value) -> Answer {
        answer(self.request(Method::PUT, path, user).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, user: i64, body: Value) -> Answer {
        answer(self.request(Method::PATCH, path, user).json(&body)).await
    }

    pub(crate) async fn import(&self, user: i64, file: impl Into<reqwest::Body>) -> Answer {
        self.upload("/musics/import", user, file).await
    }

    /// The ids of a list, page after page.
    pub(crate) async fn ids(&self, query: &str, limit: usize) -> Vec<i64> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/musics?limit={limit}{query}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.json);
            let items = page.json["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            ids.extend(items.iter().map(|it| it["id"].as_i64().unwrap()));
            match page.json["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }

    pub(crate) async fn total(&self, query: &str) -> i64 {
        let page = self.get(&format!("/musics?limit=1&count=true{query}")).await;
        page.json["total"].as_i64().unwrap_or_else(|| panic!("{}", page.json))
    }

    pub(crate) async fn stop(self) {
        self.0.stop().await;
    }
}
