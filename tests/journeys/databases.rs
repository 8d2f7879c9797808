//! Where `MUSICWALLET_TEST_POSTGRES` names a server, each program that a journey starts has a database and a role per service there, with
//! no more rights than an owner of one database has. Otherwise the services make their files.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// The services with a database, as their settings begin.
const SERVICES: [&str; 3] = ["ACCOUNTS", "CATALOG", "WALLET"];

/// `db.system.name` of the journeys' databases.
pub(crate) fn system() -> &'static str {
    if server().is_some() { "postgresql" } else { "sqlite" }
}

/// A superuser's address.
pub(crate) fn server() -> Option<String> {
    std::env::var("MUSICWALLET_TEST_POSTGRES").ok()
}

/// Databases on the server. Dropped, they are no more.
#[derive(Debug)]
pub(crate) struct Databases {
    server: String,
    names: Vec<String>,
}

impl Databases {
    /// None yet.
    pub(crate) fn on(server: String) -> Databases {
        Databases { server, names: Vec::new() }
    }

    /// One for each service, and the settings that lead there; the passwords are files in `folder`.
    pub(crate) fn settings(&mut self, folder: &Path) -> Vec<(String, String)> {
        SERVICES.iter().flat_map(|service| self.create(service, folder)).collect()
    }

    /// One for one service.
    pub(crate) fn create(&mut self, service: &str, folder: &Path) -> [(String, String); 2] {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}_{}_{number}", service.to_lowercase(), std::process::id());
        let password = format!("canary-{name}");
        self.names.push(name.clone());
        sql(
            &self.server,
            &[
                &format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"),
                &format!("CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'"),
                &format!("REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC"),
            ],
        );
        let file = folder.join(format!("{name}.password"));
        fs::write(&file, format!("{password}\n")).unwrap();
        let (_, place) = self.server.split_once('@').expect("the address has a user");
        let (place, _) = place.rsplit_once('/').expect("the address has a database");
        [
            (format!("{service}_DATABASE"), format!("postgres://{name}@{place}/{name}")),
            (format!("{service}_DATABASE_PASSWORD_FILE"), file.display().to_string()),
        ]
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for name in &self.names {
            let database = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let drops = [&*database, &format!("DROP ROLE IF EXISTS {name}")];
            if std::thread::panicking() {
                let _ = run(&self.server, &drops);
            } else {
                sql(&self.server, &drops);
            }
        }
    }
}

/// Runs statements, each by itself: what they answer, without decoration.
pub(crate) fn sql(server: &str, statements: &[&str]) -> String {
    run(server, statements).unwrap_or_else(|error| panic!("{statements:?}: {error}"))
}

fn run(server: &str, statements: &[&str]) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args(["-qXAt", "-v", "ON_ERROR_STOP=1", "-d", server]);
    for statement in statements {
        psql.args(["-c", statement]);
    }
    let output = psql.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
