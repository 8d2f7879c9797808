//! Random use, and a kill at every write and in the middle of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::{Books, Error, Reason};

#[derive(Clone, Debug)]
enum Action {
    Append { units: u64, length: usize },
    Take { bytes: u64, units: u64, then: Then },
    Sync,
    Pass { seconds: u64 },
    Reopen,
    Fill { free: usize },
    MakeRoom,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Deliver,
    Reject,
    Retry,
    RetryUncertain,
    /// Appends while the batch is out, then delivers.
    Append {
        records: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let then = prop_oneof![
        4 => Just(Then::Deliver),
        1 => Just(Then::Reject),
        1 => Just(Then::Retry),
        1 => Just(Then::RetryUncertain),
        1 => (1_u64..40).prop_map(|records| Then::Append { records }),
    ];
    prop_oneof![
        12 => (0_u64..5, 8_usize..1500).prop_map(|(units, length)| Action::Append { units, length }),
        4 => (0_u64..4000, 0_u64..20, then)
            .prop_map(|(bytes, units, then)| Action::Take { bytes, units, then }),
        1 => Just(Action::Sync),
        1 => (0_u64..900).prop_map(|seconds| Action::Pass { seconds }),
        1 => Just(Action::Reopen),
        1 => (0_usize..3000).prop_map(|free| Action::Fill { free }),
        2 => Just(Action::MakeRoom),
    ]
}

/// What is known of the spool from outside.
#[derive(Clone, Debug, Default)]
struct Model {
    next_id: u64,
    received: u64,
    delivered: u64,
    rejected: u64,
    pending: VecDeque<(u64, u64)>,
}

impl Model {
    fn append(&mut self, spool: &Spool, units: u64, length: usize) {
        self.next_id += 1;
        match spool.append(units, &payload(self.next_id, length)) {
            Ok(()) => {
                self.received += units;
                self.pending.push_back((self.next_id, units));
            }
            Err(error) => assert!(matches!(error, Error::Io { .. } | Error::Full), "{error}"),
        }
    }

    fn take(&mut self, spool: &Spool, reader: &mut Reader, bytes: u64, units: u64, then: Then) {
        let dropped = spool.books().dropped_in_all();
        // It first drops what is too old, for which the disk may be too full.
        let Ok(batch) = reader.next(bytes, units) else { return };
        let Some(batch) = batch else { return };
        let taken = ids(&batch);
        if spool.books().dropped_in_all() == dropped {
            assert!(self.pending.iter().map(|it| it.0).take(taken.len()).eq(taken.iter().copied()));
        }
        if let Then::Append { records } = then {
            for _ in 0..records {
                self.append(spool, 1, 300);
            }
        }
        let units = batch.units();
        let _ = match then {
            Then::Deliver | Then::Append { .. } => {
                self.delivered += units;
                batch.settle(units, &[])
            }
            Then::Reject => {
                self.delivered += units / 2;
                self.rejected += units - units / 2;
                batch.settle(units / 2, &[(Reason::Rejected, units - units / 2)])
            }
            Then::Retry => return batch.retry(),
            Then::RetryUncertain => return batch.retry_uncertain(),
        };
        self.pending.retain(|it| !taken.contains(&it.0));
    }

