//! The exporters of this machine and of a PostgreSQL.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;

use super::program::{Kind, Ports, Program};

const HTTP: usize = 0;

const NODE: Kind = Kind {
    name: "node_exporter",
    program: "prometheus-node-exporter",
    sockets: &[("HTTP", 9100)],
    prepare: |_| Ok(()),
    configure: |command, addresses, _| {
        command.arg(format!("--web.listen-address={}", addresses[HTTP]));
        command.arg("--no-collector.systemd"); // on by Debian's choice; not every system has it
    },
    ready: &[(HTTP, "/")],
};

const POSTGRES: Kind = Kind {
    configure: |command, addresses, _| {
        command.arg(format!("--web.listen-address={}", addresses[HTTP]));
    },
    name: "postgres_exporter",
    program: "prometheus-postgres-exporter",
    sockets: &[("HTTP", 9187)],
    ..NODE
};

/// An exporter, running.
#[derive(Debug)]
pub struct Exporter {
    /// Its process.
    pub program: Program,
}

impl Exporter {
    /// Starts the one for this machine, and returns when it is ready.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn of_this_machine(ports: Ports, data: &Path) -> Result<Exporter> {
        Ok(Exporter { program: Program::start(&NODE, ports, data)? })
    }

    /// Starts the one for a PostgreSQL, and returns when it is ready, whether that one runs or not. `source` is its address:
    /// `postgres://user@host:port/database`.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn of_postgres(source: &str, ports: Ports, data: &Path) -> Result<Exporter> {
        let variables = vec![("DATA_SOURCE_NAME", format!("{source}?sslmode=disable"))];
        Ok(Exporter { program: Program::start_with(&POSTGRES, ports, data, variables)? })
    }

    /// Where its metrics are.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.program.address(HTTP)
    }
}
