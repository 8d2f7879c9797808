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

pub(crate) use flow::Flow;
pub(crate) use pipeline::Pipeline;

use crate::Config;

/// The pipelines of all signals that have a destination. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Agent {
    pipelines: Arc<[Pipeline]>,
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
            if let Some(endpoint) = endpoint {
                pipelines.push(Pipeline::start(signal, endpoint, config, parts)?);
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
