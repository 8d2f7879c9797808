//! The settings of a service's telemetry: OpenTelemetry's standard variables, where it has one.

use std::time::Duration;

use telemetry::{Export, Sampling};
use tracing_subscriber::filter::Targets;

use super::{HttpUrl, Ratio, Value};

crate::settings! {
    /// Traces, metrics and logs.
    pub struct Telemetry {
        /// Base address of the OTLP receiver for traces and logs; by default the sidecar of this process, else port 4318 of this machine.
        pub endpoint: Option<HttpUrl> = none, "OTEL_EXPORTER_OTLP_ENDPOINT";
        /// How long one export may take, retries included, in milliseconds.
        pub timeout: Milliseconds = "5000", "OTEL_EXPORTER_OTLP_TIMEOUT";
        /// How exports are packed: not at all, so only `none` can be said here.
        pub compression: Option<Uncompressed> = none, "OTEL_EXPORTER_OTLP_COMPRESSION";
        /// Headers for exports cannot be given yet, so this must not be set.
        pub headers: Option<NoHeaders> = none, "OTEL_EXPORTER_OTLP_HEADERS";
        /// true: no traces and no exported logs; metrics and the lines on stdout stay.
        pub disabled: bool = "false", "OTEL_SDK_DISABLED";
        /// Where traces go: `otlp`, or `none`, then spans are not recorded.
        pub traces_exporter: Exporter = "otlp", "OTEL_TRACES_EXPORTER";
        /// Where log lines go besides stdout: `otlp`, or `none`.
        pub logs_exporter: Exporter = "otlp", "OTEL_LOGS_EXPORTER";
        /// Base address of a Loki, or of a sidecar's OTLP over HTTP: log lines are shipped there, too, by tracing-loki; not by default.
        pub loki: Option<HttpUrl> = none, "LOKI_URL";
        /// The service's name in its telemetry; only for `serve`, where a process is one service.
        pub service_name: Option<String> = none, "OTEL_SERVICE_NAME";
        /// More attributes for every span and line: key=value,key=value.
        pub resource_attributes: Attributes = none, "OTEL_RESOURCE_ATTRIBUTES";
        /// Which traces are recorded: `always_on`, `always_off`, `traceidratio`, or `parentbased_` before one of them.
        pub sampler: Sampler = "parentbased_always_on", "OTEL_TRACES_SAMPLER";
        /// The share of traces that the ratio samplers record, 0 to 1.
        pub sampler_ratio: Ratio = "1", "OTEL_TRACES_SAMPLER_ARG";
        /// How long a span waits for others before it is sent, in milliseconds.
        pub delay: Milliseconds = "300", "OTEL_BSP_SCHEDULE_DELAY";
        /// How many spans may wait to be exported; more are dropped and counted; 1,000,000 at most.
        pub trace_queue: QueueSize = "4096", "OTEL_BSP_MAX_QUEUE_SIZE";
        /// How many log records may wait to be exported; more are dropped and counted; 1,000,000 at most.
        pub log_queue: QueueSize = "8192", "OTEL_BLRP_MAX_QUEUE_SIZE";
        /// Which log lines are written: a level, or target=level pairs separated by commas.
        pub filter: LogFilter = "info", "RUST_LOG";
        /// Where this runs: the attribute deployment.environment.name, by default what `OTEL_RESOURCE_ATTRIBUTES` says, else `development`. `production` refuses weak settings.
        pub environment: Option<Environment> = none, "MUSICWALLET_ENVIRONMENT";
    }
}

impl Telemetry {
    /// What one service starts its telemetry with. `endpoint` is where exports go unless the setting names another place; `None`
    /// is for the sidecar, which exports nothing about itself and whose requests are not worth a line.
    pub fn of(&self, service: &str, endpoint: Option<&str>) -> telemetry::Config {
        let endpoint = endpoint.filter(|_| !self.disabled);
        let (traces, logs) = (self.traces_exporter.sends(), self.logs_exporter.sends());
        let export = endpoint.filter(|_| traces || logs).map(|default| Export {
            endpoint: self.endpoint.as_ref().map_or(default, HttpUrl::as_str).to_owned(),
            timeout: self.timeout.0,
            delay: self.delay.0,
            trace_queue: self.trace_queue.0,
            log_queue: self.log_queue.0,
            traces,
            logs,
        });
        telemetry::Config {
            service: service.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: uuid::Uuid::new_v4().to_string(),
            environment: self.environment().to_owned(),
            attributes: self.resource_attributes.0.clone(),
            requests: endpoint.is_some() || self.disabled,
            export,
            loki: endpoint.and(self.loki.as_ref()).map(|url| url.as_str().to_owned()),
            sampling: self.sampler.with(self.sampler_ratio.get()),
            filter: self.filter.0.clone(),
        }
    }
}

