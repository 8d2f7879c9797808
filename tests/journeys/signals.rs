//! One request, seen where its users see it: its trace, its lines, its metrics, the way from one to the other.

use std::{collections::BTreeSet, thread, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    harness::{
        App, PASSWORD, Process, Reply, Shape, databases::system, eventually, in_both_shapes,
    },
    table::{Table, asked},
};

#[test]
fn a_request_is_one_trace_through_three_services_with_its_lines_and_its_exemplar() {
    in_both_shapes(|app| {
        let ada = app.someone("ada");
        // Keys are fetched with the first request of a start.
        eventually("keys are there", || match app.get("/api/musics/?limit=1", &ada) {
            reply if reply.status == 200 => Ok(()),
            reply => Err(format!("{reply:?}")),
        });
        let again = app.token("ada");
        let reply = app.get("/api/musics/?limit=1", &again);
        let id = reply.trace_id().to_owned();
        assert!(reply.header("traceresponse").contains(&id), "{reply:?}");
        let trace = app.trace_is(
            &id,
            &[
                "gateway: GET /api/musics",
                "gateway: POST /credentials/exchange",
                "accounts: POST /credentials/exchange",
                "accounts: SELECT tokens",
                "gateway: GET /musics",
                "catalog: GET /musics",
                "catalog: SELECT musics",
            ],
        );
        let child_of = |child: &str, parent: &str| {
            assert_eq!(trace.span(child).parent.as_deref(), Some(trace.span(parent).id.as_str()));
        };
        child_of("accounts: POST /credentials/exchange", "gateway: POST /credentials/exchange");
        child_of("catalog: GET /musics", "gateway: GET /musics");
        child_of("catalog: SELECT musics", "catalog: GET /musics");
        child_of("gateway: GET /musics", "gateway: GET /api/musics");
        let root = trace.span("gateway: GET /api/musics");
        assert_eq!(root.parent, None);
        assert_eq!(root.tags["http.response.status_code"], json!(200));
        assert_eq!(root.tags["span.kind"], json!("server"));
        assert_eq!(trace.span("catalog: SELECT musics").tags["db.system.name"], json!(system()));

        each_service_wrote_a_line_about_it(app, &id);
        let page = app.console(&format!("/traces/{id}"));
        assert_eq!(page.status, 200);
        for part in ["GET /api/musics", "SELECT musics", "catalog"] {
            assert!(page.text.contains(part), "{part} is not on the page of the trace");
        }
        an_exemplar_leads_to_a_stored_trace(app);
        for (service, route) in [("gateway", "/api/musics"), ("catalog", "/musics")] {
            let labels = format!(
                "{{http_request_method=\"GET\",http_route=\"{route}\",http_response_status_code=\"200\",error_type=\"\"}}"
            );
            let series = format!("http_server_request_duration_seconds_count{labels}");
            assert_eq!(app.metric(service, &series), Some(2.0), "{service}");
        }
    });
}

fn each_service_wrote_a_line_about_it(app: &App, id: &str) {
    let services = eventually("each service wrote a line", || {
        let logs = app.processes.iter().flat_map(|process| process.logs());
        let lines: Vec<_> = logs.filter(|line| line["trace_id"] == json!(id)).collect();
        let services: BTreeSet<_> =
            lines.iter().map(|line| line["service"].as_str().unwrap().to_owned()).collect();
        if services.len() == 3 { Ok(services) } else { Err(format!("{lines:#?}")) }
    });
    assert_eq!(services.into_iter().collect::<Vec<_>>(), ["accounts", "catalog", "gateway"]);
    // The same lines came to the sidecar, each under its trace.
    eventually("the console has a line of each service", || {
        let page = app.console(&format!("/logs?trace={id}"));
        assert_eq!(page.status, 200, "{}", page.text);
        let list = page.text.split_once("<ol>").map_or("", |(_, list)| list);
        let lines: Vec<&str> = list.split("<li").skip(1).collect();
        let wrote =
            |service: &str| lines.iter().any(|line| line.contains(&format!(">{service}</span>")));
        let all = ["accounts", "catalog", "gateway"].into_iter().all(wrote);
        if all { Ok(()) } else { Err(format!("{lines:#?}")) }
    });
}

