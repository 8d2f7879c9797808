//! The document of the API.

use crate::{app::App, documented::operations};

#[tokio::test]
async fn every_route_is_documented_and_every_documented_route_is_served() {
    let (app, _place) = App::start().await;
    // A new route is added here, too, when it is described.
    let expected = [
        "DELETE /favourites/{music_id}",
        "DELETE /users/{id}/favourites",
        "GET /export",
        "GET /favourites",
        "GET /users/{id}/favourites",
        "POST /import",
        "PUT /favourites/{music_id}",
    ];
    assert_eq!(operations(&app.address).await, expected);
}
