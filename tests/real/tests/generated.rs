//! Requests that schemathesis generates from the documents: none of them may meet a server error, or an answer that its document does not
//! have.

use std::process::Command;

use crate::harness::{App, Shape, root};

/// How many examples of each operation and phase. 20 are some 1,450 requests to the gateway, 850 to accounts, 800 to the catalog and 400 to the
/// wallet; `MUSICWALLET_EXAMPLES=120` are 3,650 to the gateway.
fn examples() -> String {
    std::env::var("MUSICWALLET_EXAMPLES").unwrap_or_else(|_| "20".to_owned())
}

/// Runs it against a service, whose callers sign up at the gateway and come from `network`.
fn keeps_to_its_document(app: &App, service: &str, network: &str) {
    let address = app.url(service, "api");
    let folder = root().join("tests/real/schemathesis");
    let tools = std::env::var("MUSICWALLET_TOOLS").expect("tests/real/run says where tools are");
    let data = tempfile::tempdir().unwrap();
    let mut schemathesis = Command::new(format!("{tools}/python/bin/schemathesis"));
    schemathesis.arg("--config-file").arg(folder.join("schemathesis.toml"));
    schemathesis.args(["run", &format!("{address}/openapi.json"), "--no-color", "--seed", "1"]);
    schemathesis.args(["--max-examples", &examples(), "--generation-database", "none"]);
    schemathesis.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &folder);
    schemathesis.env("PYTHONDONTWRITEBYTECODE", "1");
    schemathesis.env("MUSICWALLET_GATEWAY", app.url("gateway", "api")).current_dir(data.path());
    schemathesis.env("MUSICWALLET_NETWORK", network);
    if service != "gateway" {
        schemathesis.env("MUSICWALLET_ACCOUNTS", app.url("accounts", "api"));
    }
    let output = schemathesis.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{service}: {}{errors}", essence(&told));
    // That it has really called something.
    let cases = told.lines().find_map(|line| {
        let (count, _) = line.trim().split_once(" generated")?;
        count.replace(',', "").parse::<u64>().ok()
    });
    let cases = cases.unwrap_or_else(|| panic!("{service}: {told}"));
    assert!(cases > 300, "{service}: {told}");
}

/// What it found, without the bodies of thousands of letters.
fn essence(told: &str) -> String {
    let from = told.find("= ERRORS =").or_else(|| told.find("= FAILURES =")).unwrap_or(0);
    let lines = told[from..].lines();
    lines.map(|line| format!("{}\n", line.chars().take(500).collect::<String>())).collect()
}

#[test]
fn what_is_generated_from_the_documents_meets_no_answer_that_they_do_not_have() {
    let app = App::start_with(Shape::One, &[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")]);
    let services =
        [("gateway", "10.1"), ("accounts", "10.2"), ("catalog", "10.3"), ("wallet", "10.4")];
    for (service, network) in services {
        keeps_to_its_document(&app, service, network);
    }
}
