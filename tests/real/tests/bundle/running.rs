//! The containers of the file, each as what it has: a root of its own, which it cannot write to, no network but theirs, no rights.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use real::stack::tool;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    compose::{Compose, Service},
    container::{Container, Network, Spec, succeeded, volume},
    last_stage, postgres_program, secrets,
};
use crate::harness::{PASSWORD, binary, eventually, root};

/// What the image of ours holds: its base, the program that is tested, and the folder for data. The base has /tmp, too, from no package.
fn image() -> TempDir {
    let tools = std::env::var("MUSICWALLET_TOOLS").expect("tests/real/run says where tools are");
    let image = tempfile::tempdir().unwrap();
    let base = Path::new(&tools).join("base-debian12");
    assert!(base.is_dir(), "{} is missing. To get it: tests/real/install", base.display());
    let copied = Command::new("cp").arg("-a").arg(base.join(".")).arg(image.path()).status();
    assert!(copied.unwrap().success());
    let tmp = image.path().join("tmp");
    fs::create_dir(&tmp).unwrap();
    fs::set_permissions(tmp, fs::Permissions::from_mode(0o1777)).unwrap();
    for it in last_stage().iter().filter(|it| it.keyword == "COPY") {
        let [_, to] = it.words()[..] else { panic!("{it:?}") };
        let at = image.path().join(to.trim_start_matches('/'));
        match it.flag("chown") {
            Some(user) => {
                volume(&at, user);
            }
            None => {
                fs::copy(binary(), at).unwrap();
            }
        }
    }
    image
}

/// The arguments of an instruction in the form without a shell.
fn arguments(keyword: &str) -> Vec<String> {
    let stage = last_stage();
    let it = stage.iter().find(|it| it.keyword == keyword).unwrap();
    serde_json::from_str(it.rest.trim_start_matches("CMD ")).unwrap()
}

#[test]
fn the_image_needs_nothing_but_its_base_and_writes_to_its_data_folder_and_tmp_alone() {
    let (image, data) = (image(), tempfile::tempdir().unwrap());
    let network = Network::new();
    let user = "65532:65532".to_owned();
    let spec = Spec {
        command: arguments("ENTRYPOINT"),
        mounts: vec![(volume(&data.path().join("data"), &user), "/data".into(), true)],
        tmpfs: vec![("/tmp".into(), "mode=1777".into())],
        workdir: "/".into(),
        user,
        ..Spec::default()
    };
    let mut container = Container::start(&network, image.path(), spec);
    let check = arguments("HEALTHCHECK");
    let check: Vec<&str> = check.iter().map(String::as_str).collect();
    container.becomes_healthy(|it| it.execute(&check));
    container.is_confined();
    use_it(&network);
    for written in ["accounts.db", "accounts.key", "catalog.db", "wallet.db"] {
        assert!(data.path().join("data").join(written).is_file(), "{written}");
    }
    assert_eq!(container.stop(), Some(0), "{}", container.log());
}

/// Signs up and in, adds a song, keeps it, imports another into the catalog and into the library, and reads both.
fn use_it(network: &Network) {
    let send = |method: &str, path: &str, token: &str, kind: &str, body: Option<&str>| -> Value {
        let url = format!("http://127.0.0.1:8080{path}");
        let token = format!("authorization: Token {token}");
        let kind = format!("content-type: {kind}");
        let mut arguments = vec!["-X", method, "-H", &kind, "-H", &token, &url];
        arguments.extend(body.into_iter().flat_map(|body| ["--data-binary", body]));
        // On a busy machine a service may not answer another in time, and says 503: it is asked again, as its callers would.
        let answer = eventually(path, || network.curl(&arguments));
        serde_json::from_str(&answer).unwrap()
    };
    let call = |method: &str, path: &str, token: &str, body: Option<Value>| {
        let body = body.map(|it| it.to_string());
        send(method, path, token, "application/json", body.as_deref())
    };
    let who = json!({"username": "ada", "password": PASSWORD});
    let new = json!({"email": "ada@example.org", "username": "ada", "password": PASSWORD});
    call("POST", "/api/users/", "", Some(new));
    let token =
        call("POST", "/api-token-auth/", "", Some(who))["token"].as_str().unwrap().to_owned();
    let song =
        call("POST", "/api/musics/", &token, Some(json!({"title": "Lanterns", "artist": "Ada"})));
    let id = song["id"].as_u64().unwrap_or_else(|| panic!("{song}"));
    call("POST", &format!("/api/users/{id}/add_fav_music/"), &token, None);
    for (path, csv) in [
        ("/api/musics/import", "title,artist\nLamps,Bo\n"),
        ("/api/import", "Track Name,Artist Name(s)\nLamps,Bo\n"),
    ] {
        let report = send("POST", path, &token, "text/csv", Some(csv));
        assert_eq!((&report["rows"], &report["refused"]), (&json!(1), &json!([])), "{report}");
    }
    let kept = call("GET", "/api/users/1/favourites/", &token, None).to_string();
    assert!(kept.contains("Lanterns") && kept.contains("Lamps"), "{kept}");
}

