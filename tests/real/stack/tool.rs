//! Where the files of the real programs are.

use std::{env, path::PathBuf};

use anyhow::{Result, anyhow};

/// Where `tests/real/install` keeps what it builds.
const FOLDERS: [(&str, &str); 6] = [
    ("jaeger", "jaeger-v1.76.0"),
    ("loki", "loki-v3.7.8"),
    ("logcli", "loki-v3.7.8"),
    ("prometheus", "prometheus-v0.316.0"),
    ("promtool", "prometheus-v0.316.0"),
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
    let (_, folder) = FOLDERS
        .into_iter()
        .find(|(name, _)| *name == program)
        .ok_or_else(|| anyhow!("{program} is none of the real programs"))?;
    let built = tools.join(folder).join(program);
    let paths = env::var_os("PATH").unwrap_or_default();
    let mut files = [built.clone()]
        .into_iter()
        .chain(env::split_paths(&paths).map(|directory| directory.join(program)));
    files.find(|file| file.is_file()).ok_or_else(|| {
        anyhow!(
            "{program} is missing: it is neither {} nor in PATH. To get it: tests/real/install",
            built.display()
        )
    })
}
