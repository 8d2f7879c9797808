//! Hands on what is received: for each signal that has a destination, a spool and what empties it.
//!
//! `received = delivered + dropped + in spool`, to the unit: see [`spool`]. A request is answered when it is in the spool; the destination
//! is nobody's to wait for. One destination that is away holds up no other signal.

mod destination;
mod flow;
mod pipeline;
mod sampling;

use std::sync::Arc;

use platform::service::Parts;
use spool::Spool;

pub(crate) use flow::Flow;
pub(crate) use pipeline::Pipeline;

use crate::{Config, config::SpoolPlace};

/// The pipelines of all signals that have a destination. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    pipelines: Arc<[Pipeline]>,
}

/// Of a signal that has no destination any more, and something that waits for it.
fn tell_what_is_forgotten(signal: &'static str, config: &Config) {
    let SpoolPlace::Folder(folder) = &config.spool else { return };
    let folder = folder.join(signal);
    if !folder.is_dir() {
        return;
    }
    // One that cannot be opened is told of when it is needed.
    let Ok((spool, _)) = Spool::open(&folder, config.spool_limits()) else { return };
    let items = spool.books().in_spool.units;
    if items > 0 {
        let folder = folder.display();
        tracing::warn!(
            signal,
            items,
            %folder,
            "{items} {signal} wait in {folder}, but {signal} have no destination. Set SIDECAR_{}_ENDPOINT to deliver them, or remove the folder",
            signal.to_uppercase()
        );
    }
}

impl Agent {
    /// Opens the spools, and begins to empty them.
    ///
    /// # Errors
    /// One sentence, when a spool cannot be opened.
    pub(crate) fn start(config: &Config, parts: &Parts) -> anyhow::Result<Agent> {
        let destinations = [
            ("traces", &config.traces_endpoint),
            ("logs", &config.logs_endpoint),
            ("metrics", &config.metrics_endpoint),
        ];
        let mut pipelines = Vec::new();
        for (signal, endpoint) in destinations {
            match endpoint {
                Some(endpoint) => pipelines.push(Pipeline::start(signal, endpoint, config, parts)?),
                None => tell_what_is_forgotten(signal, config),
            }
        }
        Ok(Agent { pipelines: pipelines.into() })
    }

    /// The pipeline of a signal, if it has a destination.
    pub(crate) fn pipeline(&self, signal: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|it| it.signal() == signal)
    }

    /// The books of all of them.
    pub(crate) fn flows(&self) -> Vec<Flow> {
        self.pipelines.iter().map(Flow::of).collect()
    }

    /// All of them.
    pub(crate) fn pipelines(&self) -> &[Pipeline] {
        &self.pipelines
    }
}
