//! The native stack: Jaeger, Loki and Prometheus as child processes, with the configuration files of this repository.
//!
//! No child outlives the process that started it, however that one ends.

use std::{fmt::Write, path::Path, thread, time::Instant};

use anyhow::{Result, bail};

pub use self::{
    jaeger::{Jaeger, Span, Storage},
    loki::{Line, Loki},
    program::{Ports, Program},
    prometheus::{Exemplar, Prometheus, Sample, Target},
    tool::tool,
};

mod jaeger;
mod loki;
mod program;
mod prometheus;
mod tool;

/// All three, ready.
pub struct Stack {
    /// Traces.
    pub jaeger: Jaeger,
    /// Logs.
    pub loki: Loki,
    /// Metrics.
    pub prometheus: Prometheus,
}

impl Stack {
    /// Starts all three at once and returns when the last one is ready. What they keep, and their logs, are in `data`; Jaeger keeps traces
    /// on disk.
    ///
    /// # Errors
    /// What kept each of them from starting; none is left running then.
    pub fn start(ports: Ports, data: &Path) -> Result<Stack> {
        let (jaeger, loki, prometheus) = thread::scope(|scope| {
            let jaeger = scope.spawn(|| Jaeger::start(Storage::Badger, ports, data));
            let loki = scope.spawn(|| Loki::start(ports, data));
            let prometheus = scope.spawn(|| Prometheus::start(ports, data));
            (joined(jaeger), joined(loki), joined(prometheus))
        });
        match (jaeger, loki, prometheus) {
            (Ok(jaeger), Ok(loki), Ok(prometheus)) => Ok(Stack { jaeger, loki, prometheus }),
            (jaeger, loki, prometheus) => {
                let mut told = String::new();
                for error in [jaeger.err(), loki.err(), prometheus.err()].into_iter().flatten() {
                    let separator = if told.is_empty() { "" } else { "\n" };
                    write!(told, "{separator}{error:#}")?;
                }
                bail!(told)
            }
        }
    }

    /// That all three still run.
    ///
    /// # Errors
    /// Which one ended, and what it wrote last.
    pub fn check(&mut self) -> Result<()> {
        self.programs().into_iter().try_for_each(Program::check)
    }

    /// Asks all to end, waits 10 s for it, and kills what is left then.
    pub fn stop(&mut self) {
        let deadline = Instant::now() + program::STOPPING;
        let mut programs = self.programs();
        programs.iter_mut().for_each(|program| program.signal("TERM"));
        programs.iter_mut().for_each(|program| program.ended_by(deadline));
    }

    fn programs(&mut self) -> [&mut Program; 3] {
        [&mut self.jaeger.program, &mut self.loki.program, &mut self.prometheus.program]
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
