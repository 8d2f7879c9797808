//! Segments as files of a folder: `00000000000000000001.spool` and so on, beside `lock` and `reserve`.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError, read_dir, remove_file},
    io::{self, ErrorKind, IoSlice, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Medium, Volume};
use crate::Error;

/// Some 400 states.
const RESERVE: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held until the spool is gone; the operating system gives it up for a process that was killed.
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Folder, Error> {
        let path = path.to_owned();
        let failed = |what| Error::io(what, path.clone());
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed("make"))?;
        let lock = options().create(true).truncate(false).open(path.join("lock"));
        let lock = lock.map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { folder: path }),
            Err(TryLockError::Error(error)) => Err(failed("lock")(error)),
        }
    }

    fn reserve_path(&self) -> PathBuf {
        self.path.join("reserve")
    }
}

impl Medium for Folder {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in read_dir(&self.path)? {
            numbers.extend(entry?.file_name().to_str().and_then(number));
        }
        Ok(numbers)
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Volume>> {
        Ok(Arc::new(options().create_new(true).open(self.path(number))?))
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Volume>> {
        Ok(Arc::new(options().open(self.path(number))?))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        remove_file(self.path(number))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn path(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}.spool"))
    }

    fn reserve(&self) -> io::Result<()> {
        let path = self.reserve_path();
        if path.metadata().is_ok_and(|it| it.len() == RESERVE as u64) {
            return Ok(());
        }
        let mut file = options().create(true).append(false).truncate(true).open(&path)?;
        let written = file.write_all(&[0; RESERVE]);
        if written.is_err() {
            self.release();
        }
        written
    }

    fn release(&self) {
        // Where that fails there is no room, which is what the next write will say.
        let _ = remove_file(self.reserve_path());
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).append(true).mode(0o600);
    options
}

/// Beyond, a name is not one of ours: so many segments are never written.
const MOST: u64 = 1 << 60;

/// Of a segment's file, if its name is one that we give.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".spool")?;
    let canonical = digits.len() == 20 && digits.bytes().all(|it| it.is_ascii_digit());
    digits.parse().ok().filter(|number| canonical && (1..MOST).contains(number))
}

impl Volume for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn append(&self, header: &[u8], payload: &[u8]) -> io::Result<()> {
        let mut file = self;
        let mut slices = [IoSlice::new(header), IoSlice::new(payload)];
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0); // passes over what is empty
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_removed(&self) -> bool {
        self.metadata().is_ok_and(|it| it.nlink() == 0)
    }
}
