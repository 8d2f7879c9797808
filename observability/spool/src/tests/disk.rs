//! A disk of which every write is remembered.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use crate::medium::{Medium, Volume};

const RESERVE: usize = 2000;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Inner>>);

#[derive(Clone, Debug)]
pub(super) enum Write {
    Create(u64),
    Append(u64, Vec<u8>),
    Truncate(u64, usize),
    Remove(u64),
}

/// Done once, when something was read.
#[derive(Default)]
struct OnRead(Option<Box<dyn FnOnce() + Send>>);

impl std::fmt::Debug for OnRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OnRead({})", self.0.is_some())
    }
}

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<u64, Vec<u8>>,
    writes: Vec<Write>,
    /// No more bytes than that, if it is set.
    space: Option<usize>,
    reserve: usize,
    truncating_fails: bool,
    /// It cannot be deleted.
    sticky: Option<u64>,
    syncs: usize,
    on_read: OnRead,
}

impl Inner {
    fn write(&mut self, write: Write) {
        match write.clone() {
            Write::Create(number) => drop(self.files.insert(number, Vec::new())),
            Write::Append(number, bytes) => self.files.entry(number).or_default().extend(bytes),
            Write::Truncate(number, length) => {
                self.files.entry(number).or_default().truncate(length)
            }
            Write::Remove(number) => drop(self.files.remove(&number)),
        }
        self.writes.push(write);
    }

    fn free(&self) -> usize {
        let used: usize = self.files.values().map(Vec::len).sum();
        self.space.map_or(usize::MAX, |it| it.saturating_sub(used + self.reserve))
    }
}

impl Disk {
    /// What is on it after these writes, of the last of which only so many bytes arrived.
    pub(super) fn after(writes: &[Write], bytes: usize) -> Disk {
        let disk = Disk::default();
        let mut inner = disk.0.lock().unwrap();
        for (i, write) in writes.iter().enumerate() {
            match write {
                Write::Append(number, all) if i + 1 == writes.len() => {
                    inner.write(Write::Append(*number, all[..bytes.min(all.len())].to_vec()));
                }
                write => inner.write(write.clone()),
            }
        }
        inner.writes.clear();
        drop(inner);
        disk
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        self.0.lock().unwrap().writes.clone()
    }

    pub(super) fn written(&self) -> usize {
        self.0.lock().unwrap().writes.len()
    }

    /// What a killed process leaves.
    pub(super) fn image(&self) -> Disk {
        Disk::after(&self.writes(), usize::MAX)
    }

    /// Of what is on it now, whoever put it there.
    pub(super) fn image_of_files(&self) -> Disk {
        let disk = Disk::default();
        disk.0.lock().unwrap().files = self.0.lock().unwrap().files.clone();
        disk
    }

    /// Lets so many more bytes be written.
    pub(super) fn fill(&self, free: usize) {
        let mut inner = self.0.lock().unwrap();
        let used: usize = inner.files.values().map(Vec::len).sum();
        inner.space = Some(used + inner.reserve + free);
    }

    pub(super) fn make_room(&self) {
        self.0.lock().unwrap().space = None;
    }

    pub(super) fn fail_truncating(&self, fails: bool) {
        self.0.lock().unwrap().truncating_fails = fails;
    }

    pub(super) fn stick(&self, number: Option<u64>) {
        self.0.lock().unwrap().sticky = number;
    }

    pub(super) fn on_read(&self, callback: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().on_read.0 = Some(Box::new(callback));
    }

    pub(super) fn syncs(&self) -> usize {
        self.0.lock().unwrap().syncs
    }

    pub(super) fn files(&self) -> Vec<u64> {
        self.0.lock().unwrap().files.keys().copied().collect()
    }

    pub(super) fn change<T>(&self, number: u64, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        change(self.0.lock().unwrap().files.get_mut(&number).unwrap())
    }

    pub(super) fn put(&self, number: u64, bytes: Vec<u8>) {
        self.0.lock().unwrap().files.insert(number, bytes);
    }

    pub(super) fn take_away(&self, number: u64) {
        self.0.lock().unwrap().files.remove(&number).unwrap();
    }
}

#[derive(Debug)]
struct File {
    disk: Disk,
    number: u64,
}

impl Medium for Disk {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        Ok(self.files())
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Volume>> {
        self.0.lock().unwrap().write(Write::Create(number));
        self.open(number)
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Volume>> {
        if !self.files().contains(&number) {
            return Err(ErrorKind::NotFound.into());
        }
        Ok(Arc::new(File { disk: self.clone(), number }))
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        if !self.files().contains(&number) {
            return Err(ErrorKind::NotFound.into());
        }
        let mut inner = self.0.lock().unwrap();
        if inner.sticky == Some(number) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        inner.write(Write::Remove(number));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        format!("{number}.spool").into()
    }

    fn reserve(&self) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap();
        if inner.free() < RESERVE - inner.reserve {
            return Err(ErrorKind::StorageFull.into());
        }
        inner.reserve = RESERVE;
        Ok(())
    }

    fn release(&self) {
        self.0.lock().unwrap().reserve = 0;
    }
}

impl Volume for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.change(self.number, |it| it.len() as u64))
    }

    fn append(&self, header: &[u8], payload: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.0.lock().unwrap();
        let mut bytes = [header, payload].concat();
        let free = inner.free();
        let fits = bytes.len() <= free;
        bytes.truncate(free);
        inner.write(Write::Append(self.number, bytes));
        if fits { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.0.lock().unwrap();
        if inner.truncating_fails {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        inner.write(Write::Truncate(self.number, length as usize));
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = self.disk.0.lock().unwrap();
        let file = inner.files.get(&self.number).ok_or(ErrorKind::NotFound)?;
        let from = file.get(offset as usize..).unwrap_or_default();
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        drop(inner);
        let callback = self.disk.0.lock().unwrap().on_read.0.take();
        if let Some(callback) = callback {
            callback();
        }
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.0.lock().unwrap().syncs += 1;
        Ok(())
    }

    fn is_removed(&self) -> bool {
        !self.disk.files().contains(&self.number)
    }
}
