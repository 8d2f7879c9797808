//! The books: `received = delivered + dropped + in spool`, in units.

/// How many numbers the format has for reasons; some are not given out yet.
pub(crate) const REASONS: usize = 8;

/// Why units were not delivered. The numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The spool had reached its limit in bytes, and these were the oldest.
    SpoolFull = 0,
    /// They became older than the limit in age.
    Expired = 1,
    /// The disk did not give back what was written.
    Damaged = 2,
    /// The destination took the request, but not them.
    Rejected = 3,
    /// A sampler decided against them.
    Sampled = 4,
    /// The destination refused the whole request for good.
    Refused = 5,
    /// The destination failed at it again and again.
    ServerError = 6,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 7] = [
        Reason::SpoolFull,
        Reason::Expired,
        Reason::Damaged,
        Reason::Rejected,
        Reason::Sampled,
        Reason::Refused,
        Reason::ServerError,
    ];

    /// The word for it, as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::SpoolFull => "spool_full",
            Reason::Expired => "expired",
            Reason::Damaged => "damaged",
            Reason::Rejected => "rejected",
            Reason::Sampled => "sampled",
            Reason::Refused => "refused",
            Reason::ServerError => "server_error",
        }
    }
}

/// What only grows, in units, since the spool began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    pub(crate) dropped: [u64; REASONS],
}

impl Totals {
    pub(crate) fn drop_units(&mut self, reason: Reason, units: u64) {
        add(&mut self.dropped[reason as usize], units);
    }
}

/// Numbers come from disk: they may be nonsense, but must not overflow.
pub(crate) fn add(to: &mut u64, more: u64) {
    *to = to.saturating_add(more);
}

/// What lies in a spool and is neither delivered nor dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Spans, lines, points: what the appender counts.
    pub units: u64,
    /// Calls of `append`.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

impl Held {
    pub(crate) fn add(&mut self, other: Held) {
        add(&mut self.units, other.units);
        add(&mut self.records, other.records);
        add(&mut self.bytes, other.bytes);
    }

    pub(crate) fn subtract(&mut self, other: Held) {
        self.units = self.units.saturating_sub(other.units);
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// The books of a spool at one moment, in units, since its folder was first used. None of the terms is computed from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// What `append` acknowledged.
    pub received: u64,
    /// What the reader said was delivered.
    pub delivered: u64,
    /// What was handed out again after an attempt with an unknown end: the destination may have it twice. Not a term of the sum.
    pub redelivered: u64,
    /// What waits, and what is being delivered.
    pub in_spool: Held,
    /// Bytes of all segments, what is settled but not yet deleted included.
    pub disk_bytes: u64,
    pub(crate) dropped: [u64; REASONS],
}

impl Books {
    /// What was given up for this reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[reason as usize]
    }

    /// What was given up for any reason.
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().fold(0, |sum, units| sum.saturating_add(*units))
    }

    /// `received - delivered - dropped - in spool`: 0, unless somebody took segments away (then their units), put some back that were
    /// settled (negative), or the reader settled other numbers than it was given.
    pub fn unaccounted(&self) -> i64 {
        let out = [self.delivered, self.dropped_in_all(), self.in_spool.units];
        let difference =
            out.iter().fold(i128::from(self.received), |rest, it| rest - i128::from(*it));
        difference.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}