fn an_exemplar_leads_to_a_stored_trace(app: &App) {
    let url = format!("{}/metrics", app.url("gateway", "internal"));
    let accept = "application/openmetrics-text; version=1.0.0";
    let scrape = Reply::to(app.client().get(url).header("accept", accept));
    assert!(scrape.header("content-type").starts_with("application/openmetrics-text"));
    let bucket =
        scrape.text.lines().find(|line| line.contains("/api/musics") && line.contains("# {"));
    let bucket = bucket.unwrap_or_else(|| panic!("no exemplar:\n{}", scrape.text));
    let id = bucket.split("trace_id=\"").nth(1).unwrap().split('"').next().unwrap();
    app.trace_when(id, |_| Ok(()));
}

#[test]
fn what_is_refused_and_what_fails_is_seen_as_such() {
    let app = App::start(Shape::Each);
    let ada = app.someone("ada");
    let refused = app.get("/api/musics/999999999/", &ada);
    refused.is_problem(404, "music-not-found");
    assert_eq!(refused.json["trace_id"], json!(refused.trace_id()));
    let trace = app.trace_when(refused.trace_id(), |trace| {
        let found = trace.names().iter().any(|name| name == "gateway: GET /api/musics/{id}");
        if found { Ok(()) } else { Err(format!("{:?}", trace.names())) }
    });
    let tags = |name: &str| &trace.span(name).tags;
    assert!(
        !tags("gateway: GET /api/musics/{id}").contains_key("error"),
        "a 404 is no failure of ours"
    );
    assert_eq!(
        tags("gateway: GET /musics/{id}")["error"],
        json!(true),
        "but it is one of the call"
    );

    // The catalog is gone: a 503 that says so, an error span, an error line with the cause.
    app.signal("catalog", "KILL");
    let failed = app.get("/api/musics/1/", &ada);
    failed.is_problem(503, "catalog-unavailable");
    assert!(!failed.header("retry-after").is_empty(), "{failed:?}");
    let trace = app.trace_when(failed.trace_id(), |trace| {
        let found = trace.names().iter().any(|name| name == "gateway: GET /api/musics/{id}");
        if found { Ok(()) } else { Err(format!("{:?}", trace.names())) }
    });
    assert_eq!(trace.span("gateway: GET /api/musics/{id}").tags["error.type"], json!("503"));
    the_gateway_logs_the_cause(&app, failed.trace_id(), "catalog cannot be reached");
}

