//! Fetches what the configured services export: all at once, each with a deadline and a limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::header::ACCEPT;

use super::exposition::{self, Exposition};
use crate::console::format::bytes;

/// How long an answer may take altogether.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How large an answer may be.
const LARGEST: usize = 4 << 20;
/// `OpenMetrics` has the exemplars.
const ACCEPTED: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// Fetches the metrics of the configured services.
#[derive(Clone)]
pub(in crate::console) struct Scraper {
    client: Option<reqwest::Client>,
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
    pub(in crate::console) fn new(targets: &[String]) -> Self {
        let targets = targets.iter().map(|text| {
            let (service, address) = text.split_once('=').unwrap_or((text, text));
            Target { service: service.trim().to_owned(), address: address.trim().to_owned() }
        });
        // Only the configured addresses are asked, so no proxy and no redirect may lead elsewhere.
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("musicwallet-console/", env!("CARGO_PKG_VERSION")))
            .build()
            .inspect_err(|error| tracing::error!(%error, "the console cannot fetch metrics"));
        Self { client: client.ok(), targets: targets.collect() }
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
        let Some(client) = &self.client else {
            return Err("No connection can be made from here.".to_owned());
        };
        let mut answer = client.get(address).header(ACCEPT, ACCEPTED).send().await.map_err(why)?;
        if !answer.status().is_success() {
            return Err(format!("It answered {}.", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(why)? {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST {
                return Err(format!(
                    "Its answer is larger than {}, so it was not read.",
                    bytes(LARGEST as u64)
                ));
            }
        }
        let (took, size) = (begin.elapsed(), body.len());
        let metrics =
            tokio::task::spawn_blocking(move || exposition::parse(&String::from_utf8_lossy(&body)));
        Ok(Scraped { took, size, metrics: metrics.await.map_err(|error| error.to_string())? })
    }
}

/// The reason at the bottom of an error, as a sentence.
fn why(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("It did not answer within {} s.", TIMEOUT.as_secs());
    }
    let error = error.without_url();
    let mut reason: &dyn std::error::Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    format!("It cannot be reached: {reason}.")
}
