//! Services that are away, slow or broken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::Redirect, routing::get};
use futures_util::stream;
use platform::deadline::{self, Deadline};
use resilience::{Error, Limits, Route};
use telemetry::Telemetry;
use tokio::time::Instant;

use crate::server::{answering, peer_at, serving, silent, told};

const MUSICS: Route<0> = Route::new("/musics");

#[tokio::test]
async fn a_service_that_is_away_is_unreachable_and_that_is_503_with_retry_after() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = peer_at(free, &Telemetry::disabled("test"));
    let error = peer.get(MUSICS).query("username", "somebody").send().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let cause = format!("{:#}", anyhow::Error::new(error));
    assert!(cause.contains("refused") && !cause.contains("somebody"), "{cause}");
    let (status, body, after) = told(peer.get(MUSICS).send().await.unwrap_err()).await;
    assert_eq!((status, after.as_deref()), (503, Some("1")));
    assert!(body.contains("/problems/catalog-unavailable"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_service_costs_900_ms_and_a_sign_in_2_s() {
    for (limits, millis) in [(Limits::DEFAULT, 900), (Limits::SIGN_IN, 2_000)] {
        let (peer, _listener) = silent();
        let begun = Instant::now();
        let error = peer.get(MUSICS).limits(limits).send().await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
        // Reqwest's timer rounds up to its next millisecond.
        let took = begun.elapsed().as_millis();
        assert!((millis..=millis + 1).contains(&took), "{took}");
        assert_eq!(told(error).await.0, 503);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_the_request_that_it_is_made_for() {
    let (peer, _listener) = silent();
    let begun = Instant::now();
    let call =
        deadline::scope(Deadline::after(Duration::from_millis(250)), peer.get(MUSICS).send());
    assert!(matches!(call.await, Err(Error::TimedOut { .. })));
    assert!(begun.elapsed() <= Duration::from_millis(251));
}

#[tokio::test]
async fn without_time_left_nothing_is_sent() {
    let (peer, listener) = silent();
    listener.set_nonblocking(true).unwrap();
    let call = deadline::scope(Deadline::after(Duration::ZERO), peer.get(MUSICS).send());
    assert!(matches!(call.await, Err(Error::TimedOut { .. })));
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn an_answer_that_is_cut_is_no_answer() {
    let telemetry = Telemetry::disabled("test");
    for cut in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":".as_slice(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"",
    ] {
        let peer = answering(cut, &telemetry).await;
        let error = peer.get(MUSICS).send().await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_over_its_limit_is_refused_whether_it_says_its_length_or_not() {
    const LONG: usize = (1 << 20) + 1;
    let told_length = async || vec![b'x'; LONG];
    let chunks = async || {
        let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1 << 16]));
        Body::from_stream(endless)
    };
    let fits = async || vec![b'x'; LONG - 1];
    let router = Router::new()
        .route("/told", get(told_length))
        .route("/chunks", get(chunks))
        .route("/fits", get(fits));
    let peer = serving(router).await;
    const TOLD: Route<0> = Route::new("/told");
    const CHUNKS: Route<0> = Route::new("/chunks");
    const FITS: Route<0> = Route::new("/fits");
    for route in [TOLD, CHUNKS] {
        let error = peer.get(route).send().await.unwrap_err();
        assert!(matches!(error, Error::BadAnswer { .. }), "{error:?}");
        assert_eq!(told(error).await.0, 502);
    }
    assert_eq!(peer.get(FITS).send().await.unwrap().body.len(), LONG - 1);
    assert_eq!(peer.get(TOLD).limits(Limits::LIST).send().await.unwrap().body.len(), LONG);
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    let elsewhere = get(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        "{}"
    });
    let away = get(async || Redirect::temporary("/elsewhere"));
    let router = Router::new().route("/musics", away).route("/elsewhere", elsewhere);
    let error = serving(router).await.get(MUSICS).send().await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error:?}");
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_that_is_something_else_is_bad_and_the_message_does_not_quote_it() {
    let peer = serving(Router::new().route("/musics", get(async || r#"{"id": "secret"}"#))).await;
    #[derive(Debug, serde::Deserialize)]
    struct Music {
        #[expect(dead_code, reason = "never read, because it is never there")]
        id: i64,
    }
    let error = peer.get(MUSICS).send().await.unwrap().json::<Music>().unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }));
    assert!(!format!("{error}{error:?}").contains("secret"), "{error:?}");
}
