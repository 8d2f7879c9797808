//! Segments in memory: the same bytes, without a promise beyond the process.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Medium, Volume};

#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<u64, Arc<Block>>>);

#[derive(Debug, Default)]
pub(crate) struct Block(Mutex<Vec<u8>>);

impl Memory {
    fn blocks(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Medium for Memory {
    fn numbers(&self) -> io::Result<Vec<u64>> {
        Ok(self.blocks().keys().copied().collect())
    }

    fn create(&self, number: u64) -> io::Result<Arc<dyn Volume>> {
        let block = Arc::new(Block::default());
        self.blocks().insert(number, Arc::clone(&block));
        Ok(block)
    }

    fn open(&self, number: u64) -> io::Result<Arc<dyn Volume>> {
        match self.blocks().get(&number) {
            Some(block) => Ok(Arc::<Block>::clone(block)),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, number: u64) -> io::Result<()> {
        self.blocks().remove(&number).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        PathBuf::from(format!("(memory)/{number}"))
    }

    fn reserve(&self) -> io::Result<()> {
        Ok(())
    }

    fn release(&self) {}
}

impl Volume for Block {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn append(&self, header: &[u8], payload: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(payload);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.bytes().truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes();
        let from = usize::try_from(offset).ok().and_then(|it| bytes.get(it..)).unwrap_or_default();
        let count = from.len().min(buffer.len());
        buffer[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_removed(&self) -> bool {
        false
    }
}
