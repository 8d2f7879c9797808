//! docker-compose.yml as Docker Compose understands it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Output},
};

use real::stack::tool;
use serde_json::Value;

use crate::harness::root;

/// What `docker compose --profile X` would start.
pub(super) struct Compose(Value);

/// One service of it.
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) it: &'a Value,
}

/// Asks Docker Compose 2, which needs no engine for that.
pub(super) fn compose(arguments: &[&str]) -> Output {
    Command::new(tool("compose").unwrap())
        .args(["-f", "docker-compose.yml"])
        .args(arguments)
        .current_dir(root())
        .env_remove("COMPOSE_PROFILES")
        .output()
        .unwrap()
}

impl Compose {
    pub(super) fn of(profile: &str) -> Compose {
        Compose::with(&["--profile", profile])
    }

    /// With more arguments, such as another file.
    pub(super) fn with(arguments: &[&str]) -> Compose {
        let output = compose(&[arguments, &["config", "--format", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Compose(serde_json::from_slice(&output.stdout).unwrap())
    }

    pub(super) fn services(&self) -> impl Iterator<Item = Service<'_>> {
        let services = self.0["services"].as_object().unwrap();
        services.iter().map(|(name, it)| Service { name, it })
    }

    /// The service that others reach by this name.
    pub(super) fn service(&self, name: &str) -> Service<'_> {
        let found = self.services().find(|it| it.names().contains(&name));
        found.unwrap_or_else(|| panic!("there is no service {name}"))
    }

    /// The names of the secrets, with the names of their files.
    pub(super) fn secrets(&self) -> BTreeMap<&str, &str> {
        let secrets = self.0["secrets"].as_object().unwrap();
        secrets.iter().map(|(name, it)| (name.as_str(), it["file"].as_str().unwrap())).collect()
    }
}

impl<'a> Service<'a> {
    /// How others reach it.
    pub(super) fn names(&self) -> BTreeSet<&'a str> {
        let aliases = texts(&self.it["networks"]["default"]["aliases"]);
        aliases.into_iter().chain([self.name]).collect()
    }

    pub(super) fn environment(&self) -> BTreeMap<&'a str, &'a str> {
        let variables = self.it["environment"].as_object();
        let variables = variables.into_iter().flatten();
        variables.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
    }

    pub(super) fn command(&self) -> Vec<&'a str> {
        texts(&self.it["command"])
    }

    /// The target of `musicwallet serve`, where it is ours.
    pub(super) fn target(&self) -> Option<&'a str> {
        match self.command()[..] {
            ["serve", target] => Some(target),
            _ => None,
        }
    }

    /// The ports at which it listens for the others.
    pub(super) fn exposed(&self) -> BTreeSet<&'a str> {
        texts(&self.it["expose"]).into_iter().collect()
    }

    pub(super) fn secrets(&self) -> Vec<&'a str> {
        let secrets = self.it["secrets"].as_array().into_iter().flatten();
        secrets.map(|it| it["source"].as_str().unwrap()).collect()
    }

    /// Every mount: its kind, what is mounted, where, and whether it can be written to.
    pub(super) fn mounts(&self) -> Vec<(&'a str, &'a str, &'a str, bool)> {
        let volumes = self.it["volumes"].as_array().into_iter().flatten();
        let mounts = volumes.map(|it| {
            let text = |name: &str| it[name].as_str().unwrap();
            (text("type"), text("source"), text("target"), it["read_only"] != true)
        });
        mounts.collect()
    }

    /// Where it has folders in memory, with the options of each mount.
    pub(super) fn tmpfs(&self) -> Vec<(&'a str, &'a str)> {
        let folders = texts(&self.it["tmpfs"]).into_iter();
        folders.map(|it| it.split_once(':').unwrap_or((it, "mode=1777"))).collect()
    }

    pub(super) fn health(&self) -> Vec<&'a str> {
        let test = texts(&self.it["healthcheck"]["test"]);
        assert_eq!(test.first(), Some(&"CMD"), "{}: a shell would be needed", self.name);
        test[1..].to_vec()
    }
}

/// A service in one form, whichever Compose has said how it understands it: they write sizes, ports, volumes and secrets differently, and
/// one of them writes defaults.
pub(super) fn in_one_form(service: &Value) -> Value {
    let mut it = service.as_object().unwrap().clone();
    let each = |list: &Value, one: fn(&Value) -> Value| -> Value {
        list.as_array().unwrap().iter().map(one).collect()
    };
    for (key, value) in &mut it {
        *value = match key.as_str() {
            "mem_limit" | "shm_size" => bytes(value.as_str().unwrap()).into(),
            "ports" => each(value, port),
            "volumes" => sorted(each(value, mount)),
            "secrets" => each(value, |it| it["source"].clone()),
            _ => continue,
        };
    }
    let needed = it.get_mut("depends_on").and_then(Value::as_object_mut);
    for (_, condition) in needed.into_iter().flatten() {
        without(condition, "required");
    }
    if let Some(build) = it.get_mut("build") {
        without(build, "dockerfile");
    }
    let begin = &mut it["healthcheck"]["start_period"];
    *begin = begin.as_str().unwrap().replace("m0s", "m").into();
    it.retain(|key, value| !value.is_null() && (key != "networks" || !value["default"].is_null()));
    it.into()
}

/// Mounts of another file come first, or last.
fn sorted(mut list: Value) -> Value {
    list.as_array_mut().unwrap().sort_by_key(Value::to_string);
    list
}

fn without(object: &mut Value, key: &str) {
    object.as_object_mut().unwrap().remove(key);
}

/// Of `128m`, or of bytes.
fn bytes(text: &str) -> u64 {
    let number = text.trim_end_matches(['m', 'g']);
    let unit = match &text[number.len()..] {
        "m" => 20,
        "g" => 30,
        _ => 0,
    };
    number.parse::<u64>().unwrap() << unit
}

/// `127.0.0.1:8080:8080/tcp`
fn port(it: &Value) -> Value {
    if it.is_string() {
        return it.clone();
    }
    let text = |name: &str| it[name].as_str().unwrap();
    let [address, published, protocol] = ["host_ip", "published", "protocol"].map(text);
    format!("{address}:{published}:{}/{protocol}", it["target"]).into()
}

/// `loki:/loki:rw`
fn mount(it: &Value) -> Value {
    if it.is_string() {
        return it.clone();
    }
    let text = |name: &str| it[name].as_str().unwrap();
    let mode = if it["read_only"] == true { "ro" } else { "rw" };
    let propagation = it["bind"]["propagation"].as_str().map(|it| format!(",{it}"));
    let propagation = propagation.unwrap_or_default();
    format!("{}:{}:{mode}{propagation}", text("source"), text("target")).into()
}

/// A list of texts; empty where there is none.
fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|it| it.as_str().unwrap()).collect()
}
