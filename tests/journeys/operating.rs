//! What who runs MusicWallet does from the command line, while it runs.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Barrier},
    thread,
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{App, PASSWORD, Process, Shape, eventually};

/// Ends well; its stdout and stderr.
#[track_caller]
fn done(app: &App, arguments: &[&str]) -> (String, String) {
    let (code, stdout, stderr) = app.command(arguments).end();
    assert_eq!(code, Some(0), "{arguments:?}: {stdout}{stderr}");
    (stdout, stderr)
}

#[track_caller]
fn refused(app: &App, arguments: &[&str], code: i32, told: &str) {
    let (status, stdout, stderr) = app.command(arguments).end();
    assert_eq!(status, Some(code), "{arguments:?}: {stdout}{stderr}");
    assert!(stderr.contains(told), "{told:?} is missing in {stderr}");
}

#[test]
fn accounts_are_locked_unlocked_and_given_new_passwords_while_they_are_used() {
    for shape in [Shape::One, Shape::Each] {
        let app = App::start(shape);
        let ada = app.someone("ada");
        assert_eq!(app.get("/api/users/1", &ada).status, 200);
        let act = |action: &str, name: &str| {
            let to = format!("--otel-exporter-otlp-endpoint={}", app.url("sidecar", "otlp-http"));
            // The line about it is written whatever else is not.
            done(&app, &["accounts", action, name, "--operator", "grace", "--rust-log=off", &to])
        };
        let listed = || {
            let (listed, _) = done(&app, &["accounts", "list", "--operator", "grace"]);
            let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
            [0, 1, 3, 4, 6].map(|at| row[at].to_owned())
        };
        assert_eq!(listed(), ["1", "ada", "no", "1", "-"]);
        let named = app.post("/api/tokens/", &ada, json!({"name": "player"}));
        let ends = named.json["expires_at"].as_str().unwrap();
        assert_eq!(listed(), ["1", "ada", "no", "2", ends]);

        let (stdout, stderr) = act("lock", "Ada");
        let line: Value =
            stderr.lines().map(|it| serde_json::from_str(it).unwrap()).next().unwrap();
        assert_eq!(
            [&line["operator"], &line["action"], &line["subject"], &line["result"]],
            [&json!("grace"), &json!("lock"), &json!(1), &json!("done")],
            "{line}"
        );
        assert!(stdout.is_empty() && !stderr.contains("ada"), "{stdout}{stderr}");
        eventually("the operator's line is in the central logs", || {
            let page = app.console("/logs?service=accounts").text;
            page.contains("an operator used accounts").then_some(()).ok_or(page)
        });
        let answers = |status: u16| {
            eventually(&format!("{status}, once the gateway has forgotten the exchange"), || {
                let read = app.get("/api/users/1", &ada);
                (read.status == status).then_some(()).ok_or(format!("{read:?}"))
            });
        };
        answers(401);
        act("unlock", "ada");
        answers(200);

        let (password, stderr) = act("reset-password", "ada");
        let password = password.trim();
        assert!(password.len() == 20 && !stderr.contains(password), "{password}{stderr}");
        let sign_in = |password: &str| {
            let body = json!({"username": "ada", "password": password});
            app.call(Method::POST, "/api-token-auth/", "", Some(body)).status
        };
        assert_eq!((sign_in(password), sign_in(PASSWORD)), (200, 401));

        refused(
            &app,
            &["accounts", "lock", "nobody", "--operator", "grace"],
            1,
            "nobody has the username",
        );
        refused(&app, &["accounts", "lock"], 2, "USERNAME");
        refused(&app, &["accounts", "list"], 2, "--operator");
    }
}

#[test]
fn a_backup_that_was_made_while_people_wrote_is_put_back_whole() {
    let mut app = App::start_sqlite(Shape::One);
    let ada = app.someone("ada");
    let keep = |app: &App, song: usize| {
        let path = format!("/api/users/{song}/add_fav_music/");
        assert_eq!(app.call(Method::POST, &path, &ada, None).status, 200);
    };
    keep(&app, 1);
    let (folder, shown) = (app.data.path().join("monday"), "monday");
    let (copied, _) = done(&app, &["backup", "--to", shown]);
    assert!(copied.contains("wallet.db -> monday/wallet.db"), "{copied}");
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    refused(&app, &["backup", "--to", shown], 3, "there already");
    keep(&app, 2);
    let kept = |app: &App| app.get("/api/users/1/favourites/", &ada).json.as_array().unwrap().len();
    assert_eq!(kept(&app), 2);
    refused(&app, &["restore", "--from", shown], 3, "in use");
    assert_eq!(kept(&app), 2);

    app.stop();
    let wallet = fs::read(folder.join("wallet.db")).unwrap();
    fs::write(folder.join("wallet.db"), &wallet[..wallet.len() / 2]).unwrap();
    refused(&app, &["restore", "--from", shown], 3, "wallet.db");
    app.start_again();
    assert_eq!(kept(&app), 2, "one bad copy, and nothing is restored");
    app.stop();
    fs::write(folder.join("wallet.db"), &wallet).unwrap();
    let (restored, _) = done(&app, &["restore", "--from", shown]);
    app.start_again();
    assert_eq!(kept(&app), 1);
    let before = restored.lines().find(|it| it.contains("wallet.db is restored")).unwrap();
    let (_, before) = before.split_once("what was there is ").unwrap();
    assert!(app.data.path().join(before).exists(), "{restored}");
}

