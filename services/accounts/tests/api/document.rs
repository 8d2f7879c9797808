//! The document of the API.

use crate::{documented::operations, service::Service};

#[tokio::test]
async fn every_route_is_documented_and_every_documented_route_is_served() {
    let service = Service::start().await;
    let address = service.url.strip_prefix("http://").unwrap();
    // A new route is added here, too, when it is described.
    let expected = [
        "DELETE /sessions/current",
        "DELETE /tokens/{id}",
        "DELETE /users/{id}",
        "GET /.well-known/jwks.json",
        "GET /tokens",
        "GET /users",
        "GET /users/by-name",
        "GET /users/names",
        "GET /users/{id}",
        "PATCH /users/{id}",
        "POST /api-token-auth",
        "POST /credentials/exchange",
        "POST /sessions",
        "POST /tokens",
        "POST /users",
        "PUT /users/{id}",
    ];
    assert_eq!(operations(address).await, expected);
}