/// In one error line of the request: what is wrong, and what the system says about it.
fn the_gateway_logs_the_cause(app: &App, trace: &str, what: &str) {
    let line = eventually("the gateway logs the cause", || {
        let logs = app.process("gateway").logs();
        let ours = |line: &&Value| line["trace_id"] == trace && line["level"] == "ERROR";
        let lines: Vec<_> = logs.iter().filter(ours).map(Value::to_string).collect();
        if let [line] = &lines[..] { Ok(line.clone()) } else { Err(format!("{logs:#?}")) }
    });
    for part in [what, "error sending request"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn accounts_down_is_a_503_for_everybody_and_never_a_guess() {
    let app = App::start(Shape::Each);
    let ada = app.someone("ada");
    assert_eq!(app.get("/api/musics/1/", &ada).status, 200);
    app.signal("accounts", "KILL");
    let down = "accounts-unavailable";
    app.get("/api/musics/1/", "trk_never_seen_before").is_problem(503, down);
    app.post("/api-token-auth/", "", json!({"username": "ada", "password": PASSWORD}))
        .is_problem(503, down);
    // Who has called within the last second is still known.
    let failed = eventually("the exchange is too old", || {
        let reply = app.get("/api/musics/1/", &ada);
        if reply.status == 200 { Err("still known") } else { Ok(reply) }
    });
    failed.is_problem(503, down);
    assert!(!failed.header("retry-after").is_empty(), "{failed:?}");
    the_gateway_logs_the_cause(&app, failed.trace_id(), "accounts cannot be reached");
}

#[test]
fn strangers_can_neither_join_a_trace_nor_invent_series() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let strange = "0af7651916cd43dd8448eb211c80319c";
    let url = format!("{}/api/musics/", app.url("gateway", "api"));
    let reply = Reply::to(
        app.client()
            .get(&url)
            .header("authorization", format!("Token {ada}"))
            .header("traceparent", format!("00-{strange}-b7ad6b7169203331-00"))
            .header("baggage", "who=canary-baggage")
            .header("x-deadline-ms", "1"),
    );
    assert_eq!(reply.status, 200, "a deadline from outside counts for nothing: {reply:?}");
    assert_ne!(reply.trace_id(), strange);
    app.trace_when(reply.trace_id(), |_| Ok(()));
    let jaeger = format!("{}/api/traces/{}", app.url("sidecar", "jaeger"), reply.trace_id());
    let trace = eventually("the root links to the stranger's trace", || {
        let trace = app.open(&jaeger).text;
        if trace.contains(strange) { Ok(trace) } else { Err(trace) }
    });
    assert!(!trace.contains("canary-baggage"), "{trace}");
}

/// T7.
#[test]
fn scanners_invent_no_series() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let scan = |from: usize, to: usize| {
        let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "WHISK"];
        let send = |n: usize| {
            let odd = [methods[n % methods.len()].to_owned(), format!("M{n:X}")];
            let method = Method::from_bytes(odd[n / 8 % 2].as_bytes()).unwrap();
            let path = format!("/{:x}/{}/.env%20", n.wrapping_mul(0x9e37_79b9), "a".repeat(n % 50));
            let status =
                app.call(method, &path, if n.is_multiple_of(3) { &ada } else { "" }, None).status;
            assert!((400..500).contains(&status), "{n}: {status}");
        };
        thread::scope(|scope| {
            for caller in 0..8 {
                scope.spawn(move || (from..to).filter(|n| n % 8 == caller).for_each(send));
            }
        });
    };
    let series = || -> BTreeSet<String> {
        let text = app.internal("gateway", "/metrics").text;
        let lines = text.lines().filter(|it| !it.starts_with('#'));
        lines.filter_map(|it| Some(it.rsplit_once(' ')?.0.to_owned())).collect()
    };
    // Every method that has a name of its own, and those that have none.
    scan(0, 256);
    let before = series();
    let scanned = asked("T7_REQUESTS", 5000);
    scan(256, 256 + scanned as usize);
    let after = series();
    let new: Vec<&String> = after.difference(&before).collect();
    let mut table = Table::new(&format!("T7, {scanned} random paths and methods"));
    table.equal("series", before.len() as u64, after.len() as u64);
    table.row("new series", "none", format!("{new:?}"), new.is_empty());
    table.judge();
}

/// T10: and there are as many lines as requests were counted.
#[test]
fn every_line_of_a_request_has_the_ids_of_its_span_in_all_services() {
    in_both_shapes(|app| {
        let ada = app.someone("ada");
        for n in 0..10 {
            app.get(&format!("/api/musics/{n}/"), &ada);
            app.get("/nothing", &ada);
            app.call(Method::POST, &format!("/api/users/{n}/add_fav_music/"), &ada, None);
            app.post("/api-token-auth/", "", json!({"username": "ada", "password": n}));
        }
        for service in ["gateway", "accounts", "catalog", "wallet"] {
            let counted = || {
                let text = app.internal(service, "/metrics").text;
                let series = text.lines().filter_map(|line| {
                    let rest = line.strip_prefix("http_server_request_duration_seconds_count{")?;
                    rest.rsplit_once(' ')?.1.parse::<f64>().ok()
                });
                series.sum::<f64>() as usize
            };
            let lines = eventually("there is a line for each request", || {
                let logs = app.process(service).logs();
                let is_request =
                    |line: &&Value| line["service"] == service && line["message"] == "request";
                let lines: Vec<Value> = logs.iter().filter(is_request).cloned().collect();
                let (lines_are, requests) = (lines.len(), counted());
                if lines_are == requests {
                    Ok(lines)
                } else {
                    Err(format!("{lines_are} of {requests}"))
                }
            });
            assert!(lines.len() > 5, "{service}: {} lines", lines.len());
            for line in lines {
                let id =
                    |name: &str| line[name].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
                let span = id("span_id");
                app.trace_when(&id("trace_id"), |trace| {
                    let ours = |it: &&crate::harness::Span| it.service == service && it.id == span;
                    let found =
                        trace.spans.iter().find(ours).map(|it| it.tags["span.kind"].clone());
                    if found == Some(json!("server")) {
                        Ok(())
                    } else {
                        Err(format!("{line}: {found:?}"))
                    }
                });
            }
        }
    });
}

