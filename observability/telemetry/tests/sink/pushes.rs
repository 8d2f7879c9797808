//! A small receiver of Loki's pushes, and what it got.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use prost::Message;
use serde_json::Value;

/// What it does with a push that has lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    All,
    /// Answers with this status.
    None(u16),
    /// Reads them and never answers.
    Silent,
    /// No lines that contain this word: the whole push is a 400.
    Not(&'static str),
}

#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) labels: String,
    pub(crate) json: Value,
}

struct Kept {
    takes: Mutex<Takes>,
    asked: Mutex<usize>,
    lines: Mutex<Vec<Pushed>>,
}

/// Its runtime ends with it, and with that its connections.
pub(crate) struct Pushes {
    pub(crate) url: String,
    kept: Arc<Kept>,
    _runtime: tokio::runtime::Runtime,
}

impl Pushes {
    pub(crate) fn start(takes: Takes) -> Pushes {
        Pushes::at(([127, 0, 0, 1], 0).into(), takes)
    }

    pub(crate) fn at(address: SocketAddr, takes: Takes) -> Pushes {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (asked, lines) = (Mutex::default(), Mutex::default());
        let kept = Arc::new(Kept { takes: takes.into(), asked, lines });
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/loki/api/v1/push", post(push)).with_state(kept.clone());
        runtime.spawn(async { axum::serve(listener, router).await });
        Pushes { url, kept, _runtime: runtime }
    }

    pub(crate) fn now(&self, takes: Takes) {
        *self.kept.takes.lock().unwrap() = takes;
    }

    pub(crate) fn lines(&self) -> Vec<Pushed> {
        self.kept.lines.lock().unwrap().clone()
    }

    /// Ends it with all its connections; all that it got.
    pub(crate) fn end(self) -> Vec<Pushed> {
        let kept = self.kept.clone();
        drop(self);
        kept.lines.lock().unwrap().clone()
    }

    /// How often it was asked whether it takes anything.
    pub(crate) fn asked(&self) -> usize {
        *self.kept.asked.lock().unwrap()
    }
}

async fn push(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers[CONTENT_TYPE] == "application/json" {
        *kept.asked.lock().unwrap() += 1;
        return StatusCode::UNPROCESSABLE_ENTITY; // as Loki says it
    }
    let takes = *kept.takes.lock().unwrap();
    match takes {
        Takes::All | Takes::Not(_) => {}
        Takes::None(status) => return StatusCode::from_u16(status).unwrap(),
        Takes::Silent => pending().await,
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let push = Push::decode(&*unpacked).unwrap();
    let lines = push.streams.iter().flat_map(|stream| {
        let json = |entry: &Entry| serde_json::from_str(&entry.line).unwrap();
        stream
            .entries
            .iter()
            .map(move |it| Pushed { labels: stream.labels.clone(), json: json(it) })
    });
    let lines: Vec<_> = lines.collect();
    if let Takes::Not(word) = takes
        && lines.iter().any(|line| line.json.to_string().contains(word))
    {
        return StatusCode::BAD_REQUEST;
    }
    kept.lines.lock().unwrap().extend(lines);
    StatusCode::NO_CONTENT
}

#[derive(Clone, PartialEq, Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "2")]
    line: String,
}
