//! Why the server ended a connection.

use std::{error::Error, fmt, io};

/// The reasons, which are also the values of a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The first bytes did not tell the protocol in time.
    FirstBytes,
    /// The head of a request did not arrive in time.
    SlowHead,
    /// The client took nothing of an answer for too long.
    WriteStall,
    /// It was not HTTP.
    Malformed,
    /// The head of a request was too large.
    HeadTooLarge,
    /// An HTTP/2 connection without new requests had a stream that did not end.
    Stuck,
    /// It was still open when the time for draining was over.
    Drain,
}

impl Cut {
    pub(crate) const ALL: [Cut; 7] = [
        Cut::FirstBytes,
        Cut::SlowHead,
        Cut::WriteStall,
        Cut::Malformed,
        Cut::HeadTooLarge,
        Cut::Stuck,
        Cut::Drain,
    ];

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Cut::FirstBytes => "first_bytes",
            Cut::SlowHead => "slow_head",
            Cut::WriteStall => "write_stall",
            Cut::Malformed => "malformed",
            Cut::HeadTooLarge => "head_too_large",
            Cut::Stuck => "stuck",
            Cut::Drain => "drain",
        }
    }

    /// What a connection's error means. `None`: nobody is to blame, such as when the client has gone, or an idle connection expired.
    pub(crate) fn of(error: &(dyn Error + 'static), in_a_head: bool) -> Option<Cut> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(ours) = error.downcast_ref::<io::Error>().and_then(Cut::within) {
                return Some(ours);
            }
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                if hyper.is_parse_too_large() {
                    return Some(Cut::HeadTooLarge);
                }
                if hyper.is_parse() {
                    return Some(Cut::Malformed);
                }
                if hyper.is_timeout() && in_a_head {
                    return Some(Cut::SlowHead);
                }
            }
            cause = error.source();
        }
        None
    }

    fn within(error: &io::Error) -> Option<Cut> {
        error.get_ref()?.downcast_ref::<Cut>().copied()
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl Error for Cut {}

impl From<Cut> for io::Error {
    fn from(cut: Cut) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, cut)
    }
}