/// T5: an export that told of itself would do so again after each batch, which are 300 ms apart.
#[test]
fn exporting_is_not_itself_traced() {
    let app = App::start_with(Shape::One, &[("RUST_LOG", "trace")]);
    let ada = app.someone("ada");
    let id = app.get("/api/musics/?limit=1", &ada).trace_id().to_owned();
    app.trace_when(&id, |_| Ok(()));
    let all = || -> Vec<[f64; 2]> {
        let counted = |family: &str, service, signal| {
            let series = format!("telemetry_{family}_items_total{{signal=\"{signal}\"}}");
            app.metric(service, &series).unwrap()
        };
        let services = ["gateway", "accounts", "catalog", "wallet"].into_iter();
        let each = services.flat_map(|service| ["traces", "logs"].map(|signal| (service, signal)));
        each.map(|(service, signal)| {
            ["enqueued", "exported"].map(|it| counted(it, service, signal))
        })
        .collect()
    };
    let before = eventually("everything is exported", || {
        let all = all();
        let done = all.iter().all(|[enqueued, exported]| enqueued == exported);
        if done { Ok(all) } else { Err(format!("{all:?}")) }
    });
    let mut last = 0;
    let written = eventually("stdout has come to rest", || {
        let before = std::mem::replace(&mut last, app.processes[0].logs().len());
        thread::sleep(Duration::from_millis(500)); // so long nothing has come
        if last == before { Ok(last) } else { Err(last) }
    });
    for _ in 0..20 {
        app.console("/"); // what the sidecar does is no trace either
        app.internal("gateway", "/health/ready");
    }
    let idle = asked("T5_SECONDS", 20);
    thread::sleep(Duration::from_secs(idle));
    let after = all();
    let mut table = Table::new(&format!("T5, {idle} s idle at RUST_LOG=trace"));
    let enqueued = |all: &[[f64; 2]]| all.iter().step_by(2).map(|it| it[0] as u64).sum();
    table.equal("spans that the services enqueued", enqueued(&before), enqueued(&after));
    // Clients let go of their connections to other services after a while, and say so at this level. Nobody says anything else.
    let logs = app.processes[0].logs();
    let told = |line: &&Value| {
        line["service"] != "sidecar" && line["target"] != "hyper_util::client::legacy::pool"
    };
    let told: Vec<&Value> = logs[written..].iter().filter(told).collect();
    table.row("lines that a service wrote", "none", format!("{told:?}"), told.is_empty());
    let waiting = after.iter().filter(|[enqueued, exported]| enqueued != exported);
    table.equal("queues with something in them", 0, waiting.count() as u64);
    table.judge();
}

/// The pages of all log lines, from the newest to the oldest.
fn every_line_of_the_console(app: &App) -> String {
    let mut all = String::new();
    let mut address = Some("/logs".to_owned());
    while let Some(path) = address {
        let page = app.console(&path);
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let link = page.text.split("<a ").find(|it| it.contains(">Older lines<"));
        let href = link.and_then(|it| it.split("href=\"").nth(1)?.split('"').next());
        address = href.map(|it| it.replace("&amp;", "&"));
        all += &page.text;
    }
    all
}

