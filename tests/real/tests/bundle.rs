//! Dockerfile and docker-compose.yml, as far as they can be shown without an engine: what they name is there and fits together, and the
//! programs run as the files say, in namespaces that are what a container is.

mod compose;
mod container;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use real::{
    dockerfile::{self, Instruction},
    stack::tool,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::{
    compose::{Compose, Service, compose, in_one_form},
    container::{Container, Network, Spec, succeeded, volume},
};
use crate::harness::{PASSWORD, binary, eventually, root};

const PROFILES: [&str; 2] = ["core", "full"];

fn dockerfile() -> Vec<Instruction> {
    dockerfile::read(&root().join("Dockerfile")).unwrap()
}

/// The instructions after the last FROM.
fn last_stage() -> Vec<Instruction> {
    let all = dockerfile();
    let from = all.iter().rposition(|it| it.keyword == "FROM").unwrap();
    all[from..].to_vec()
}

/// The instructions of the stage with this name.
fn stage(name: &str) -> Vec<Instruction> {
    let all = dockerfile();
    let from = all.iter().position(|it| it.keyword == "FROM" && it.words().get(2) == Some(&name));
    let from = from.unwrap_or_else(|| panic!("there is no stage {name}"));
    all.into_iter().skip(from + 1).take_while(|it| it.keyword != "FROM").collect()
}

#[test]
fn both_composes_take_the_file_and_understand_the_same() {
    let always = ["accounts", "catalog", "gateway", "postgres", "wallet"];
    let more: [(&str, &[&str]); 2] = [
        ("core", &["viewer"]),
        (
            "full",
            &[
                "alertmanager",
                "grafana",
                "jaeger",
                "loki",
                "node_exporter",
                "postgres_exporter",
                "prober",
                "prometheus",
                "sidecar",
            ],
        ),
    ];
    let old = by_the_old_compose(&[]);
    for (profile, more) in more {
        let new = Compose::of(profile);
        let names: BTreeSet<&str> = new.services().map(|it| it.name).collect();
        assert_eq!(names, always.iter().chain(more).copied().collect(), "{profile}");
        for service in new.services() {
            let before = in_one_form(&old["services"][service.name]);
            assert_eq!(before, in_one_form(service.it), "{}", service.name);
        }
    }
    // What `docker compose up` starts, by .env.
    let services = succeeded(&compose(&["config", "--services"])).unwrap();
    let services: BTreeSet<&str> = services.lines().collect();
    assert_eq!(services, Compose::of("full").services().map(|it| it.name).collect());
}

/// What docker-compose 1.29 understands.
fn by_the_old_compose(arguments: &[&str]) -> Value {
    let mut command = Command::new("docker-compose");
    command.args(["-f", "docker-compose.yml"]).args(arguments).arg("config");
    let output = command.current_dir(root()).output().unwrap();
    serde_saphyr::from_str(&succeeded(&output).unwrap()).unwrap()
}

/// README, "With containers": the file that tells people of alerts.
#[test]
fn alertmanager_is_given_receivers_for_people_by_one_more_file() {
    let more = ["-f", "alertmanager/people.compose.yml"];
    let (old, new) =
        (by_the_old_compose(&more), Compose::with(&[&more[..], &["--profile", "full"]].concat()));
    let alertmanager = new.service("alertmanager");
    assert_eq!(in_one_form(&old["services"]["alertmanager"]), in_one_form(alertmanager.it));
    let mounted = |at: &str| {
        let mounts = alertmanager.mounts().into_iter();
        let found: Vec<_> = mounts.filter(|(_, _, target, _)| *target == at).collect();
        let [("bind", source, _, false)] = found[..] else { panic!("{at}: {found:?}") };
        Path::new(source).strip_prefix(root()).unwrap().to_owned()
    };
    assert_eq!(mounted("/etc/alertmanager/alertmanager.yml"), Path::new("alertmanager/people.yml"));
    // Where its secrets are, as the example names them, seen from the working directory.
    assert_eq!(alertmanager.it["working_dir"], "/etc");
    assert_eq!(mounted("/etc/alertmanager/secrets"), Path::new("alertmanager/secrets"));
    let ignored = Command::new("git")
        .args(["check-ignore", "alertmanager/secrets/pagerduty-key"])
        .current_dir(root())
        .output();
    succeeded(&ignored.unwrap()).expect("git leaves the secrets out");
}

#[test]
fn everything_that_is_copied_or_mounted_is_there() {
    let context = dockerfile::context(&root().join(".dockerignore")).unwrap();
    for path in &context {
        assert!(root().join(path).exists(), "the Dockerfile is to be sent {path}");
    }
    let sent =
        |path: &str| context.iter().any(|it| path == it || path.starts_with(&format!("{it}/")));
    // What Cargo reads, whichever package it builds: every manifest of the workspace.
    let manifests = Command::new("git")
        .args(["ls-files", "*Cargo.toml", "Cargo.lock"])
        .current_dir(root())
        .output();
    let manifests = succeeded(&manifests.unwrap()).unwrap();
    assert!(manifests.lines().count() > 10, "{manifests}");
    for manifest in manifests.lines() {
        assert!(sent(manifest), ".dockerignore leaves {manifest} out");
    }
    for it in dockerfile().iter().filter(|it| it.keyword == "COPY") {
        match it.flag("from") {
            None => assert_eq!(it.words(), [".", "."]),
            Some(name) => {
                let stage = stage(name);
                let [path, _] = it.words()[..] else { panic!("{it:?}") };
                let workdir = stage.iter().find(|it| it.keyword == "WORKDIR").unwrap();
                // All of the stage's folder, or what one of its commands names.
                let path = Path::new(path).strip_prefix(&workdir.rest).unwrap();
                let mut run = stage.iter().filter(|it| it.keyword == "RUN");
                let named = run.any(|it| it.words().iter().any(|word| Path::new(word) == path));
                assert!(path == Path::new("") || named, "nothing makes {it:?}");
            }
        }
    }
    for compose in PROFILES.map(Compose::of) {
        for service in compose.services() {
            for (kind, source, target, writable) in service.mounts() {
                if kind == "bind" {
                    assert!(Path::new(source).exists(), "{} mounts {source}", service.name);
                    assert!(!writable, "{} can write to {source}", service.name);
                }
                assert!(target.starts_with('/'));
            }
        }
    }
}

#[test]
fn images_are_pinned_to_what_the_tests_run() {
    let full = Compose::of("full");
    // How upstream's versions of modules map to those of images.
    for (service, image, folder) in [
        ("loki", "grafana/loki:3.7.8", "loki-v3.7.8"),
        ("alertmanager", "prom/alertmanager:v0.34.2", "alertmanager-v0.34.2"),
        ("prometheus", "prom/prometheus:v3.16.0", "prometheus-v0.316.0"),
        ("jaeger", "jaegertracing/jaeger:2.13.0", "jaeger-v1.76.0"),
    ] {
        assert_eq!(full.service(service).it["image"], image);
        let file = tool(service).unwrap();
        assert!(file.parent().unwrap().ends_with(folder), "the tests run {}", file.display());
    }
    // Grafana cannot be run: its dashboards are of the schema that the builder library is for.
    let install = fs::read_to_string(root().join("tests/real/install")).unwrap();
    let library =
        install.lines().find_map(|it| it.split_once("grafana-foundation-sdk==")).unwrap().1;
    let version = library.trim_end_matches(['\'', ')']).rsplit('!').next().unwrap();
    assert_eq!(full.service("grafana").it["image"], format!("grafana/grafana:{version}"));
    for (program, image) in [
        ("prometheus-node-exporter", "quay.io/prometheus/node-exporter:v"),
        ("prometheus-postgres-exporter", "quay.io/prometheuscommunity/postgres-exporter:v"),
    ] {
        let output = Command::new(program).arg("--version").output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        let version = told.split("version ").nth(1).unwrap().split(['+', ' ', '-']).next().unwrap();
        let pinned = format!("{image}{version}");
        assert!(full.services().any(|it| it.it["image"] == pinned.as_str()), "{pinned}");
    }
    let postgres = Command::new(postgres_program("postgres")).arg("--version").output().unwrap();
    let told = succeeded(&postgres).unwrap();
    let version = told.split_whitespace().nth(2).unwrap();
    let image = Compose::of("core").service("postgres").it["image"].as_str().unwrap().to_owned();
    let (_, major) = image.split_once(':').unwrap();
    assert_eq!(major.split('.').next(), version.split('.').next(), "{image}, {told}");

    let rust = format!("rust:{}", rust_version());
    for from in dockerfile().iter().filter(|it| it.keyword == "FROM") {
        let image = from.words()[0].to_owned();
        assert!(
            image.starts_with(&rust) || image == "gcr.io/distroless/cc-debian12:nonroot",
            "{image}"
        );
    }
    let version = env!("CARGO_PKG_VERSION");
    let ours = Compose::of("core").service("gateway").it["image"].clone();
    assert_eq!(ours, format!("musicwallet:{version}"));
}

/// The workspace's.
fn rust_version() -> String {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let line = manifest.lines().find_map(|it| it.strip_prefix("rust-version = "));
    line.unwrap().trim_matches('"').to_owned()
}

fn postgres_program(name: &str) -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").expect("tests/real/install has it");
    let mut folders: Vec<PathBuf> = folders.map(|it| it.unwrap().path()).collect();
    folders.sort();
    folders.pop().unwrap().join("bin").join(name)
}

