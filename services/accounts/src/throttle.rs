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
        let address = client.address.filter(|_| device.is_none());
        let address = address.map(|address| (Arc::clone(&self.failures), address));
        look_at(address.as_ref())?;
        let turn = self.turns.take(&subject).await?;
        let scope = if device.is_some() { "device" } else { "account" };
        let before = store::failures(db, &subject).await?.unwrap_or_default();
        before.book(now()).map_err(|wait| refusal(scope, wait))?;
        Ok(Attempt { subject, scope, before, booked: None, address, device, _turn: turn })
    }

    /// The right to sign up, or 429.
    pub(crate) fn sign_up(&self, client: &Client) -> Result<SignUp, Problem> {
        let address = client.address.map(|address| (Arc::clone(&self.sign_ups), address));
        if let Some((addresses, address)) = &address {
            addresses.take(*address).map_err(|wait| refusal("sign_up", wait))?;
        }
        Ok(SignUp(address))
    }
}

/// An address, and where it is counted.
type Counted = (Arc<Addresses>, IpAddr);

fn look_at(address: Option<&Counted>) -> Result<(), Problem> {
    let Some((addresses, address)) = address else { return Ok(()) };
    addresses.look(*address).map_err(|wait| refusal("address", wait))
}

/// By what the failures of a name are found. Names that nobody has are not kept as they are: they could be passwords in the wrong field.
pub(crate) fn subject(name: &str) -> Vec<u8> {
    Sha256::digest(name.as_bytes()).to_vec()
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
    address: Option<Counted>,
    /// The device that counts for it.
    pub(crate) device: Option<i64>,
    _turn: Turn,
}

impl Attempt {
    /// Counts it as a failure of its account or device, until it is forgotten; 429 when others were faster.
    ///
    /// An address counts afterwards: the few that are hashed at this moment do not make others from there wait, as they may all be right.
    pub(crate) async fn book(&mut self, db: &Db) -> Result<(), Problem> {
        look_at(self.address.as_ref())?;
        let refused = |wait| refusal(self.scope, wait);
        let booked = self.before.book(now()).map_err(refused)?;
        if !store::book_failure(db, &self.subject, self.before, booked).await? {
            return Err(refused(Duration::from_secs(1))); // by another process
        }
        self.booked = Some(booked);
        Ok(())
    }

    /// It was no failure: the password was right, or was not looked at.
    pub(crate) async fn forget(mut self, db: &Db) {
        let Some(booked) = self.booked.take() else { return };
        // Whoever has the right password has it no less because their next attempt has to wait.
        if store::forget_failure(db, &self.subject, self.before, booked).await.is_err() {
            tracing::warn!("an attempt to sign in still counts as a failure that was none");
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let (Some(_), Some((addresses, address))) = (&self.booked, &self.address) {
            addresses.count(*address);
        }
    }
}

/// Somebody who may sign up.
#[must_use = "a sign-up that is dropped counts"]
pub(crate) struct SignUp(Option<Counted>);

impl SignUp {
    /// Nothing was done for it.
    pub(crate) fn forget(self) {
        if let SignUp(Some((addresses, address))) = self {
            addresses.give_back(address);
        }
    }
}