/// What stdout, spans, lines and metrics of one process say about all that happened up to `last`.
pub(crate) fn everything_told(app: &App, last: &Reply) -> String {
    app.trace_when(last.trace_id(), |_| Ok(()));
    let lines = eventually("the lines of the last request are in the console", || {
        let lines = every_line_of_the_console(app);
        if lines.contains(last.trace_id()) { Ok(lines) } else { Err("not yet") }
    });
    let mut everything = app.processes[0].output() + &lines;
    for service in ["gateway", "accounts", "catalog", "wallet", "sidecar"] {
        everything += &app.internal(service, "/metrics").text;
        let jaeger = app.url("sidecar", "jaeger");
        everything += &app.open(&format!("{jaeger}/api/traces?service={service}&limit=1000")).text;
    }
    everything
}

/// Signs in right and wrong, and searches. The last answer, and what nobody may find anywhere.
fn with_secrets(app: &App) -> (Reply, Vec<String>) {
    let token = app.someone("canary.username");
    let basic = app.client().get(format!("{}/api/musics/", app.url("gateway", "api")));
    let basic = Reply::to(basic.basic_auth("canary.username", Some(crate::harness::PASSWORD)));
    assert_eq!(basic.status, 200);
    app.get("/api/musics/?search=canarysearch&created_by=canary.username", &token);
    let wrong = json!({"username": "canary.username", "password": "canary wrong password"});
    let last = app.post("/api-token-auth/", "", wrong);
    assert_eq!(last.status, 401);
    let (secrets, personal) = (
        [token.as_str(), crate::harness::PASSWORD, "canary wrong password"],
        ["canary.username", "canarysearch"],
    );
    (last, secrets.into_iter().chain(personal).map(str::to_owned).collect())
}

#[test]
fn no_secret_is_in_any_signal() {
    let app = App::start_with(Shape::One, &[("RUST_LOG", "trace")]);
    let (last, secrets) = with_secrets(&app);
    let everything = everything_told(&app, &last);
    for secret in secrets {
        let found = everything.lines().find(|line| line.contains(&secret));
        assert_eq!(found, None, "{secret}");
    }
}

#[test]
fn no_secret_waits_in_the_spool() {
    let nobody = "http://127.0.0.1:1";
    let settings = [
        ("RUST_LOG", "trace"),
        ("SIDECAR_TRACES_ENDPOINT", nobody),
        ("SIDECAR_LOGS_ENDPOINT", nobody),
    ];
    let app = App::start_with(Shape::One, &settings);
    let (last, secrets) = with_secrets(&app);
    let folder = app.data.path().join("data/spool");
    let id: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&last.trace_id()[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let contains = |all: &[u8], part: &[u8]| all.windows(part.len()).any(|it| it == part);
    for signal in ["traces", "logs"] {
        let waiting = eventually("the last request waits in the spool", || {
            let segment = folder.join(signal).join("00000000000000000001.spool");
            let bytes = std::fs::read(segment).map_err(|error| error.to_string())?;
            if contains(&bytes, &id) { Ok(bytes) } else { Err(format!("{} bytes", bytes.len())) }
        });
        for secret in &secrets {
            assert!(!contains(&waiting, secret.as_bytes()), "{secret} is in the spool of {signal}");
        }
    }
}

#[test]
fn a_service_that_has_its_process_to_itself_is_called_as_its_setting_says() {
    let name = ("OTEL_SERVICE_NAME", "songs");
    let app = App::start_with(Shape::One, &[name]);
    let endpoint = app.url("sidecar", "otlp-http");
    let settings = [name, ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let directory = tempfile::tempdir().unwrap();
    let catalog = Process::start(&["serve", "catalog"], directory.path(), &settings);
    let reply = app.open(&format!("http://{}/musics", catalog.address("catalog", "api")));
    app.trace_is(reply.trace_id(), &["songs: GET /musics"]);
    let services = |process: &Process| -> BTreeSet<String> {
        process.logs().iter().map(|line| line["service"].as_str().unwrap().to_owned()).collect()
    };
    eventually("its line is written", || {
        if catalog.logs().is_empty() { Err("no line") } else { Ok(()) }
    });
    assert_eq!(services(&catalog), ["songs".to_owned()].into());
    // Several services in one process keep their own names.
    app.someone("ada");
    eventually("the services of one process write lines", || {
        let services = services(&app.processes[0]);
        let own = services.contains("gateway") && !services.contains("songs");
        if own { Ok(()) } else { Err(format!("{services:?}")) }
    });
}
