//! Kills a process exactly when it enters a system call: by `strace`, from outside, so that the program has nothing that is for tests.
//!
//! A process that is killed on entering a call does not make it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use super::agent::Agent;
use crate::harness::eventually;

pub(super) struct Trap {
    strace: Child,
    log: PathBuf,
    what: String,
}

impl Trap {
    /// The process dies when one of its threads makes one of these calls on this file for the `nth` time from now on.
    pub(super) fn set(agent: &Agent, calls: &str, file: &str, nth: u32) -> Trap {
        let log = agent.folder.path().join("strace");
        let mut strace = Command::new("strace")
            .args(["-f", "-xx", "-s", "64", "-P", file, "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:signal=SIGKILL:when={nth}"), "-o"])
            .arg(&log)
            .args(["-p", &agent.process().id().to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace starts: Debian's package of that name has it");
        let mut stderr = BufReader::new(strace.stderr.take().unwrap());
        let mut told = String::new();
        // It says so once for all threads; a path that does not exist yet gets a line before.
        while !told.contains(" attached") {
            let read = stderr.read_line(&mut told).unwrap();
            assert!(read > 0, "strace cannot attach (as root it can): {told}");
        }
        thread::spawn(move || stderr.read_to_end(&mut Vec::new())); // what else it says must not stop it
        Trap { strace, log, what: format!("{calls} of {file}") }
    }

    /// Waits until it was hit; the first bytes that the call was about.
    pub(super) fn hit(mut self, agent: &mut Agent) -> Vec<u8> {
        agent.was_killed();
        eventually("strace ends", || self.strace.try_wait().unwrap().ok_or("it runs"));
        let log = fs::read_to_string(&self.log).unwrap();
        let is_killed = log.lines().any(|it| it.ends_with("+++ killed by SIGKILL +++"));
        // What the last call was made with; its end may be told in a line of its own.
        let text = log.lines().rev().find_map(|it| it.split('"').nth(1));
        let text = text.filter(|_| is_killed).unwrap_or_else(|| panic!("no hit:\n{log}"));
        text.split("\\x").skip(1).map(|it| u8::from_str_radix(it, 16).unwrap()).collect()
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        let _ = self.strace.kill(); // it has ended, unless the test fails
        let _ = self.strace.wait();
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- the trap for {} saw:\n{log}", self.what);
        }
    }
}

/// A file, as `strace` knows it.
pub(super) fn file(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The connection to an agent's own address, as `strace` knows it; there must be one.
pub(super) fn connection_to(address: SocketAddr) -> String {
    socket(|local, _| local == address.port())
}

/// The connection from an agent to an address.
pub(super) fn connection_from(address: SocketAddr) -> String {
    socket(|_, remote| remote == address.port())
}

/// The socket with these ports, local and remote, among this machine's connections.
fn socket(is_it: impl Fn(u16, u16) -> bool) -> String {
    let port = |it: &str| u16::from_str_radix(it.rsplit(':').next().unwrap(), 16).unwrap();
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let found: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_established = fields[3] == "01";
            (is_established && is_it(port(fields[1]), port(fields[2]))).then_some(fields[9])
        })
        .collect();
    assert_eq!(found.len(), 1, "sockets {found:?} in:\n{table}");
    format!("socket:[{}]", found[0])
}
