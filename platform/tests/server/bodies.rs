//! Bodies that are too large, too slow, or not what they say.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    routing::post,
};
use futures_util::StreamExt;
use http::StatusCode;
use platform::{
    extract::{Json, unreadable},
    problem::Problem,
    service::{Policy, RouteLimits, ServerConfig},
};
use serde_json::Value;

use crate::kit::{Service, within};

const LIMIT: usize = 64 << 10;

fn router() -> Router {
    Router::new()
        .route("/json", post(async |Json(_): Json<Value>| "fine"))
        .route("/bytes", post(async |body: Bytes| body.len().to_string()))
        .route("/large", post(async |body: Bytes| body.len().to_string()))
        .route("/stream", post(stream))
        .route("/careless", post(careless))
        .route("/stuck", post(async |_: Body| std::future::pending::<()>().await))
        .route("/half", post(half))
}

async fn stream(body: Body) -> Result<String, Problem> {
    let mut size = 0;
    let mut blocks = body.into_data_stream();
    while let Some(block) = blocks.next().await {
        size += block.map_err(unreadable)?.len();
    }
    Ok(size.to_string())
}

/// Reads what is there, and then does something else for ever.
async fn half(body: Body) {
    body.into_data_stream().next().await;
    std::future::pending().await
}

/// Takes every error for its own.
async fn careless(body: Body) -> StatusCode {
    let failed = body.into_data_stream().any(async |block| block.is_err()).await;
    if failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
}

