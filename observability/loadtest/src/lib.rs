//! Load for tests: requests that arrive when they are due, whatever became of those before them.
//!
//! The loop is open: arrivals have times of their own, computed from the start, and each latency counts from the time when its request was
//! due. So a server that stops for two seconds is seen by everybody who would have come meanwhile, and not only by the one who waits (the
//! mistake is called coordinated omission). There are no retries, no redirects, no proxies, and nothing but this machine can be loaded.
//!
//! - `pace.rs`: when requests are due, and how many may be outstanding
//! - `target.rs`: who is loaded, and how one request is sent, or sent and left
//! - `drive.rs`: the loop
//! - `books.rs`: what became of the requests
//! - `journeys.rs`, `people.rs`: what people do with MusicWallet, as one table, and who they are
//! - `report.rs`: all of it for programs (JSON) and for people
//!
//! The sums that always hold: `sent + not_sent = due`, `answered + failed = sent`; `aborted` is a part of `failed`.

mod books;
mod drive;
mod journeys;
mod pace;
mod people;
mod report;
mod target;

pub use books::{Books, Ended, Failure, Outcome, Percentiles, Requests, Times};
pub use drive::{Run, drive};
pub use journeys::{Journeys, Load};
pub use pace::{End, Pace, Rate};
pub use people::SetupError;
pub use report::{Report, Setup};
pub use target::{Request, Target, TargetError};
