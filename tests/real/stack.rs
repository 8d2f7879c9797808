//! The native stack: Jaeger, Loki, Prometheus, Alertmanager and exporters as child processes, with the configuration files of this
//! repository.
//!
//! No child outlives the process that started it, however that one ends.

use std::{fmt::Write, net::SocketAddr, path::Path, thread, time::Instant};

use anyhow::{Error, Result, bail};

pub use self::{
    alertmanager::{Alert, Alertmanager, Status},
    exporters::Exporter,
    jaeger::{Jaeger, Span, Storage},
    loki::{Line, Loki},
    program::{Ports, Program},
    prometheus::{Exemplar, Prometheus, Sample, Series, Target},
    tool::tool,
};

mod alertmanager;
mod exporters;
mod jaeger;
mod loki;
mod program;
mod prometheus;
mod tool;

/// What stands beside MusicWallet, ready, and watched by Prometheus.
#[derive(Debug)]
pub struct Stack {
    /// Traces.
    pub jaeger: Jaeger,
    /// Logs.
    pub loki: Loki,
    /// Metrics and rules.
    pub prometheus: Prometheus,
    /// Who is told of what.
    pub alertmanager: Alertmanager,
    /// The metrics of this machine.
    pub node: Exporter,
}

impl Stack {
    /// Starts all at once and returns when the last one is ready. What they keep, and their logs, are in `data`; Jaeger keeps traces on
    /// disk.
    ///
    /// # Errors
    /// What kept each of them from starting; none is left running then.
    pub fn start(ports: Ports, data: &Path) -> Result<Stack> {
        let stack = Stack::start_by(ports, data, Prometheus::start, Alertmanager::start)?;
        stack.watch()?;
        Ok(stack)
    }

    /// The same, but what takes Prometheus and Alertmanager minutes takes seconds; and they do not know of each other before
    /// [`Stack::watch`], so that no alert is told before its receiver is there.
    ///
    /// # Errors
    /// As for the other.
    pub fn start_hurried(ports: Ports, data: &Path) -> Result<Stack> {
        Stack::start_by(ports, data, Prometheus::start_hurried, Alertmanager::start_hurried)
    }

    fn start_by(
        ports: Ports,
        data: &Path,
        prometheus: fn(Ports, &Path) -> Result<Prometheus>,
        alertmanager: fn(Ports, &Path) -> Result<Alertmanager>,
    ) -> Result<Stack> {
        let (jaeger, loki, prometheus, alertmanager, node) = thread::scope(|scope| {
            let jaeger = scope.spawn(|| Jaeger::start(Storage::Badger, ports, data));
            let loki = scope.spawn(|| Loki::start(ports, data));
            let prometheus = scope.spawn(|| prometheus(ports, data));
            let alertmanager = scope.spawn(|| alertmanager(ports, data));
            let node = scope.spawn(|| Exporter::of_this_machine(ports, data));
            let prometheus = (joined(prometheus), joined(alertmanager));
            (joined(jaeger), joined(loki), prometheus.0, prometheus.1, joined(node))
        });
        match (jaeger, loki, prometheus, alertmanager, node) {
            (Ok(jaeger), Ok(loki), Ok(prometheus), Ok(alertmanager), Ok(node)) => {
                Ok(Stack { jaeger, loki, prometheus, alertmanager, node })
            }
            (jaeger, loki, prometheus, alertmanager, node) => {
                let errors: [Option<Error>; 5] =
                    [jaeger.err(), loki.err(), prometheus.err(), alertmanager.err(), node.err()];
                let mut told = String::new();
                for error in errors.into_iter().flatten() {
                    let separator = if told.is_empty() { "" } else { "\n" };
                    write!(told, "{separator}{error:#}")?;
                }
                bail!(told)
            }
        }
    }

    /// Has Prometheus scrape what is here, and tell Alertmanager of alerts.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn watch(&self) -> Result<()> {
        let jobs: [(&str, SocketAddr); 5] = [
            ("jaeger", self.jaeger.metrics()),
            ("loki", self.loki.address()),
            ("prometheus", self.prometheus.address()),
            ("alertmanager", self.alertmanager.address()),
            ("node", self.node.address()),
        ];
        jobs.into_iter().try_for_each(|(job, address)| self.prometheus.watch(job, address))
    }

    /// That all of them still run.
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

    fn programs(&mut self) -> [&mut Program; 5] {
        [
            &mut self.jaeger.program,
            &mut self.loki.program,
            &mut self.prometheus.program,
            &mut self.alertmanager.program,
            &mut self.node.program,
        ]
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
