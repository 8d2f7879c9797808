//! Documents with commands are run as somebody types them, in order, in one shell; what they show is what the document says.

use std::{env, fs, process::Command};

use real::stack::{Jaeger, Loki, Ports, Prometheus, Storage};

use crate::harness::{App, Shape, binary, root};

/// Longer than any of them takes on a busy machine.
const SECONDS: &str = "400";
/// Ends what a block shows.
const END: &str = "--- the block ends here";

/// A block of commands, and what it shows where the document tells.
#[derive(Debug, Default)]
struct Block {
    commands: String,
    shown: Option<String>,
}

/// The blocks marked `sh`, each with the one marked `text` that comes before the next.
fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let text: String =
            lines.by_ref().take_while(|it| *it != "```").map(|it| format!("{it}\n")).collect();
        match kind {
            "sh" => blocks.push(Block { commands: text, shown: None }),
            "text" => {
                let of = blocks.last_mut().expect("something was run before");
                assert!(of.shown.replace(text).is_none(), "two answers to\n{}", of.commands);
            }
            _ => {}
        }
    }
    blocks
}

/// `…` stands for anything in its line, and alone for any lines.
fn shows(expected: &[String], lines: &[String]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "…" => {
            (0..=lines.len()).any(|it| shows(rest, &lines[it..]))
        }
        ([first, rest @ ..], [line, others @ ..]) => is_like(first, line) && shows(rest, others),
        _ => false,
    }
}

fn is_like(expected: &str, line: &str) -> bool {
    match expected.split_once('…') {
        None => expected == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter_map(|it| rest.get(it..)).any(|it| is_like(after, it))
        }),
    }
}

/// Runs a document in an empty folder. Its first block says where things are, one `NAME=value` a line; here each is somewhere else. `settings` are
/// in the environment of all.
#[track_caller]
pub(crate) fn run(document: &str, places: &[(&str, String)], settings: &[(&str, String)]) {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let mut blocks = blocks(&text);
    let names = blocks[0].commands.lines().map(|it| it.split_once('=').unwrap().0);
    assert!(names.eq(places.iter().map(|it| it.0)), "{document}: {}", blocks[0].commands);
    blocks[0].commands = places.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    // What it leaves in the background ends with it.
    let mut script = "trap 'kill -KILL $(jobs -p) 2>/dev/null || true' EXIT\n".to_owned();
    script.extend(blocks.iter().map(|it| format!("{}echo '{END}'\n", it.commands)));

    let folder = tempfile::tempdir().unwrap();
    let binary = binary();
    let programs = binary.parent().unwrap().display();
    let output = Command::new("timeout")
        .args(["--kill-after=5", SECONDS, "bash", "-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{programs}:{}", env::var("PATH").unwrap()))
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let (shown, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    let mut parts = shown.split_inclusive(END);
    for block in &blocks {
        let commands = &block.commands;
        let part = parts.next().and_then(|it| it.trim_start().strip_suffix(END));
        let part =
            part.unwrap_or_else(|| panic!("{document}: this failed:\n{commands}{shown}\n{errors}"));
        let Some(expected) = &block.shown else { continue };
        let lines =
            |text: &str| text.lines().map(|it| it.trim_end().to_owned()).collect::<Vec<_>>();
        assert!(
            shows(&lines(expected), &lines(part)),
            "{document}:\n{commands}shows\n{part}instead of\n{expected}{errors}"
        );
    }
    assert!(output.status.success(), "{document}: {}\n{errors}", output.status);
}

#[test]
fn the_page_for_those_who_come_from_the_ancestor() {
    let app = App::start(Shape::One);
    run("docs/api.md", &[("API", app.url("gateway", "api"))], &[]);
}

#[test]
fn the_tutorial_about_missing_telemetry() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, data.path()).unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let destinations = [
        ("SIDECAR_TRACES_ENDPOINT", jaeger.otlp_url()),
        ("SIDECAR_LOGS_ENDPOINT", loki.otlp_url()),
    ];
    let settings: Vec<(&str, &str)> =
        destinations.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let app = App::start_with(Shape::Each, &settings);
    let spool = app.data.path().join("data/spool").display().to_string();
    let console = app.process("sidecar").address("sidecar", "console");
    let values = [
        ("API", app.url("gateway", "api")),
        ("GATEWAY", app.url("gateway", "internal")),
        ("ACCOUNTS", app.url("accounts", "internal")),
        ("CATALOG", app.url("catalog", "internal")),
        ("CONSOLE", console.clone()),
        ("JAEGER", jaeger.url()),
        ("LOKI", loki.url()),
        ("SPOOL", spool.clone()),
        ("JAEGER_PID", jaeger.program.id().to_string()),
        ("SIDECAR_PID", app.process("sidecar").id().to_string()),
    ];
    // What the sidecar is started again with.
    let mut again = vec![("SIDECAR_SPOOL", spool), ("CONSOLE_LISTEN", console)];
    let scraped = ["gateway", "accounts", "catalog", "wallet"]
        .map(|it| format!("{it}={}/metrics", app.url(it, "internal")));
    again.push(("CONSOLE_SCRAPE", scraped.join(",")));
    for (variable, role) in [
        ("SIDECAR_OTLP_HTTP_LISTEN", "otlp-http"),
        ("SIDECAR_OTLP_GRPC_LISTEN", "otlp-grpc"),
        ("SIDECAR_INTERNAL_LISTEN", "internal"),
    ] {
        again.push((variable, app.process("sidecar").address("sidecar", role)));
    }
    again.extend(destinations.map(|(name, value)| (name, value)));
    run("docs/tutorials/why-is-telemetry-missing.md", &values, &again);
}

#[test]
fn the_tutorial_that_follows_one_request() {
    let data = tempfile::tempdir().unwrap();
    let jaeger = Jaeger::start(Storage::Memory, Ports::Free, data.path()).unwrap();
    let loki = Loki::start(Ports::Free, data.path()).unwrap();
    let prometheus = Prometheus::start(Ports::Free, data.path()).unwrap();
    let destinations = [jaeger.otlp_url(), loki.otlp_url()];
    let settings = [
        ("SIDECAR_TRACES_ENDPOINT", &*destinations[0]),
        ("SIDECAR_LOGS_ENDPOINT", &destinations[1]),
    ];
    let app = App::start_with(Shape::Each, &settings);
    let addresses = ["gateway", "accounts"].map(|it| (it, app.process(it).address(it, "internal")));
    let targets = addresses.each_ref().map(|(service, address)| (*service, address.as_str()));
    prometheus.scrape(&targets).unwrap();
    let links = root().join("grafana/provisioning/datasources/musicwallet.yaml");
    let values = [
        ("API", app.url("gateway", "api")),
        ("JAEGER", jaeger.url()),
        ("LOKI", loki.url()),
        ("PROMETHEUS", prometheus.url()),
        ("LINKS", links.display().to_string()),
    ];
    run("docs/tutorials/follow-one-request.md", &values, &[]);
}

#[test]
fn an_answer_is_compared_line_by_line_and_dots_stand_for_anything() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let shown = lines("one 1\ntwo\nthree 3 x");
    for expected in
        ["one 1\ntwo\nthree 3 x", "one …\n…\nthree …x", "…", "…\nthree … x", "one 1…\n…\n…\n…o\n…"]
    {
        assert!(shows(&lines(expected), &shown), "{expected}");
    }
    for expected in ["one\ntwo\nthree 3 x", "one …\ntwo", "…\ntwo", "three …", ""] {
        assert!(!shows(&lines(expected), &shown), "{expected}");
    }
}
