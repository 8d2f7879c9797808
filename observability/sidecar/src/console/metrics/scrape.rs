//! Fetches what the configured services export: all at once, each with a deadline and a limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::exposition::{self, Exposition};
use crate::console::fetch::Fetcher;

/// How large an answer may be.
const LARGEST: usize = 4 << 20;
/// `OpenMetrics` has the exemplars.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// Fetches the metrics of the configured services.
#[derive(Clone)]
pub(in crate::console) struct Scraper {
    fetcher: Fetcher,
    targets: Arc<[Target]>,
}

#[derive(Debug, Clone)]
pub(in crate::console) struct Target {
    pub(in crate::console) service: String,
    pub(super) address: String,
}

/// What came of asking one of them.
pub(in crate::console) struct Scraped {
    pub(super) took: Duration,
    pub(super) size: usize,
    pub(in crate::console) metrics: Exposition,
}

impl Scraper {
    /// For settings of the form `service=address`; an entry without a name is named by its address.
    pub(in crate::console) fn new(targets: &[String], fetcher: &Fetcher) -> Self {
        let targets = targets.iter().map(|text| {
            let (service, address) = text.split_once('=').unwrap_or((text, text));
            Target { service: service.trim().to_owned(), address: address.trim().to_owned() }
        });
        Self { fetcher: fetcher.clone(), targets: targets.collect() }
    }

    pub(in crate::console) async fn all(&self) -> Vec<(Target, Result<Scraped, String>)> {
        let answers = self
            .targets
            .iter()
            .map(|target| async { (target.clone(), self.fetch(&target.address).await) });
        join_all(answers).await
    }

    async fn fetch(&self, address: &str) -> Result<Scraped, String> {
        let begin = Instant::now();
        let body = self.fetcher.get(address, &[], ACCEPTED, LARGEST).await?;
        let (took, size) = (begin.elapsed(), body.len());
        let metrics =
            tokio::task::spawn_blocking(move || exposition::parse(&String::from_utf8_lossy(&body)));
        Ok(Scraped { took, size, metrics: metrics.await.map_err(|error| error.to_string())? })
    }
}
