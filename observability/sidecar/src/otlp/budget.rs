use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::otlp::status::Refusal;

/// What a permit stands for. Requests take whole ones.
const UNIT: usize = 4 << 10;

/// The bytes that requests hold while they are received, unpacked and kept, all together. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    total: usize,
    units: Arc<Semaphore>,
}

/// One request's part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Budget {
        Budget { total: bytes, units: Arc::new(Semaphore::new(bytes / UNIT)) }
    }

    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), held: None, bytes: 0 }
    }
}

impl Share {
    /// Takes `bytes` more, or none when there are not as many: nobody waits holding a part. What is more than there ever are is too large.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.budget.total {
            return Err(Refusal::TooLarge);
        }
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = self.bytes.div_ceil(UNIT).saturating_sub(held);
        let missing = u32::try_from(missing).map_err(|_| Refusal::Full)?;
        let more = self.budget.units.clone().try_acquire_many_owned(missing);
        let more = more.map_err(|_| Refusal::Full)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Budget::new(10 * UNIT);
        let mut first = budget.share();
        first.grow(1).unwrap();
        first.grow(UNIT).unwrap();
        first.grow(7 * UNIT).unwrap();
        let mut second = budget.share();
        second.grow(1).unwrap();
        assert_eq!(second.grow(UNIT), Err(Refusal::Full));
        drop(first);
        second.grow(UNIT).unwrap();
        assert_eq!(second.grow(10 * UNIT), Err(Refusal::TooLarge), "that never fits");
        drop(second);
        assert_eq!(budget.units.available_permits(), 10);
    }
}
