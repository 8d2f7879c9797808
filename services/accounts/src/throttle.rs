//! Guessing passwords is slow: per account, per address and per known device. What is refused here costs no hash.
//!
//! An attempt is booked as a failure before its password is looked at, so that guesses that come together do not slip through, and
//! forgotten when it was none. Names that nobody has are booked, too: both behave alike. The books of accounts and devices are
//! in the database (`throttle/steps.rs` has the steps), those of addresses in memory (`throttle/addresses.rs`).
//!
//! Who shows a device from which its account was signed in to before counts for that device only: the failures of strangers lock them out
//! neither by the account nor by the address.

mod addresses;
mod steps;
mod turns;

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use platform::{problem::Problem, storage::Db};
use sha2::{Digest, Sha256};

pub(crate) use self::steps::{DAY, Failures};
use self::{
    addresses::Addresses,
    turns::{Turn, Turns},
};
use crate::{client::Client, meter, now, store};

/// Wrong passwords of one address at once.
const FAILURES: i64 = 10;
/// People who sign up from one address at once.
const SIGN_UPS: i64 = 20;

/// The books. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Throttle {
    turns: Turns,
    failures: Arc<Addresses>,
    sign_ups: Arc<Addresses>,
}

impl Throttle {
    pub(crate) fn new() -> Throttle {
        Throttle {
            turns: Turns::default(),
            failures: Arc::new(Addresses::new(FAILURES)),
            sign_ups: Arc::new(Addresses::new(SIGN_UPS)),
        }
    }

    /// The right to try one password for the account with this name, or 429.
    pub(crate) async fn attempt(
        &self,
        db: &Db,
        name: &str,
        client: &Client,
    ) -> Result<Attempt, Problem> {
        let (mut subject, mut device) = (subject(name), None);
        if let Some(secret) = &client.device {
            let known = store::device(db, secret.hash(), now()).await?;
            device = known.filter(|known| known.owner_key == name).map(|known| known.id);
            if device.is_some() {
                subject = secret.hash();
            }
        }
        let turn = self.turns.take(&subject).await?;
        let slot = client.address.filter(|_| device.is_none());
        let slot =
            slot.map(|address| Slot::take(&self.failures, address, "address")).transpose()?;
        let scope = if device.is_some() { "device" } else { "account" };
        let before = match look(db, &subject, scope).await {
            Ok(before) => before,
            Err(untried) => {
                if let Some(slot) = slot {
                    slot.give_back();
                }
                return Err(untried);
            }
        };
        Ok(Attempt { subject, scope, before, booked: None, slot, device, _turn: turn })
    }

    /// The right to sign up, or 429.
    pub(crate) fn sign_up(&self, client: &Client) -> Result<SignUp, Problem> {
        let slot = client.address.map(|address| Slot::take(&self.sign_ups, address, "sign_up"));
        Ok(SignUp(slot.transpose()?))
    }
}

/// By what the failures of a name are found. Names that nobody has are not kept as they are: they could be passwords in the wrong field.
pub(crate) fn subject(name: &str) -> Vec<u8> {
    Sha256::digest(name.as_bytes()).to_vec()
}

/// The failures of today; 429 while they have to be waited for.
async fn look(db: &Db, subject: &[u8], scope: &'static str) -> Result<Failures, Problem> {
    let before = store::failures(db, subject).await?.unwrap_or_default();
    before.book(now()).map_err(|wait| refusal(scope, wait))?;
    Ok(before)
}

/// The same for names that somebody has and for others.
fn refusal(scope: &'static str, wait: Duration) -> Problem {
    meter::throttled(scope);
    let detail =
        "There were too many attempts. Wait as many seconds as Retry-After says, then try again.";
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", detail).retry_after(wait)
}

/// A password that may be tried. Booked and then dropped, it was a failure; also when its request was cancelled.
#[must_use = "an attempt that is dropped was a failure"]
pub(crate) struct Attempt {
    subject: Vec<u8>,
    scope: &'static str,
    before: Failures,
    booked: Option<Failures>,
    slot: Option<Slot>,
    /// The device that counts for it.
    pub(crate) device: Option<i64>,
    _turn: Turn,
}

impl Attempt {
    /// Counts it as a failure, until it is forgotten; 429 when another process was faster.
    pub(crate) async fn book(&mut self, db: &Db) -> Result<(), Problem> {
        let refused = |wait| refusal(self.scope, wait);
        let booked = self.before.book(now()).map_err(refused)?;
        if !store::book_failure(db, &self.subject, self.before, booked).await? {
            return Err(refused(Duration::from_secs(1)));
        }
        self.booked = Some(booked);
        Ok(())
    }

    /// It was no failure: the password was right, or was not looked at.
    pub(crate) async fn forget(self, db: &Db) {
        if let Some(slot) = self.slot {
            slot.give_back();
        }
        let Some(booked) = self.booked else { return };
        // Whoever has the right password has it no less because their next attempt has to wait.
        if store::forget_failure(db, &self.subject, self.before, booked).await.is_err() {
            tracing::warn!("an attempt to sign in still counts as a failure that was none");
        }
    }
}

/// Somebody who may sign up.
#[must_use = "a sign-up that is dropped counts"]
pub(crate) struct SignUp(Option<Slot>);

impl SignUp {
    /// Nothing was done for it.
    pub(crate) fn forget(self) {
        if let SignUp(Some(slot)) = self {
            slot.give_back();
        }
    }
}

/// One of the few of an address.
struct Slot {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Slot {
    fn take(
        addresses: &Arc<Addresses>,
        address: IpAddr,
        scope: &'static str,
    ) -> Result<Slot, Problem> {
        addresses.take(address).map_err(|wait| refusal(scope, wait))?;
        Ok(Slot { addresses: Arc::clone(addresses), address })
    }

    fn give_back(self) {
        self.addresses.give_back(self.address);
    }
}
