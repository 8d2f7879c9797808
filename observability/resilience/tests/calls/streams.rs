//! Bodies that are passed on while they arrive.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use platform::deadline::{self, Deadline};
use resilience::{Error, Route};
use telemetry::Telemetry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::server::{peer_at, serving, silent, told};

const IMPORT: Route<0> = Route::new("/musics/import");

type Chunk = Result<Bytes, std::io::Error>;

/// A body that ends with `end`, after two chunks.
fn ending(end: Option<Chunk>) -> impl futures_util::Stream<Item = Chunk> + Send {
    let chunk = || Ok(Bytes::from_static(b"line\n"));
    stream::iter([chunk(), chunk()].into_iter().chain(end))
}

#[tokio::test]
async fn a_body_is_passed_on_before_it_is_complete_and_the_answer_too() {
    let echo = post(async |headers: HeaderMap, body: Body| {
        assert_eq!(headers[header::CONTENT_TYPE], "text/csv");
        assert!(headers[deadline::HEADER].to_str().unwrap().parse::<u64>().unwrap() > 60_000);
        Body::from_stream(body.into_data_stream())
    });
    let peer = serving(Router::new().route("/musics/import", echo)).await;
    let (send, receive) = mpsc::unbounded_channel::<Chunk>();
    let body = stream::unfold(receive, async |mut it| Some((it.recv().await?, it)));
    let call = peer.post(IMPORT).header(header::CONTENT_TYPE, "text/csv".parse().unwrap());
    let call = deadline::scope(Deadline::after(Duration::from_secs(100)), call.forward(body));
    send.send(Ok("first".into())).unwrap();
    let mut answer = call.await.unwrap().into_body().into_data_stream();
    assert_eq!(answer.next().await.unwrap().unwrap(), "first");
    send.send(Ok("second".into())).unwrap();
    assert_eq!(answer.next().await.unwrap().unwrap(), "second");
    drop(send);
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn a_refusal_of_a_stream_is_told_as_it_came() {
    let refuse = post(async |_: Bytes| {
        (StatusCode::PAYLOAD_TOO_LARGE, [(header::CONTENT_TYPE, "application/problem+json")], "{1}")
    });
    let peer = serving(Router::new().route("/musics/import", refuse)).await;
    let error = peer.post(IMPORT).forward(ending(None)).await.unwrap_err();
    assert_eq!(told(error).await, (413, "{1}".to_owned(), None));
}

#[tokio::test]
async fn a_sender_that_fails_is_not_the_other_services_fault_and_the_other_side_sees_it_cut() {
    let (report, mut reported) = mpsc::unbounded_channel();
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let read = post(async move |body: Body| {
        begins.notify_one();
        report.send(body.collect().await.is_err()).unwrap();
    });
    let peer = serving(Router::new().route("/musics/import", read)).await;
    // Not before the other side reads: what fails at once is never sent.
    let gone = stream::once(async move {
        begun.notified().await;
        Chunk::Err(std::io::Error::other("gone"))
    });
    let error = peer.post(IMPORT).forward(ending(None).chain(gone)).await.unwrap_err();
    let Error::Upload { cause } = &error else { panic!("{error:?}") };
    assert_eq!(cause.to_string(), "gone");
    assert_eq!(reported.recv().await, Some(true));
}

#[tokio::test]
async fn a_stream_that_nobody_waits_for_any_more_ends_on_the_other_side() {
    let (report, mut reported) = mpsc::unbounded_channel();
    let read = post(async move |body: Body| {
        let mut body = body.into_data_stream();
        while let Some(read) = body.next().await {
            report.send(read.is_ok()).unwrap();
        }
    });
    let peer = serving(Router::new().route("/musics/import", read)).await;
    let call = peer.post(IMPORT).forward(ending(None).chain(stream::pending()));
    tokio::select! {
        answer = call => panic!("{answer:?}"),
        arrived = reported.recv() => assert_eq!(arrived, Some(true)),
    }
    while let Some(true) = reported.recv().await {}
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_nothing_for_10_s_is_given_up() {
    let (peer, _listener) = silent();
    let endless = stream::repeat_with(|| Chunk::Ok(Bytes::from(vec![b'x'; 1 << 20])));
    let begun = Instant::now();
    let error = peer.post(IMPORT).forward(endless).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_service_may_work_on_a_complete_body_for_longer_than_10_s() {
    let (peer, _listener) = silent();
    let begun = Instant::now();
    let limit = Deadline::after(Duration::from_secs(50));
    let call = deadline::scope(limit, peer.post(IMPORT).forward(ending(None)));
    assert!(matches!(call.await, Err(Error::TimedOut { .. })));
    assert_eq!(begun.elapsed().as_secs(), 50);
}

#[tokio::test]
async fn an_answer_that_stands_still_for_10_s_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = peer_at(listener.local_addr().unwrap(), &Telemetry::disabled("test"));
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"0\r\n\r\n") {
            assert!(socket.read_buf(&mut request).await.unwrap() > 0);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await.unwrap();
        std::future::pending::<()>().await
    });
    let answer = peer.post(IMPORT).forward(ending(None)).await.unwrap();
    tokio::time::pause(); // now that only time goes on
    let begun = Instant::now();
    let error = answer.into_body().collect().await.unwrap_err();
    let mut causes = std::iter::successors(std::error::Error::source(&error), |it| (*it).source());
    let ours = causes.find_map(|it| it.downcast_ref::<Error>());
    assert!(matches!(ours, Some(Error::TimedOut { .. })), "{error:?}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}
