//! Walks through the public API as a listener does, over and over, and tells how that went: the one client that is always there.
//!
//! Each run signs in, searches, keeps a song, lists what it keeps, and drops it, with a user of its own, who is signed up where there is none. It
//! goes by the public address, so that what stands before the services is in it. `journey.rs` has the steps, `api.rs` the requests.

mod api;
mod device;
mod journey;
mod meter;
mod password;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use platform::{
    config::{HttpUrl, Value},
    service::Parts,
};
use tokio::time::{MissedTickBehavior, interval};
use tracing::Instrument;

use crate::{api::Api, device::Device, journey::Journey};

/// The service's name, in telemetry, commands and messages.
pub const NAME: &str = "prober";

platform::settings! {
    /// Settings of the prober.
    pub struct Config {
        /// Address and port for health and metrics.
        pub internal_listen: SocketAddr = "127.0.0.1:9186", "PROBER_INTERNAL_LISTEN";
        /// The public address: that of the gateway, or of what stands before it.
        pub gateway_url: HttpUrl = "http://127.0.0.1:8080", "PROBER_GATEWAY_URL";
        /// How often it walks, 1s to 5m: who does not try for longer is not heard of (ProberFailing). A run that takes longer lets the next ones out.
        pub interval: Interval = "30s", "PROBER_INTERVAL";
        /// The user that it signs in as, and signs up where there is none.
        pub username: String = "prober", "PROBER_USERNAME";
        /// A file with the password of that user; it is created with a random one where it is missing.
        pub password_file: PathBuf = "./data/prober.password", "PROBER_PASSWORD_FILE";
        /// A file that it writes, so that after a restart, too, accounts knows it from strangers who guess its password.
        pub device_file: PathBuf = "./data/prober.device", "PROBER_DEVICE_FILE";
    }
}

/// The time from one run to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Duration);

impl Value for Interval {
    const EXPECTED: &'static str = "a time from 1s to 5m, such as 30s";

    fn parse(text: &str) -> Result<Interval, String> {
        let time = Duration::parse(text)?;
        let within = Duration::from_secs(1)..=Duration::from_secs(300);
        within.contains(&time).then_some(Interval(time)).ok_or("is out of its limits".to_owned())
    }
}

/// Begins to walk; the first run is at once. Ends with the service.
///
/// # Errors
/// One sentence, when there is no password, the device's file cannot be made, or the HTTP client cannot be set up.
pub fn start(config: &Config, parts: &Parts) -> anyhow::Result<()> {
    let password = password::from_file(&config.password_file)?;
    let api = Api::new(&config.gateway_url, &parts.telemetry)?;
    let device = Device::from_file(&config.device_file)?;
    let mut journey = Journey::new(api, config.username.clone(), password, device);
    meter::start();
    let (stopping, Interval(every)) = (parts.stopping.clone(), config.interval);
    let runs = async move {
        let mut ticks = interval(every);
        // One run at a time, and none that makes up for those that were let out.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            journey.run().instrument(tracing::info_span!("probe")).await;
        }
    };
    // A run that is cut leaves a session, which ends by itself, and a song, which the next one drops.
    parts.background.spawn(|ending| async move {
        ending.run_until_cancelled(runs).await;
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_limits() {
        assert_eq!(Interval::parse("1s"), Ok(Interval(Duration::from_secs(1))));
        assert_eq!(Interval::parse("5m"), Ok(Interval(Duration::from_secs(300))));
        for wrong in ["999ms", "301s", "0s", "soon", ""] {
            assert!(Interval::parse(wrong).is_err(), "{wrong}");
        }
    }
}
