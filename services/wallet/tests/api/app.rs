//! The wallet as it runs, over a real database, and the real catalog behind a line that can be cut.

use std::{ops::Deref, sync::Arc};

use axum::{Router, body::Bytes};
use platform::{identity::Signer, storage::testing::TestDatabase};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub(crate) use crate::served::{ANNA, Answer, BORIS, answer};
use crate::served::{Served, accounts};

/// The databases of both: files in a folder, or on the server that `MUSICWALLET_TEST_POSTGRES` names.
pub(crate) struct Place {
    pub(crate) wallet: TestDatabase,
    catalog: TestDatabase,
    _folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = TempDir::new().unwrap();
        let database = |name| TestDatabase::new(folder.path(), name);
        Place { wallet: database("wallet"), catalog: database("catalog"), _folder: folder }
    }

    /// Files in any case: what is tested is their lock.
    pub(crate) fn files() -> Place {
        let folder = TempDir::new().unwrap();
        let database = |name| TestDatabase::file(folder.path(), name);
        Place { wallet: database("wallet"), catalog: database("catalog"), _folder: folder }
    }
}

pub(crate) struct App {
    wallet: Served,
    pub(crate) catalog: Served,
    line: watch::Sender<Option<String>>,
}

impl Deref for App {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.wallet
    }
}

impl App {
    /// Over a new wallet and a new catalog.
    pub(crate) async fn start() -> (App, Place) {
        let place = Place::new();
        (App::start_in(&place).await, place)
    }

    /// Over those that are there.
    pub(crate) async fn start_in(place: &Place) -> App {
        let signer = Arc::new(Signer::generate().unwrap());
        let accounts = accounts(&signer).await;
        let config = catalog::Config::from_pairs(&[
            ("CATALOG_DATABASE", place.catalog.setting()),
            ("CATALOG_ACCOUNTS_URL", &accounts),
        ]);
        let router = async |parts: &_| catalog::router(&config, parts).await;
        let catalog = Served::start(catalog::NAME, catalog::policy(), &signer, router).await;
        let (address, line) = line_to(catalog.address.clone()).await;
        let config = wallet::Config::from_pairs(&[
            ("WALLET_DATABASE", place.wallet.setting()),
            ("WALLET_ACCOUNTS_URL", &accounts),
            ("WALLET_CATALOG_URL", &format!("http://{address}")),
        ]);
        // The last: what both count by macros goes to the recorder that the thread was given last.
        let router = async |parts: &_| wallet::router(&config, parts).await;
        let wallet = Served::start(wallet::NAME, wallet::policy(), &signer, router).await;
        App { wallet, catalog, line }
    }

    /// Breaks all connections to the catalog and lets none come about, or lets them again.
    pub(crate) fn catalog_is_reachable(&self, reachable: bool) {
        self.line.send_replace(reachable.then(|| self.catalog.address.clone()));
    }

    /// Leads to somebody else than the catalog, who answers `{}` to everything.
    pub(crate) async fn catalog_is_an_impostor(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.line.send_replace(Some(listener.local_addr().unwrap().to_string()));
        let router = Router::new().fallback(async |_: Bytes| axum::Json(json!({})));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    /// Adds a music to the catalog and tells its id.
    pub(crate) async fn music(&self, title: &str, artist: &str) -> i64 {
        let body =
            json!({"title": title, "artist": artist, "album": "B", "genre": "g", "duration_ms": 5});
        let music = self.catalog.post("/musics", BORIS, body).await;
        music.json["id"].as_i64().unwrap_or_else(|| panic!("{}", music.json))
    }

    /// How many musics the catalog has.
    pub(crate) async fn musics(&self) -> i64 {
        let page = self.catalog.get("/musics?limit=1&count=true").await;
        page.json["total"].as_i64().unwrap()
    }

    pub(crate) async fn keep(&self, user: i64, music: i64) -> Answer {
        answer(self.request(Method::PUT, &format!("/favourites/{music}"), user)).await
    }

    pub(crate) async fn remove(&self, user: i64, music: i64) -> Answer {
        self.delete(&format!("/favourites/{music}"), user).await
    }

    pub(crate) async fn import(&self, user: i64, file: impl Into<reqwest::Body>) -> Answer {
        self.upload("/import", user, file).await
    }

    /// The caller's library in that format: the type, the name and the content of the file.
    pub(crate) async fn export(&self, user: i64, query: &str) -> (String, Option<String>, String) {
        let request = self.request(Method::GET, &format!("/export{query}"), user);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name| response.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        let (kind, name) = (header("content-type").unwrap(), header("content-disposition"));
        (kind, name, response.text().await.unwrap())
    }

    /// All that a user keeps, newest first, page after page.
    pub(crate) async fn favourites(&self, user: i64, limit: usize) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/users/{user}/favourites?limit={limit}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.json);
            let items = page.json["items"].as_array().unwrap();
            assert!(items.len() <= limit);
            all.extend(items.iter().cloned());
            match page.json["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// The ids of the musics that a user keeps, newest first.
    pub(crate) async fn ids(&self, user: i64) -> Vec<i64> {
        let all = self.favourites(user, 500).await;
        all.iter().map(|it| it["music"]["id"].as_i64().unwrap()).collect()
    }

    /// Stops both and waits until they have: others can then have their databases.
    pub(crate) async fn stop(self) {
        tokio::join!(self.wallet.stop(), self.catalog.stop());
    }
}

/// An address from which connections are passed on to `target`, or to another one that is told later, or to none.
async fn line_to(target: String) -> (String, watch::Sender<Option<String>>) {
    let (told, targets) = watch::channel(Some(target));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut targets = targets.clone();
            tokio::spawn(async move {
                let target = targets.borrow_and_update().clone();
                let Some(target) = target else { return };
                let mut far = TcpStream::connect(target).await.unwrap();
                // Whichever ends first, both connections are dropped, which is what is wanted.
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = targets.changed() => {}
                }
            });
        }
    });
    (address, told)
}
