//! Objectives and what is left of their budgets, as Prometheus has them by the rules that Sloth has made.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use platform::config::HttpUrl;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{fetch::Fetcher, format::clip};

/// The three series of Sloth's rules, by one question: so all numbers are of one moment.
const QUESTION: &str =
    r#"{__name__=~"slo:(objective|period_error_budget_remaining|current_burn_rate):ratio"}"#;
/// How large an answer may be, and how many objectives are shown.
const LARGEST: usize = 1 << 20;
const MOST: usize = 200;
/// For how long it is kept, so that many readers are one to Prometheus.
const FRESH: Duration = Duration::from_secs(5);
/// Characters of a name.
const LONGEST: usize = 200;

/// Asks Prometheus. Cheap to clone.
#[derive(Clone)]
pub(super) struct Objectives(Option<Arc<Source>>);

struct Source {
    fetcher: Fetcher,
    base: String,
    /// Whoever holds the lock asks; the others wait for the answer.
    last: Mutex<Option<(Instant, Answer)>>,
}

/// All objectives by service and name, or why they cannot be had.
pub(super) type Answer = Result<Arc<[Objective]>, String>;

/// One of them. A number that Prometheus does not have yet is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Objective {
    pub(super) service: String,
    pub(super) name: String,
    /// The share of events that has to be good: 0.999.
    pub(super) objective: Option<f64>,
    /// What is left of the period's budget: 1 is all of it, less than 0 more than all is gone.
    pub(super) budget: Option<f64>,
    /// How fast it is being used: at 1 it lasts for just the period.
    pub(super) burn_rate: Option<f64>,
}

impl Objectives {
    pub(super) fn of(base: Option<&HttpUrl>, fetcher: &Fetcher) -> Objectives {
        Objectives(base.map(|base| {
            let (fetcher, base) = (fetcher.clone(), base.as_str().to_owned());
            Arc::new(Source { fetcher, base, last: Mutex::default() })
        }))
    }

    /// Where they come from, if that is set.
    pub(super) fn source(&self) -> Option<&str> {
        self.0.as_ref().map(|source| source.base.as_str())
    }

    /// Those of this moment, or of some seconds ago. `None` where nobody is to be asked.
    pub(super) async fn now(&self) -> Option<Answer> {
        let source = self.0.as_ref()?;
        let mut last = source.last.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Some(answer.clone());
        }
        let answer = source.ask().await;
        *last = Some((Instant::now(), answer.clone()));
        Some(answer)
    }
}

impl Source {
    async fn ask(&self) -> Answer {
        let address = format!("{}/api/v1/query", self.base);
        let question = [("query", QUESTION)];
        read(&self.fetcher.get(&address, &question, "application/json", LARGEST).await?)
    }
}

/// What is read of an answer of Prometheus.
#[derive(Deserialize)]
struct Told {
    status: String,
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    /// The time, and the number as a text.
    value: (f64, String),
}

fn read(body: &[u8]) -> Answer {
    let told: Told = serde_json::from_slice(body)
        .map_err(|_| "It answered what Prometheus does not answer.".to_owned())?;
    if told.status != "success" || told.data.result_type != "vector" {
        return Err("It did not answer the question.".to_owned());
    }
    let mut all: BTreeMap<(String, String), Objective> = BTreeMap::new();
    for Sample { metric, value: (_, value) } in told.data.result {
        let label = |name: &str| metric.get(name).map(|it| clip(it, LONGEST));
        let (Some(service), Some(name)) = (label("sloth_service"), label("sloth_slo")) else {
            continue; // somebody else's
        };
        let new =
            Objective { service: service.clone(), name: name.clone(), ..Objective::default() };
        let objective = all.entry((service, name)).or_insert(new);
        // `NaN` is what the rules say before there was any traffic.
        let value = value.parse().ok().filter(|it: &f64| it.is_finite());
        match metric.get("__name__").map(String::as_str) {
            Some("slo:objective:ratio") => objective.objective = value,
            Some("slo:period_error_budget_remaining:ratio") => objective.budget = value,
            Some("slo:current_burn_rate:ratio") => objective.burn_rate = value,
            _ => {}
        }
    }
    if all.len() > MOST {
        return Err(format!("It has more than {MOST} objectives, which are too many for a page."));
    }
    Ok(all.into_values().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(name: &str, slo: &str, value: &str) -> serde_json::Value {
        let metric = json!({"__name__": name, "sloth_service": "catalog", "sloth_slo": slo});
        json!({"metric": metric, "value": [1_700_000_000.123, value]})
    }

    #[test]
    fn the_three_series_of_an_objective_are_one_line() {
        let result = [
            sample("slo:objective:ratio", "read", "0.999"),
            sample("slo:period_error_budget_remaining:ratio", "read", "-0.25"),
            sample("slo:current_burn_rate:ratio", "read", "14.4"),
            sample("slo:objective:ratio", "latency", "0.99"),
            sample("slo:current_burn_rate:ratio", "latency", "NaN"),
            json!({"metric": {"__name__": "slo:objective:ratio"}, "value": [0, "1"]}),
        ];
        let answer =
            json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        let told = read(answer.to_string().as_bytes()).unwrap();
        let numbers = |it: &Objective| (it.name.clone(), it.objective, it.budget, it.burn_rate);
        assert_eq!(
            told.iter().map(numbers).collect::<Vec<_>>(),
            [
                ("latency".to_owned(), Some(0.99), None, None),
                ("read".to_owned(), Some(0.999), Some(-0.25), Some(14.4)),
            ]
        );
    }

    #[test]
    fn an_answer_of_somebody_else_is_a_sentence() {
        for answer in [
            "",
            "<html>",
            "{}",
            r#"{"status":"error","errorType":"bad_data","error":"no"}"#,
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1]}]}}"#,
        ] {
            assert!(read(answer.as_bytes()).unwrap_err().starts_with("It "), "{answer}");
        }
        let many = (0..=MOST).map(|n| sample("slo:objective:ratio", &n.to_string(), "1"));
        let many: Vec<_> = many.collect();
        let many = json!({"status": "success", "data": {"resultType": "vector", "result": many}});
        assert!(read(many.to_string().as_bytes()).unwrap_err().contains("too many"));
    }
}
