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
    check(to, to, migrations).await
}

/// A backup that has been copied beside the database in whose place it will be; nobody uses that one as long as this lives. Dropped, it
/// is gone, and all is as it was.
#[derive(Debug)]
pub struct Restore {
    path: PathBuf,
    copy: PathBuf,
    lock: File,
}

/// A backup in its place.
#[derive(Debug)]
pub struct Restored {
    path: PathBuf,
    before: PathBuf,
    /// What was there, by the ends of its files' names.
    moved: Vec<&'static str>,
    /// Whether the backup is there already.
    placed: bool,
    _lock: File,
}

/// A database is a file with a log and an index of the log. They belong together: a log is replayed over whatever database it lies beside.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

impl Restore {
    /// Looks whether the backup at `from` is whole and not newer than this program, sees to it that nobody uses the database at `path`, and
    /// makes a copy there, so that little can fail afterwards.
    ///
    /// # Errors
    /// One sentence with the remedy; then nothing has changed.
    pub async fn prepare(
        from: &Path,
        path: &Path,
        migrations: &Migrations,
    ) -> anyhow::Result<Restore> {
        if !from.is_file() {
            bail!("there is no backup at {}", from.display());
        }
        let lock = sqlite::lock(path, migrations)?;
        let copy = beside(path, ".restoring");
        let restore = Restore { path: path.to_owned(), copy, lock };
        let copied = fs::copy(from, &restore.copy).and_then(|_| {
            fs::set_permissions(&restore.copy, Permissions::from_mode(0o600))?;
            File::open(&restore.copy)?.sync_all()
        });
        copied.with_context(|| format!("{} cannot be written", restore.copy.display()))?;
        check(&restore.copy, from, migrations).await?;
        Ok(restore)
    }

    /// Puts it there. What was there goes out of the way as it is, also if it is damaged.
    ///
    /// # Errors
    /// When a file cannot be renamed; then all is as it was.
    pub fn run(self) -> anyhow::Result<Restored> {
        let now = humantime::format_rfc3339_seconds(SystemTime::now());
        let before = beside(&self.path, &format!(".before-{now}").replace(':', ""));
        if before.exists() {
            bail!("{} is there already; try again in a second", before.display());
        }
        let lock = self.lock.try_clone()?;
        let mut restored = Restored {
            path: self.path.clone(),
            before,
            moved: Vec::new(),
            placed: false,
            _lock: lock,
        };
        let renamed = restored.set_aside().and_then(|()| {
            fs::rename(&self.copy, &self.path)?;
            restored.placed = true;
            Ok(())
        });
        match renamed.and_then(|()| sync_folder(&self.path)) {
            Ok(()) => Ok(restored),
            Err(error) => {
                restored.undo();
                Err(error).with_context(|| format!("{} was not restored", self.path.display()))
            }
        }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.copy); // after `run` there is none
    }
}

impl Restored {
    /// Where the database that was there is now.
    pub fn before(&self) -> Option<&Path> {
        self.moved.contains(&"").then_some(&self.before)
    }

    /// Puts back what was there, which may be nothing.
    pub fn undo(self) {
        if self.placed {
            let _ = fs::remove_file(&self.path);
        }
        for part in self.moved {
            let _ = fs::rename(beside(&self.before, part), beside(&self.path, part));
        }
    }

    fn set_aside(&mut self) -> io::Result<()> {
        for part in PARTS {
            match fs::rename(beside(&self.path, part), beside(&self.before, part)) {
                Ok(()) => self.moved.push(part),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn open(path: &Path, migrations: &Migrations) -> anyhow::Result<SqliteConnection> {
    let options = sqlite::options(path).create_if_missing(false);
    let connection = SqliteConnection::connect_with(&options).await;
    connection.map_err(|cause| sqlite::explain(path, migrations, cause.into()))
}

/// Whether a file is a whole database of this service that this program knows; `shown` is what it is called in messages.
async fn check(path: &Path, shown: &Path, migrations: &Migrations) -> anyhow::Result<()> {
    let options = sqlite::options(path).read_only(true).create_if_missing(false);
    // As it is: no log is made beside it.
    let options = options.immutable(true);
    let explain = |cause: sqlx::Error| sqlite::explain(shown, migrations, cause.into());
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(explain)?;
    let found: sqlx::Result<(String, Option<i64>)> = async {
        let sound = sqlx::query_scalar("PRAGMA integrity_check(1)");
        let sound = sound.fetch_one(&mut connection).await?;
        let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
        Ok((sound, version.fetch_one(&mut connection).await?))
    }
    .await;
    connection.close().await.map_err(explain)?;
    let shown = shown.display();
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
