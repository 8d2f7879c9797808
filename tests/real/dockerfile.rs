//! What the Dockerfile says, read as far as ours goes: an instruction on each line, in the forms without a shell where there is a choice.

use std::{fs, io, path::Path};

/// One instruction: `COPY --from=build /src/x /x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// `COPY`
    pub keyword: String,
    /// `("from", "build")`
    pub flags: Vec<(String, String)>,
    /// What follows the flags, as it is written.
    pub rest: String,
}

impl Instruction {
    /// The value of a flag.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&str> {
        let found = self.flags.iter().find(|(flag, _)| flag == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What follows the flags, word by word.
    #[must_use]
    pub fn words(&self) -> Vec<&str> {
        self.rest.split_whitespace().collect()
    }
}

/// The instructions of a file, in order.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Instruction>> {
    let text = fs::read_to_string(path)?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(instruction).collect())
}

fn instruction(line: &str) -> Instruction {
    let (keyword, mut rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut flags = Vec::new();
    while let Some(after) = rest.strip_prefix("--") {
        let (flag, others) = after.split_once(' ').unwrap_or((after, ""));
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        flags.push((name.to_owned(), value.to_owned()));
        rest = others;
    }
    Instruction { keyword: keyword.to_owned(), flags, rest: rest.to_owned() }
}

/// What is sent to the engine: the lines of `.dockerignore` that begin with `!`, which here come after one that leaves everything out.
///
/// # Errors
/// It cannot be read.
pub fn context(path: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    Ok(text.lines().filter_map(|line| line.strip_prefix('!')).map(str::to_owned).collect())
}
