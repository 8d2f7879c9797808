//! The real Alertmanager: who is told of which alert.

use std::{collections::BTreeMap, ffi::OsString, fs, net::SocketAddr, os::unix, path::Path};

use anyhow::Result;
use serde::Deserialize;

use super::program::{Kind, Ports, Program, empty, hurry, shipped};

const HTTP: usize = 0;
const CONFIG: &str = "alertmanager.yml";
/// Whom it tells.
const CONSOLE: &str = "targets/console.url";
/// As the configuration names it, which looks for its files from the working directory.
const FOLDER: &str = "alertmanager";

const KIND: Kind = Kind {
    name: "Alertmanager",
    program: "alertmanager",
    sockets: &[("HTTP", 9093)],
    prepare: |data| configured(&data.join(FOLDER)),
    configure: |command, addresses, data| {
        let mut state = OsString::from("--storage.path=");
        state.push(data.join("state"));
        command
            .arg(format!("--config.file={FOLDER}/{CONFIG}"))
            .arg(state)
            .arg(format!("--web.listen-address={}", addresses[HTTP]))
            .arg("--cluster.listen-address="); // or it listens on another interface, too
    },
    ready: &[(HTTP, "/-/ready")],
};

/// The same, but waits for seconds where it waits for minutes.
const HURRIED: Kind = Kind { prepare: |data| hurried(&data.join(FOLDER)), ..KIND };

/// Alertmanager, running.
#[derive(Debug)]
pub struct Alertmanager {
    /// Its process.
    pub program: Program,
}

/// An alert that it knows and that fires.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Alert {
    /// `alertname`, `severity` and others.
    pub labels: BTreeMap<String, String>,
    /// Whether it is told, and why not.
    pub status: Status,
}

/// What becomes of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `active`, `suppressed` or `unprocessed`.
    pub state: String,
    /// The fingerprints of the alerts that silence it.
    pub inhibited_by: Vec<String>,
}

impl Alertmanager {
    /// Starts it, and returns when it is ready. It tells the console at its usual address; [`Alertmanager::tell`] changes that.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn start(ports: Ports, data: &Path) -> Result<Alertmanager> {
        Ok(Alertmanager { program: Program::start(&KIND, ports, data)? })
    }

    /// Starts it with all its times divided by 60.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn start_hurried(ports: Ports, data: &Path) -> Result<Alertmanager> {
        Ok(Alertmanager { program: Program::start(&HURRIED, ports, data)? })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.program.address(HTTP)
    }

    /// Where its API and its page are.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url(HTTP)
    }

    /// Tells the sidecar at this base address of its internal port from now on.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn tell(&self, sidecar: &str) -> Result<()> {
        let file = self.program.data().join(FOLDER).join(CONSOLE);
        let new = file.with_extension("new");
        fs::write(&new, format!("{sidecar}/alerts"))?;
        Ok(fs::rename(new, file)?) // it never sees half of it
    }

    /// The alerts that fire, silenced or not.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        Ok(serde_json::from_value(self.program.get(HTTP, "/api/v2/alerts", &[])?)?)
    }
}

/// A folder that has what `alertmanager/` has.
fn configured(folder: &Path) -> Result<()> {
    empty(folder)?;
    for entry in fs::read_dir(shipped("alertmanager"))? {
        let (name, path) = entry.map(|it| (it.file_name(), it.path()))?;
        if name != "targets" {
            unix::fs::symlink(path, folder.join(name))?;
        }
    }
    fs::create_dir(folder.join("targets"))?;
    fs::copy(shipped("alertmanager").join(CONSOLE), folder.join(CONSOLE))?;
    Ok(())
}

fn hurried(folder: &Path) -> Result<()> {
    configured(folder)?;
    fs::remove_file(folder.join(CONFIG))?;
    hurry(folder)
}
