//! Clients that say nothing, say too much, or do not listen.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::stream;
use platform::service::{PeerAddress, Policy, ServerConfig};
use tokio::{io::AsyncReadExt, net::TcpSocket};

use crate::kit::{Client, Service, short, within};

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn a_handler_can_know_who_has_the_other_end() {
    let handler = async |Extension(PeerAddress(peer)): Extension<PeerAddress>| peer.to_string();
    let router = Router::new().route("/", get(handler));
    let service = Service::start(router, Policy::default(), ServerConfig::default());
    let mut client = service.connect().await;
    client.send_request("GET /", b"").await;
    let own = client.0.local_addr().unwrap().to_string();
    assert_eq!(client.answer().await.body, own.into_bytes());
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let service = Service::start(hello(), Policy::default(), short());
    assert_eq!(service.connect().await.rest().await, b"");
    service.cuts("first_bytes", 1.0).await;
}

#[tokio::test]
async fn a_connection_that_begins_http2_and_stops_is_closed() {
    let service = Service::start(hello(), Policy::default(), short());
    let mut client = service.connect().await;
    client.send(b"PRI * HT").await;
    assert_eq!(client.rest().await, b"");
    service.cuts("first_bytes", 1.0).await;
}

#[tokio::test]
async fn half_a_head_is_closed_and_does_not_disturb_others() {
    let service = Service::start(hello(), Policy::default(), short());
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut client = service.connect().await;
        client.send(b"GET / HTTP/1.1\r\nHost: test\r\nX-").await;
        slow.push(client);
    }
    assert_eq!(service.ask("GET /", b"").await.status, 200);
    for mut client in slow {
        assert_eq!(client.rest().await, b"");
    }
    service.cuts("slow_head", 100.0).await;
}

#[tokio::test]
async fn an_idle_connection_expires_without_being_counted_as_cut() {
    let service = Service::start(hello(), Policy::default(), short());
    let mut client = service.connect().await;
    client.send_request("GET /", b"").await;
    assert_eq!(client.answer().await.body, b"hello");
    assert_eq!(client.rest().await, b"");
    service.becomes("http_server_connections", "role=\"api\"", 0.0).await;
    assert_eq!(service.metric("http_server_connections_cut_total", "role=\"api\""), 0.0);
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_the_others_live() {
    let config = ServerConfig { max_connections: 2, ..ServerConfig::default() };
    let service = Service::start(hello(), Policy::default(), config);
    let mut clients = [service.connect().await, service.connect().await];
    for client in &mut clients {
        client.send_request("GET /", b"").await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(service.connect().await.rest().await, b"");
    assert_eq!(service.metric("http_server_connections_refused_total", "role=\"api\""), 1.0);

    let [mut first, second] = clients;
    first.send_request("GET /", b"").await;
    assert_eq!(first.answer().await.status, 200);
    drop(second);
    service.becomes("http_server_connections", "role=\"api\"", 1.0).await;
    assert_eq!(service.ask("GET /", b"").await.status, 200);
    // The internal port has a limit of its own, so operators get in when nobody else does.
    assert_eq!(service.internal("/health/live").await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_costs_no_memory() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let endless = move || async move {
        let blocks = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&[0; 64 << 10]))
        });
        Body::from_stream(blocks)
    };
    let router = Router::new().route("/", get(endless));
    let service = Service::start(router, Policy::default(), short());
    let mut client = service.connect().await;
    client.send_request("GET /", b"").await;
    service.cuts("write_stall", 1.0).await;
    let blocks = made.load(Ordering::Relaxed);
    assert!(blocks < 256, "{blocks} blocks of 64 KiB were made for nobody");
}

#[tokio::test]
async fn a_slow_client_gets_the_end_of_its_answer() {
    const SIZE: usize = 16 << 20; // more than the system buffers
    let router = Router::new().route("/", get(async || vec![7; SIZE]));
    let config = ServerConfig { write_stall: Duration::from_secs(30), ..short() };
    let head = config.head;
    let service = Service::start(router, Policy::default(), config);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut client = Client(socket.connect(service.address).await.unwrap());
    client.send_request("GET /", b"").await;
    // Longer than an idle connection is kept: it is not idle while an answer waits to be taken.
    tokio::time::sleep(head * 3).await;
    let mut got = 0;
    let mut block = vec![0; 1 << 20];
    while got < SIZE {
        let read = within(client.0.read(&mut block)).await.unwrap();
        assert_ne!(read, 0, "the answer ended after {got} bytes");
        got += read;
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let service = Service::start(hello(), Policy::default(), ServerConfig::default());
    let large = format!("GET /\r\nX-Large: {}", "x".repeat(100 << 10));
    assert_eq!(service.ask(&large, b"").await.status, 431);
    let many: String = (0..1000).map(|at| format!("\r\nX-{at}: y")).collect();
    assert_eq!(service.ask(&format!("GET /{many}"), b"").await.status, 431);
    let path = format!("GET /{}", "x".repeat(64 << 10));
    assert_eq!(service.ask(&path, b"").await.status, 414);
    service.cuts("head_too_large", 3.0).await;

    let path = format!("GET /{}", "x".repeat(10 << 10));
    let answer = service.ask(&path, b"").await;
    assert_eq!((answer.status, answer.problem()), (414, "uri-too-long"));
    let query = format!("GET /?q={}", "x".repeat(10 << 10));
    assert_eq!(service.ask(&query, b"").await.problem(), "uri-too-long");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let service = Service::start(hello(), Policy::default(), ServerConfig::default());
    for nonsense in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = service.connect().await;
        client.send(nonsense).await;
        assert_eq!(client.answer().await.status, 400, "{nonsense:?}");
    }
    service.cuts("malformed", 4.0).await;
    assert_eq!(service.ask("GET /", b"").await.status, 200);
}

#[tokio::test]
async fn odd_targets_are_answered_like_any_other() {
    let service = Service::start(hello(), Policy::default(), ServerConfig::default());
    for (line, status) in [
        (&b"GET //?a HTTP/1.1"[..], 200),
        (b"GET http://other HTTP/1.1", 200),
        (b"GET http://other/x// HTTP/1.1", 404),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"CONNECT other:80 HTTP/1.1", 404),
        (b"GET /\xff/ HTTP/1.1", 400),
        (b"GET /\xc3\xa4/ HTTP/1.1", 404),
        (b"GET /%zz/ HTTP/1.1", 404),
        (b"GET /?\xff HTTP/1.1", 400),
    ] {
        let mut client = service.connect().await;
        client.send(&[line, b"\r\nHost: a\r\n\r\n"].concat()).await;
        let shown = String::from_utf8_lossy(line);
        assert_eq!(client.answer().await.status, status, "{shown}");
    }
    assert_eq!(service.metric("http_server_panics_total", "place"), 0.0);
}
