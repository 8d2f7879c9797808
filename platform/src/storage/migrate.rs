//! The schema, brought to this program's version: the same steps for every database. Every failure is one sentence with a remedy.

use std::path::Path;

use anyhow::anyhow;
use sqlx::{
    SqlSafeStr as _,
    migrate::{Migrate, MigrateError, MigrationType, Migrator},
};

use super::{Dialect, Location, postgres, sqlite};

/// The driver's table of applied migrations.
const TABLE: &str = "_sqlx_migrations";

/// The schema of a service: its migrations, embedded, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// The setting that says where the database is, for messages: `CATALOG_DATABASE`.
    pub setting: &'static str,
    /// All of them, with rising versions. One that was released never changes.
    pub list: &'static [Migration],
}

/// One step of a schema. It runs in a transaction: wholly or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1 for the first.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Its text in SQLite's dialect, by `include_str!`.
    pub sqlite: &'static str,
    /// Its text in PostgreSQL's.
    pub postgres: &'static str,
}

impl Migrations {
    /// The service whose they are, out of the setting's name: `catalog`.
    pub(super) fn service(&self) -> String {
        self.setting.trim_end_matches("_DATABASE").to_ascii_lowercase()
    }
}

/// What [`migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The database: a path, or an address without a password.
    pub database: String,
    /// The version of its schema now.
    pub version: i64,
    /// Versions and names of the migrations that were missing and have been applied.
    pub applied: Vec<(i64, &'static str)>,
}

/// Brings the database to the newest version; a file is created where it is missing. [`Db::open`](super::Db::open) does it by itself;
/// this is for who wants it done before a start, and to be told.
///
/// # Errors
/// As [`Db::open`](super::Db::open).
pub async fn migrate(
    location: impl Into<Location>,
    password_file: Option<&Path>,
    migrations: &Migrations,
) -> anyhow::Result<Migrated> {
    match location.into().with_password(password_file, migrations.setting)? {
        Location::File(path) => sqlite::prepare(&path, migrations).await.map(|(_lock, it)| it),
        Location::Server(server) => postgres::prepare(&server, migrations).await.map(|(_, it)| it),
    }
}

/// What is to be migrated.
pub(super) struct Place<'a> {
    /// Without a password.
    pub(super) name: String,
    /// Of what another one would help: `file` or `database`.
    pub(super) another: &'static str,
    pub(super) dialect: Dialect,
    pub(super) migrations: &'a Migrations,
    /// There are tables, and none of them is [`TABLE`].
    pub(super) foreign: bool,
}

/// That a database has the version that this program has.
pub(super) fn is_this_version(
    name: &str,
    version: Option<i64>,
    migrations: &Migrations,
) -> anyhow::Result<()> {
    if version == migrations.list.iter().map(|it| it.version).max() {
        return Ok(());
    }
    Err(anyhow!(
        "the database {name} has another version than this program; use the program that the service runs, or \
         `musicwallet migrate` while it is stopped"
    ))
}

/// Applies what is missing, after a look at what is there: a newer database stays untouched.
pub(super) async fn run<C: Migrate>(
    place: &Place<'_>,
    connection: &mut C,
    explain: impl Fn(sqlx::Error) -> anyhow::Error,
) -> anyhow::Result<Migrated> {
    let Place { name, another, migrations, .. } = place;
    let setting = migrations.setting;
    let failed = |cause: MigrateError| match cause {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => explain(cause),
        MigrateError::VersionMismatch(version) => anyhow!(
            "the database {name} was made by another build: its migration {version} is not ours; start that build, or set \
             {setting} to another {another}"
        ),
        other => anyhow!("the database {name} cannot be migrated: {other}"),
    };
    if place.foreign {
        return Err(anyhow!(
            "the database {name} belongs to another program; set {setting} to another {another}"
        ));
    }
    connection.ensure_migrations_table(TABLE).await.map_err(failed)?;
    let there = connection.list_applied_migrations(TABLE).await.map_err(failed)?;
    let newest = |versions: &mut dyn Iterator<Item = i64>| versions.max().unwrap_or(0);
    let (is, known) = (
        newest(&mut there.iter().map(|it| it.version)),
        newest(&mut migrations.list.iter().map(|it| it.version)),
    );
    if is > known {
        return Err(anyhow!(
            "the database {name} comes from a newer MusicWallet (its schema has version {is}, this program knows {known}); \
             start the newer program, or set {setting} to another {another}"
        ));
    }
    migrator(place).run_direct(None, connection, false).await.map_err(failed)?;
    let missing = |it: &&Migration| there.iter().all(|applied| applied.version != it.version);
    let applied = migrations.list.iter().filter(missing).map(|it| (it.version, it.name)).collect();
    Ok(Migrated { database: name.clone(), version: known, applied })
}

fn migrator(place: &Place<'_>) -> Migrator {
    let step = |it: &Migration| {
        let text = match place.dialect {
            Dialect::Sqlite => it.sqlite,
            Dialect::Postgres => it.postgres,
        };
        let (text, kind) = (text.into_sql_str(), MigrationType::Simple);
        sqlx::migrate::Migration::new(it.version, it.name.into(), kind, text, false)
    };
    let mut migrator = Migrator::with_migrations(place.migrations.list.iter().map(step).collect());
    // Whoever calls has the database for itself, and had it before it looked.
    migrator.set_locking(false);
    migrator
}
