//! Telemetry that keeps what it was told, so that tests can assert spans as values.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor},
};

use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::{
    Telemetry, Ways,
    config::{Config, Sampling},
    logs::Stdout,
};

/// The spans that ended so far.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<SpanData>>>);

impl Captured {
    /// Takes them, in the order of their end.
    pub fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SpanProcessor for Captured {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: std::time::Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A service's telemetry whose spans can be looked at. Install it, or use its runtime, for the macros of `metrics` and `tracing`.
pub fn capture(service: &str) -> (Telemetry, Captured) {
    let captured = Captured::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_span_processor(captured.clone())
        .build();
    let config = Config {
        sampling: Sampling { parent_based: false, ratio: 1.0 },
        filter: Targets::new().with_default(LevelFilter::INFO),
        ..Config::silent(service)
    };
    let telemetry = Telemetry::assemble(&config, &Stdout::none(), provider, Ways::default(), true);
    (telemetry, captured)
}