#[test]
fn every_container_is_hardened_and_bounded() {
    for compose in PROFILES.map(Compose::of) {
        for service in compose.services() {
            let Service { name, it } = service;
            let image = it["image"].as_str().unwrap();
            let (_, tag) =
                image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
            assert!(
                tag.trim_start_matches('v').starts_with(|it: char| it.is_ascii_digit()),
                "{image}"
            );
            let user = it["user"].as_str().unwrap_or_default();
            assert!(user.parse::<u32>().is_err() && !user.starts_with("0:"), "{name}: {user}");
            assert!(
                user.split_once(':').is_some_and(|(user, _)| user.parse::<u32>().is_ok()),
                "{name}"
            );
            assert_eq!(it["read_only"], true, "{name}");
            assert_eq!(it["cap_drop"], json!(["ALL"]), "{name}");
            assert_eq!(it["security_opt"], json!(["no-new-privileges:true"]), "{name}");
            for never in ["privileged", "cap_add", "network_mode", "devices", "ipc", "userns_mode"]
            {
                assert!(it[never].is_null(), "{name} has {never}");
            }
            assert!(it["pid"].is_null() || name == "node_exporter", "{name}");
            let bytes: u64 = it["mem_limit"].as_str().unwrap().parse().unwrap();
            assert!((32 << 20..=1 << 30).contains(&bytes), "{name}: {bytes}");
            assert!(it["cpus"].as_f64().is_some_and(|cpus| cpus <= 2.0), "{name}");
            assert!(it["pids_limit"].as_u64().is_some_and(|pids| pids <= 256), "{name}");
            assert!(it["logging"]["options"]["max-size"].is_string(), "{name}");
            assert_eq!(it["restart"], "unless-stopped", "{name}");
            assert!(!service.health().is_empty(), "{name}");
            for port in it["ports"].as_array().into_iter().flatten() {
                assert_eq!(port["host_ip"], "127.0.0.1", "{name} is published to others");
                let target = port["target"].to_string();
                assert!(service.exposed().contains(target.as_str()), "{name} publishes {target}");
            }
            let secret = |name: &str| {
                ["PASSWORD", "TOKEN", "SECRET", "KEY"].iter().any(|it| name.contains(it))
            };
            for (variable, value) in service.environment() {
                let file = value.starts_with("/run/secrets/");
                assert!(!secret(variable) || file, "{name} has a secret in {variable}");
                if file {
                    let known =
                        service.secrets().iter().any(|it| value.ends_with(&format!("/{it}")));
                    assert!(known, "{name} is not given {value}");
                }
            }
        }
    }
    let published = Compose::of("full");
    let published: BTreeSet<u64> = published
        .services()
        .flat_map(|it| it.it["ports"].as_array().into_iter().flatten())
        .map(|it| it["target"].as_u64().unwrap())
        .collect();
    // The API, the console, Jaeger's page, Prometheus, Alertmanager, Grafana: what people open.
    assert_eq!(published, BTreeSet::from([3000, 8080, 8081, 9090, 9093, 16686]));
}

