//! What makes the prober known to accounts as the browser that has signed in before, after a restart, too.
//!
//! Wrong passwords of strangers let whoever is not known wait, until midnight in the end. Somebody would be paged by their guesses.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::password::store;

/// The cookie of a known device, and the file that keeps it.
pub(crate) struct Device {
    path: PathBuf,
    cookie: String,
}

impl Device {
    /// What is in the file; an empty one is made where there is none, readable by its owner only.
    ///
    /// # Errors
    /// One sentence, when the file cannot be read or made.
    pub(crate) fn from_file(path: &Path) -> anyhow::Result<Device> {
        let shown = path.display();
        let cookie = match fs::read_to_string(path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                store("", path, OpenOptions::new().create_new(true))
                    .with_context(|| format!("making the prober's device {shown}"))?;
                String::new()
            }
            Err(error) => {
                return Err(error).with_context(|| format!("reading the prober's device {shown}"));
            }
        };
        Ok(Device { path: path.to_owned(), cookie })
    }

    /// As it is sent: `name=value`, or nothing, as long as it is not known.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Keeps the cookie that was given last. Half of it, after a crash, is as good as none.
    pub(crate) fn keep(&mut self, cookie: String) {
        if cookie == self.cookie {
            return;
        }
        self.cookie = cookie;
        let mut over = OpenOptions::new();
        if let Err(error) = store(&self.cookie, &self.path, over.create(true).truncate(true)) {
            let shown = self.path.display();
            tracing::warn!(
                "the prober's device {shown} cannot be written ({error}): after the next start, wrong passwords of strangers can keep it out"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_device_outlives_its_process_and_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/prober.device");
        let read = || Device::from_file(&path).unwrap();
        assert_eq!(read().cookie(), "");
        for given in ["__Host-device=first", "__Host-device=2"] {
            read().keep(given.to_owned());
            assert_eq!(read().cookie(), given);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_read_or_made_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| Device::from_file(path).err().unwrap().to_string();
        assert!(told(folder.path()).contains("reading"));
        assert!(told(Path::new("/proc/nowhere/device")).contains("making"));
    }
}
