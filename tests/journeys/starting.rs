//! Starting and stopping, and the clear sentence where it cannot be done.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command};

use serde_json::json;

use crate::harness::{App, Process, Shape, binary};

/// Ends with this code; stderr has all of these, and nothing was announced.
#[track_caller]
fn refuses(
    arguments: &[&str],
    directory: &Path,
    settings: &[(&str, &str)],
    code: i32,
    told: &[&str],
) {
    let (status, stdout, stderr) = Process::launch(arguments, directory, settings).end();
    assert_eq!(status, Some(code), "{stderr}");
    assert!(!stdout.contains("listening"), "{stdout}");
    for part in told {
        assert!(stderr.contains(part), "{part:?} is missing in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn a_taken_port_is_one_sentence_and_nothing_half_starts() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let told = [address.as_str(), "GATEWAY_LISTEN", "--gateway-listen", "gateway"];
    refuses(&[], directory.path(), &[("GATEWAY_LISTEN", &address)], 3, &told);
    assert!(!directory.path().join("data").exists(), "a refused start made a data folder");
}

#[test]
fn all_wrong_settings_are_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let settings = [
        ("GATEWAY_LISTEN", "8080"),
        ("CATALOG_ACCOUNTS_URL", "https://accounts"),
        ("ACCOUNTS_HASHERS", "0"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("RUST_LOG", "catalog=loud"),
    ];
    let told = settings.map(|(variable, _)| variable);
    refuses(&[], directory.path(), &settings, 2, &told);
    refuses(&["--check"], directory.path(), &settings, 2, &told);
    refuses(&["config"], directory.path(), &settings, 2, &told);
    refuses(&["serve", "catalog", "--check"], directory.path(), &settings, 2, &["3 settings"]);
}

#[test]
fn pages_without_sign_in_get_no_address_that_others_reach_by_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let open = ("CONSOLE_LISTEN", "0.0.0.0:0");
    let told = ["CONSOLE_LISTEN", "--console-listen", "no sign-in", "CONSOLE_ALLOWED_HOSTS"];
    refuses(&[], directory.path(), &[open], 2, &told);
    let named = [open, ("CONSOLE_ALLOWED_HOSTS", "telemetry.example")];
    let check = ["serve", "sidecar", "--check"];
    let (code, _, stderr) = Process::launch(&check, directory.path(), &named).end();
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn a_secret_that_is_there_and_cannot_be_read_is_told_by_check() {
    let directory = tempfile::tempdir().unwrap();
    // Root reads any file, but no folder.
    let folder = directory.path().join("secret");
    fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    for (target, variable) in [
        ("accounts", "ACCOUNTS_SIGNING_KEY_FILE"),
        ("accounts", "ACCOUNTS_DATABASE_PASSWORD_FILE"),
        ("prober", "PROBER_PASSWORD_FILE"),
    ] {
        let told = [variable, folder, "cannot be read"];
        refuses(&["serve", target, "--check"], directory.path(), &[(variable, folder)], 2, &told);
    }
}

#[test]
fn production_refuses_what_is_weak_all_at_once_and_takes_what_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let weak = [
        ("MUSICWALLET_ENVIRONMENT", "production"),
        ("CONSOLE_LISTEN", "0.0.0.0:0"),
        ("CONSOLE_ALLOWED_HOSTS", "telemetry.example"),
    ];
    let told = ["2 settings", "ACCOUNTS_SIGNING_KEY_FILE", "CONSOLE_LISTEN", "CONSOLE_TOKEN_FILE"];
    refuses(&[], directory.path(), &weak, 2, &told);
    refuses(&["--check"], directory.path(), &weak, 2, &told);
    refuses(
        &["--check"],
        directory.path(),
        &[("MUSICWALLET_ENVIRONMENT", "prod")],
        2,
        &["MUSICWALLET_ENVIRONMENT"],
    );
    let flag = "--wallet-database=postgres://wallet:canary@db/wallet";
    let seen = ["3 settings", "WALLET_DATABASE", "flag", "WALLET_DATABASE_PASSWORD_FILE"];
    refuses(&["--check", flag], directory.path(), &weak, 2, &seen);
    let memory = [("CATALOG_DATABASE", ":memory:")];
    refuses(&["--check"], directory.path(), &memory, 2, &["CATALOG_DATABASE", "in memory"]);
    assert!(!directory.path().join("data").exists());

    let mut first = Process::start(&["serve", "accounts"], directory.path(), &[]); // makes a key
    assert!(first.terminate().success());
    let token = directory.path().join("token");
    fs::write(&token, "0123456789abcdef").unwrap();
    let token = token.to_str().unwrap();
    let strong = [weak[0], weak[1], weak[2], ("CONSOLE_TOKEN_FILE", token)];
    let (code, _, stderr) = Process::launch(&["--check"], directory.path(), &strong).end();
    assert_eq!(code, Some(0), "{stderr}");
    let sidecar = Process::start(&["serve", "sidecar"], directory.path(), &strong);
    let port = sidecar.address("sidecar", "console").rsplit_once(':').unwrap().1.to_owned();
    let get = |token: &str| {
        let client = reqwest::blocking::Client::new();
        let request = client.get(format!("http://127.0.0.1:{port}/")).bearer_auth(token);
        request.send().unwrap().status().as_u16()
    };
    assert_eq!((get("wrong"), get("0123456789abcdef")), (401, 200));
}

#[test]
fn settings_can_be_checked_and_shown_without_starting() {
    let directory = tempfile::tempdir().unwrap();
    let launch = |arguments: &[&str]| {
        let settings = [("CATALOG_LISTEN", "127.0.0.1:7")];
        let (code, stdout, stderr) = Process::launch(arguments, directory.path(), &settings).end();
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    };
    launch(&["--check"]);
    launch(&["serve", "catalog", "--check"]);
    let shown = launch(&["config", "--catalog-database", "x.db"]);
    let line = |name: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {shown}"))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(line("CATALOG_LISTEN")[1..], ["environment", "127.0.0.1:7"]);
    assert_eq!(line("CATALOG_DATABASE")[1..], ["flag", "x.db"]);
    assert_eq!(line("RUST_LOG")[1..], ["default", "info"]);
    assert!(!directory.path().join("data").exists());
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("data"), "a file, not a folder").unwrap();
    refuses(&[], directory.path(), &[], 3, &["data"]);
    // A folder without permission says nothing to root, who runs CI; a file in the way says it to everybody.
    let locked = tempfile::tempdir().unwrap();
    fs::create_dir(locked.path().join("data")).unwrap();
    fs::write(locked.path().join("data/catalog.db"), "this is no database, whatever its name says")
        .unwrap();
    refuses(&["serve", "catalog"], locked.path(), &[], 3, &["catalog.db"]);
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(App::start(Shape::One)); // how a good key looks is the program's business: take one that it made
    let (code, _, stderr) = Process::launch(&["migrate"], directory.path(), &[]).end();
    assert_eq!(code, Some(0), "{stderr}");
    let mut accounts = Process::start(&["serve", "accounts"], directory.path(), &[]);
    assert!(accounts.terminate().success());
    let key = directory.path().join("data/accounts.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refuses(&["serve", "accounts"], directory.path(), &[], 3, &["accounts.key", "600"]);
}

#[test]
fn a_second_copy_on_the_same_data_is_refused_and_the_first_lives_on() {
    let app = App::start_sqlite(Shape::One);
    let directory = app.data.path();
    refuses(&[], directory, &[], 3, &["accounts.db"]);
    refuses(&["serve", "catalog"], directory, &[], 3, &["catalog.db"]);
    refuses(&["migrate"], directory, &[], 3, &["accounts.db"]);
    app.someone("ada");
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let mut app = App::start(Shape::One);
    let ada = app.someone("ada");
    let song = app.post("/api/musics/", &ada, json!({"title": "Stay", "artist": "Moss"}));
    app.stop();
    app.start_again();
    let read = app.get(song.header("location"), &ada);
    assert_eq!((read.status, &read.json), (200, &song.json));
}

#[test]
fn sigterm_ends_every_process_well() {
    for shape in [Shape::One, Shape::Each] {
        let mut app = App::start(shape);
        let ada = app.someone("ada");
        assert_eq!(app.get("/api/musics/?limit=1", &ada).status, 200);
        app.stop();
    }
}

#[test]
fn completions_that_cannot_be_written_are_one_sentence() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(binary());
    let output = command.args(["completions", "bash"]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("No space left") && !stderr.contains("panicked"), "{stderr}");
}
