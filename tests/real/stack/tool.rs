//! Where the files of the real programs are.

use std::{env, path::PathBuf};

use anyhow::{Result, anyhow};

/// Where `tests/real/install` keeps what it builds. What it has from Debian is in `PATH`.
const FOLDERS: [(&str, &str); 10] = [
    ("alertmanager", "alertmanager-v0.34.2"),
    ("amtool", "alertmanager-v0.34.2"),
    ("compose", "compose-v2.40.3"),
    ("jaeger", "jaeger-v1.76.0"),
    ("loki", "loki-v3.7.8"),
    ("logcli", "loki-v3.7.8"),
    ("prometheus", "prometheus-v0.316.0"),
    ("promtool", "prometheus-v0.316.0"),
    ("sloth", "sloth-v0.12.0"),
    ("telemetrygen", "telemetrygen-v0.161.0"),
];

/// The file of a program that `tests/real/install` has built; else, of the one in `PATH`.
///
/// # Errors
/// Neither is there; how to get it.
pub fn tool(program: &str) -> Result<PathBuf> {
    let tools = env::var_os("MUSICWALLET_TOOLS").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/musicwallet"),
        PathBuf::from,
    );
    let built = FOLDERS
        .into_iter()
        .find(|(name, _)| *name == program)
        .map(|(name, folder)| tools.join(folder).join(name));
    let paths = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&paths).map(|directory| directory.join(program));
    built.clone().into_iter().chain(in_path).find(|file| file.is_file()).ok_or_else(|| {
        let built = built.map_or_else(String::new, |it| format!("neither {} nor ", it.display()));
        let built = if built.is_empty() { "not ".to_owned() } else { built };
        anyhow!("{program} is missing: it is {built}in PATH. To get it: tests/real/install")
    })
}
