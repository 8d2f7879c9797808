use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, ShouldSample},
};
use tracing_subscriber::filter::Targets;

/// What one service's telemetry is made of; the program fills it from its settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `service.name`.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `service.instance.id`, unique for each start.
    pub instance: String,
    /// `deployment.environment.name`.
    pub environment: String,
    /// More resource attributes: those of `OTEL_RESOURCE_ATTRIBUTES`.
    pub attributes: Vec<(String, String)>,
    /// Where traces and logs go; `None`: nowhere, and spans are not recorded.
    pub export: Option<Export>,
    /// Base address of what takes Loki's pushes: lines are shipped there, too (`loki.rs`).
    pub loki: Option<String>,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// Which `tracing` events and spans count: the syntax of `RUST_LOG`.
    pub filter: Targets,
    /// Whether requests get spans and access lines.
    pub requests: bool,
}

/// The way to an OTLP receiver.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its base address; `/v1/traces` and `/v1/logs` are appended.
    pub endpoint: String,
    /// How long one export may take, its retries included.
    pub timeout: Duration,
    /// How long a span or line waits for others before it is sent.
    pub delay: Duration,
    /// How many spans may wait or be under way; more are dropped, and counted.
    pub trace_queue: usize,
    /// The same for log lines.
    pub log_queue: usize,
    /// Whether traces go this way; if not, spans are not recorded.
    pub traces: bool,
    /// Whether log lines go this way.
    pub logs: bool,
}

/// Which traces are recorded: the values of `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Whether a parent's decision counts.
    pub parent_based: bool,
    /// The share of new traces, 0 to 1.
    pub ratio: f64,
}

impl Config {
    pub(crate) fn silent(service: &str) -> Config {
        Config {
            service: service.to_owned(),
            version: String::new(),
            instance: String::new(),
            environment: String::new(),
            attributes: Vec::new(),
            export: None,
            loki: None,
            sampling: Sampling { parent_based: true, ratio: 1.0 },
            filter: Targets::new(),
            requests: true,
        }
    }

    pub(crate) fn resource(&self) -> Resource {
        let own = [
            ("service.name", &self.service),
            ("service.version", &self.version),
            ("service.instance.id", &self.instance),
            ("deployment.environment.name", &self.environment),
        ];
        let given = self.attributes.iter().map(|(key, value)| (key.clone(), value.clone()));
        Resource::builder_empty()
            .with_attribute(KeyValue::new("service.namespace", "musicwallet"))
            .with_attributes(given.map(|(key, value)| KeyValue::new(key, value)))
            .with_attributes(own.map(|(key, value)| KeyValue::new(key, value.clone())))
            .build()
    }

    /// Whether there is a destination for spans.
    pub(crate) fn records(&self) -> bool {
        self.export.as_ref().is_some_and(|to| to.traces)
    }

    /// Without a destination nothing is recorded; ids are made all the same, for logs and answers.
    pub(crate) fn sampler(&self) -> Box<dyn ShouldSample> {
        let root = match self.sampling.ratio {
            _ if !self.records() => return Box::new(Sampler::AlwaysOff),
            ratio if ratio >= 1.0 => Sampler::AlwaysOn,
            ratio if ratio <= 0.0 => Sampler::AlwaysOff,
            ratio => Sampler::TraceIdRatioBased(ratio),
        };
        if self.sampling.parent_based {
            Box::new(Sampler::ParentBased(Box::new(root)))
        } else {
            Box::new(root)
        }
    }
}
