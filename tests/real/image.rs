//! `tests/real/image`: the Dockerfile without an engine. Its RUN lines are run in a folder for each stage, with the Rust of this machine, from
//! a copy of just the files that an engine would be sent; then what the last stage adds to its base is measured.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use real::dockerfile::{Instruction, context, read};

/// 25 MB.
const LIMIT: u64 = 25_000_000;

/// One stage: its name, the folder that stands for its root, and where its commands run in there.
struct Stage {
    name: String,
    root: PathBuf,
    workdir: PathBuf,
}

impl Stage {
    /// Where a path of the stage is on this machine.
    fn at(&self, path: &str) -> PathBuf {
        if path.starts_with('/') {
            self.root.join(path.trim_start_matches('/'))
        } else {
            self.workdir.join(path)
        }
    }
}

fn main() -> Result<()> {
    let repository = env::current_dir()?;
    let work = PathBuf::from(env::args_os().nth(1).context("give a folder to work in")?);
    let mut stages: Vec<Stage> = Vec::new();
    for it in read(&repository.join("Dockerfile"))? {
        match (it.keyword.as_str(), stages.last_mut()) {
            ("FROM", _) => {
                let name = it.words().get(2).map_or("image", |name| *name).to_owned();
                let root = work.join(&name);
                fs::create_dir_all(&root)?;
                println!("stage {name}, on {} in the image", it.words()[0]);
                stages.push(Stage { name, workdir: root.clone(), root });
            }
            ("WORKDIR", Some(stage)) => {
                stage.workdir = stage.at(&it.rest);
                fs::create_dir_all(&stage.workdir)?;
            }
            ("RUN", Some(stage)) => run(stage, &it)?,
            ("COPY", Some(_)) => copy(&repository, &stages, &it)?,
            ("USER" | "HEALTHCHECK" | "ENTRYPOINT", Some(_)) => {}
            _ => bail!("{} is not known here: {}", it.keyword, it.rest),
        }
    }
    let image = stages.last().context("there is no stage")?;
    let mut total = 0;
    for (path, size) in files(&image.root)? {
        println!("{size:>12}  /{}", path.strip_prefix(&image.root)?.display());
        total += size;
    }
    println!("{total:>12}  bytes that our part adds to the base; {LIMIT} at most");
    if total > LIMIT {
        bail!("our part of the image is larger than 25 MB");
    }
    Ok(())
}

fn run(stage: &Stage, it: &Instruction) -> Result<()> {
    println!("{}: RUN {}", stage.name, it.rest);
    let begun = Instant::now();
    let mut shell = Command::new("sh");
    shell.args(["-c", &it.rest]).current_dir(&stage.workdir);
    // What this machine's Cargo was told of other builds is not what the image's is told.
    shell.env_remove("CARGO_TARGET_DIR").env_remove("RUSTFLAGS");
    let status = shell.status()?;
    println!("{}: {} s", stage.name, begun.elapsed().as_secs());
    if !status.success() {
        bail!("{} ended with {status}", it.rest);
    }
    Ok(())
}

fn copy(repository: &Path, stages: &[Stage], it: &Instruction) -> Result<()> {
    let (stage, words) = (&stages[stages.len() - 1], it.words());
    let [from, to] = words[..] else { bail!("COPY takes one path and another here: {}", it.rest) };
    let target = stage.at(to);
    let mut command = Command::new("cp");
    command.arg("--archive");
    match it.flag("from") {
        Some(name) => {
            let source = stages.iter().find(|it| it.name == name);
            let source = source.with_context(|| format!("there is no stage {name}"))?.at(from);
            // A folder is copied into the one that is there already, as COPY does.
            command.arg("--no-target-directory").arg(source).arg(target);
        }
        None if from == "." => {
            command.current_dir(repository).arg("--parents");
            command.args(context(&repository.join(".dockerignore"))?).arg(target);
        }
        None => bail!("COPY takes everything that is sent here: {}", it.rest),
    }
    let status = command.status()?;
    if !status.success() {
        bail!("COPY {} ended with {status}", it.rest);
    }
    Ok(())
}

/// Every file below, with its size.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.path(), metadata.len()));
        }
    }
    Ok(found)
}