    /// Compares, and forgets what was dropped for the bounds.
    fn check(&mut self, books: &Books, left: Vec<(u64, u64)>) {
        assert_eq!(books.unaccounted(), 0, "{books:?}");
        assert_eq!(
            (books.received, books.delivered, books.dropped(Reason::Rejected)),
            (self.received, self.delivered, self.rejected)
        );
        assert_eq!(books.dropped(Reason::Damaged), 0);
        assert_eq!(books.in_spool.units, units(&left));
        assert_eq!(books.in_spool.records, left.len() as u64);
        let kept: BTreeSet<u64> = left.iter().map(|it| it.0).collect();
        self.pending.retain(|it| kept.contains(&it.0));
        assert!(self.pending.iter().eq(&left), "{:?} {left:?}", self.pending);
    }
}

fn units(records: &[(u64, u64)]) -> u64 {
    records.iter().map(|it| it.1).sum()
}

/// What had to be so when so much was written.
struct Checkpoint {
    written: usize,
    model: Model,
    books: Books,
    /// Delivered, as far as the disk had room to note it.
    noted: u64,
}

fn run(actions: Vec<Action>, disk: &Disk, limits: Limits) -> Vec<Checkpoint> {
    let time = Time::new();
    let mut model = Model::default();
    let (mut spool, mut reader) = open_at(disk, limits, &time);
    let (mut checkpoints, mut noted) = (Vec::new(), 0);
    for action in actions {
        match action {
            Action::Append { units, length } => model.append(&spool, units, length),
            Action::Take { bytes, units, then } => {
                model.take(&spool, &mut reader, bytes, units, then);
            }
            Action::Sync => drop(spool.sync()),
            Action::Pass { seconds } => time.pass(Duration::from_secs(seconds)),
            Action::Reopen => {
                disk.make_room(); // for the last word
                drop((spool, reader));
                (spool, reader) = open_at(disk, limits, &time);
            }
            Action::Fill { free } => disk.fill(free),
            Action::MakeRoom => disk.make_room(),
        }
        let left = pending(&reader); // it first drops what is too old
        let books = spool.books();
        model.check(&books, left);
        if !spool.shared.log().unwritten() {
            noted = books.delivered;
        }
        checkpoints.push(Checkpoint {
            written: disk.written(),
            model: model.clone(),
            books,
            noted,
        });
    }
    checkpoints
}

fn killed(disk: &Disk, limits: Limits, before: &Checkpoint, after: &Checkpoint) {
    let (spool, mut reader) = open(disk, limits);
    let books = spool.books();
    let left: BTreeMap<u64, u64> = pending(&reader).into_iter().collect();
    assert_eq!(books.unaccounted(), 0, "{books:?}");
    assert_eq!(books.in_spool.units, left.values().sum::<u64>());
    assert_eq!(books.dropped(Reason::Damaged), 0);
    let received = before.model.received..=after.model.received;
    assert!(received.contains(&books.received), "{received:?} {books:?}");
    let delivered = before.noted..=after.books.delivered;
    assert!(delivered.contains(&books.delivered), "{delivered:?} {books:?}");
    let acknowledged =
        |model: &Model| model.pending.iter().map(|it| it.0).collect::<BTreeSet<u64>>();
    let (before, after) = (acknowledged(&before.model), acknowledged(&after.model));
    assert!(before.intersection(&after).all(|it| left.contains_key(it)), "something is lost");
    drain(&mut reader);
    let books = spool.books();
    assert_eq!((books.in_spool.units, books.unaccounted()), (0, 0));
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn books_balance_and_nothing_acknowledged_is_lost_wherever_it_is_killed(
        actions in prop::collection::vec(action(), 1..120),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 50),
    ) {
        let disk = Disk::default();
        let checkpoints = run(actions, &disk, SMALL);
        let writes = disk.writes();
        let nothing = Checkpoint { written: 0, model: Model::default(), books: Books::default(), noted: 0 };
        for (i, last) in writes.iter().enumerate() {
            let count = i + 1;
            // While a disk is too full there are no checkpoints: the bounds are those around.
            let Some(after) = checkpoints.iter().find(|it| it.written >= count) else { break };
            let before = checkpoints.iter().rfind(|it| it.written < count).unwrap_or(&nothing);
            killed(&Disk::after(&writes[..count], usize::MAX), SMALL, before, after);
            if let disk::Write::Append(_, bytes) = last {
                let cut = cuts[i % cuts.len()].index(bytes.len() + 1);
                killed(&Disk::after(&writes[..count], cut), SMALL, before, after);
            }
        }
    }
}