impl Telemetry {
    /// Whether weak settings are refused.
    pub fn is_production(&self) -> bool {
        self.environment() == Environment::Production.name()
    }

    fn environment(&self) -> &str {
        let given = self.resource_attributes.0.iter().rev();
        let mut given = given.filter(|(key, _)| key == "deployment.environment.name");
        let attribute = || given.next().map(|(_, value)| value.as_str());
        let own = self.environment.map(Environment::name);
        own.or_else(attribute).unwrap_or(Environment::Development.name())
    }
}

/// Where this runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Somebody tries things out.
    Development,
    /// Like production, for tests.
    Staging,
    /// For people: settings that are weak are refused.
    Production,
}

impl Environment {
    fn name(self) -> &'static str {
        match self {
            Environment::Development => "development",
            Environment::Staging => "staging",
            Environment::Production => "production",
        }
    }
}

impl Value for Environment {
    const EXPECTED: &'static str = "development, staging or production";

    fn parse(text: &str) -> Result<Self, String> {
        let all = [Environment::Development, Environment::Staging, Environment::Production];
        let found = all.into_iter().find(|it| it.name() == text.trim());
        found.ok_or_else(|| "is no environment".to_owned())
    }
}

/// Milliseconds as OpenTelemetry's variables have them: a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milliseconds(Duration);

impl Value for Milliseconds {
    const EXPECTED: &'static str = "a whole number of milliseconds from 1 on";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().parse() {
            Ok(0) | Err(_) => Err("is not a number of milliseconds".to_owned()),
            Ok(number) => Ok(Milliseconds(Duration::from_millis(number))),
        }
    }
}

/// Where a signal goes, by its standard name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exporter {
    /// To the OTLP receiver.
    Otlp,
    /// Nowhere.
    None,
}

impl Exporter {
    fn sends(self) -> bool {
        self == Exporter::Otlp
    }
}

impl Value for Exporter {
    const EXPECTED: &'static str = "otlp or none";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "otlp" => Ok(Exporter::Otlp),
            "none" => Ok(Exporter::None),
            _ => Err("is no exporter of this program".to_owned()),
        }
    }
}

/// Resource attributes, `key=value` separated by commas; values are percent-encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(String, String)>);

impl Value for Attributes {
    const EXPECTED: &'static str = "key=value pairs separated by commas";

    fn parse(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').ok_or("has a pair without =")?;
            let value = percent_encoding::percent_decode_str(value.trim())
                .decode_utf8()
                .map_err(|_| "has a value that is not UTF-8")?;
            Ok((key.trim().to_owned(), value.into_owned()))
        });
        pairs.collect::<Result<_, String>>().map(Attributes)
    }

    fn absent() -> Option<Self> {
        Some(Attributes::default())
    }
}

/// The only way in which exports are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncompressed;

impl Value for Uncompressed {
    const EXPECTED: &'static str = "none";

    fn parse(text: &str) -> Result<Self, String> {
        let none = text.trim().eq_ignore_ascii_case("none");
        none.then_some(Uncompressed).ok_or_else(|| "is not supported".to_owned())
    }
}

/// What cannot be set. Without this, the exporters would take the variable from the environment by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeaders {}

impl Value for NoHeaders {
    const EXPECTED: &'static str = "nothing: exports have no headers of their own yet";

    fn parse(_: &str) -> Result<Self, String> {
        Err("is not supported".to_owned())
    }

    /// Such headers are for credentials.
    fn shown(_: &str) -> String {
        "***".to_owned()
    }
}

/// How many items a queue holds; it is made for all of them at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSize(usize);

impl Value for QueueSize {
    const EXPECTED: &'static str = "a whole number from 1 to 1000000";

    fn parse(text: &str) -> Result<Self, String> {
        let size = text.trim().parse().ok().filter(|size| (1..=1_000_000).contains(size));
        size.map(QueueSize).ok_or_else(|| "is not a number from 1 to 1000000".to_owned())
    }
}

/// A sampler by its standard name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    parent_based: bool,
    /// `None`: the ratio of the other setting.
    ratio: Option<f64>,
}

impl Sampler {
    fn with(self, ratio: f64) -> Sampling {
        Sampling { parent_based: self.parent_based, ratio: self.ratio.unwrap_or(ratio) }
    }
}

impl Value for Sampler {
    const EXPECTED: &'static str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        let (parent_based, root) = match text.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, text.as_str()),
        };
        let ratio = match root {
            "always_on" => Some(1.0),
            "always_off" => Some(0.0),
            "traceidratio" => None,
            _ => return Err("is no sampler".to_owned()),
        };
        Ok(Sampler { parent_based, ratio })
    }
}

