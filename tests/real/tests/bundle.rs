//! Dockerfile and docker-compose.yml, as far as they can be shown without an engine: what they name is there and fits together, and the
//! programs run as the files say, in namespaces that are what a container is.

mod compose;
mod container;
mod running;

use std::{
    collections::BTreeSet,
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
    container::succeeded,
};
use crate::harness::{binary, root};

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
