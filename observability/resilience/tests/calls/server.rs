//! What the calls of the tests reach.

use std::net::SocketAddr;

use axum::Router;
use platform::config::{HttpUrl, Value};
use resilience::{Client, Error, Peer, PeerName};
use telemetry::Telemetry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// The service that is called.
pub(crate) const CATALOG: PeerName = PeerName::new("catalog", "catalog-unavailable");

/// The peer at `address`.
pub(crate) fn peer_at(address: SocketAddr, telemetry: &Telemetry) -> Peer {
    let url = HttpUrl::parse(&format!("http://{address}")).unwrap();
    Client::new(telemetry).unwrap().peer(CATALOG, &url)
}

/// A peer that serves `router`.
pub(crate) async fn serving(router: Router) -> Peer {
    serving_to(router, &Telemetry::disabled("test")).await
}

/// A peer that serves `router`, and is called by a service with this telemetry.
pub(crate) async fn serving_to(router: Router, telemetry: &Telemetry) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    peer_at(address, telemetry)
}

/// A peer that reads the head of a request, answers `bytes` as they are and hangs up.
pub(crate) async fn answering(bytes: &'static [u8], telemetry: &Telemetry) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = [0; 4096];
            assert!(socket.read(&mut head).await.unwrap() > 0);
            // The other side may have gone already, when the answer is too long for it.
            let _ = socket.write_all(bytes).await;
        }
    });
    peer_at(address, telemetry)
}

/// A peer that is connected to and never says anything. It lives as long as the listener.
pub(crate) fn silent() -> (Peer, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (peer_at(address, &Telemetry::disabled("test")), listener)
}

/// The error as our own client would see it: status, body and `Retry-After`.
pub(crate) async fn told(error: Error) -> (u16, String, Option<String>) {
    let response = axum::response::IntoResponse::into_response(error);
    let after = response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), after)
}
