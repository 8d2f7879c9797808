use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use platform::config::{ByteSize, HttpUrl, Ratio, Value};
use spool::Limits;

platform::settings! {
    /// Settings of the sidecar.
    pub struct Config {
        /// Where OTLP arrives by gRPC.
        pub otlp_grpc_listen: SocketAddr = "127.0.0.1:4317", "SIDECAR_OTLP_GRPC_LISTEN";
        /// Where OTLP arrives by HTTP, as protobuf or JSON.
        pub otlp_http_listen: SocketAddr = "127.0.0.1:4318", "SIDECAR_OTLP_HTTP_LISTEN";
        /// Where Jaeger's query APIs answer. Another than a loopback address needs `CONSOLE_ALLOWED_HOSTS`, and in production `CONSOLE_TOKEN_FILE`.
        pub jaeger_listen: SocketAddr = "127.0.0.1:16686", "SIDECAR_JAEGER_LISTEN";
        /// Where the console is. Another than a loopback address needs `CONSOLE_ALLOWED_HOSTS`, and in production `CONSOLE_TOKEN_FILE`.
        pub console_listen: SocketAddr = "127.0.0.1:8081", "CONSOLE_LISTEN";
        /// Address and port for health and metrics.
        pub internal_listen: SocketAddr = "127.0.0.1:9185", "SIDECAR_INTERNAL_LISTEN";
        /// The OTLP address that traces go on to, without `/v1/traces`: Jaeger's, such as `http://jaeger:4318`. Then Jaeger's own API is the one to ask, and it is not served here.
        pub traces_endpoint: Option<HttpUrl> = none, "SIDECAR_TRACES_ENDPOINT";
        /// The OTLP address that logs go on to, without `/v1/logs`: Loki's, such as `http://loki:3100/otlp`.
        pub logs_endpoint: Option<HttpUrl> = none, "SIDECAR_LOGS_ENDPOINT";
        /// The OTLP address that metrics go on to, without `/v1/metrics`: Prometheus', such as `http://prometheus:9090/api/v1/otlp`. Without it they are refused. The services' own are scraped and do not come this way.
        pub metrics_endpoint: Option<HttpUrl> = none, "SIDECAR_METRICS_ENDPOINT";
        /// The folder in which telemetry waits for its destination, or `memory`, which ends with the process: what cannot be delivered within its last second is lost.
        pub spool: SpoolPlace = "./data/spool", "SIDECAR_SPOOL";
        /// How much of each signal may wait; the oldest is dropped first, and counted.
        pub spool_size: ByteSize = "512MiB", "SIDECAR_SPOOL_SIZE";
        /// How long it may wait.
        pub spool_age: Duration = "24h", "SIDECAR_SPOOL_AGE";
        /// Which share of the traces goes on that have neither an error nor a slow span: 0 to 1. Those that have always go on.
        pub sampling_ratio: Ratio = "1", "SIDECAR_SAMPLING_RATIO";
        /// From which duration on a span makes its trace a slow one.
        pub sampling_slow: Duration = "1s", "SIDECAR_SAMPLING_SLOW";
        /// How long the rest of a trace is waited for before it is decided about; only where the share is less than 1.
        pub sampling_wait: Duration = "10s", "SIDECAR_SAMPLING_WAIT";
        /// How much memory spans may take; the oldest arrivals leave first.
        pub traces_memory: ByteSize = "64MiB", "SIDECAR_TRACES_MEMORY";
        /// How much memory log records may take; the oldest arrivals leave first.
        pub logs_memory: ByteSize = "32MiB", "SIDECAR_LOGS_MEMORY";
        /// Host names besides the loopback ones by which console and query APIs may be asked for, and under which Alertmanager tells of alerts, separated by commas.
        pub allowed_hosts: Vec<String> = none, "CONSOLE_ALLOWED_HOSTS";
        /// A file with a token of 16 characters or more that console and query APIs demand, as Bearer or as a password; without it they have no sign-in.
        pub token_file: Option<PathBuf> = none, "CONSOLE_TOKEN_FILE";
        /// Prometheus' base address, such as `http://prometheus:9090`: the console asks it for objectives and their budgets. Without it they are not shown.
        pub prometheus: Option<HttpUrl> = none, "CONSOLE_PROMETHEUS";
        /// Grafana's base address as a browser reaches it: where dashboards are that alerts name by a path, such as `/d/overview`.
        pub grafana: Option<LinkBase> = none, "CONSOLE_GRAFANA";
        /// The base address under which a browser finds runbooks that alerts name by a relative path.
        pub runbooks: Option<LinkBase> = none, "CONSOLE_RUNBOOKS";
        /// Whose metrics the console shows: service=address of its metrics, separated by commas.
        pub scrape: Vec<String> = "gateway=http://127.0.0.1:9180/metrics,accounts=http://127.0.0.1:9181/metrics,catalog=http://127.0.0.1:9182/metrics,wallet=http://127.0.0.1:9183/metrics,sidecar=http://127.0.0.1:9185/metrics", "CONSOLE_SCRAPE";
    }
}

