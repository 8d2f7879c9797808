//! Copies of SQLite's files: made while a service is running, put back while it is not. A database on a server is left to the server's tools.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, anyhow, bail};
use sqlx::{Connection as _, SqliteConnection};

use super::{Migrations, sqlite};

/// Copies the database at `path` into the new file `to`, readable by its owner only: the state of one moment, whoever writes meanwhile.
///
/// # Errors
/// One sentence: there is no such database, `to` is there already or cannot be written, the copy is not whole. Then `to` is not made.
pub(super) async fn backup(path: &Path, to: &Path, migrations: &Migrations) -> anyhow::Result<()> {
    if !path.exists() {
        bail!(
            "there is no database at {}; {} names another one",
            path.display(),
            migrations.setting
        );
    }
    if to.exists() {
        bail!("{} is there already; name a new folder for the backup", to.display());
    }
    let partial = beside(to, ".partial");
    let _ = fs::remove_file(&partial); // of a backup that was cut off
    let copied = copy(path, &partial, migrations).await;
    let finished = copied.and_then(|()| {
        File::open(&partial)?.sync_all()?;
        Ok(fs::rename(&partial, to)?)
    });
    if finished.is_err() {
        let _ = fs::remove_file(&partial);
    }
    finished.with_context(|| format!("{} was not backed up", path.display()))
}

async fn copy(path: &Path, to: &Path, migrations: &Migrations) -> anyhow::Result<()> {
    // Made beforehand, so that nobody else can read it at any time; SQLite takes an empty file for a new one.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let name = to.to_str().context("the path is no UTF-8")?;
    let mut connection = open(path, migrations).await?;
    let copied = sqlx::query("VACUUM INTO $1").bind(name).execute(&mut connection).await;
    connection.close().await?;
    copied.map_err(|cause| sqlite::explain(path, migrations, cause.into()))?;
    check(to, migrations).await
}

/// A backup that can be put in the place of a database; nobody uses that one as long as this lives.
#[derive(Debug)]
pub struct Restore {
    from: PathBuf,
    path: PathBuf,
    migrations: Migrations,
    _lock: File,
}

impl Restore {
    /// Looks at everything and changes nothing: the backup at `from` is whole and not newer than this program, and nobody uses the database
    /// at `path`.
    ///
    /// # Errors
    /// One sentence with the remedy.
    pub async fn prepare(
        from: &Path,
        path: &Path,
        migrations: &Migrations,
    ) -> anyhow::Result<Restore> {
        if !from.is_file() {
            bail!("there is no backup at {}", from.display());
        }
        let lock = sqlite::lock(path, migrations)?;
        check(from, migrations).await?;
        Ok(Restore {
            from: from.to_owned(),
            path: path.to_owned(),
            migrations: *migrations,
            _lock: lock,
        })
    }

    /// Puts it there, and tells where the database that was there is now.
    ///
    /// # Errors
    /// When a file cannot be written or renamed; then the database is as it was.
    pub async fn run(self) -> anyhow::Result<Option<PathBuf>> {
        let Restore { from, path, .. } = &self;
        let partial = beside(path, ".restoring");
        let copied = fs::copy(from, &partial).and_then(|_| {
            fs::set_permissions(&partial, Permissions::from_mode(0o600))?;
            File::open(&partial)?.sync_all()
        });
        copied.with_context(|| format!("{} cannot be written", partial.display()))?;
        let before = if path.exists() { Some(self.set_aside().await?) } else { None };
        fs::rename(&partial, path)?;
        sync_folder(path)?;
        Ok(before)
    }

    /// What is in the log of the database that is there goes into its file, which then goes out of the way.
    async fn set_aside(&self) -> anyhow::Result<PathBuf> {
        let mut connection = open(&self.path, &self.migrations).await?;
        let all = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
        connection.close().await?;
        all.map_err(|cause| sqlite::explain(&self.path, &self.migrations, cause.into()))?;
        for suffix in ["-wal", "-shm"] {
            match fs::remove_file(beside(&self.path, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        let before = beside(&self.path, &format!(".before-{now}").replace(':', ""));
        if before.exists() {
            bail!("{} is there already; try again in a second", before.display());
        }
        fs::rename(&self.path, &before)?;
        Ok(before)
    }
}

async fn open(path: &Path, migrations: &Migrations) -> anyhow::Result<SqliteConnection> {
    let options = sqlite::options(path).create_if_missing(false);
    let connection = SqliteConnection::connect_with(&options).await;
    connection.map_err(|cause| sqlite::explain(path, migrations, cause.into()))
}

/// Whether a file is a whole database of this service that this program knows.
async fn check(path: &Path, migrations: &Migrations) -> anyhow::Result<()> {
    let options = sqlite::options(path).read_only(true).create_if_missing(false);
    // As it is: no log is made beside it.
    let options = options.immutable(true);
    let explain = |cause: sqlx::Error| sqlite::explain(path, migrations, cause.into());
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(explain)?;
    let found: sqlx::Result<(String, Option<i64>)> = async {
        let sound = sqlx::query_scalar("PRAGMA integrity_check(1)");
        let sound = sound.fetch_one(&mut connection).await?;
        let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
        Ok((sound, version.fetch_one(&mut connection).await?))
    }
    .await;
    connection.close().await.map_err(explain)?;
    let shown = path.display();
    let (sound, version) =
        found.map_err(|cause| anyhow!("{shown} is no database of MusicWallet ({cause})"))?;
    if sound != "ok" {
        bail!("{shown} is damaged: {sound}");
    }
    let known = migrations.list.iter().map(|it| it.version).max();
    if version > known {
        bail!("{shown} comes from a newer MusicWallet; use the newer program");
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A renamed file is there after a loss of power only when its folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| *it != Path::new("")).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
