//! A destination for traces that shows everything that reached it, and that can be slow or lie.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, routing::post};
use bytes::Bytes;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};

use super::{
    compare::{Shown, shown},
    sender,
};
use crate::harness::eventually;

/// What it does with the next batch, besides acknowledging it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    ThrowAway,
    StoreTwice,
}

#[derive(Debug)]
pub(super) struct Destination {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct Shared {
    arrived: Mutex<Arrived>,
    /// Answers wait while it is held.
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Arrived {
    batches: u64,
    stored: Vec<u64>,
    lie: Option<Lie>,
    /// The batch that it lied about.
    about: Vec<u64>,
}

impl Destination {
    pub(super) fn start() -> Destination {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&shared));
        runtime.spawn(async { axum::serve(listener, router).await });
        Destination { address, shared, _runtime: runtime }
    }

    pub(super) fn lies_once(&self, lie: Lie) {
        self.shared.arrived.lock().unwrap().lie = Some(lie);
    }

    /// What it lied about, once it has.
    pub(super) fn lied_about(&self) -> Vec<u64> {
        eventually("it has lied", || {
            let about = self.shared.arrived.lock().unwrap().about.clone();
            if about.is_empty() { Err("it was honest") } else { Ok(about) }
        })
    }

    /// From now on it stores, and answers only when it is let go.
    pub(super) fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    pub(super) fn let_go(&self) {
        self.shared.held.send_replace(false);
    }

    pub(super) fn batches(&self) -> u64 {
        self.shared.arrived.lock().unwrap().batches
    }

    /// What it has stored.
    pub(super) fn shown(&self) -> Shown<u64> {
        shown(self.shared.arrived.lock().unwrap().stored.iter().copied())
    }
}

async fn take(State(shared): State<Arc<Shared>>, body: Bytes) {
    let numbers = sender::numbers(&body);
    {
        let mut arrived = shared.arrived.lock().unwrap();
        arrived.batches += 1;
        let lie = arrived.lie.take();
        let times = match lie {
            None => 1,
            Some(Lie::ThrowAway) => 0,
            Some(Lie::StoreTwice) => 2,
        };
        for _ in 0..times {
            arrived.stored.extend(&numbers);
        }
        if lie.is_some() {
            arrived.about = numbers;
        }
    }
    let _ = shared.held.subscribe().wait_for(|held| !held).await; // it lives as long as we
}
