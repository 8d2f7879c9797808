//! The real Prometheus: metrics.

use std::{collections::BTreeMap, ffi::OsString, fs, net::SocketAddr, os::unix, path::Path};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::program::{Kind, Ports, Program, empty, hurry, shipped};

const HTTP: usize = 0;

const KIND: Kind = Kind {
    name: "Prometheus",
    program: "prometheus",
    sockets: &[("HTTP", 9090)],
    prepare: |data| configured(&data.join("config")),
    configure: |command, addresses, data| {
        let flag = |name: &str, path: &str| {
            let mut flag = OsString::from(name);
            flag.push(data.join(path));
            flag
        };
        command
            .arg(flag("--config.file=", "config/prometheus.yml"))
            .arg(flag("--storage.tsdb.path=", "tsdb"))
            .arg(format!("--web.listen-address={}", addresses[HTTP]))
            .args(["--web.enable-lifecycle", "--web.enable-otlp-receiver"])
            .arg("--enable-feature=exemplar-storage");
    },
    ready: &[(HTTP, "/-/ready")],
};

/// The same, but scrapes and evaluates each second, and the windows and durations of its rules are those for tests.
const HURRIED: Kind = Kind {
    prepare: |data| hurried(&data.join("config")),
    configure: |command, addresses, data| {
        (KIND.configure)(command, addresses, data);
        // Or what fired before it knew Alertmanager is told after a minute.
        command.arg("--rules.alert.resend-delay=1s");
    },
    ..KIND
};

/// Prometheus, running.
#[derive(Debug)]
pub struct Prometheus {
    /// Its process.
    pub program: Program,
}

/// A series and its value now.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With `__name__`, unless the query took it away.
    pub labels: BTreeMap<String, String>,
    /// May be `NaN` or infinite.
    pub value: f64,
}

/// A series and its values over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// With `__name__`, unless the query took it away.
    pub labels: BTreeMap<String, String>,
    /// Seconds since 1970, and values: they may be `NaN` or infinite.
    pub points: Vec<(f64, f64)>,
}

/// Where it scrapes, and how that went.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// `job`, `instance` and others.
    pub labels: BTreeMap<String, String>,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Why it is down; else empty.
    pub last_error: String,
}

/// An example of what was counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels of its series.
    pub series: BTreeMap<String, String>,
    /// Its own labels: `trace_id`, `span_id`.
    pub labels: BTreeMap<String, String>,
    /// What was observed.
    pub value: f64,
}