#[test]
fn the_image_runs_without_a_shell_as_nobody_in_particular() {
    let stage = last_stage();
    let find = |keyword: &str| stage.iter().find(|it| it.keyword == keyword).unwrap();
    assert_eq!(find("USER").rest, "65532:65532");
    assert!(find("ENTRYPOINT").rest.starts_with('['), "a shell would be needed");
    assert!(find("HEALTHCHECK").rest.starts_with("CMD ["), "a shell would be needed");
    assert!(!stage.iter().any(|it| it.keyword == "RUN"), "there is no shell to run it");
    for service in Compose::of("full").services().filter(|it| it.target().is_some()) {
        assert_eq!(service.it["user"], find("USER").rest);
        assert_eq!(service.health()[..2], ["/musicwallet", "health"]);
        assert_eq!(Some(service.health()[2]), service.target());
    }
}

/// `host:port` of each address in a text: of URLs, also with a user, and what stands alone.
fn addresses(text: &str) -> Vec<(String, String)> {
    let words = text.split([',', '"', ' ', '\n', '[', ']', '{', '}']);
    let words = words.map(|word| {
        let word = word.split_once("=http").map_or(word, |(_, url)| url);
        let word = word.rsplit_once("://").map_or(word, |(_, rest)| rest);
        let word = word.split(['/', '?']).next().unwrap();
        word.rsplit_once('@').map_or(word, |(_, rest)| rest)
    });
    let address = |word: &str| {
        let (host, port) = word.split_once(':')?;
        port.parse::<u16>().ok()?;
        host.starts_with(|it: char| it.is_ascii_alphanumeric())
            .then(|| (host.to_owned(), port.to_owned()))
    };
    words.filter_map(address).collect()
}

