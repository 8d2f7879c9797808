//! The password of the prober's user.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};
use secrecy::SecretString;
use uuid::Uuid;

/// What is in the file, without the space around it; a new random one where there is no file, readable by its owner only.
///
/// # Errors
/// One sentence, when the file cannot be read or made, or is empty.
pub(crate) fn from_file(path: &Path) -> anyhow::Result<SecretString> {
    let shown = path.display();
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            bail!("the prober's password {shown} is empty; remove it and a new one is made")
        }
        Ok(text) => Ok(text.trim().to_owned().into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let password = Uuid::new_v4().simple().to_string(); // 122 random bits
            store(&password, path, OpenOptions::new().create_new(true))
                .with_context(|| format!("making the prober's password {shown}"))?;
            Ok(password.into())
        }
        Err(error) => Err(error).with_context(|| format!("reading the prober's password {shown}")),
    }
}

/// Writes a line into a file that is opened so; a new one can be read by its owner only.
pub(crate) fn store(line: &str, path: &Path, how: &mut OpenOptions) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = how.write(true).mode(0o600).open(path)?;
    writeln!(file, "{line}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_password_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/prober.password");
        let read = || from_file(&path).unwrap().expose_secret().to_owned();
        let made = read();
        assert_eq!((made.len(), read()), (32, made));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_password_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prober.password");
        fs::write(&path, " \n").unwrap();
        assert!(from_file(&path).unwrap_err().to_string().contains("is empty"));
        assert!(from_file(folder.path()).unwrap_err().to_string().contains("reading"));
    }
}
