//! The prober against the real program: what it finds, what it leaves, and what it says when something is away.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, Process, Reply, Shape, eventually};

const STEPS: [&str; 5] = ["sign_in", "search", "keep", "list", "drop"];

fn runs(app: &App, result: &str) -> f64 {
    let series = format!("prober_runs_total{{result=\"{result}\"}}");
    app.metric("prober", &series).unwrap_or_default()
}

fn failures(app: &App, step: &str) -> f64 {
    let series = format!("prober_step_failures_total{{step=\"{step}\"}}");
    app.metric("prober", &series).unwrap()
}

/// The lines about failed steps that came with this status.
fn told(app: &App, status: u16) -> Vec<Value> {
    let lines = app.process("prober").logs().into_iter();
    lines.filter(|it| it["level"] == "WARN" && it["status"] == status).collect()
}

/// Waits until `more` runs have ended so.
fn after(app: &App, more: f64, result: &str) {
    let before = runs(app, result);
    eventually(&format!("{more} more runs: {result}"), || {
        let now = runs(app, result);
        if now >= before + more { Ok(()) } else { Err(format!("{now} after {before}")) }
    });
}

fn password(app: &App) -> String {
    fs::read_to_string(app.data.path().join("data/prober.password")).unwrap().trim().to_owned()
}

/// A token of the prober's user, and its id.
fn prober(app: &App) -> (String, i64) {
    let who = json!({"username": "prober", "password": password(app)});
    let token = eventually("the prober's token", || {
        let reply = app.post("/api-token-auth/", "", who.clone());
        reply.json["token"].as_str().map(str::to_owned).ok_or_else(|| format!("{reply:?}"))
    });
    let people = app.get("/api/users/", &token).json;
    let me = people.as_array().unwrap().iter().find(|it| it["username"] == "prober").unwrap();
    let id = me["id"].as_i64().unwrap();
    (token, id)
}

fn kept(app: &App, (token, me): &(String, i64)) -> Vec<Value> {
    app.get(&format!("/api/users/{me}/favourites/"), token).json.as_array().unwrap().clone()
}

fn nothing_is_kept(app: &App, who: &(String, i64)) {
    eventually("nothing is kept", || match kept(app, who).as_slice() {
        [] => Ok(()),
        left => Err(format!("{left:?}")),
    });
}

#[test]
fn it_walks_through_the_api_and_leaves_nothing() {
    for shape in [Shape::One, Shape::Each] {
        let mut app = App::start(shape);
        app.start_prober();
        after(&app, 2.0, "success");
        eventually("the last run went through", || match app.metric("prober", "prober_success") {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")), // one of a busy machine may fail
        });
        for step in STEPS {
            let count = format!("prober_step_duration_seconds_count{{step=\"{step}\"}}");
            assert!(app.metric("prober", &count) >= Some(2.0), "{step}");
        }
        let file = app.data.path().join("data/prober.password");
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        // Between two runs there is nothing left of them.
        let who = prober(&app);
        eventually("every session has ended", || {
            let count =
                |name: &str| app.metric("accounts", &format!("accounts_sessions_{name}_total"));
            let (ended, started) = (count("ended"), count("started"));
            if started == ended { Ok(()) } else { Err(format!("{started:?} {ended:?}")) }
        });
        nothing_is_kept(&app, &who);
        let tokens = app.get("/api/tokens/", &who.0).json.as_array().unwrap().len();
        assert_eq!(tokens, 1, "that of this test");
        app.stop();
    }
}

#[test]
fn a_run_is_one_trace_and_the_gateways_link_to_it() {
    let mut app = App::start(Shape::Each);
    app.start_prober();
    after(&app, 2.0, "success");
    let jaeger = app.url("sidecar", "jaeger");
    let expected = [
        "prober: DELETE /api/session",
        "prober: DELETE /api/users/{id}/remove_fav_music",
        "prober: GET /api/musics",
        "prober: GET /api/users/{id}/favourites",
        "prober: POST /api/session",
        "prober: POST /api/users/{id}/add_fav_music",
        "prober: probe",
    ];
    let run = eventually("a run without a sign-up is whole", || {
        let found = app.open(&format!("{jaeger}/api/traces?service=prober&limit=50")).json;
        let all = found["data"].as_array().unwrap().clone();
        let names = |trace: &Value| -> Vec<String> {
            let spans = trace["spans"].as_array().unwrap().iter();
            let mut names: Vec<String> = spans
                .map(|it| format!("prober: {}", it["operationName"].as_str().unwrap()))
                .collect();
            names.sort();
            names
        };
        let whole = all.iter().find(|it| names(it) == expected).cloned();
        whole.ok_or_else(|| format!("{:?}", all.iter().map(names).collect::<Vec<_>>()))
    });
    let id = run["traceID"].as_str().unwrap().to_owned();
    app.trace_is(&id, &expected);
    eventually("each request of the run has a trace at the gateway, which links to it", || {
        let found = app.open(&format!("{jaeger}/api/traces?service=gateway&limit=200")).json;
        let traces = found["data"].as_array().unwrap().iter();
        let spans = traces.flat_map(|it| it["spans"].as_array().unwrap());
        let links = spans.flat_map(|it| it["references"].as_array().unwrap());
        match links.filter(|it| it["traceID"] == *id).count() {
            6 => Ok(()),
            other => Err(format!("{other}")),
        }
    });
}

