//! What is the same for both protocols: a body is read, unpacked, weighed and decoded within the budget, then kept.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    Store,
    agent::Agent,
    otlp::{
        LARGEST,
        budget::{Budget, Share},
        json,
        signal::Signal,
        status::Refusal,
        weight,
    },
    store::Added,
};

/// From here on decoding would keep a worker from other requests for too long.
const SMALL: usize = 64 << 10;

/// How long a body may take to arrive.
pub(crate) const SLOWEST: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) agent: Agent,
    pub(crate) budget: Budget,
}

/// A body that has arrived, and its part of the budget.
pub(super) struct Arrived {
    pub(super) bytes: Bytes,
    share: Share,
}

impl Receiver {
    /// The body as it is sent.
    pub(super) async fn read(&self, body: Body) -> Result<Arrived, Refusal> {
        self.read_within(SLOWEST, body).await
    }

    async fn read_within(&self, time: Duration, body: Body) -> Result<Arrived, Refusal> {
        let mut share = self.budget.share();
        let read = timeout(time, read(body, &mut share)).await;
        let bytes = read.unwrap_or(Err(Refusal::Slow))?;
        Ok(Arrived { bytes, share })
    }

    /// Keeps what arrived, on a thread of its own where it may take a while.
    pub(super) async fn keep<S: Signal>(
        &self,
        arrived: Arrived,
        packed: bool,
        format: Format,
    ) -> Result<Added, Refusal> {
        let Arrived { bytes, share } = arrived;
        // A file takes the time it takes.
        let quick = !packed
            && format == Format::Protobuf
            && bytes.len() <= SMALL
            && self.agent.pipeline(S::NAME).is_none();
        let arrived = Arrived { bytes, share };
        self.keep_decoded(arrived, quick, move |bytes, share| {
            let bytes = if packed { unpack(&bytes, share)? } else { bytes };
            let wire = (format == Format::Protobuf).then(|| bytes.clone());
            Ok((decode::<S>(bytes, format, share)?, wire))
        })
        .await
    }

    /// The same for any form that `decode` knows; it also gives what it was decoded from, if that is protobuf of OTLP.
    pub(super) async fn keep_decoded<S: Signal>(
        &self,
        arrived: Arrived,
        quick: bool,
        decode: impl FnOnce(Bytes, &mut Share) -> Result<(S, Option<Bytes>), Refusal> + Send + 'static,
    ) -> Result<Added, Refusal> {
        let Arrived { bytes, mut share } = arrived;
        let (store, agent) = (Arc::clone(&self.store), self.agent.clone());
        let work = move || {
            let (message, wire) = decode(bytes, &mut share)?;
            let added = message.receive(&*store, &agent, wire, &mut share);
            drop(share); // given back only now: what is decoded is held, too
            added
        };
        if quick {
            return work();
        }
        let failed = |error| Refusal::BadData(format!("decoding failed: {error}"));
        spawn_blocking(work).await.map_err(failed)?
    }
}

/// What the sender says about the length is believed where it is too much; what arrives is counted whatever it says.
async fn read(mut body: Body, share: &mut Share) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > LARGEST as u64 {
        return Err(Refusal::TooLarge);
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::BadData(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > LARGEST {
                return Err(Refusal::TooLarge);
            }
            share.grow(data.len())?;
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// Unpacks in steps, so that a small body that unpacks to gigabytes is noticed at the limit and not at the end.
pub(super) fn unpack(bytes: &[u8], share: &mut Share) -> Result<Bytes, Refusal> {
    let mut decoder = MultiGzDecoder::new(bytes);
    let mut unpacked = Vec::new();
    let mut step = vec![0; SMALL];
    loop {
        match decoder.read(&mut step) {
            Ok(0) => return Ok(unpacked.into()),
            Ok(read) if unpacked.len() + read > LARGEST => return Err(Refusal::TooLarge),
            Ok(read) => {
                share.grow(read)?;
                unpacked.extend_from_slice(&step[..read]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Refusal::BadData(format!("gzip: {error}"))),
        }
    }
}

fn decode<S: Signal>(bytes: Bytes, format: Format, share: &mut Share) -> Result<S, Refusal> {
    match format {
        Format::Protobuf => {
            share.grow(weight::of_protobuf(&bytes, S::SHAPE)?)?;
            S::decode(bytes).map_err(|error| Refusal::BadData(error.to_string()))
        }
        Format::Json => json::read(&bytes, |weight| share.grow(weight)),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn a_body_that_does_not_end_is_given_up_with_its_part_of_the_budget() {
        let budget = Budget::new(1 << 20);
        let store = Arc::new(MemoryStore::new(1 << 20, 1 << 20));
        let receiver = Receiver { store, agent: Agent::default(), budget: budget.clone() };
        let begun = stream::iter([Ok::<_, io::Error>(vec![0; 1 << 20])]);
        let body = Body::from_stream(begun.chain(stream::pending()));
        let read = receiver.read_within(Duration::from_millis(20), body).await;
        assert_eq!(read.err(), Some(Refusal::Slow));
        budget.share().grow(1 << 20).unwrap();
    }
}