/// What the path of a link is appended to: `http` or `https`, because only browsers go there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkBase(String);

impl LinkBase {
    /// The address of `path` below.
    pub fn join(&self, path: &str) -> String {
        format!("{}/{}", self.0, path.trim_start_matches('/'))
    }
}

impl Value for LinkBase {
    const EXPECTED: &'static str =
        "an address such as https://grafana.example (no user, no query, no fragment)";

    fn parse(text: &str) -> Result<LinkBase, String> {
        let url = reqwest::Url::parse(text.trim()).map_err(|_| "is not an address".to_owned())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("does not begin with http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password, which every reader would see".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a query or a fragment (#)".to_owned());
        }
        Ok(LinkBase(url.as_str().trim_end_matches('/').to_owned()))
    }

    fn shown(text: &str) -> String {
        HttpUrl::shown(text)
    }
}

/// Where a spool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolPlace {
    /// Nowhere but in memory.
    Memory,
    /// In a folder, with one inside for each signal.
    Folder(PathBuf),
}

impl Value for SpoolPlace {
    const EXPECTED: &'static str = "a folder, or memory";

    fn parse(text: &str) -> Result<SpoolPlace, String> {
        Ok(match text.trim() {
            "memory" => SpoolPlace::Memory,
            folder => SpoolPlace::Folder(folder.into()),
        })
    }
}

impl Config {
    /// Whether the questions that Jaeger's API answers are this program's to answer.
    pub fn serves_jaeger(&self) -> bool {
        self.traces_endpoint.is_none()
    }

    /// Of the spool of each signal.
    pub(crate) fn spool_limits(&self) -> Limits {
        Limits { bytes: self.spool_size.bytes() as u64, age: self.spool_age }
    }

    /// What cannot be meant: the variable of each, and what to do.
    pub fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        for (variable, signal, endpoint) in [
            ("SIDECAR_TRACES_ENDPOINT", "traces", &self.traces_endpoint),
            ("SIDECAR_LOGS_ENDPOINT", "logs", &self.logs_endpoint),
            ("SIDECAR_METRICS_ENDPOINT", "metrics", &self.metrics_endpoint),
        ] {
            let Some(endpoint) = endpoint.as_ref().map(HttpUrl::as_str) else { continue };
            if endpoint.ends_with(&format!("/v1/{signal}")) {
                let told = format!("ends with /v1/{signal}, which is added: leave it out");
                wrong.push((variable, told));
            }
            if let Some(own) = self.own_listener(endpoint) {
                let told = format!(
                    "is this sidecar itself, by {own}: what it hands on would come back without end. Give it the address of the next one, \
                     or leave it unset"
                );
                wrong.push((variable, told));
            }
        }
        if self.spool_size.bytes() < 16 << 10 {
            let told = "is less than the 16KiB that a spool needs".to_owned();
            wrong.push(("SIDECAR_SPOOL_SIZE", told));
        }
        if self.sampling_ratio.get() < 1.0 && self.sampling_wait >= self.spool_age {
            let told = "is not less than SIDECAR_SPOOL_AGE: every trace would be too old before it is decided about".to_owned();
            wrong.push(("SIDECAR_SAMPLING_WAIT", told));
        }
        wrong
    }

    /// The setting of the own address that another address is, as far as it can be told without asking for a name.
    fn own_listener(&self, address: &str) -> Option<&'static str> {
        let url = reqwest::Url::parse(address).ok()?;
        let (host, port) = (url.host_str()?.trim_matches(['[', ']']), url.port_or_known_default()?);
        let here = host == "localhost" || host.parse().is_ok_and(|it: IpAddr| is_here(it));
        let listen = [
            ("SIDECAR_OTLP_GRPC_LISTEN", self.otlp_grpc_listen),
            ("SIDECAR_OTLP_HTTP_LISTEN", self.otlp_http_listen),
            ("CONSOLE_LISTEN", self.console_listen),
            ("SIDECAR_INTERNAL_LISTEN", self.internal_listen),
        ];
        let is_same = |at: SocketAddr| {
            at.port() == port && (at.ip().to_string() == host || here && is_here(at.ip()))
        };
        listen.into_iter().find(|(_, at)| is_same(*at)).map(|it| it.0)
    }

    /// The addresses of pages and APIs that others reach, although nobody said under which names they are asked for: the variable of each, and
    /// what to do.
    pub fn open_to_others(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.reached_by_others().filter(|_| self.allowed_hosts.is_empty()).map(|(variable, what, at)| {
            let told = format!(
                "is {at}, but {what} has no sign-in of its own. Keep it on a loopback address (127.0.0.1), or name the hosts it is \
                 asked for by in CONSOLE_ALLOWED_HOSTS, and see to it that only those reach it who may read all telemetry"
            );
            (variable, told)
        })
    }

    /// Those that others reach without a token, which production does not allow.
    pub fn open_without_token(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.reached_by_others().filter(|_| self.token_file.is_none()).map(|(variable, what, at)| {
            let told = format!(
                "is {at}, and in production {what} is open to other machines with a token only: name a file that holds one in \
                 CONSOLE_TOKEN_FILE, or keep it on a loopback address (127.0.0.1)"
            );
            (variable, told)
        })
    }

    fn reached_by_others(&self) -> impl Iterator<Item = (&'static str, &'static str, SocketAddr)> {
        let listen = [
            ("SIDECAR_JAEGER_LISTEN", "Jaeger's API", self.jaeger_listen),
            ("CONSOLE_LISTEN", "the console", self.console_listen),
        ];
        listen.into_iter().filter(|(_, _, at)| !at.ip().to_canonical().is_loopback())
    }
}