#[test]
fn a_service_that_is_killed_is_a_failed_step_until_it_is_back() {
    let mut app = App::start(Shape::Each);
    app.start_prober();
    after(&app, 1.0, "success");
    app.kill("catalog");
    after(&app, 2.0, "failure");
    assert_eq!(app.metric("prober", "prober_success"), Some(0.0));
    assert_eq!(app.internal("prober", "/health/ready").status, 200, "that is not its own failure");
    let line = eventually("it says that searching failed", || {
        let told = told(&app, 503).into_iter().find(|it| it["step"] == "search");
        told.ok_or_else(|| app.process("prober").output())
    });
    assert!(failures(&app, "search") >= 1.0); // counted before it is told
    let lines = app.process("prober").logs();
    let id = |name: &str| line[name].as_str().unwrap().to_owned();
    assert_ne!(id("trace_id"), id("request_trace_id"));
    app.trace_when(&id("request_trace_id"), |trace| {
        let failed = trace.names().iter().any(|it| it == "gateway: GET /api/musics");
        if failed { Ok(()) } else { Err(format!("{:?}", trace.names())) }
    });
    let warned = lines.iter().filter(|it| it["level"] == "WARN" && it["step"] != Value::Null);
    assert!(
        warned.count() as f64 <= runs(&app, "failure") + 1.0,
        "a line for each run that failed"
    );
    app.restart("catalog");
    after(&app, 2.0, "success");
}

#[test]
fn what_a_run_has_left_is_dropped_by_the_next() {
    let mut app = App::start(Shape::One);
    app.start_prober();
    after(&app, 1.0, "success");
    let who = prober(&app);
    let mut prober = app.processes.pop().unwrap();
    prober.signal("KILL");
    prober.wait();
    for music in [1, 2, 3] {
        let path = format!("/api/users/{music}/add_fav_music/");
        assert_eq!(app.call(Method::POST, &path, &who.0, None).status, 200);
    }
    assert!(kept(&app, &who).len() >= 3);
    app.start_prober(); // with the password that it had
    after(&app, 1.0, "success");
    nothing_is_kept(&app, &who);
}

#[test]
fn an_empty_catalog_is_given_a_song_to_find() {
    let mut app = App::start_with(Shape::One, &[("CATALOG_SEED", "false")]);
    app.start_prober();
    after(&app, 2.0, "success");
    assert_eq!(app.metric("catalog", "catalog_musics_created_total{source=\"api\"}"), Some(1.0));
}

#[test]
fn a_name_that_somebody_has_is_told_and_not_taken() {
    let mut app = App::start(Shape::One);
    app.someone("prober");
    app.start_prober();
    after(&app, 4.0, "failure");
    assert!(failures(&app, "sign_in") >= 4.0);
    let taken = told(&app, 409);
    assert_eq!(taken.len(), 1, "it signs up once, not at each run: {taken:?}");
    let line = taken[0]["message"].as_str().unwrap();
    assert!(line.contains("PROBER_USERNAME is locked, or has another password"), "{line}");
    assert!(!app.process("prober").output().contains(&password(&app)));
}

#[test]
fn a_locked_account_is_told_as_one_and_an_unlocked_one_walks_on() {
    let mut app = App::start(Shape::Each);
    app.start_prober();
    after(&app, 1.0, "success");
    let act = |app: &App, action: &str| {
        let arguments = ["accounts", action, "prober", "--operator", "grace"];
        let (code, stdout, stderr) = app.command(&arguments).end();
        assert_eq!(code, Some(0), "{stdout}{stderr}");
    };
    for locks in 1..=2 {
        act(&app, "lock");
        eventually("it tells that it signed up in vain", || match told(&app, 409).len() {
            taken if taken == locks => Ok(()),
            other => Err(other),
        });
        after(&app, 3.0, "failure");
        let taken = told(&app, 409);
        assert_eq!(taken.len(), locks, "{taken:?}");
        assert!(taken[0]["message"].as_str().unwrap().contains("is locked, or"), "{taken:?}");
        act(&app, "unlock");
        after(&app, 2.0, "success");
    }
}

