//! One process: from settings to sockets to services to the end.
//!
//! This is the only place that knows how many services share the process. Each has its telemetry and its runtime; nothing below
//! can tell the shapes apart.

use std::{io, net::SocketAddr, num::NonZeroUsize, thread, time::Duration};

use clap::ArgMatches;
use futures_util::future::select_all;
use platform::{
    config::{Part, Reader, telemetry::Telemetry as TelemetrySettings},
    service::{Endpoint, Internal, Parts, ServerConfig},
};
use serde_json::json;
use telemetry::{Stdout, Telemetry};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    Failure,
    services::{Bound, Settings, Target, connect},
    welcome,
};

/// How long the last spans and lines may take to leave: with the second before, in which everybody notices, the end is within six.
const FLUSH: Duration = Duration::from_millis(4_500);

/// Where telemetry goes from a process without a sidecar of its own.
pub(crate) const DEFAULT_OTLP: &str = "http://127.0.0.1:4318";

/// A service with what it runs on.
struct Started {
    target: Target,
    addresses: Vec<(&'static str, SocketAddr)>,
    parts: Parts,
    runtime: Runtime,
}

/// Serves `targets` until a signal, or until one of them fails.
pub(crate) fn run(matches: &ArgMatches, targets: &[Target]) -> Result<(), Failure> {
    let mut reader = Reader::from_matches(matches);
    let telemetry = TelemetrySettings::read(&mut reader);
    let settings: Vec<_> =
        targets.iter().map(|target| (*target, Settings::read(*target, &mut reader))).collect();
    let read = || settings.iter().filter_map(|(_, settings)| settings.as_ref());
    read().for_each(|settings| {
        settings.for_secrets(&mut reader);
        settings.for_made_secrets(&mut reader);
    });
    if telemetry.as_ref().is_some_and(TelemetrySettings::is_production) {
        read().for_each(|settings| settings.for_production(&mut reader));
    }
    reader.finish()?;
    // The reader has refused to finish if one of them were missing.
    let Some(telemetry) = telemetry else { return Ok(()) };
    if matches.get_flag("check") {
        welcome::print("The settings are fine.");
        return Ok(());
    }

    let mut services = settings
        .into_iter()
        .filter_map(|(target, settings)| Some((target, settings?)))
        .map(|(target, settings)| Bound::bind(target, settings))
        .collect::<Result<Vec<_>, _>>()?;
    let one_process = services.len() > 1;
    if one_process {
        // Who starts everything wants something to look at, unless the setting says otherwise.
        connect(&mut services, matches.value_source("CATALOG_SEED").is_none());
    }
    let welcome = one_process.then(|| welcome::text(&services));
    let (stdout, stdout_guard) = Stdout::start()?;
    let outcome = serve(services, &telemetry, &stdout, welcome);
    drop(stdout_guard); // the last lines are written
    outcome
}

fn serve(
    services: Vec<Bound>,
    settings: &TelemetrySettings,
    stdout: &Stdout,
    welcome: Option<String>,
) -> Result<(), Failure> {
    let otlp = services.iter().find_map(|service| service.address("otlp-http"));
    let otlp = otlp.map_or_else(|| DEFAULT_OTLP.to_owned(), |it| format!("http://{it}"));
    let main = Builder::new_current_thread().enable_all().build()?;
    let mut signals = main.block_on(async { Signals::new() })?;

    // Several services with one name would be one service to whoever looks at their telemetry.
    let own_name = settings.service_name.as_deref().filter(|_| services.len() == 1);
    let mut started = Vec::new();
    let mut bare = Vec::new();
    for mut bound in services {
        let name = own_name.unwrap_or(bound.target.name());
        let service = start(&bound, name, settings, &otlp, stdout)?;
        let (parts, endpoint) = (service.parts.clone(), bound.internal());
        let internal = async move { Internal::serve(parts, endpoint?, &ServerConfig::default()) };
        bare.push((main.block_on(service.first(internal))?, bound));
        started.push(service);
    }
    // A migration can take minutes. All of them say meanwhile that they live and are not ready.
    let mut prepared = Vec::new();
    for (service, (internal, bound)) in started.iter().zip(bare) {
        let parts = service.parts.clone();
        let endpoints = service.first(async move { bound.prepare(&parts).await });
        prepared.push((internal, main.block_on(endpoints)?));
    }
    let run = |(service, (internal, endpoints)): (&Started, (Internal, Vec<Endpoint>))| {
        (service.target, service.runtime.spawn(internal.run(endpoints)))
    };
    let mut tasks: Vec<(Target, Task)> = started.iter().zip(prepared).map(run).collect();
    for service in &started {
        announce(service, stdout);
    }
    if let Some(welcome) = welcome {
        welcome::print(&welcome);
    }

    let outcome = main.block_on(signals.or_a_failure(&mut tasks));
    // The sidecar ends last: it receives what the others still send.
    for sidecar in [false, true] {
        let group = |target: Target| (target == Target::Sidecar) == sidecar;
        let services = || started.iter().filter(|service| group(service.target));
        services().for_each(|service| service.parts.stopping.cancel());
        main.block_on(async {
            tokio::select! { // a second signal cuts the draining short
                () = ended(tasks.iter_mut().filter(|(target, _)| group(*target))) => {}
                () = signals.any() => {}
            }
        });
        thread::scope(|scope| {
            for service in services() {
                scope.spawn(|| service.parts.telemetry.shutdown(FLUSH));
            }
        });
    }
    for service in started {
        service.runtime.shutdown_background();
    }
    outcome
}

/// Begins a service's telemetry, under `name`, and its runtime.
fn start(
    bound: &Bound,
    name: &str,
    settings: &TelemetrySettings,
    otlp: &str,
    stdout: &Stdout,
) -> Result<Started, Failure> {
    let target = bound.target;
    let exports = (target != Target::Sidecar).then_some(otlp);
    let telemetry = Telemetry::start(&settings.of(name, exports), stdout)
        .map_err(|error| cannot_start(target, &error))?;
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime = telemetry.runtime(workers)?;
    let parts = Parts::new(telemetry);
    Ok(Started { target, addresses: bound.addresses().collect(), parts, runtime })
}

impl Started {
    /// Does what comes before the service runs, on its own threads.
    async fn first<T: Send + 'static>(
        &self,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = self.runtime.spawn(work).await.unwrap_or_else(|panic| Err(panic.into()));
        done.map_err(|error| cannot_start(self.target, &error))
    }
}

