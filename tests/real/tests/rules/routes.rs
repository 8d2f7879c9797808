//! Who is told: amtool's word for each alert, and the real Alertmanager's for what is kept back.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use real::stack::{Alertmanager, Ports};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use super::{alerts, succeeds, utf8, yaml};
use crate::harness::{eventually, root};

const CONFIGURATIONS: [&str; 2] =
    ["alertmanager/alertmanager.yml", "alertmanager/people.example.yml"];

#[test]
fn every_alert_goes_to_whom_its_severity_says() {
    for file in CONFIGURATIONS {
        let config = format!("--config.file={}", utf8(&root().join(file)));
        for (name, severity) in alerts::severities() {
            let receiver = match (name.as_str(), severity.as_str()) {
                ("Watchdog", _) => "watchdog",
                (_, "none") => "nobody",
                (_, severity) => severity,
            };
            let labels = [format!("alertname={name}"), format!("severity={severity}")];
            let expected = format!("--verify.receivers={receiver}");
            let [name, severity] = labels.each_ref().map(String::as_str);
            succeeds("amtool", &["config", "routes", "test", &config, &expected, name, severity]);
        }
        // What nobody has thought of is a ticket.
        let expected = "--verify.receivers=ticket";
        succeeds("amtool", &["config", "routes", "test", &config, expected, "alertname=Unknown"]);
    }
}

#[test]
fn the_example_for_people_has_the_same_routes() {
    let [shipped, example] = CONFIGURATIONS.map(|file| yaml(&root().join(file)));
    for part in ["route", "inhibit_rules"] {
        assert_eq!(shipped[part], example[part], "{part}");
    }
    let names = |config: &Value| -> BTreeSet<String> {
        super::list(&config["receivers"]).map(|it| super::text(&it["name"]).to_owned()).collect()
    };
    assert_eq!(names(&shipped), names(&example));
}

/// Posts alerts, and returns those that are kept back, when there are as many as expected.
fn kept_back(alertmanager: &Alertmanager, alerts: &[Value], expected: usize) -> BTreeSet<String> {
    let alerts: Vec<Value> = alerts.iter().map(|labels| json!({ "labels": labels })).collect();
    let url = format!("{}/api/v2/alerts", alertmanager.url());
    let posted = Client::new().post(url).json(&alerts).send().unwrap();
    assert!(posted.status().is_success(), "{}", posted.text().unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let known = alertmanager.alerts().unwrap();
        let kept: BTreeSet<String> = known
            .iter()
            .filter(|it| it.status.state == "suppressed")
            .map(|it| format!("{} {}", it.labels["alertname"], it.labels["severity"]))
            .collect();
        let decided = known.iter().all(|it| it.status.state != "unprocessed");
        if known.len() == alerts.len() && decided && kept.len() == expected
            || Instant::now() > deadline
        {
            return kept;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|it| (*it).to_owned()).collect()
}

#[test]
fn a_dead_database_keeps_its_symptoms_back_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let alertmanager = Alertmanager::start(Ports::Free, data.path()).unwrap();
    let alert = |name: &str, severity: &str| json!({ "alertname": name, "severity": severity });
    let symptom = |name: &str, severity: &str| json!({ "alertname": name, "severity": severity, "depends_on": "database" });
    let all = [
        alert("DatabaseDown", "page"),
        alert("DatabaseWasDown", "none"),
        alert("TargetDown", "page"),
        alert("TelemetryDropped", "ticket"),
        symptom("AvailabilityBurning", "page"),
        symptom("LatencyBurning", "ticket"),
        symptom("ProberFailing", "page"),
        symptom("PoolSaturated", "ticket"),
    ];
    let symptoms = [
        "AvailabilityBurning page",
        "LatencyBurning ticket",
        "PoolSaturated ticket",
        "ProberFailing page",
    ];
    assert_eq!(kept_back(&alertmanager, &all, symptoms.len()), names(&symptoms));
}

#[test]
fn what_looks_back_is_kept_back_when_the_database_has_returned_but_not_the_prober() {
    let data = tempfile::tempdir().unwrap();
    let alertmanager = Alertmanager::start(Ports::Free, data.path()).unwrap();
    let symptom = |name: &str, severity: &str| {
        let id = "wallet-read-availability";
        json!({ "alertname": name, "severity": severity, "depends_on": "database", "sloth_id": id })
    };
    let all = [
        json!({ "alertname": "DatabaseWasDown", "severity": "none" }),
        symptom("AvailabilityBurning", "page"),
        symptom("ProberFailing", "page"),
    ];
    let expected = names(&["AvailabilityBurning page"]);
    assert_eq!(kept_back(&alertmanager, &all, 1), expected);
}

#[test]
fn who_is_woken_for_an_objective_gets_no_ticket_for_it() {
    let data = tempfile::tempdir().unwrap();
    let alertmanager = Alertmanager::start(Ports::Free, data.path()).unwrap();
    let burning = |severity: &str, id: &str| json!({ "alertname": "LatencyBurning", "severity": severity, "sloth_id": id });
    let all = [
        burning("page", "wallet-read-latency"),
        burning("ticket", "wallet-read-latency"),
        json!({ "alertname": "AvailabilityBurning", "severity": "ticket", "sloth_id": "wallet-read-availability" }),
    ];
    let expected = names(&["LatencyBurning ticket"]);
    assert_eq!(kept_back(&alertmanager, &all, 1), expected);
}

/// Whoever is down for less than the time in which alerts are gathered would never be told of.
#[test]
fn a_dead_database_is_told_at_once() {
    let data = tempfile::tempdir().unwrap();
    let alertmanager = Alertmanager::start(Ports::Free, data.path()).unwrap();
    let down = json!([{ "labels": { "alertname": "DatabaseDown", "severity": "page" } }]);
    let url = format!("{}/api/v2/alerts", alertmanager.url());
    assert!(Client::new().post(url).json(&down).send().unwrap().status().is_success());
    // Nobody is there to take it; it was tried, sooner than others, which wait for 45 s.
    let tried = "alertmanager_notifications_total{integration=\"webhook\"}";
    eventually("it is told", || {
        let metrics = Client::new().get(format!("{}/metrics", alertmanager.url())).send();
        let metrics = metrics.and_then(|it| it.text()).map_err(|it| it.to_string())?;
        let count = metrics.lines().find_map(|it| it.strip_prefix(tried)).map(str::trim);
        if count.is_some_and(|it| it != "0") { Ok(()) } else { Err(format!("{count:?}")) }
    });
}

#[test]
fn without_the_sidecar_nobodys_telemetry_arrives_and_that_is_one_page() {
    let data = tempfile::tempdir().unwrap();
    let alertmanager = Alertmanager::start(Ports::Free, data.path()).unwrap();
    let of = |name: &str, service: &str| json!({ "alertname": name, "severity": "page", "service_name": service });
    let all =
        [of("TargetDown", "sidecar"), of("TargetDown", "wallet"), of("ServiceSilent", "gateway")];
    assert_eq!(kept_back(&alertmanager, &all, 1), names(&["ServiceSilent page"]));
}