impl Prometheus {
    /// Starts it, and returns when it is ready. It scrapes MusicWallet at its usual ports; [`Prometheus::scrape`] changes that.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn start(ports: Ports, data: &Path) -> Result<Prometheus> {
        Ok(Prometheus { program: Program::start(&KIND, ports, data)? })
    }

    /// Starts it with `prometheus/generate --fast`: what takes it minutes and hours takes seconds, all else is the same.
    ///
    /// # Errors
    /// What kept it from that.
    pub fn start_hurried(ports: Ports, data: &Path) -> Result<Prometheus> {
        Ok(Prometheus { program: Program::start(&HURRIED, ports, data)? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.program.address(HTTP)
    }

    /// Where its APIs are.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url(HTTP)
    }

    /// Where it receives OTLP by HTTP, at `/v1/metrics`.
    #[must_use]
    pub fn otlp_url(&self) -> String {
        format!("{}/api/v1/otlp", self.url())
    }

    /// Scrapes these services of ours from now on, and no others: their names, and `address:port`. It takes some seconds to notice.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn scrape(&self, targets: &[(&str, &str)]) -> Result<()> {
        let targets = targets.iter().map(|(service, address)| {
            let labels =
                json!({ "job": format!("musicwallet/{service}"), "service_name": service });
            json!({ "targets": [address], "labels": labels })
        });
        self.targets_are("musicwallet", &targets.collect())
    }

    /// Scrapes a program of the stack, too: the job as `prometheus/targets` has it, and `address:port`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn watch(&self, job: &str, address: SocketAddr) -> Result<()> {
        self.targets_are(job, &json!([{ "targets": [address] }]))
    }

    fn targets_are(&self, job: &str, targets: &Value) -> Result<()> {
        let folder = self.program.data().join("config/targets");
        let new = folder.join("new");
        fs::write(&new, targets.to_string())?;
        Ok(fs::rename(new, folder.join(job).with_extension("json"))?) // it never sees half of it
    }

    /// The value of a PromQL query now.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the query.
    pub fn query(&self, promql: &str) -> Result<Vec<Sample>> {
        self.ask("/api/v1/query", &[("query", promql)])
    }

    /// The value of a PromQL query at a time, in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the query.
    pub fn query_at(&self, promql: &str, time: f64) -> Result<Vec<Sample>> {
        self.ask("/api/v1/query", &[("query", promql), ("time", &time.to_string())])
    }

    fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Sample>> {
        #[derive(Deserialize)]
        struct Series {
            metric: BTreeMap<String, String>,
            value: (f64, String),
        }
        let answer = self.program.get(HTTP, path, query)?;
        let data = &answer["data"];
        if data["resultType"] == "scalar" {
            let (_, value): (f64, String) = serde_json::from_value(data["result"].clone())?;
            return Ok(vec![Sample { labels: BTreeMap::new(), value: value.parse()? }]);
        }
        let series: Vec<Series> = serde_json::from_value(data["result"].clone())?;
        let sample = |it: Series| Ok(Sample { labels: it.metric, value: it.value.1.parse()? });
        series.into_iter().map(sample).collect()
    }

    /// The values of a PromQL query over a time, as a panel asks for them: seconds since 1970.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the query.
    pub fn query_range(&self, promql: &str, from: f64, to: f64, step: f64) -> Result<Vec<Series>> {
        let [from, to, step] = [from, to, step].map(|it| it.to_string());
        let query = [("query", promql), ("start", &*from), ("end", &*to), ("step", &*step)];
        self.matrix("/api/v1/query_range", &query)
    }

    /// The samples of a selector with a range (`up[1m]`) until a time, in seconds since 1970, as they were scraped.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the selector.
    pub fn samples(&self, selector: &str, time: f64) -> Result<Vec<Series>> {
        self.matrix("/api/v1/query", &[("query", selector), ("time", &time.to_string())])
    }

    fn matrix(&self, path: &str, query: &[(&str, &str)]) -> Result<Vec<Series>> {
        #[derive(Deserialize)]
        struct Answered {
            metric: BTreeMap<String, String>,
            values: Vec<(f64, String)>,
        }
        let answer = self.program.get(HTTP, path, query)?;
        let series: Vec<Answered> = serde_json::from_value(answer["data"]["result"].clone())?;
        let series = series.into_iter().map(|it| {
            let points = it.values.into_iter().map(|(time, value)| Ok((time, value.parse()?)));
            Ok(Series { labels: it.metric, points: points.collect::<Result<_>>()? })
        });
        series.collect()
    }

    /// The syntax tree of a PromQL query.
    ///
    /// # Errors
    /// It cannot be reached, or does not understand the query.
    pub fn parse(&self, promql: &str) -> Result<Value> {
        let mut answer = self.program.get(HTTP, "/api/v1/parse_query", &[("query", promql)])?;
        Ok(answer["data"].take())
    }

    /// The label sets of the series that one of the selectors finds.
    ///
    /// # Errors
    /// It cannot be reached, or refuses a selector.
    pub fn series(&self, selectors: &[&str]) -> Result<Vec<BTreeMap<String, String>>> {
        let query: Vec<(&str, &str)> = selectors.iter().map(|it| ("match[]", *it)).collect();
        let answer = self.program.get(HTTP, "/api/v1/series", &query)?;
        Ok(serde_json::from_value(answer["data"].clone())?)
    }

    /// What it scrapes.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn targets(&self) -> Result<Vec<Target>> {
        let answer = self.program.get(HTTP, "/api/v1/targets", &[("state", "active")])?;
        Ok(serde_json::from_value(answer["data"]["activeTargets"].clone())?)
    }

    /// The exemplars of the series in a PromQL query.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the query.
    pub fn exemplars(&self, promql: &str) -> Result<Vec<Exemplar>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Series {
            series_labels: BTreeMap<String, String>,
            exemplars: Vec<One>,
        }
        #[derive(Deserialize)]
        struct One {
            labels: BTreeMap<String, String>,
            value: String,
        }
        let answer = self.program.get(HTTP, "/api/v1/query_exemplars", &[("query", promql)])?;
        let series: Vec<Series> = serde_json::from_value(answer["data"].clone())?;
        let mut exemplars = Vec::new();
        for Series { series_labels, exemplars: all } in series {
            for One { labels, value } in all {
                let series = series_labels.clone();
                exemplars.push(Exemplar { series, labels, value: value.parse()? });
            }
        }
        Ok(exemplars)
    }

    /// Has it read its configuration again.
    ///
    /// # Errors
    /// It cannot be reached, or the configuration has a mistake.
    pub fn reload(&self) -> Result<()> {
        self.program.post(HTTP, "/-/reload", &Value::Null)
    }
}

/// A folder that has what `prometheus/` has, by links, but targets of its own: paths in a configuration start at its folder. Of them, only
/// ours are at their usual ports; it is told of others.
fn configured(folder: &Path) -> Result<()> {
    empty(folder)?;
    for entry in fs::read_dir(shipped("prometheus"))? {
        let (name, path) = entry.map(|it| (it.file_name(), it.path()))?;
        if name != "targets" {
            unix::fs::symlink(path, folder.join(name))?;
        }
    }
    let file = "targets/musicwallet.json";
    fs::create_dir(folder.join("targets"))?;
    fs::copy(shipped("prometheus").join(file), folder.join(file))?;
    Ok(())
}

fn hurried(folder: &Path) -> Result<()> {
    configured(folder)?;
    for name in ["rules", "prometheus.yml"] {
        fs::remove_file(folder.join(name))?;
    }
    hurry(folder)?; // makes the rules
    let mut config = fs::read_to_string(shipped("prometheus/prometheus.yml"))?;
    for (usual, hurried) in [
        ("scrape_interval: 5s", "scrape_interval: 1s"),
        ("scrape_timeout: 4s", "scrape_timeout: 1s"),
        ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        // Its exporter takes its time to say that a database is away.
        (
            "job_name: postgres",
            "job_name: postgres\n    scrape_interval: 4s\n    scrape_timeout: 4s",
        ),
    ] {
        ensure!(config.contains(usual), "prometheus.yml has no {usual:?}");
        config = config.replace(usual, hurried);
    }
    Ok(fs::write(folder.join("prometheus.yml"), config)?)
}
