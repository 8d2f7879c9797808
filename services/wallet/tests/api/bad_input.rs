//! Whatever comes in: a problem that names field and limit, never a 5xx, never half a change.

use reqwest::Method;

use crate::app::{ANNA, App, answer};

#[tokio::test]
async fn a_query_that_is_wrong_names_every_parameter() {
    let (app, _folder) = App::start().await;
    let users = (1..=101).map(|it| it.to_string()).collect::<Vec<_>>().join(",");
    for (path, pointers) in [
        ("/users/1/favourites?limit=0".to_owned(), vec!["?limit"]),
        ("/users/1/favourites?limit=501&cursor=1".into(), vec!["?limit", "?cursor"]),
        ("/users/1/favourites?limit=1e2&offset=5".into(), vec!["?limit", "?offset"]),
        ("/users/1/favourites?limit=5&limit=5".into(), vec!["?limit"]),
        ("/users/1/favourites?cursor=".into(), vec!["?cursor"]),
        ("/users/1/favourites?cursor=ffffffffffffffff".into(), vec!["?cursor"]),
        ("/users/1/favourites?cursor=%00".into(), vec!["?cursor"]),
        ("/favourites".into(), vec!["?users"]),
        ("/favourites?newest=5".into(), vec!["?users"]),
        ("/favourites?users=".into(), vec!["?users"]),
        ("/favourites?users=1,,2".into(), vec!["?users"]),
        ("/favourites?users=1,x&newest=101".into(), vec!["?users", "?newest"]),
        ("/favourites?users=9223372036854775808".into(), vec!["?users"]),
        ("/favourites?users=1&newest=-1".into(), vec!["?newest"]),
        (format!("/favourites?users={users}"), vec!["?users"]),
        ("/export?format=xml".into(), vec!["?format"]),
        ("/export?format=CSV&user=2".into(), vec!["?format", "?user"]),
    ] {
        let refused = app.get(&path).await;
        assert_eq!(refused.problem(), (400, "invalid-input"), "{path}: {}", refused.json);
        assert_eq!(refused.pointers(), pointers, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_is_no_id_is_not_there() {
    let (app, _folder) = App::start().await;
    for id in ["x", "9223372036854775808", "1.5", "%00", "%ff", "..%2f..%2fetc", "1/2"] {
        for (method, path) in [
            (Method::PUT, format!("/favourites/{id}")),
            (Method::DELETE, format!("/favourites/{id}")),
            (Method::GET, format!("/users/{id}/favourites")),
            (Method::DELETE, format!("/users/{id}/favourites")),
        ] {
            let refused = answer(app.request(method.clone(), &path, ANNA)).await;
            assert!(matches!(refused.status, 400 | 404), "{method} {path}: {}", refused.status);
        }
    }
    for (method, path) in [
        (Method::POST, "/favourites/1"),
        (Method::POST, "/users/1/favourites"),
        (Method::DELETE, "/favourites"),
        (Method::GET, "/import"),
        (Method::POST, "/export"),
    ] {
        assert_eq!(answer(app.request(method, path, ANNA)).await.status, 405, "{path}");
    }
}
