//! Questions of the console to other programs: only to configured addresses, each with a deadline and a limit.

use std::time::Duration;

use super::format::bytes;

/// How long an answer may take altogether.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Fetcher(Option<reqwest::Client>);

impl Fetcher {
    pub(super) fn new() -> Fetcher {
        // Only the configured addresses are asked, so no proxy and no redirect may lead elsewhere.
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("musicwallet-console/", env!("CARGO_PKG_VERSION")))
            .build()
            .inspect_err(|error| tracing::error!(%error, "the console cannot ask other programs"));
        Fetcher(client.ok())
    }

    /// The body of a good answer, or why there is none, as a sentence.
    pub(super) async fn get(
        &self,
        address: &str,
        query: &[(&str, &str)],
        accept: &str,
        largest: usize,
    ) -> Result<Vec<u8>, String> {
        let Some(client) = &self.0 else {
            return Err("No connection can be made from here.".to_owned());
        };
        let request = client.get(address).query(query).header(http::header::ACCEPT, accept);
        let mut answer = request.send().await.map_err(why)?;
        if !answer.status().is_success() {
            return Err(format!("It answered {}.", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(why)? {
            body.extend_from_slice(&chunk);
            if body.len() > largest {
                let largest = bytes(largest as u64);
                return Err(format!("Its answer is larger than {largest}, so it was not read."));
            }
        }
        Ok(body)
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
