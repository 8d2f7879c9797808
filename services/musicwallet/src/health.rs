//! `musicwallet health`: is what runs on this machine ready? For containers, whose image holds no other program that could ask.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::ArgMatches;
use futures_util::future::join_all;
use platform::config::Reader;
use reqwest::{Client, StatusCode};

use crate::{
    Failure,
    services::{Settings, Target},
    welcome,
};

/// An answer takes a millisecond; who asks again every few seconds shall not wait longer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the internal port of each of `targets` whether it wants requests.
pub(crate) fn run(matches: &ArgMatches, targets: &[Target]) -> Result<(), Failure> {
    let mut reader = Reader::from_matches(matches);
    let settings: Vec<_> =
        targets.iter().map(|target| (*target, Settings::read(*target, &mut reader))).collect();
    reader.finish()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = settings.into_iter().filter_map(|(target, settings)| Some((target, settings?)));
    runtime
        .block_on(async {
            let client = &Client::builder().timeout(TIMEOUT).no_proxy().build()?;
            // At once: each may take all of the time.
            let asked = asked.map(|(target, settings)| async move {
                ask(client, settings.internal()).await.with_context(|| target.name())
            });
            join_all(asked).await.into_iter().collect::<anyhow::Result<()>>()
        })
        .map_err(|error| Failure::new(Failure::FAILED, format!("{error:#}")))?;
    let names: Vec<_> = targets.iter().map(|target| target.name()).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    welcome::print(&format!("{} {verb} ready.", names.join(", ")));
    Ok(())
}

async fn ask(client: &Client, (variable, internal): (&str, SocketAddr)) -> anyhow::Result<()> {
    if internal.port() == 0 {
        bail!("{variable} is port 0: it listens on any free one, which only itself can tell");
    }
    let url = format!("http://{}/health/ready", from_here(internal));
    let answer = client.get(&url).send().await;
    let answer = answer.with_context(|| {
        format!("there is no answer from {url}; {variable} says where it listens")
    })?;
    match (answer.status(), answer.text().await) {
        (StatusCode::OK, _) => Ok(()),
        (status, Ok(why)) => bail!("it is not ready: {url} answered {status}, {why}"),
        (status, Err(_)) => bail!("it is not ready: {url} answered {status}"),
    }
}

/// Where a program of this machine reaches what listens at `address`, which may be on every interface.
pub(crate) fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: IpAddr =
            if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}
