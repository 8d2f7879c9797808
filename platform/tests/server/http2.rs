//! HTTP/2 by hand, frame by frame, because no client would send what these send.

use std::time::Duration;

use axum::{Router, routing::get};
use platform::service::{Policy, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::kit::{Client, Service, short, within};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ENHANCE_YOUR_CALM: u8 = 11;

/// `GET http://a/`, in HPACK: three entries of the static table and an authority.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn greeted(service: &Service) -> Client {
    let mut client = service.connect().await;
    client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
    client
}

/// The next frame of a kind, `None` when the connection ends before.
async fn next(client: &mut Client, wanted: u8) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        within(client.0.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        within(client.0.read_exact(&mut payload)).await.ok()?;
        if head[3] == wanted {
            return Some(payload);
        }
    }
}

fn service(config: ServerConfig) -> Service {
    let router = Router::new().route("/", get(async || "hello"));
    Service::start(router, Policy::default(), config)
}

#[tokio::test]
async fn http2_is_answered_on_the_same_port() {
    let service = service(ServerConfig::default());
    let mut client = greeted(&service).await;
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, GET)).await;
    let answer = next(&mut client, HEADERS).await.unwrap();
    assert_eq!(answer[0], 0x88, "`:status: 200` of the static table");
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_even_if_the_client_does_not_help() {
    let service = service(ServerConfig { http2_idle: Duration::from_millis(200), ..short() });
    let mut client = greeted(&service).await;
    assert!(next(&mut client, GOAWAY).await.is_some());
    client.rest().await;
    service.cuts("stuck", 1.0).await;
}

#[tokio::test]
async fn a_client_that_only_says_hello_is_not_kept_for_as_long_as_one_that_has_asked() {
    let service = service(short()); // an idle connection would be kept for 300 s
    let mut silent = greeted(&service).await;
    let mut active = greeted(&service).await;
    active.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, GET)).await;
    assert!(next(&mut active, HEADERS).await.is_some());
    assert!(next(&mut silent, GOAWAY).await.is_some());
    active.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, GET)).await;
    assert!(next(&mut active, HEADERS).await.is_some());
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let service = service(ServerConfig::default());
    let mut client = greeted(&service).await;
    let flood: Vec<u8> = (0..10_000)
        .flat_map(|at| {
            let stream = 2 * at + 1;
            let open = frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
            [open, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let _ = within(client.0.write_all(&flood)).await; // it may be closed before the last of it
    let goaway = next(&mut client, GOAWAY).await.expect("the server bears it");
    assert_eq!(goaway[7], ENHANCE_YOUR_CALM);
    assert_eq!(service.ask("GET /", b"").await.status, 200);
}

#[tokio::test]
async fn headers_without_end_end_the_connection() {
    let service = service(ServerConfig::default());
    let mut client = greeted(&service).await;
    client.send(&frame(HEADERS, END_STREAM, 1, GET)).await;
    let block = [0x00, 1, b'x', 1, b'y'].repeat(1000);
    let endless = frame(CONTINUATION, 0, 1, &block).repeat(2000);
    let _ = within(client.0.write_all(&endless)).await;
    let goaway = next(&mut client, GOAWAY).await.expect("the server bears it");
    assert_eq!(goaway[7], ENHANCE_YOUR_CALM);
    assert_eq!(service.ask("GET /", b"").await.status, 200);
}

#[tokio::test]
async fn a_stop_is_announced_and_streams_in_flight_end() {
    let service = service(short());
    let mut client = greeted(&service).await;
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, GET)).await;
    assert!(next(&mut client, HEADERS).await.is_some());
    service.parts.stopping.cancel();
    assert!(next(&mut client, GOAWAY).await.is_some());
    drop(client);
    service.stop().await;
}
