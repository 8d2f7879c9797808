//! Pages of one user's favourites, and the newest of several.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    app::{ANNA, App, BORIS},
    served::songs,
};

#[tokio::test]
async fn pages_have_every_favourite_once_newest_first_also_when_some_come_and_go() {
    let (app, _folder) = App::start().await;
    assert_eq!(app.import(ANNA, songs(250)).await.status, 200);
    app.import(BORIS, songs(3)).await;
    let all: Vec<i64> = (1..=250).rev().collect();
    assert_eq!(app.ids(ANNA).await, all);
    for limit in [1, 100, 125, 250] {
        let found = app.favourites(ANNA, limit).await;
        let ids: Vec<i64> = found.iter().map(|it| it["music"]["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, all, "{limit}");
    }
    let first = app.get("/users/1/favourites").await.json;
    assert_eq!(first["items"].as_array().unwrap().len(), 100, "as many as nobody asked for");
    let next = first["next"].as_str().unwrap();
    let new = app.music("New", "N").await;
    app.keep(ANNA, new).await;
    for gone in [151, 150, 149] {
        app.remove(ANNA, gone).await;
    }
    let second = app.get(&format!("/users/1/favourites?limit=5&cursor={next}")).await.json;
    let ids = |page: &Value| -> Vec<i64> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["music"]["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(ids(&second), [148, 147, 146, 145, 144]);
    // The last page says so, also when it is full, and what is behind the end is empty.
    let last = app.get("/users/2/favourites?limit=3").await.json;
    assert_eq!((ids(&last), &last["next"]), (vec![3, 2, 1], &json!(null)));
    let nothing = app.get("/users/2/favourites?cursor=0000000000000000").await.json;
    assert_eq!(nothing, json!({"items": [], "next": null}));
    assert_eq!(app.get("/users/99/favourites").await.json, json!({"items": [], "next": null}));
}

#[tokio::test]
async fn the_newest_of_several_users_come_with_their_counts_by_one_statement() {
    let (app, _folder) = App::start().await;
    app.import(ANNA, songs(150)).await;
    app.import(BORIS, songs(2)).await;
    app.spans.take();
    let newest = app.get("/favourites?users=2,99,1,2&newest=3").await;
    let statements: Vec<_> = app.spans.take().into_iter().map(|it| it.name.into_owned()).collect();
    assert_eq!(statements, ["SELECT favourites", "GET /favourites"]);
    let told = |answer: &Value| -> Vec<(i64, i64, Vec<i64>)> {
        let of = |it: &Value| {
            let musics = it["favourites"].as_array().unwrap();
            let ids = musics.iter().map(|it| it["id"].as_i64().unwrap()).collect();
            (it["user"].as_i64().unwrap(), it["count"].as_i64().unwrap(), ids)
        };
        answer.as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(
        told(&newest.json),
        [(2, 2, vec![2, 1]), (99, 0, vec![]), (1, 150, vec![150, 149, 148])]
    );
    assert_eq!(
        newest.json[0]["favourites"][0],
        json!({"id": 2, "title": "Song 2", "artist": "Artist 2", "album": "", "genre": "", "duration_ms": 2})
    );
    let counts = app.get("/favourites?users=1,2&newest=0").await.json;
    assert_eq!(told(&counts), [(1, 150, vec![]), (2, 2, vec![])]);
    let most = app.get("/favourites?users=1").await.json;
    assert_eq!(told(&most)[0].2, (51..=150).rev().collect::<Vec<_>>());
    let many = (1..=100).map(|it| it.to_string()).collect::<Vec<_>>().join(",");
    let all = told(&app.get(&format!("/favourites?users={many}&newest=1")).await.json);
    assert_eq!(all.iter().map(|it| it.0).collect::<BTreeSet<_>>().len(), 100);
    assert_eq!(all[2], (3, 0, vec![]));
}