/// `RUST_LOG` without its regular expressions: levels by target.
#[derive(Clone, Debug)]
pub struct LogFilter(Targets);

impl Value for LogFilter {
    const EXPECTED: &'static str =
        "a level (error, warn, info, debug, trace, off), or pairs such as catalog=debug,info";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(LogFilter).map_err(|wrong| format!("is no filter ({wrong})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Part, Reader};

    #[test]
    fn the_standard_values_are_understood() {
        let sampler = |text| Sampler::parse(text).unwrap().with(0.25);
        assert_eq!(sampler("always_off"), Sampling { parent_based: false, ratio: 0.0 });
        assert_eq!(
            sampler("parentbased_traceidratio"),
            Sampling { parent_based: true, ratio: 0.25 }
        );
        assert!(Sampler::parse("sometimes").is_err());
        let attributes = Attributes::parse("team=songs, note=a%20b%2Cc").unwrap();
        let expected = [("team", "songs"), ("note", "a b,c")];
        assert_eq!(attributes.0, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(Attributes::parse("team").is_err() && Attributes::parse("a=%ff").is_err());
        assert!(Milliseconds::parse("0").is_err() && LogFilter::parse("a=loud").is_err());
    }

    #[test]
    fn values_that_cannot_work_are_refused_at_the_start() {
        for wrong in ["NaN", "-1", "5", "1.01", "-0.1", "inf", "half"] {
            assert!(Ratio::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(["0", " 1 "].map(|it| Ratio::parse(it).unwrap().get()), [0.0, 1.0]);
        for wrong in ["0", "-1", "1000001", "18446744073709551615", "many"] {
            assert!(QueueSize::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(QueueSize::parse("1000000"), Ok(QueueSize(1_000_000)));
        let pairs = [
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cret"),
        ];
        let mut reader = Reader::from_pairs(&pairs);
        assert!(Telemetry::read(&mut reader).is_none());
        let shown = format!("{:?}", reader.effective());
        let told = reader.finish().unwrap_err().to_string();
        assert!(pairs.iter().all(|(variable, _)| told.contains(variable)), "{told}");
        assert!(!told.contains("s3cret") && !shown.contains("s3cret"), "{told} {shown}");
        assert_eq!(Uncompressed::parse("none"), Ok(Uncompressed));
    }

    #[test]
    fn the_environment_is_what_is_said_most_explicitly() {
        let environment =
            |pairs: &[(&str, &str)]| Telemetry::from_pairs(pairs).of("x", None).environment;
        let own = ("MUSICWALLET_ENVIRONMENT", "staging");
        let attribute = ("OTEL_RESOURCE_ATTRIBUTES", "a=b,deployment.environment.name=production");
        assert_eq!(environment(&[]), "development");
        assert_eq!(environment(&[attribute]), "production");
        assert_eq!(environment(&[attribute, own]), "staging");
    }

    #[test]
    fn a_setting_beats_the_sidecar_of_the_process_and_disabling_beats_both() {
        let own = Some("http://127.0.0.1:1");
        let to = |pairs: &[(&str, &str)]| {
            Telemetry::from_pairs(pairs).of("x", own).export.map(|export| export.endpoint)
        };
        assert_eq!(to(&[]).as_deref(), own);
        let other = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        assert_eq!(to(&[other]).as_deref(), Some("http://collector:4318"));
        assert_eq!(to(&[other, ("OTEL_SDK_DISABLED", "true")]), None);
        assert!(!Telemetry::from_pairs(&[]).of("sidecar", None).requests);
    }

    #[test]
    fn each_way_out_can_be_chosen() {
        let chosen = |pairs: &[(&str, &str)]| {
            let config = Telemetry::from_pairs(pairs).of("x", Some("http://127.0.0.1:1"));
            let otlp = config.export.map(|to| (to.traces, to.logs));
            (otlp, config.loki)
        };
        assert_eq!(chosen(&[]), (Some((true, true)), None));
        let url = ("LOKI_URL", "http://loki:3100/");
        let to = Some("http://loki:3100".to_owned());
        let no_logs = ("OTEL_LOGS_EXPORTER", "none");
        assert_eq!(chosen(&[url, no_logs]), (Some((true, false)), to.clone()));
        let no_traces = ("OTEL_TRACES_EXPORTER", "none");
        assert_eq!(chosen(&[url, no_logs, no_traces]), (None, to));
        assert_eq!(chosen(&[url, ("OTEL_SDK_DISABLED", "true")]), (None, None));
        assert_eq!(Telemetry::from_pairs(&[url]).of("sidecar", None).loki, None);
        assert!(Exporter::parse("console").is_err());
    }
}