/// PostgreSQL as its image starts it: a first start on a socket alone, for postgres/init.sh, and then the one that is used. It runs in the
/// namespaces of this machine's programs, because its image is not here; its secrets are where docker-compose.yml has them.
struct Postgres {
    child: std::process::Child,
    _data: TempDir,
}

impl Postgres {
    fn start(network: &Network, secrets: &Path) -> Postgres {
        let data = tempfile::tempdir().unwrap();
        succeeded(&Command::new("chown").arg("postgres").arg(data.path()).output().unwrap())
            .unwrap();
        let bin = postgres_program("postgres").parent().unwrap().to_owned();
        let script = format!(
            r#"
            set -euo pipefail
            # Here the user of PostgreSQL has another number than in its image.
            mkdir -p /run/secrets && mount -t tmpfs tmpfs /run/secrets
            cp {secrets}/* /run/secrets && chown -R postgres /run/secrets
            mount --bind {data} /var/run/postgresql
            as() {{ setpriv --reuid postgres --regid postgres --init-groups "$@"; }}
            cd {data}
            as {bin}/initdb -D {data}/data -U postgres --encoding=UTF8 --data-checksums -N --pwfile=/run/secrets/postgres \
              --auth-local=trust --auth-host=scram-sha-256 >/dev/null
            echo 'host all all all scram-sha-256' >>{data}/data/pg_hba.conf
            as {bin}/pg_ctl -D {data}/data -o '-c listen_addresses= -c fsync=off' -l {data}/log -w start >/dev/null
            as env PATH="{bin}:$PATH" {init}
            as {bin}/pg_ctl -D {data}/data -w stop >/dev/null
            exec setpriv --reuid postgres --regid postgres --init-groups {bin}/postgres -D {data}/data \
              -c 'listen_addresses=*' -c fsync=off -c log_min_messages=fatal
            "#,
            secrets = secrets.display(),
            data = data.path().display(),
            bin = bin.display(),
            init = root().join("postgres/init.sh").display(),
        );
        let mut command = network.command("unshare");
        command.args(["--mount", "bash", "-c", &script]);
        let child = command.spawn().unwrap();
        let mut server = Postgres { child, _data: data };
        let health = Compose::of("core").service("postgres").health().join(" ");
        eventually("the server answers", || {
            assert!(server.child.try_wait().unwrap().is_none(), "PostgreSQL has ended");
            let check = network.command("sh").args(["-c", &health]).output().unwrap();
            succeeded(&check)
        });
        server
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, but with the processes that it has started.
        let id = self.child.id().to_string();
        let _ = Command::new("sh").args(["-c", "kill -QUIT \"$0\"", &id]).status();
        let _ = self.child.wait();
    }
}

#[test]
fn profile_core_runs_as_the_file_says() {
    let (image, volumes, secrets) = (image(), tempfile::tempdir().unwrap(), secrets());
    let network = Network::new();
    let compose = Compose::of("core");
    let names: BTreeSet<&str> = compose.services().flat_map(|it| it.names()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let _postgres = Postgres::start(&network, secrets.path());
    let start = |service: &Service<'_>, check: bool| {
        let mut spec = Spec::of(service, "/musicwallet", &names, volumes.path(), secrets.path());
        if check {
            spec.command.push("--check".into());
        }
        Container::start(&network, image.path(), spec)
    };
    let full = Compose::of("full");
    let mut checked = start(&full.service("sidecar"), true);
    assert_eq!(checked.end(), Some(0), "{}", checked.log());
    let ours = || compose.services().filter(|it| it.target().is_some());
    let mut running = BTreeMap::new();
    for service in ours() {
        let mut checked = start(&service, true);
        assert_eq!(checked.end(), Some(0), "{}", checked.log());
        assert_eq!(checked.log(), "The settings are fine.\n");
        running.insert(service.name, start(&service, false));
    }
    for service in ours() {
        let container = running.get_mut(service.name).unwrap();
        container.becomes_healthy(|it| it.execute(&service.health()));
        container.is_confined();
    }
    use_it(&network);
    // Its telemetry arrives, and nobody sees it without the token.
    let console = |more: &[&str]| network.curl(&[&["http://127.0.0.1:8081/logs"], more].concat());
    let token = fs::read_to_string(secrets.path().join("console_token")).unwrap();
    let token = format!("authorization: Bearer {}", token.trim());
    eventually("the console shows lines of the gateway", || {
        let page = console(&["-H", &token])?;
        if page.contains("/api/users") { Ok(()) } else { Err(page) }
    });
    assert!(console(&[]).unwrap_err().contains("401"));
    alertmanager_reaches_the_console(&network, secrets.path(), volumes.path(), || {
        let told = network.curl(&["http://127.0.0.1:8081/alerts.json", "-H", &token])?;
        let last = &serde_json::from_str::<Value>(&told).unwrap()["watchdog"]["last"];
        if last.is_string() { Ok(()) } else { Err(told) }
    });
    // A service has its own database only.
    let password = fs::read_to_string(secrets.path().join("wallet_database")).unwrap();
    let ask = |database: &str| {
        let url = format!("postgres://wallet@127.0.0.1/{database}");
        let mut psql = network.command("psql");
        psql.args(["-XAtc", "SELECT count(*) FROM favourites", &url]);
        succeeded(&psql.env("PGPASSWORD", password.trim()).output().unwrap())
    };
    assert_eq!(ask("wallet").unwrap(), "2\n");
    assert!(ask("accounts").unwrap_err().contains("permission denied for database"));
    exporter_sees_the_databases(&network, secrets.path(), volumes.path());

    let service = full.service("prober");
    let mut prober = start(&service, true);
    assert_eq!(prober.end(), Some(0), "{}", prober.log());
    let mut prober = start(&service, false);
    prober.becomes_healthy(|it| it.execute(&service.health()));
    prober.is_confined();
    eventually("the prober has walked", || {
        let metrics = network.curl(&["http://127.0.0.1:9186/metrics"])?;
        let walked = metrics.lines().any(|line| line == "prober_success 1");
        if walked { Ok(()) } else { Err(metrics + &prober.log()) }
    });
    running.insert(service.name, prober);
    for (name, container) in &mut running {
        assert_eq!(container.stop(), Some(0), "{name}: {}", container.log());
    }
}

/// The exporter of PostgreSQL, with the role and the settings that docker-compose.yml gives it.
fn exporter_sees_the_databases(network: &Network, secrets: &Path, volumes: &Path) {
    let full = Compose::of("full");
    let service = full.service("postgres_exporter");
    let image = upstream("prometheus-postgres-exporter");
    let spec =
        Spec::of(&service, "/bin/prometheus-postgres-exporter", &["postgres"], volumes, secrets);
    let mut container = Container::start(network, image.path(), spec);
    container.becomes_healthy(|_| asked(network, &service));
    let metrics = network.curl(&["http://127.0.0.1:9187/metrics"]).unwrap();
    let line = |begins: &str| metrics.lines().any(|line| line.starts_with(begins));
    assert!(line("pg_up 1"), "{metrics}");
    for database in ["accounts", "catalog", "wallet"] {
        assert!(line(&format!("pg_database_size_bytes{{datname=\"{database}\",")), "{metrics}");
    }
}

/// Alertmanager looks for the console's address when it sends, from its working directory.
fn alertmanager_reaches_the_console(
    network: &Network,
    secrets: &Path,
    volumes: &Path,
    heard: impl Fn() -> Result<(), String>,
) {
    let full = Compose::of("full");
    let service = full.service("alertmanager");
    let image = upstream("alertmanager");
    let spec = Spec::of(&service, "/bin/alertmanager", &["sidecar"], volumes, secrets);
    let mut container = Container::start(network, image.path(), spec);
    container.becomes_healthy(|_| asked(network, &service));
    let alert = json!([{"labels": {"alertname": "Watchdog", "severity": "none"}}]).to_string();
    let url = "http://127.0.0.1:9093/api/v2/alerts";
    network.curl(&["-H", "content-type: application/json", "-d", &alert, url]).unwrap();
    eventually("the console hears of the watchdog", || {
        heard().map_err(|instead| instead + &container.log())
    });
}

/// An image with one program of this machine, which is there with the libraries that it needs.
fn upstream(program: &str) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    let file = tool(program).unwrap();
    let bin = image.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::copy(&file, bin.join(program)).unwrap();
    let needed = Command::new("ldd").arg(&file).output().unwrap();
    for library in
        String::from_utf8_lossy(&needed.stdout).split_whitespace().filter(|it| it.starts_with('/'))
    {
        let at = image.path().join(library.trim_start_matches('/'));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::copy(library, at).unwrap();
    }
    image
}

/// The health check of a service: by its own program, or by curl where its image has wget.
fn asked(network: &Network, service: &Service<'_>) -> Result<String, String> {
    match service.health()[..] {
        ["wget", "-q", "-O", "/dev/null", url] => network.curl(&["--output", "/dev/null", url]),
        ref other => panic!("{other:?} is not known here"),
    }
}

/// Each alone in its network: there is no other way to give two of them the same port.
#[test]
fn what_watches_starts_as_the_file_says_and_passes_its_health_check() {
    let (volumes, secrets) = (tempfile::tempdir().unwrap(), secrets());
    let compose = Compose::of("full");
    for (name, program, entrypoint) in [
        ("jaeger", "jaeger", "/bin/jaeger"),
        ("loki", "loki", "/usr/bin/loki"),
        ("prometheus", "prometheus", "/bin/prometheus"),
        ("alertmanager", "alertmanager", "/bin/alertmanager"),
        ("node_exporter", "prometheus-node-exporter", "/bin/prometheus-node-exporter"),
    ] {
        let service = compose.service(name);
        let image = upstream(program);
        if entrypoint.starts_with("/usr") {
            let at = image.path().join("usr/bin");
            fs::create_dir_all(&at).unwrap();
            fs::rename(image.path().join("bin").join(program), at.join(program)).unwrap();
        }
        let own = service.health()[0] != "wget";
        if own {
            let check = Path::new(service.health()[0]);
            let at = image.path().join(check.strip_prefix("/").unwrap());
            fs::copy(tool(check.file_name().unwrap().to_str().unwrap()).unwrap(), at).unwrap();
        }
        let network = Network::new();
        let spec = Spec::of(&service, entrypoint, &[], volumes.path(), secrets.path());
        let mut container = Container::start(&network, image.path(), spec);
        container.becomes_healthy(|it| {
            if own { it.execute(&service.health()) } else { asked(&network, &service) }
        });
        container.is_confined();
        for port in service.exposed() {
            let open = network.curl(&[
                "--output",
                "/dev/null",
                &format!("http://127.0.0.1:{port}/metrics"),
            ]);
            let refused = open.is_err_and(|why| why.contains("Failed to connect"));
            assert!(!refused, "{name} does not listen on {port}");
        }
    }
}

#[test]
fn a_missing_secret_is_one_sentence_before_anything_starts() {
    let (image, volumes, secrets) = (image(), tempfile::tempdir().unwrap(), secrets());
    let network = Network::new();
    let compose = Compose::of("full");
    for (service, secret, told) in [
        ("accounts", "signing_key", "ACCOUNTS_SIGNING_KEY_FILE"),
        ("accounts", "accounts_database", "ACCOUNTS_DATABASE_PASSWORD_FILE"),
        ("wallet", "wallet_database", "WALLET_DATABASE_PASSWORD_FILE"),
        ("sidecar", "console_token", "CONSOLE_TOKEN_FILE"),
        ("prober", "prober_password", "PROBER_PASSWORD_FILE"),
    ] {
        let service = compose.service(service);
        let spec = || Spec::of(&service, "/musicwallet", &[], volumes.path(), secrets.path());
        let mut missing = spec();
        missing.mounts.retain(|(source, ..)| !source.ends_with(secret));
        // An engine makes a folder where the file for a mount is missing.
        let mut folder = spec();
        let mount = folder.mounts.iter_mut().find(|(source, ..)| source.ends_with(secret)).unwrap();
        mount.0 = volume(&volumes.path().join("folder"), &folder.user);
        folder.command.push("--check".into());
        for spec in [missing, folder] {
            let mut container = Container::start(&network, image.path(), spec);
            assert_eq!(container.end(), Some(2), "{}", container.log());
            let log = container.log();
            assert!(log.contains(told) && log.contains(&format!("/run/secrets/{secret}")), "{log}");
        }
    }
    let script = "mount -t tmpfs tmpfs /run && exec postgres/init.sh";
    let mut init = Command::new("unshare");
    init.args(["--mount", "sh", "-c", script]).current_dir(root());
    let told = succeeded(&init.output().unwrap()).unwrap_err();
    assert!(told.contains("there is no password for accounts"), "{told}");
}
