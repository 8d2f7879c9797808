//! A sidecar alone that hands traces on, and its spool as a stranger reads it: by the tables in the documentation of the crate `spool`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::blocking::Client;
use serde_json::Value;
use tempfile::TempDir;

use super::{destination::Destination, settled};
use crate::harness::{Process, Reply};

pub(super) struct Agent {
    /// Dropped before its folder.
    process: Option<Process>,
    pub(super) folder: TempDir,
    settings: [(&'static str, String); 3],
    /// Of its spool, as the kernel knows it.
    spool: PathBuf,
    client: Client,
}

impl Agent {
    pub(super) fn start(destination: &Destination, spool_size: &str) -> Agent {
        let folder = tempfile::tempdir().unwrap();
        let spool = fs::canonicalize(folder.path()).unwrap().join("spool");
        let settings = [
            ("SIDECAR_SPOOL", spool.to_str().unwrap().to_owned()),
            ("SIDECAR_TRACES_ENDPOINT", format!("http://{}", destination.address)),
            ("SIDECAR_SPOOL_SIZE", spool_size.to_owned()),
        ];
        let client = Client::builder().no_proxy().build().unwrap();
        let spool = spool.join("traces");
        let mut agent = Agent { process: None, folder, settings, spool, client };
        agent.start_again();
        agent
    }

    /// Over the same spool, elsewhere.
    pub(super) fn start_again(&mut self) {
        let settings = self.settings.each_ref().map(|(name, value)| (*name, value.as_str()));
        let process = Process::start(&["serve", "sidecar"], self.folder.path(), &settings);
        self.process = Some(process);
    }

    pub(super) fn process(&self) -> &Process {
        self.process.as_ref().expect("it was started")
    }

    /// Where it receives OTLP.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.process().address("sidecar", "otlp-http"))
    }

    pub(super) fn kill(&mut self) {
        self.process().signal("KILL");
        self.was_killed();
    }

    /// Waits for its end, which must be by a signal.
    pub(super) fn was_killed(&mut self) {
        let (code, stdout, stderr) = self.process.take().expect("it was started").end();
        assert_eq!(code, None, "it ended by itself:\n{stdout}\n{stderr}");
    }

    fn books(&self) -> Value {
        let console = self.process().address("sidecar", "console");
        Reply::to(self.client.get(format!("http://{console}/delivery.json"))).json
    }

    /// Its books, once nothing waits.
    pub(super) fn settled(&self) -> Value {
        settled(|| self.books(), "traces")
    }

    pub(super) fn segments(&self) -> Vec<PathBuf> {
        segments(&self.spool)
    }
}

/// The files of the segments in a spool, oldest first.
pub(super) fn segments(spool: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(spool).unwrap().map(|it| it.unwrap().path());
    let mut segments: Vec<PathBuf> =
        paths.filter(|it| it.extension().is_some_and(|it| it == "spool")).collect();
    segments.sort();
    segments
}

/// A segment's file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Units and payload of each record.
    pub(super) data: Vec<(u64, Vec<u8>)>,
    /// Up to which segment all is settled, by the latest state in it.
    pub(super) settled: u64,
}

/// Where the state is in a segment's header, and the settled position in a state.
const STATE: usize = 24;
const SETTLED: usize = 88;
const HEADER: usize = 160;
const RECORD: usize = 32;
pub(super) const DATA: u8 = 1;

/// `None`: it was killed before its header was written.
pub(super) fn read(path: &Path) -> Option<Segment> {
    let bytes = fs::read(path).unwrap();
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    if bytes.len() < HEADER {
        return None;
    }
    let mut segment =
        Segment { number: u64_at(16), data: Vec::new(), settled: u64_at(STATE + SETTLED) };
    let mut at = HEADER;
    while at + RECORD <= bytes.len() && at + RECORD + u32_at(at + 8) <= bytes.len() {
        let (kind, payload) = (bytes[at + 4], at + RECORD);
        let end = payload + u32_at(at + 8);
        match kind {
            DATA => segment.data.push((u64_at(at + 16), bytes[payload..end].into())),
            _ => segment.settled = u64_at(payload + SETTLED),
        }
        at = end;
    }
    Some(segment)
}