#[test]
fn an_account_that_is_deleted_is_signed_up_again() {
    let mut app = App::start(Shape::One);
    app.start_prober();
    after(&app, 1.0, "success");
    let (token, id) = prober(&app);
    let deleted = app.call(Method::DELETE, &format!("/api/users/{id}/"), &token, None);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    after(&app, 2.0, "success"); // one may have been on its way
    assert!(prober(&app).1 > id);
}

#[test]
fn wrong_passwords_of_strangers_do_not_keep_it_out_not_even_after_a_restart() {
    let mut app = App::start(Shape::One);
    app.start_prober();
    after(&app, 1.0, "success");
    let device = app.data.path().join("data/prober.device");
    assert_eq!(fs::metadata(&device).unwrap().permissions().mode() & 0o777, 0o600);
    let mut prober = app.processes.pop().unwrap();
    assert!(prober.terminate().success());
    // Ten for any names, and for a minute nobody may try one from here who is not known.
    let mut names = 0..;
    eventually("strangers have to wait", || {
        let name = format!("nobody{}", names.next().unwrap());
        let who = json!({"username": name, "password": "wrong wrong wrong"});
        match app.post("/api/session/", "", who).status {
            429 => Ok(()),
            other => Err(other),
        }
    });
    let who = json!({"username": "prober", "password": password(&app)});
    app.post("/api/session/", "", who).is_problem(429, "too-many-attempts");
    app.start_prober();
    after(&app, 2.0, "success");
    assert_eq!(runs(&app, "failure"), 0.0);
}

#[test]
fn its_name_may_be_whatever_a_username_may_be() {
    let mut app = App::start_with(Shape::One, &[("PROBER_USERNAME", "probe@night.example")]);
    app.start_prober();
    after(&app, 1.0, "success");
}

/// A prober alone, with these settings.
fn alone(settings: &[(&str, &str)]) -> (Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Process::launch(&["serve", "prober"], folder.path(), settings), folder)
}

#[test]
fn without_its_target_it_is_ready_and_says_what_fails() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let settings = [
        ("PROBER_GATEWAY_URL", url.as_str()),
        ("PROBER_INTERVAL", "1s"),
        ("OTEL_SDK_DISABLED", "true"),
    ];
    let (mut prober, _folder) = alone(&settings);
    let address = eventually("it listens", || prober.find("prober", "internal").ok_or("not yet"));
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let get = |path: &str| Reply::to(client.get(format!("http://{address}{path}")));
    eventually("it is ready", || match get("/health/ready") {
        Reply { status: 200, .. } => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
    eventually("failures are counted", || {
        let text = get("/metrics").text;
        let counted = text.lines().any(|it| {
            let value = it.strip_prefix("prober_step_failures_total{step=\"sign_in\"} ");
            value.is_some_and(|it| it.parse::<f64>().unwrap() >= 2.0)
        });
        if counted { Ok(()) } else { Err(text) }
    });
    assert!(prober.terminate().success());
    assert!(
        prober.output().contains("the prober failed at sign_in: it cannot be reached"),
        "{}",
        prober.output()
    );
}

#[test]
fn wrong_settings_are_told_before_anything_starts() {
    for (settings, told) in [
        (vec![("PROBER_INTERVAL", "999ms")], "set it to a time from 1s to 5m"),
        (vec![("PROBER_GATEWAY_URL", "https://x")], "PROBER_GATEWAY_URL"),
        (vec![("MUSICWALLET_ENVIRONMENT", "production")], "PROBER_PASSWORD_FILE"),
    ] {
        let (prober, folder) = alone(&settings);
        let (code, _, stderr) = prober.end();
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(told), "{told}: {stderr}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    for variable in ["PROBER_PASSWORD_FILE", "PROBER_DEVICE_FILE"] {
        let (prober, _folder) = alone(&[(variable, "/proc/nowhere/file")]);
        let (code, _, stderr) = prober.end();
        assert_eq!(code, Some(3), "{stderr}");
        assert!(
            stderr.contains("prober cannot start") && stderr.contains("/proc/nowhere/file"),
            "{stderr}"
        );
    }
}
