//! Starts Jaeger, Loki, Prometheus, Alertmanager and an exporter, says where they are, and ends them on Ctrl-C: `cargo run -p real --example stack`.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use real::stack::{Ports, Stack, tool};
use tokio::signal::unix::{SignalKind, signal};

/// What it needs, all of it asked for at once.
const PROGRAMS: [&str; 8] = [
    "jaeger",
    "loki",
    "prometheus",
    "alertmanager",
    "prometheus-node-exporter",
    "promtool",
    "amtool",
    "sloth",
];

/// Starts Jaeger, Loki, Prometheus, Alertmanager and the exporter of this machine with the configuration files of this repository, and ends them on Ctrl-C.
#[derive(Parser)]
struct Options {
    /// Listen on any free ports instead of the usual ones.
    #[arg(long)]
    free_ports: bool,
    /// Where they keep their data, and what they log.
    #[arg(long, value_name = "FOLDER", default_value = "data/stack")]
    data: PathBuf,
}

enum Event {
    Started(Result<Box<Stack>>),
    /// Ctrl-C, or SIGTERM.
    Signal,
    Stopped,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where it returns while programs run, they end with this process: the kernel kills them.
fn run(options: Options) -> Result<ExitCode> {
    let (events, event) = mpsc::channel();
    tell_signals(events.clone())?;

    let missing = PROGRAMS.iter().filter_map(|it| tool(it).err()).map(|it| it.to_string());
    let missing: Vec<String> = missing.collect();
    ensure!(missing.is_empty(), "{}", missing.join("\n"));
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../prometheus/check");
    let checked = Command::new(check).output().context("cannot run prometheus/check")?;
    let mistake = String::from_utf8_lossy(&checked.stderr);
    ensure!(checked.status.success(), "{}", mistake.trim());
    say("Jaeger, Loki, Prometheus, Alertmanager and node_exporter are starting.");
    let (ports, data) = (ports(&options), options.data.clone());
    let started = events.clone();
    thread::spawn(move || {
        let _ = started.send(Event::Started(Stack::start(ports, &data).map(Box::new)));
    });
    let Event::Started(stack) = event.recv()? else { return Ok(ExitCode::from(130)) };
    let mut stack = stack?;
    say(&introduction(&stack, &options));

    while let Err(RecvTimeoutError::Timeout) = event.recv_timeout(Duration::from_millis(500)) {
        stack.check()?;
    }

    say("Ending. Once more, and they are killed.");
    thread::spawn(move || {
        stack.stop();
        let _ = events.send(Event::Stopped);
    });
    match event.recv()? {
        Event::Stopped => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::from(130)),
    }
}

fn ports(options: &Options) -> Ports {
    if options.free_ports { Ports::Free } else { Ports::Usual }
}

fn tell_signals(events: Sender<Event>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _guard = runtime.enter();
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                // Nothing is lost with the other arm: a signal waits in its stream.
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if events.send(Event::Signal).is_err() {
                    return;
                }
            }
        });
    });
    Ok(())
}

fn introduction(stack: &Stack, options: &Options) -> String {
    let Stack { jaeger, loki, prometheus, alertmanager, node } = stack;
    format!(
        "
Jaeger         {:24}  traces: its query APIs v1 and v3
               {:24}  OTLP by HTTP; by gRPC at {}
Loki           {:24}  logs: LogQL, OTLP at /otlp, push at /loki/api/v1/push
Prometheus     {:24}  metrics and rules: PromQL, OTLP at /api/v1/otlp; scrapes MusicWallet at 9180 to 9183 and 9185
Alertmanager   {:24}  alerts; tells the sidecar at 9185, whose console shows them
node_exporter  http://{:17}  the metrics of this machine

To have the sidecar pass on to them what it receives, start MusicWallet with

  export SIDECAR_TRACES_ENDPOINT={}
  export SIDECAR_LOGS_ENDPOINT={}
  export SIDECAR_METRICS_ENDPOINT={}

Data and logs are in {}. All are ready. Ctrl-C ends them.",
        jaeger.url(),
        jaeger.otlp_url(),
        jaeger.otlp_grpc(),
        loki.url(),
        prometheus.url(),
        alertmanager.url(),
        node.address(),
        jaeger.otlp_url(),
        loki.otlp_url(),
        prometheus.otlp_url(),
        options.data.display(),
    )
}

#[expect(clippy::print_stdout, reason = "printing is what it is for")]
fn say(text: &str) {
    println!("{text}");
}
