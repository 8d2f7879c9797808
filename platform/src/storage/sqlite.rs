//! SQLite before the first statement: folder, lock, file. Every failure is one sentence with a remedy.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::anyhow;
use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    Dialect, Migrations,
    error::{Error, primary_code},
    migrate::{self, Migrated, Place},
};

/// How long a statement waits for another program that holds the file, such as a backup.
const BUSY: Duration = Duration::from_secs(5);

/// Locks and migrates. The database is this program's as long as the file is held.
pub(super) async fn prepare(
    path: &Path,
    migrations: &Migrations,
) -> anyhow::Result<(File, Migrated)> {
    let lock = lock(path, migrations)?;
    let options = options(path);
    let explain = |cause: sqlx::Error| explain(path, migrations, cause.into());
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(explain)?;
    let migrated = migrated(path, migrations, &mut connection).await;
    // Closed also after a failure, so that no worker of the driver has the file open any more.
    let closed = connection.close().await;
    let migrated = migrated?;
    closed.map_err(explain)?;
    Ok((lock, migrated))
}

async fn migrated(
    path: &Path,
    migrations: &Migrations,
    connection: &mut SqliteConnection,
) -> anyhow::Result<Migrated> {
    let all =
        "SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema";
    let counted = sqlx::query_as::<_, (i64, i64)>(all).fetch_one(&mut *connection).await;
    let counted = counted.map_err(|cause| explain(path, migrations, cause.into()))?;
    let place = Place {
        name: path.display().to_string(),
        another: "file",
        dialect: Dialect::Sqlite,
        migrations,
        foreign: matches!(counted, (1.., 0)),
    };
    migrate::run(&place, connection, |cause| explain(path, migrations, cause.into())).await
}

/// That there is a database, of the version that this program has.
pub(super) async fn has_this_version(path: &Path, migrations: &Migrations) -> anyhow::Result<()> {
    let (shown, setting) = (path.display(), migrations.setting);
    if !path.exists() {
        return Err(anyhow!(
            "there is no database at {shown}; set {setting} to the one that is meant"
        ));
    }
    let options = options(path).create_if_missing(false);
    let explain = |cause: sqlx::Error| explain(path, migrations, cause.into());
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(explain)?;
    let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
    let version = version.fetch_one(&mut connection).await;
    connection.close().await.map_err(explain)?;
    let version: Option<i64> = version.map_err(explain)?;
    migrate::is_this_version(&shown.to_string(), version, migrations)
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
pub(super) fn lock(path: &Path, migrations: &Migrations) -> anyhow::Result<File> {
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

/// A failure to open as a sentence that somebody at a terminal can act on.
pub(super) fn explain(path: &Path, migrations: &Migrations, error: Error) -> anyhow::Error {
    let (path, setting) = (path.display(), migrations.setting);
    // SQLite's primary codes: BUSY, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB.
    match error.cause().as_database_error().and_then(primary_code) {
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
