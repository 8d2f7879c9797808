//! Hands on what is received: for each signal that has a destination, a spool and what empties it.
//!
//! `received = delivered + dropped + in spool`, to the unit: see [`spool`]. A request is answered when it is in the spool; the destination
//! is nobody's to wait for. One destination that is away holds up no other signal.

mod destination;
mod flow;
mod pipeline;
mod sampling;

use std::{fs, sync::Arc};

use platform::service::Parts;

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
    let is_segment = |it: &fs::DirEntry| it.path().extension().is_some_and(|it| it == "spool");
    // A folder that is not there has nothing; one that cannot be read is told of by whoever needs it.
    let segments = fs::read_dir(&folder).into_iter().flatten().flatten().filter(is_segment).count();
    if segments > 0 {
        let folder = folder.display();
        tracing::warn!(
            signal,
            segments,
            %folder,
            "there is a spool of {signal} in {folder}, but {signal} have no destination: what waits in it stays there. Set \
             SIDECAR_{}_ENDPOINT to deliver it, or remove the folder",
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
