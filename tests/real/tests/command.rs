//! `cargo run -p real --example stack`, as who runs it meets it.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::harness::eventually;

#[test]
fn ctrl_c_ends_the_command_and_all_it_has_started() {
    for (signal, code) in [("INT", Some(0)), ("TERM", Some(0)), ("KILL", None)] {
        let data = tempfile::tempdir().unwrap();
        let mut command = Example::ready(data.path());
        let children = command.children();
        assert_eq!(children.len(), 5, "{children:?}");
        command.signal(signal);
        let status = eventually("it ends", || command.child.try_wait().unwrap().ok_or("it runs"));
        assert_eq!(status.code(), code, "{signal}");
        eventually("its children are gone", || {
            let left: Vec<&u32> = children.iter().filter(|it| runs(**it)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{signal} leaves {left:?}")) }
        });
    }
}

#[test]
fn when_one_of_them_dies_the_command_says_what_it_wrote_and_ends_the_others() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Example::ready(data.path());
    let children = command.children();
    let loki = children.iter().find(|it| name(**it) == "loki").unwrap();
    signal(*loki, "KILL");
    let status = eventually("it ends", || command.child.try_wait().unwrap().ok_or("it runs"));
    assert_eq!(status.code(), Some(1));
    let told = command.errors();
    assert!(told.starts_with("Loki ended with signal: 9 (SIGKILL); the last lines of "), "{told}");
    eventually("the others are gone", || {
        if children.iter().any(|it| runs(*it)) { Err("not yet") } else { Ok(()) }
    });
}

const INSTALL: &str = "tests/real/install";

#[test]
fn a_missing_program_and_how_to_get_it_are_named() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new(example());
    command.args(["--free-ports", "--data"]).arg(data.path());
    command.env("MUSICWALLET_TOOLS", "/no/tools").env("PATH", data.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    let built = include_str!("../programs").lines().filter_map(|line| line.split_once(' '));
    let built: HashMap<&str, &str> = built.collect();
    let missing = |program: &str| {
        let place = built.get(program).map_or_else(
            || "not in PATH".to_owned(),
            |folder| format!("neither /no/tools/{folder}/{program} nor in PATH"),
        );
        format!("{program} is missing: it is {place}. To get it: {INSTALL}\n")
    };
    let expected = [
        "jaeger",
        "loki",
        "prometheus",
        "alertmanager",
        "prometheus-node-exporter",
        "promtool",
        "amtool",
        "sloth",
    ];
    let expected = expected.map(missing);
    assert_eq!(told, expected.concat());
}

/// The command, on free ports.
struct Example {
    child: Child,
}

impl Example {
    /// Starts it, and reads what it says until all are ready.
    fn ready(data: &Path) -> Example {
        let mut command = Command::new(example());
        command.args(["--free-ports", "--data"]).arg(data);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It says so, or ends.
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let ready = lines.find(|it| it.as_ref().unwrap().contains("All are ready"));
        let mut example = Example { child };
        ready.unwrap_or_else(|| panic!("{}", example.errors())).unwrap();
        example
    }

    fn children(&self) -> Vec<u32> {
        let ids = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|it| it.unwrap().file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|it| stat(*it).is_some_and(|(_, parent)| parent == self.child.id())).collect()
    }

    fn signal(&self, signal_name: &str) {
        signal(self.child.id(), signal_name);
    }

    fn errors(&mut self) -> String {
        std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds it beside the tests of its package.
fn example() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/stack")
}

fn signal(id: u32, name: &str) {
    let script = ["-c", "kill -\"$0\" \"$1\"", name, &id.to_string()];
    assert!(Command::new("sh").args(script).status().unwrap().success());
}

fn name(id: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/comm")).unwrap().trim().to_owned()
}

fn runs(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != "Z")
}

/// State and parent.
fn stat(id: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}