fn is_here(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages_of_the_web_only() {
        let base = LinkBase::parse("https://grafana.example/sub/").unwrap();
        assert_eq!(base.join("/d/overview"), "https://grafana.example/sub/d/overview");
        assert_eq!(base.join("docs/x.md"), "https://grafana.example/sub/docs/x.md");
        for wrong in ["javascript:alert(1)", "ftp://x", "https://a:b@x", "https://x/?a", "x"] {
            assert!(LinkBase::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_that_others_reach_needs_the_names_of_its_hosts() {
        let told = |pairs: &[(&str, &str)]| -> Vec<&str> {
            Config::from_pairs(pairs).open_to_others().map(|(variable, _)| variable).collect()
        };
        assert!(told(&[]).is_empty());
        assert!(
            told(&[("CONSOLE_LISTEN", "[::1]:0"), ("SIDECAR_JAEGER_LISTEN", "127.1.2.3:1")])
                .is_empty()
        );
        assert_eq!(told(&[("CONSOLE_LISTEN", "0.0.0.0:8081")]), ["CONSOLE_LISTEN"]);
        let both = [("CONSOLE_LISTEN", "10.0.0.1:8081"), ("SIDECAR_JAEGER_LISTEN", "[::]:1")];
        assert_eq!(told(&both), ["SIDECAR_JAEGER_LISTEN", "CONSOLE_LISTEN"]);
        let [first, second] = both;
        assert!(told(&[first, second, ("CONSOLE_ALLOWED_HOSTS", "telemetry.example")]).is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_told_by_its_variable() {
        let told = |pairs: &[(&str, &str)]| -> Vec<&str> {
            Config::from_pairs(pairs).contradictions().into_iter().map(|it| it.0).collect()
        };
        let traces = |to| told(&[("SIDECAR_TRACES_ENDPOINT", to)]);
        for itself in ["http://127.0.0.1:4318", "http://localhost:4318", "http://[::1]:4317"] {
            assert_eq!(traces(itself), ["SIDECAR_TRACES_ENDPOINT"], "{itself}");
        }
        assert_eq!(traces("http://jaeger:4318/v1/traces"), ["SIDECAR_TRACES_ENDPOINT"]);
        for other in ["http://127.0.0.1:4328", "http://jaeger:4318", "http://10.0.0.9:4318"] {
            assert!(traces(other).is_empty(), "{other}");
        }
        let open = ("SIDECAR_OTLP_HTTP_LISTEN", "10.0.0.9:4318");
        assert_eq!(
            told(&[open, ("SIDECAR_LOGS_ENDPOINT", "http://10.0.0.9:4318")]),
            ["SIDECAR_LOGS_ENDPOINT"]
        );
        assert_eq!(told(&[("SIDECAR_SPOOL_SIZE", "0")]), ["SIDECAR_SPOOL_SIZE"]);
        let waits = [("SIDECAR_SAMPLING_WAIT", "2h"), ("SIDECAR_SPOOL_AGE", "1h")];
        assert!(told(&waits).is_empty(), "nothing is sampled");
        let [wait, age] = waits;
        assert_eq!(
            told(&[wait, age, ("SIDECAR_SAMPLING_RATIO", "0.5")]),
            ["SIDECAR_SAMPLING_WAIT"]
        );
    }
}