#[test]
fn every_address_is_that_of_a_service_that_listens_there() {
    let mut seen = BTreeSet::new();
    for profile in PROFILES {
        let compose = Compose::of(profile);
        let mut told: Vec<(String, String)> = Vec::new(); // by whom, which
        for service in compose.services() {
            let told_by = |(name, value): (&str, &str)| {
                (format!("{}: {name}", service.name), value.to_owned())
            };
            told.extend(service.environment().into_iter().map(told_by));
            told.extend(
                service.command().iter().map(|it| (service.name.to_owned(), (*it).to_owned())),
            );
            // Files of addresses that are mounted for it.
            for (_, source, ..) in
                service.mounts().iter().filter(|(_, it, ..)| it.ends_with("/compose"))
            {
                for file in fs::read_dir(source).unwrap().map(|it| it.unwrap().path()) {
                    told.push((file.display().to_string(), fs::read_to_string(&file).unwrap()));
                }
            }
        }
        for (whose, text) in told {
            for (host, port) in addresses(&text) {
                match host.as_str() {
                    "0.0.0.0" => {
                        let (name, _) = whose.split_once(':').unwrap_or((&whose, ""));
                        let exposed = compose.service(name).exposed();
                        assert!(
                            exposed.contains(port.as_str()),
                            "{whose} listens on {port}, which it does not expose"
                        );
                    }
                    // As a browser on this machine reaches it.
                    "127.0.0.1" | "localhost" => assert!(
                        compose.services().any(|it| {
                            let ports = it.it["ports"].as_array().into_iter().flatten();
                            ports.into_iter().any(|it| it["published"] == port.as_str())
                        }),
                        "{whose}: nobody is published at {host}:{port}"
                    ),
                    _ => {
                        let exposed = compose.service(&host).exposed();
                        assert!(
                            exposed.contains(port.as_str()),
                            "{whose}: nobody listens at {host}:{port}"
                        );
                        seen.insert(format!("{host}:{port}"));
                    }
                }
            }
        }
    }
    for expected in [
        "postgres:5432",
        "sidecar:4318",
        "loki:3100",
        "jaeger:16686",
        "gateway:9180",
        "postgres_exporter:9187",
    ] {
        assert!(seen.contains(expected), "{expected} is not among {seen:?}");
    }
}

/// What secrets/make makes, with the owners that it gives.
fn secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(root().join("secrets/make")).arg(folder.path()).output().unwrap();
    succeeded(&made).unwrap();
    folder
}

#[test]
fn the_secrets_are_made_once_for_those_who_need_them_alone() {
    let folder = secrets();
    let path = folder.path();
    let mut made: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    made.sort();
    let compose = Compose::of("full");
    let named: Vec<&str> = compose.secrets().into_keys().collect();
    assert_eq!(made, named);
    for service in compose.services() {
        let user = service.it["user"].as_str().unwrap();
        let (user, group) = user.split_once(':').unwrap();
        for name in service.secrets() {
            let it = fs::metadata(path.join(name)).unwrap();
            let mode = it.permissions().mode();
            let readable = (it.uid().to_string() == user && mode & 0o400 != 0)
                || (it.gid().to_string() == group && mode & 0o040 != 0);
            assert!(readable, "{} cannot read {name}", service.name);
            assert_eq!(mode & 0o007, 0, "everybody can read {name}");
            assert!(it.len() > 16, "{name} is short");
        }
    }
    // What is there stays.
    fs::remove_file(path.join("console_token")).unwrap();
    let before = fs::read(path.join("signing_key")).unwrap();
    let again = Command::new(root().join("secrets/make")).arg(path).output().unwrap();
    assert_eq!(succeeded(&again).unwrap(), format!("made {}/console_token\n", path.display()));
    assert_eq!(fs::read(path.join("signing_key")).unwrap(), before);

    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--clear-groups", "bash", "-s"]).arg(path);
    nobody.stdin(fs::File::open(root().join("secrets/make")).unwrap());
    let told = succeeded(&nobody.output().unwrap()).unwrap_err();
    assert!(told.contains("takes root: sudo secrets/make"), "{told}");
}

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

#[test]
fn every_variable_of_ours_is_a_setting_of_its_service() {
    for compose in PROFILES.map(Compose::of) {
        for service in compose.services() {
            let Some(target) = service.target() else { continue };
            let help = Command::new(binary()).args(["serve", target, "--help"]).output().unwrap();
            let help = succeeded(&help).unwrap();
            for variable in service.environment().keys() {
                assert!(
                    help.contains(&format!("[env: {variable}]")),
                    "{variable} is no setting of {target}"
                );
            }
        }
    }
}