#[test]
fn a_database_on_a_server_is_left_to_the_servers_tools() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], settings: &[(&str, &str)], directory: &Path| {
        Process::launch(arguments, directory, settings).end()
    };
    let server = [("CATALOG_DATABASE", "postgres://catalog@127.0.0.1:1/catalog")];
    for command in [["backup", "--to", "x"], ["restore", "--from", "x"]] {
        let (code, _, stderr) = run(&command, &server, directory.path());
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("CATALOG_DATABASE") && stderr.contains("pg_dump"), "{stderr}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let (code, _, stderr) = run(&["backup", "--to", "x"], &[], directory.path());
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("there is no database at") && stderr.contains("wallet.db"), "{stderr}");
    assert!(!directory.path().join("x").exists());
}

/// Where `health` shall ask, given as the service would be told to listen on every interface.
fn everywhere(app: &App, service: &str) -> String {
    let url = app.url(service, "internal");
    let port = url.rsplit_once(':').unwrap().1;
    format!("--{service}-internal-listen=0.0.0.0:{port}")
}

#[test]
fn health_tells_by_its_exit_code_whether_services_are_ready() {
    for shape in [Shape::One, Shape::Each] {
        let app = App::start(shape);
        let gateway = everywhere(&app, "gateway");
        let (_, told) = done(&app, &["health", "gateway", &gateway]);
        assert_eq!(told, "gateway is ready.");
        let all = ["sidecar", "accounts", "catalog", "wallet", "gateway"];
        let all = all.map(|service| everywhere(&app, service));
        let all: Vec<&str> = ["health"].into_iter().chain(all.iter().map(String::as_str)).collect();
        let (_, told) = done(&app, &all);
        assert_eq!(told, "sidecar, accounts, catalog, wallet, gateway are ready.");

        app.signal("gateway", "STOP");
        refused(&app, &["health", "gateway", &gateway], 1, "gateway: there is no answer from");
        refused(&app, &all, 1, "_INTERNAL_LISTEN says where it listens");
        app.signal("gateway", "CONT");
        done(&app, &all);

        // Who is about to send something keeps it from ending at once.
        let address = app.url("gateway", "api").replace("http://", "");
        let mut unfinished = TcpStream::connect(address).unwrap();
        let head = "POST /api/users/ HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n\
                    content-type: application/json\r\ncontent-length: 9\r\n\r\n";
        unfinished.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 12];
        unfinished.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100", "it waits for the rest");
        app.signal("gateway", "TERM");
        eventually("it is told to be stopping", || {
            let (code, _, told) = app.command(&["health", "gateway", &gateway]).end();
            let stopping = r#"503 Service Unavailable, {"status":"stopping"}"#;
            if code == Some(1) && told.contains(stopping) { Ok(()) } else { Err(told) }
        });
    }
}

#[test]
fn health_asks_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let services = ["SIDECAR", "ACCOUNTS", "CATALOG", "WALLET", "GATEWAY"];
    // Nobody answers before all have been asked.
    let asked = Arc::new(Barrier::new(services.len()));
    let settings = services.map(|service| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = asked.clone();
        thread::spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            let (mut connection, mut line) = (BufReader::new(connection), String::new());
            while connection.read_line(&mut line).unwrap() > "\r\n".len() {
                line.clear();
            }
            asked.wait();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            connection.get_mut().write_all(answer).unwrap();
        });
        (format!("{service}_INTERNAL_LISTEN"), address)
    });
    let settings = settings.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
    let (code, _, told) = Process::launch(&["health"], directory.path(), &settings).end();
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn health_needs_to_know_where_to_ask() {
    let directory = tempfile::tempdir().unwrap();
    let ask = |address: &str| {
        let settings = [("CATALOG_INTERNAL_LISTEN", address)];
        Process::launch(&["health", "catalog"], directory.path(), &settings).end()
    };
    for (address, expected, told) in [
        ("127.0.0.1:0", 1, "CATALOG_INTERNAL_LISTEN is port 0"),
        ("127.0.0.1:1", 1, "catalog: there is no answer from http://127.0.0.1:1/health/ready"),
        ("nowhere", 2, "CATALOG_INTERNAL_LISTEN"),
    ] {
        let (code, stdout, stderr) = ask(address);
        assert!(code == Some(expected) && stderr.contains(told), "{address}: {stdout}{stderr}");
    }
}
