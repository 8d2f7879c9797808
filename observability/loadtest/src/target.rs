//! Who is loaded, and how one request is sent, or sent and left.

use std::{
    error::Error,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, Method, Url,
    header::{AUTHORIZATION, CONTENT_TYPE},
    redirect, retry,
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::books::Failure;

const AGENT: &str = concat!("musicwallet-loadtest/", env!("CARGO_PKG_VERSION"));

/// We let go of an idle connection before a server does (ours do after 5 s), or a request could cross its farewell and fail by our fault.
const IDLE: Duration = Duration::from_millis(2_500);

/// A request, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What it is about, for the report.
    pub action: &'static str,
    /// Its method.
    pub method: Method,
    /// Path and query, from the `/` on.
    pub path: String,
    /// Who sends it.
    pub token: Option<Arc<str>>,
    /// What it carries.
    pub body: Option<Value>,
    /// Leave so long after it was sent, without waiting for the answer.
    pub abort_after: Option<Duration>,
}

impl Request {
    /// Without a token and a body.
    pub fn new(action: &'static str, method: Method, path: impl Into<String>) -> Request {
        Request { action, method, path: path.into(), token: None, body: None, abort_after: None }
    }
}

/// Why something cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentences say it")]
pub enum TargetError {
    #[error("{0} is not the address of an HTTP server; give one such as http://127.0.0.1:8080")]
    NoAddress(String),
    #[error("{host} cannot be resolved: {cause}")]
    Unresolved { host: String, cause: io::Error },
    #[error(
        "{0} is not this machine: load is for loopback addresses only (127.0.0.0/8, ::1); give one such as http://127.0.0.1:8080"
    )]
    NotLoopback(IpAddr),
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// Who is loaded: a server on this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Target {
    base: Url,
    /// What its name was resolved to, once: it cannot become another machine later.
    addresses: Arc<[SocketAddr]>,
    http: Client,
}

impl Target {
    /// The server at an address such as `http://127.0.0.1:8080`; resolves its name.
    ///
    /// # Errors
    /// When it is no address, cannot be resolved, or is not on this machine.
    pub fn new(url: &str) -> Result<Target, TargetError> {
        let no_address = || TargetError::NoAddress(url.to_owned());
        let base = Url::parse(url).map_err(|_| no_address())?;
        let plain =
            base.username().is_empty() && base.query().is_none() && base.fragment().is_none();
        let Some(host) = base.host_str().filter(|_| plain && base.scheme() == "http") else {
            return Err(no_address());
        };
        let host = host.to_owned();
        let addresses = base
            .socket_addrs(|| None)
            .map_err(|cause| TargetError::Unresolved { host: host.clone(), cause })?;
        if let Some(stranger) = addresses.iter().find(|it| !it.ip().is_loopback()) {
            return Err(TargetError::NotLoopback(stranger.ip()));
        }
        let http = client(&host, &addresses, None)?;
        Ok(Target { base, addresses: addresses.into(), http })
    }

    /// The same server, called from another address of this machine.
    pub(crate) fn called_from(&self, from: IpAddr) -> Result<Target, reqwest::Error> {
        let host = self.base.host_str().unwrap_or_default();
        let http = client(host, &self.addresses, Some(from))?;
        Ok(Target { http, ..self.clone() })
    }

    pub(crate) fn is_ipv4(&self) -> bool {
        self.addresses.iter().all(SocketAddr::is_ipv4)
    }

    /// Sends it and reads all of the answer, in parts that `each` sees: status and trace.
    pub(crate) async fn send(
        &self,
        request: &Request,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(u16, Option<String>), Failure> {
        let mut sending = self.http.request(request.method.clone(), self.url(&request.path)?);
        if let Some(token) = &request.token {
            sending = sending.header(AUTHORIZATION, format!("Token {token}"));
        }
        if let Some(body) = &request.body {
            sending = sending.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let mut answer = sending.send().await.map_err(|error| why(&error))?;
        let trace = answer.headers().get("x-trace-id").and_then(|id| id.to_str().ok());
        let trace = trace.map(str::to_owned);
        while let Some(part) = answer.chunk().await.map_err(|error| why(&error))? {
            each(&part);
        }
        Ok((answer.status().as_u16(), trace))
    }

    /// Sends it on a connection of its own and leaves after a while. By hand, because an HTTP client does not tell when a request has left.
    pub(crate) async fn send_and_leave(&self, request: &Request, after: Duration) -> Failure {
        let Ok(head) = self.url(&request.path).map(|url| self.written(request, &url)) else {
            return Failure::Other;
        };
        let Ok(mut stream) = TcpStream::connect(&*self.addresses).await else {
            return Failure::Connect;
        };
        if stream.write_all(head.as_bytes()).await.is_err() {
            return Failure::Reset;
        }
        tokio::time::sleep(after).await;
        Failure::Aborted
    }

    fn written(&self, request: &Request, url: &Url) -> String {
        let mut place = url.path().to_owned();
        if let Some(query) = url.query() {
            place = format!("{place}?{query}");
        }
        let mut text = format!(
            "{} {place} HTTP/1.1\r\nhost: {}\r\nuser-agent: {AGENT}\r\n",
            request.method,
            url.authority()
        );
        if let Some(token) = &request.token {
            text += &format!("authorization: Token {token}\r\n");
        }
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            text += "content-type: application/json\r\n";
        }
        text + &format!("content-length: {}\r\n\r\n{body}", body.len())
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{path}")).map_err(|_| Failure::Other)
    }
}

fn client(
    host: &str,
    addresses: &[SocketAddr],
    from: Option<IpAddr>,
) -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(AGENT)
        .http1_only()
        .pool_idle_timeout(IDLE)
        .local_address(from)
        .resolve_to_addrs(host, addresses)
        // What is asked is measured as it is: whoever is sent elsewhere, or has to try again, is an answer or a failure.
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .build()
}

/// The kind of a failure of the HTTP client.
fn why(error: &reqwest::Error) -> Failure {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    if error.is_connect() {
        return Failure::Connect;
    }
    let mut next = error.source();
    while let Some(cause) = next {
        next = cause.source();
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            match error.kind() {
                ConnectionReset | ConnectionAborted | BrokenPipe => return Failure::Reset,
                UnexpectedEof => return Failure::Closed,
                _ => {}
            }
        }
        if cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return Failure::Closed;
        }
    }
    Failure::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_be_loaded() {
        for url in
            ["http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:8080/", "http://localhost:1"]
        {
            assert!(Target::new(url).is_ok(), "{url}");
        }
        for url in ["http://192.0.2.1:80", "http://0.0.0.0:80", "http://[2001:db8::1]"] {
            let refused = Target::new(url).unwrap_err().to_string();
            assert!(refused.contains("loopback addresses only"), "{refused}");
        }
        for url in [
            "127.0.0.1:80",
            "https://127.0.0.1",
            "unix:/a",
            "http://u:p@127.0.0.1",
            "http://[::1]/?a",
        ] {
            let refused = Target::new(url).unwrap_err();
            assert!(matches!(refused, TargetError::NoAddress(_)), "{refused}");
        }
    }
}