pub(crate) fn cannot_start(target: Target, error: &anyhow::Error) -> Failure {
    Failure::new(Failure::START, format!("{} cannot start: {error:#}", target.name()))
}

type Task = JoinHandle<anyhow::Result<()>>;

async fn ended(tasks: impl Iterator<Item = &mut (Target, Task)>) {
    for (_, task) in tasks {
        if !task.is_finished() {
            let _ = task.await; // it was asked to; how it did so is in its log
        }
    }
}

/// One line for each socket, for programs that started this one with port 0: by the name of the target, which is what they started.
fn announce(service: &Started, stdout: &Stdout) {
    let name = service.target.name();
    for (role, addr) in &service.addresses {
        let line = json!({"listening": {"service": name, "role": role, "addr": addr.to_string()}});
        stdout.line(&line.to_string());
    }
}

/// SIGTERM and SIGINT. The first asks to stop; a second one ends the waiting.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Signals> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Signals { terminate: signal(terminate)?, interrupt: signal(interrupt)? })
    }

    async fn any(&mut self) {
        tokio::select! { // a dropped arm loses nothing: a signal stays noted
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for a signal, which is no failure, or for the first service that ends by itself, which is one.
    async fn or_a_failure(&mut self, tasks: &mut [(Target, Task)]) -> Result<(), Failure> {
        let ends = tasks.iter_mut().map(|(target, task)| {
            Box::pin(async move {
                let why = match task.await {
                    Ok(Ok(())) => "it ended".to_owned(),
                    Ok(Err(error)) => format!("{error:#}"),
                    Err(panic) => panic.to_string(),
                };
                Failure::new(Failure::FAILED, format!("{} failed: {why}", target.name()))
            })
        });
        tokio::select! { // the tasks run on, whichever arm is dropped
            () = self.any() => Ok(()),
            (failure, _, _) = select_all(ends) => Err(failure),
        }
    }
}
