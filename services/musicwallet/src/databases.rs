//! `musicwallet migrate`, `backup` and `restore`: the databases as a whole.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::ArgMatches;
use platform::{config::Reader, storage::Database};
use tokio::runtime::{Builder, Runtime};

use crate::{
    Failure,
    services::{Settings, Target},
};

/// Brings every database to this program's version.
pub(crate) fn migrate(matches: &ArgMatches) -> Result<(), Failure> {
    let runtime = runtime()?;
    for database in all(matches)? {
        let report = runtime.block_on(database.migrate()).map_err(cannot_start)?;
        let applied = match report.applied.as_slice() {
            [] => "nothing to do".to_owned(),
            list => list
                .iter()
                .map(|(version, name)| format!("{version} {name}"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        say(&format!("{}: version {} ({applied})", report.database, report.version))?;
    }
    Ok(())
}

/// Copies every database into a new folder, while the services run.
pub(crate) fn backup(matches: &ArgMatches) -> Result<(), Failure> {
    let databases = all(matches)?;
    files(&databases)?;
    let folder = path(matches, "to");
    DirBuilder::new().mode(0o700).create(folder).map_err(|error| {
        let shown = folder.display();
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::new(
                Failure::START,
                format!("{shown} is there already; name a new folder, so that no backup overwrites another"),
            ),
            _ => Failure::new(Failure::START, format!("the folder {shown} cannot be made: {error}")),
        }
    })?;
    let copied = copy(&databases, folder);
    if copied.is_err() {
        let _ = fs::remove_dir_all(folder); // half of a backup is none
    }
    copied.map_err(|error| Failure::new(Failure::FAILED, format!("{error:#}")))
}

/// What refers to something is copied before what it refers to: favourites, then songs, then people. So nothing that was added meanwhile
/// hangs in the air, though a copy is three moments.
fn copy(databases: &[Database], folder: &Path) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for database in databases.iter().rev() {
        let to = copy_of(database, folder);
        runtime.block_on(database.backup(&to))?;
        let size = fs::metadata(&to)?.len();
        say(&format!("{} -> {} ({size} bytes)", database.location, to.display()))?;
    }
    fs::File::open(folder)?.sync_all().context("the folder cannot be written to the disk")
}

/// Puts the copies of [`backup`] in the place of the databases, while no service runs: all of them, or none.
pub(crate) fn restore(matches: &ArgMatches) -> Result<(), Failure> {
    let databases = all(matches)?;
    files(&databases)?;
    let folder = path(matches, "from");
    let runtime = runtime()?;
    let mut prepared = Vec::new();
    for database in &databases {
        let from = copy_of(database, folder);
        let restore = runtime.block_on(database.restore(&from)).map_err(cannot_start)?;
        prepared.push((database, restore));
    }
    let mut restored = Vec::new();
    for (database, restore) in prepared {
        match restore.run() {
            Ok(one) => restored.push((database, one)),
            Err(error) => {
                restored.into_iter().for_each(|(_, one)| one.undo());
                return Err(Failure::new(
                    Failure::FAILED,
                    format!("{error:#}; nothing is restored"),
                ));
            }
        }
    }
    for (database, one) in restored {
        let before = one.before().map(|path| format!("; what was there is {}", path.display()));
        say(&format!("{} is restored{}", database.location, before.unwrap_or_default()))?;
    }
    Ok(())
}

/// The databases of all services, those first to which others refer.
fn all(matches: &ArgMatches) -> Result<Vec<Database>, Failure> {
    let mut reader = Reader::from_matches(matches);
    let settings = Target::TOGETHER.map(|target| Settings::read(target, &mut reader));
    settings.iter().flatten().for_each(|it| it.for_secrets(&mut reader));
    reader.finish()?;
    Ok(settings.iter().flatten().filter_map(Settings::database).collect())
}

fn files(databases: &[Database]) -> Result<(), Failure> {
    let wrong: Vec<_> =
        databases.iter().filter_map(|it| it.file().err()).map(|it| it.to_string()).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Failure::SETTINGS, wrong.join("\n")))
}

fn copy_of(database: &Database, folder: &Path) -> PathBuf {
    folder.join(database.service()).with_extension("db")
}

fn path<'a>(matches: &'a ArgMatches, name: &str) -> &'a Path {
    matches.get_one::<PathBuf>(name).unwrap_or_else(|| unreachable!("clap demands --{name}"))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn cannot_start(error: anyhow::Error) -> Failure {
    Failure::new(Failure::START, format!("{error:#}"))
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
