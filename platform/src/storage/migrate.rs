//! What happens before the first statement: folder, lock, file, schema. Every failure is one sentence with a remedy.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::anyhow;
use sqlx::{
    ConnectOptions as _, Connection as _, SqlSafeStr as _, SqliteConnection,
    migrate::{Migrate as _, MigrateError, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::error::{Error, primary_code};

/// How long a statement waits for another program that holds the file, such as a backup.
const BUSY: Duration = Duration::from_secs(5);
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
}

/// What [`migrate`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The database.
    pub path: PathBuf,
    /// The version of its schema now.
    pub version: i64,
    /// Versions and names of the migrations that were missing and have been applied.
    pub applied: Vec<(i64, &'static str)>,
}

/// Brings the database at `path` to the newest version, creating it where it is missing. [`Db::open`](super::Db::open) does it by itself;
/// this is for who wants it done before a start, and to be told.
///
/// # Errors
/// As [`Db::open`](super::Db::open).
pub async fn migrate(path: &Path, migrations: &Migrations) -> anyhow::Result<Migrated> {
    prepare(path, migrations).await.map(|(_lock, migrated)| migrated)
}

/// Locks and migrates. The database is this program's as long as the file is held.
pub(super) async fn prepare(
    path: &Path,
    migrations: &Migrations,
) -> anyhow::Result<(File, Migrated)> {
    let lock = lock(path, migrations)?;
    let options = options(path);
    let mut connection = SqliteConnection::connect_with(&options)
        .await
        .map_err(|cause| explain(path, migrations, cause.into()))?;
    let migrated = run(path, migrations, &mut connection).await;
    // Closed also after a failure, so that no worker of the driver has the file open any more.
    let closed = connection.close().await;
    let migrated = migrated?;
    closed.map_err(|cause| explain(path, migrations, cause.into()))?;
    Ok((lock, migrated))
}

/// How every connection of ours is set up; readers add that they only read.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        // The spans have the statements. The driver would log them on threads that have no subscriber.
        .disable_statement_logging()
}

/// Creates the folder and takes the lock file.
fn lock(path: &Path, migrations: &Migrations) -> anyhow::Result<File> {
    let setting = migrations.setting;
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let remedy = format!(
        "give the user that runs MusicWallet access to it, or set {setting} to another place"
    );
    fs::create_dir_all(folder).map_err(|cause| {
        anyhow!(
            "the data directory {} cannot be created ({}); {remedy}",
            folder.display(),
            reason(&cause)
        )
    })?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(
        |cause| {
            let (folder, lock_path) = (folder.display(), lock_path.display());
            anyhow!(
                "the data directory {folder} cannot be used: {lock_path} cannot be written ({}); {remedy}",
                reason(&cause)
            )
        },
    )?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(anyhow!(
            "the database {} is in use by another MusicWallet; stop that one, or set {setting} to another file",
            path.display()
        )),
        Err(TryLockError::Error(cause)) => Err(anyhow!(
            "{} cannot be locked ({}); put the database on a local file system by {setting}",
            lock_path.display(),
            reason(&cause)
        )),
    }
}

/// Applies what is missing, after a look at what is there: a newer database stays untouched.
async fn run(
    path: &Path,
    migrations: &Migrations,
    connection: &mut SqliteConnection,
) -> anyhow::Result<Migrated> {
    let failed = |cause: MigrateError| match cause {
        MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) => {
            explain(path, migrations, cause.into())
        }
        MigrateError::VersionMismatch(version) => anyhow!(
            "the database {} was made by another build: its migration {version} is not ours; start that build, or set {} to \
             another file",
            path.display(),
            migrations.setting
        ),
        other => anyhow!("the database {} cannot be migrated: {other}", path.display()),
    };
    let all =
        "SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema";
    let counted = sqlx::query_as::<_, (i64, i64)>(all).fetch_one(&mut *connection).await;
    if let (1.., 0) = counted.map_err(|cause| failed(cause.into()))? {
        return Err(anyhow!(
            "the database {} belongs to another program; set {} to another file",
            path.display(),
            migrations.setting
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
            "the database {} comes from a newer MusicWallet (its schema has version {is}, this program knows {known}); start the \
             newer program, or set {} to another file",
            path.display(),
            migrations.setting
        ));
    }
    migrator(migrations).run_direct(None, connection, false).await.map_err(failed)?;
    let missing = |it: &&Migration| there.iter().all(|applied| applied.version != it.version);
    let applied = migrations.list.iter().filter(missing).map(|it| (it.version, it.name)).collect();
    Ok(Migrated { path: path.to_owned(), version: known, applied })
}

fn migrator(migrations: &Migrations) -> Migrator {
    let step = |it: &Migration| {
        let (text, kind) = (it.sqlite.into_sql_str(), MigrationType::Simple);
        sqlx::migrate::Migration::new(it.version, it.name.into(), kind, text, false)
    };
    Migrator::with_migrations(migrations.list.iter().map(step).collect())
}

/// A failure to open as a sentence that somebody at a terminal can act on.
pub(super) fn explain(path: &Path, migrations: &Migrations, error: Error) -> anyhow::Error {
    let (Error::Unavailable(cause) | Error::Unique(cause) | Error::Other(cause)) = &error;
    let (path, setting) = (path.display(), migrations.setting);
    // SQLite's primary codes: BUSY, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB.
    match cause.as_database_error().and_then(primary_code) {
        Some(5) => anyhow!(
            "the database {path} is locked by another program; close that one, or set {setting} to another file"
        ),
        Some(8) => anyhow!(
            "the database {path} cannot be written; give the user that runs MusicWallet access to it, or set {setting} to \
             another file"
        ),
        Some(11) => anyhow!(
            "the database {path} is damaged; put a backup in its place, or set {setting} to another file"
        ),
        Some(13) => anyhow!(
            "the disk with the database {path} is full; make room, or set {setting} to another place"
        ),
        Some(14) => anyhow!(
            "the database {path} cannot be opened; give the user that runs MusicWallet access to a plain file there, or set \
             {setting} to another file"
        ),
        Some(26) => anyhow!(
            "the file {path} is not a database; move it away, or set {setting} to another file"
        ),
        _ => anyhow::Error::new(error).context(format!("the database {path} cannot be opened")),
    }
}

/// The cause in words, without the number of the operating system.
fn reason(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a part of the path is a file".to_owned()
        }
        io::ErrorKind::IsADirectory => "there is a folder of that name".to_owned(),
        _ => cause.to_string(),
    }
}