fn service(limits: RouteLimits) -> Service {
    const LARGE: RouteLimits = RouteLimits { body: 32 << 20, ..RouteLimits::DEFAULT };
    let policy = Policy { limits, overrides: &[("/large", LARGE)], ..Policy::default() };
    Service::start(router(), policy, ServerConfig::default())
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_and_the_client_learns_the_limit() {
    let service = service(RouteLimits::DEFAULT);
    let large = vec![b' '; 1 << 20];
    for path in ["/json", "/bytes", "/stream", "/careless", "/nowhere"] {
        let head = format!("POST {path}\r\nContent-Type: application/json");
        let answer = service.ask(&head, &large).await;
        assert_eq!((answer.status, answer.problem()), (413, "body-too-large"), "{path}");
        assert_eq!(answer.json["errors"][0]["limit"], LIMIT);
    }
    let exact = service.ask("POST /bytes", &vec![b'x'; LIMIT]).await;
    assert_eq!(exact.body, LIMIT.to_string().as_bytes());
}

/// Else the system would reset the connection, and the client could see that instead of the answer.
#[tokio::test]
async fn a_client_whose_body_is_refused_may_still_send_it() {
    let service = service(RouteLimits::DEFAULT);
    let mut client = service.connect().await;
    client.send_request("POST /bytes\r\nContent-Length: 8388608", b"").await;
    assert_eq!(client.answer().await.status, 413);
    client.send(&vec![b' '; 8 << 20]).await;
    assert_eq!(client.rest().await, b"");
}

/// Else it would send its next request into a connection that is just being closed, and not know whether it was executed.
#[tokio::test]
async fn a_client_whose_body_was_not_read_is_told_that_the_connection_ends() {
    let service = service(RouteLimits::DEFAULT);
    for (request, size, expected) in [
        ("POST /bytes", 1 << 20, Some("close")), // too large
        ("POST /nowhere", LIMIT, Some("close")),
        ("POST /nowhere", 100, None),
        ("POST /bytes", LIMIT, None),
        ("POST /stream", LIMIT, None),
    ] {
        let answer = service.ask(request, &vec![b' '; size]).await;
        assert_eq!(answer.header("connection"), expected, "{request} with {size} bytes");
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_counted_as_it_comes() {
    let service = service(RouteLimits::DEFAULT);
    for path in ["/json", "/bytes", "/stream", "/careless"] {
        let mut client = service.connect().await;
        let head =
            format!("POST {path}\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json");
        client.send_request(&head, b"").await;
        let chunk = [b"8000\r\n", vec![b' '; 0x8000].as_slice(), b"\r\n"].concat();
        for _ in 0..3 {
            client.send(&chunk).await;
        }
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.problem()), (413, "body-too-large"), "{path}");
        assert_eq!(answer.json["errors"][0]["limit"], LIMIT);
    }
}

#[tokio::test]
async fn bytes_beyond_the_announced_length_are_not_the_body() {
    let service = service(RouteLimits::DEFAULT);
    let mut client = service.connect().await;
    client.send_request("POST /bytes\r\nContent-Length: 5", b"").await;
    client.send(&vec![b'{'; 1 << 20]).await;
    assert_eq!(client.answer().await.body, b"5");
    assert!([400, 431].contains(&client.answer().await.status)); // the rest is no request
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn two_lengths_for_one_body_end_the_connection_so_that_nothing_is_smuggled() {
    let service = service(RouteLimits::DEFAULT);
    for head in [
        "POST /bytes\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "POST /bytes\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    ] {
        let mut client = service.connect().await;
        client.send_request(head, b"").await;
        client.send(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.answer().await.body, b"0"); // the chunks count
        assert_eq!(client.rest().await, b"");
    }
}

#[tokio::test]
async fn a_route_can_have_limits_of_its_own() {
    let service = service(RouteLimits::DEFAULT);
    let answer = service.ask("POST /large", &vec![b'x'; 3 << 20]).await;
    assert_eq!(answer.body, (3 << 20).to_string().as_bytes());
}

#[tokio::test]
async fn a_body_that_drips_is_cut() {
    let within_a_moment = Duration::from_millis(300);
    let service = service(RouteLimits { body_deadline: within_a_moment, ..RouteLimits::DEFAULT });
    for path in ["/json", "/bytes", "/stream", "/careless"] {
        let mut client = service.connect().await;
        let head = format!("POST {path}\r\nContent-Length: 1000\r\nContent-Type: application/json");
        client.send_request(&head, b"").await;
        let (from, mut to) = client.0.split();
        let drip = async {
            use tokio::io::AsyncWriteExt;
            while to.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = drip => {}
            ready = within(from.readable()) => ready.unwrap(),
        }
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.problem()), (408, "request-timeout"), "{path}");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_while_the_body_still_comes_is_the_clients_fault() {
    let deadline = Duration::from_millis(100);
    let service = service(RouteLimits { deadline, ..RouteLimits::DEFAULT });
    let answer = service.ask("POST /bytes\r\nContent-Length: 10", b"").await;
    assert_eq!((answer.status, answer.problem()), (408, "request-timeout"));
    // Nobody has asked for it, or for the rest of it: then it is the server that takes too long.
    for path in ["/stuck", "/half"] {
        let mut client = service.connect().await;
        client.send_request(&format!("POST {path}\r\nContent-Length: 10"), b"").await;
        client.send(b"half").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.problem()), (504, "deadline-exceeded"), "{path}");
    }
}

#[tokio::test]
async fn deeply_nested_json_is_refused() {
    let service = service(RouteLimits { body: 1 << 20, ..RouteLimits::DEFAULT });
    for deep in ["[".repeat(100_000), r#"{"a":"#.repeat(100_000)] {
        let head = "POST /json\r\nContent-Type: application/json";
        let answer = service.ask(head, deep.as_bytes()).await;
        assert_eq!((answer.status, answer.problem()), (400, "invalid-input"));
    }
    assert_eq!(service.ask("GET /", b"").await.status, 404);
}

#[tokio::test]
async fn a_body_of_the_wrong_type_or_encoding_is_refused_unread() {
    let service = service(RouteLimits::DEFAULT);
    let answer = service.ask("POST /json\r\nContent-Type: text/plain", b"{}").await;
    assert_eq!((answer.status, answer.problem()), (415, "unsupported-media-type"));
    let answer = service.ask("POST /json", b"{}").await;
    assert_eq!((answer.status, answer.problem()), (415, "unsupported-media-type"));
    let head = "POST /json\r\nContent-Type: application/json\r\nContent-Encoding: gzip";
    let answer = service.ask(head, b"\x1f\x8b\x08").await;
    assert_eq!((answer.status, answer.problem()), (415, "encoded-body"));
}
