//! A service's database as those see it who run MusicWallet: where it is, and what is done to it as a whole.

use std::path::{Path, PathBuf};

use telemetry::Telemetry;

use super::{Db, Location, Migrated, Migrations, Restore, backup, migrate};

/// Where a service's database is, what lets one in, and what schema it has.
#[derive(Clone, Debug)]
pub struct Database {
    /// Where it is.
    pub location: Location,
    /// A file with the password for a server.
    pub password_file: Option<PathBuf>,
    /// Its schema.
    pub migrations: &'static Migrations,
}

impl Database {
    /// The service whose it is: `catalog`.
    pub fn service(&self) -> String {
        self.migrations.service()
    }

    /// Opens and migrates it, for its service.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub async fn open(&self, telemetry: &Telemetry) -> anyhow::Result<Db> {
        let (location, password) = (self.location.clone(), self.password_file.as_deref());
        Db::open(location, password, self.migrations, telemetry).await
    }

    /// Opens it beside its service.
    ///
    /// # Errors
    /// As [`Db::attach`].
    pub async fn attach(&self, telemetry: &Telemetry) -> anyhow::Result<Db> {
        let (location, password) = (self.location.clone(), self.password_file.as_deref());
        Db::attach(location, password, self.migrations, telemetry).await
    }

    /// Brings it to the newest version, without a start.
    ///
    /// # Errors
    /// As [`Db::open`].
    pub async fn migrate(&self) -> anyhow::Result<Migrated> {
        let (location, password) = (self.location.clone(), self.password_file.as_deref());
        migrate(location, password, self.migrations).await
    }

    /// Copies it into the new file `to` while its service runs.
    ///
    /// # Errors
    /// There is no such file, `to` is there already or cannot be written, the copy is not whole; or the database is on a server.
    pub async fn backup(&self, to: &Path) -> anyhow::Result<()> {
        backup::backup(self.file()?, to, self.migrations).await
    }

    /// Looks whether the backup `from` can take its place, and sees to it that nobody uses it meanwhile.
    ///
    /// # Errors
    /// As [`Restore::prepare`], and when it is on a server.
    pub async fn restore(&self, from: &Path) -> anyhow::Result<Restore> {
        Restore::prepare(from, self.file()?, self.migrations).await
    }

    /// The file that it is.
    ///
    /// # Errors
    /// When it is on a server, which has its own tools.
    pub fn file(&self) -> anyhow::Result<&Path> {
        match &self.location {
            Location::File(path) => Ok(path),
            Location::Server(server) => Err(anyhow::anyhow!(
                "{} is {server}: this copies files of SQLite; use pg_dump and pg_restore for a server",
                self.migrations.setting
            )),
        }
    }
}
