//! The loop against real servers on sockets: one that pauses, and those that do not answer at all.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use loadtest::{
    Books, End, Ended, Failure, Outcome, Pace, Rate, Request, Requests, Run, Target, drive,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

const PAUSE: Duration = Duration::from_secs(2);

/// It answers at once, but not in the two seconds after it has seen so many requests.
#[derive(Clone, Default)]
struct Pausing {
    after: u64,
    seen: Arc<AtomicU64>,
    until: Arc<OnceLock<Instant>>,
    came_in_the_pause: Arc<AtomicU64>,
}

impl Pausing {
    async fn start(after: u64) -> (Pausing, Target) {
        let server = Pausing { after, ..Pausing::default() };
        let router = Router::new().route("/", get(Pausing::answer)).with_state(server.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target(listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (server, target)
    }

    async fn answer(State(server): State<Pausing>) -> StatusCode {
        if server.seen.fetch_add(1, Ordering::SeqCst) + 1 == server.after {
            server.until.set(Instant::now() + PAUSE).unwrap();
        }
        if let Some(until) = server.until.get().filter(|until| Instant::now() < **until) {
            server.came_in_the_pause.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep_until((*until).into()).await;
        }
        StatusCode::NO_CONTENT
    }
}

fn target(address: SocketAddr) -> Target {
    Target::new(&format!("http://{address}")).unwrap()
}

fn pace(rate: f64, end: End) -> Pace {
    Pace::new(Rate::per_second(rate).unwrap(), end)
}

fn request() -> Request {
    Request::new("read", reqwest::Method::GET, "/")
}

/// That the books hold, in total and by action, and that `told` heard of everything.
#[track_caller]
fn sums_hold(run: &Run, told: &[Ended]) -> Requests {
    let add = |sum: Requests, books: &Books| {
        let one = books.requests;
        assert_eq!(one.sent + one.not_sent, one.due, "{one:?}");
        assert_eq!(one.answered + one.failed, one.sent, "{one:?}");
        assert_eq!(books.statuses.values().sum::<u64>(), one.answered, "{books:?}");
        assert_eq!(books.failures.values().sum::<u64>(), one.failed, "{books:?}");
        Requests {
            due: sum.due + one.due,
            sent: sum.sent + one.sent,
            answered: sum.answered + one.answered,
            failed: sum.failed + one.failed,
            aborted: sum.aborted + one.aborted,
            not_sent: sum.not_sent + one.not_sent,
        }
    };
    let total = add(Requests::default(), &run.total);
    assert_eq!(run.actions.values().fold(Requests::default(), add), total);
    assert_eq!(told.len() as u64, total.due);
    total
}

/// Drives it, and checks the books.
async fn driven(target: &Target, pace: &Pace, next: impl FnMut() -> Request) -> (Run, Requests) {
    let mut told = Vec::new();
    let run = drive(target, pace, next, |ended| told.push(ended.clone())).await;
    let total = sums_hold(&run, &told);
    (run, total)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrivals_go_on_while_the_server_pauses_and_their_latency_shows_it() {
    let (server, target) = Pausing::start(50).await;
    let (run, total) =
        driven(&target, &pace(50.0, End::After(Duration::from_secs(4))), request).await;
    let expected = Requests { due: 200, sent: 200, answered: 200, ..Requests::default() };
    assert_eq!(total, expected);
    let came = server.came_in_the_pause.load(Ordering::SeqCst);
    assert!(came > 50, "{came} of about 100 came in the pause");
    let open = run.total.latency_ms.percentiles().unwrap();
    assert!(open.p99 >= 1_500.0, "{open:?}");
    assert!(open.p90 >= 1_000.0, "a quarter of all waited for more than a second: {open:?}");

    // The same server, asked by somebody who waits for each answer: one of 200 sees the pause, and the 99th percentile does not.
    let (server, target) = Pausing::start(50).await;
    let mut latencies = Vec::new();
    for _ in 0..200 {
        let one = pace(1.0, End::Arrivals(1));
        let begun = Instant::now();
        driven(&target, &one, request).await;
        latencies.push(begun.elapsed());
    }
    latencies.sort();
    assert_eq!(server.came_in_the_pause.load(Ordering::SeqCst), 1);
    assert!(latencies[199] >= PAUSE - Duration::from_millis(100), "{:?}", latencies[199]);
    assert!(latencies[197] < Duration::from_millis(1_500), "the p99 is {:?}", latencies[197]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_counts_from_when_a_request_was_due_also_where_it_was_sent_late() {
    let (_, target) = Pausing::start(u64::MAX).await;
    let mut made = 0;
    let late = || {
        made += 1;
        if made == 11 {
            thread::sleep(Duration::from_millis(500)); // the one who sends has a pause, not the server
        }
        request()
    };
    let (run, total) = driven(&target, &pace(100.0, End::Arrivals(50)), late).await;
    assert_eq!(total.answered, 50, "none was left out: those that were overdue came at once");
    let (latency, late) = (run.total.latency_ms, run.late_ms);
    let (latency, late) = (latency.percentiles().unwrap(), late.percentiles().unwrap());
    assert!(late.max >= 400.0 && late.p90 >= 200.0, "{late:?}");
    assert!(latency.max >= 400.0 && latency.p90 >= 200.0, "{latency:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refuses_connections_is_a_failure_of_its_own_kind() {
    let bound = TcpSocket::new_v4().unwrap(); // nobody else gets the port, and nobody listens
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = target(bound.local_addr().unwrap());
    let mut number = 0;
    let next = || {
        number += 1;
        Request { abort_after: (number % 2 == 0).then_some(Duration::ZERO), ..request() }
    };
    let (run, total) = driven(&target, &pace(100.0, End::Arrivals(10)), next).await;
    assert_eq!(total, Requests { due: 10, sent: 10, failed: 10, ..Requests::default() });
    assert_eq!(run.total.failures, [(Failure::Connect, 10)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_answers_is_left_at_the_deadline_and_who_has_no_place_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap());
    let pace = Pace {
        in_flight: 5,
        deadline: Duration::from_secs(2),
        ..pace(100.0, End::Arrivals(20)) // all within 200 ms
    };
    let (run, total) = driven(&target, &pace, request).await;
    let expected = Requests { due: 20, sent: 5, failed: 5, not_sent: 15, ..Requests::default() };
    assert_eq!(total, expected);
    assert_eq!(run.total.failures, [(Failure::Timeout, 5)].into());
    assert_eq!(run.total.latency_ms.percentiles(), None);
    assert!((1.9..10.0).contains(&run.took.as_secs_f64()), "{:?}", run.took);
}

/// A server that reads a request's head and then does what `then` says.
async fn after_the_head<F>(then: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Target
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap());
    let then = Arc::new(then);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let then = Arc::clone(&then);
            tokio::spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") {
                    read.push(stream.read_u8().await.unwrap());
                }
                then(stream).await;
            });
        }
    });
    target
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_an_answer_is_cut_off_is_told_apart() {
    let closed = after_the_head(|stream| async move { drop(stream) }).await;
    let half = after_the_head(|mut stream| async move {
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    })
    .await;
    let reset = after_the_head(|stream| async move { stream.set_zero_linger().unwrap() }).await;
    let nonsense = after_the_head(|mut stream| async move {
        stream.write_all(b"good morning\r\n\r\n").await.unwrap();
    })
    .await;
    for (target, expected) in [
        (closed, Failure::Closed),
        (half, Failure::Closed),
        (reset, Failure::Reset),
        (nonsense, Failure::Other),
    ] {
        let (run, total) = driven(&target, &pace(100.0, End::Arrivals(3)), request).await;
        assert_eq!(total, Requests { due: 3, sent: 3, failed: 3, ..Requests::default() });
        assert_eq!(run.total.failures, [(expected, 3)].into());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_aborted_was_sent_as_a_whole_and_then_left() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap());
    let kept = Arc::clone(&heard);
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap(); // until the client has gone
            kept.lock().unwrap().push(text);
        }
    });
    let post = || Request {
        token: Some("t".into()),
        body: Some(serde_json::json!({"a": 1})),
        abort_after: Some(Duration::ZERO),
        ..Request::new("create", reqwest::Method::POST, "/songs?x=1")
    };
    let (run, total) = driven(&target, &pace(100.0, End::Arrivals(2)), post).await;
    assert_eq!(total, Requests { due: 2, sent: 2, failed: 2, aborted: 2, ..Requests::default() });
    assert_eq!(run.total.failures, [(Failure::Aborted, 2)].into());
    server.await.unwrap();
    for text in heard.lock().unwrap().iter() {
        assert!(text.starts_with("POST /songs?x=1 HTTP/1.1\r\nhost: 127.0.0.1:"), "{text}");
        assert!(text.contains("\r\nauthorization: Token t\r\n"), "{text}");
        assert!(text.ends_with("\r\ncontent-length: 7\r\n\r\n{\"a\":1}"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_tells_its_status_and_its_trace() {
    let answering = Router::new()
        .route("/", get(|| async { (StatusCode::IM_A_TEAPOT, [("x-trace-id", "abc")], "a body") }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, answering).await.unwrap() });
    let mut told = Vec::new();
    let run =
        drive(&target, &pace(100.0, End::Arrivals(1)), request, |it| told.push(it.clone())).await;
    sums_hold(&run, &told);
    let Outcome::Answered { status: 418, trace_id: Some(trace), .. } = &told[0].outcome else {
        panic!("{told:?}");
    };
    assert_eq!(trace, "abc");
    assert_eq!(run.total.statuses, [(418, 1)].into());
}
