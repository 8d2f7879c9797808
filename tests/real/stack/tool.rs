//! Where the files of the real programs are.

use std::{env, path::PathBuf};

use anyhow::{Result, anyhow};

/// Where `tests/real/install` keeps what it builds: a line each, program and folder. What it has from Debian is in `PATH`.
const PROGRAMS: &str = include_str!("../programs");

/// The file of a program that `tests/real/install` has built; else, of the one in `PATH`.
///
/// # Errors
/// Neither is there; how to get it.
pub fn tool(program: &str) -> Result<PathBuf> {
    let tools = env::var_os("MUSICWALLET_TOOLS").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/musicwallet"),
        PathBuf::from,
    );
    let mut lines = PROGRAMS.lines().filter_map(|line| line.split_once(' '));
    let built = lines.find(|(name, _)| *name == program);
    let built = built.map(|(name, folder)| tools.join(folder).join(name));
    let paths = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&paths).map(|directory| directory.join(program));
    built.clone().into_iter().chain(in_path).find(|file| file.is_file()).ok_or_else(|| {
        let built = built.map_or_else(String::new, |it| format!("neither {} nor ", it.display()));
        let built = if built.is_empty() { "not ".to_owned() } else { built };
        anyhow!("{program} is missing: it is {built}in PATH. To get it: tests/real/install")
    })
}
