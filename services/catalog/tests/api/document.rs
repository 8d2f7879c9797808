//! The document of the API.

use crate::{app::App, documented::operations};

#[tokio::test]
async fn every_route_is_documented_and_every_documented_route_is_served() {
    let (app, _place) = App::start().await;
    // A new route is added here, too, when it is described.
    let expected = [
        "DELETE /creators/{id}",
        "DELETE /musics/{id}",
        "GET /musics",
        "GET /musics/batch",
        "GET /musics/{id}",
        "PATCH /musics/{id}",
        "POST /musics",
        "POST /musics/import",
        "POST /musics/match",
        "PUT /musics/{id}",
    ];
    assert_eq!(operations(&app.address).await, expected);
}
