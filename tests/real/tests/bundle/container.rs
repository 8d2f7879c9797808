//! Containers without an engine: the namespaces, mounts, user and capabilities that an engine would give, by util-linux. What an image
//! brings is laid out in a folder.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

use super::compose::Service;
use crate::harness::eventually;

/// A network with nothing but its own loopback interface, on which every name of a service leads to.
pub(super) struct Network {
    /// It lives as long as this one.
    holder: Child,
}

impl Network {
    pub(super) fn new() -> Network {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "a network of its own takes root");
        Network { holder }
    }

    /// A command of this machine, in this network.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.holder.id())).arg(program);
        command
    }

    /// What curl is answered; fails with what it says.
    pub(super) fn curl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut curl = self.command("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--max-time",
            "10",
            "--noproxy",
            "*",
        ]);
        succeeded(&curl.args(arguments).output().unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What a command wrote to stdout; if it failed, both.
pub(super) fn succeeded(output: &Output) -> Result<String, String> {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    if output.status.success() {
        Ok(stdout)
    } else {
        Err(format!("{}: {stdout}{stderr}", output.status))
    }
}

/// What is not in the folder of the image.
#[derive(Default)]
pub(super) struct Spec {
    pub(super) environment: Vec<(String, String)>,
    pub(super) command: Vec<String>,
    /// `65532:65532`
    pub(super) user: String,
    pub(super) workdir: String,
    /// Source, target, and whether it can be written to.
    pub(super) mounts: Vec<(PathBuf, String, bool)>,
    /// Target, and the options of the mount.
    pub(super) tmpfs: Vec<(String, String)>,
    /// Names that lead to the network's own address.
    pub(super) names: Vec<String>,
}

impl Spec {
    /// As docker-compose.yml has it. `volumes` gets a folder for each named volume, `secrets` has the files.
    pub(super) fn of(
        service: &Service<'_>,
        entrypoint: &str,
        names: &[&str],
        volumes: &Path,
        secrets: &Path,
    ) -> Spec {
        let user = service.it["user"].as_str().unwrap().to_owned();
        let mut mounts: Vec<(PathBuf, String, bool)> = service
            .mounts()
            .into_iter()
            .map(|(kind, source, target, writable)| match kind {
                "volume" => (volume(&volumes.join(source), &user), target.to_owned(), writable),
                _ => (source.into(), target.to_owned(), writable),
            })
            .collect();
        let secret = |name: &&str| (secrets.join(name), format!("/run/secrets/{name}"), false);
        mounts.extend(service.secrets().iter().map(secret));
        let environment = service.environment();
        Spec {
            environment: owned(environment),
            command: [entrypoint].into_iter().chain(service.command()).map(str::to_owned).collect(),
            user,
            workdir: service.it["working_dir"].as_str().unwrap_or("/").to_owned(),
            mounts,
            tmpfs: owned(service.tmpfs()),
            names: names.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

/// A folder as a new volume is: it belongs to the user that the folder belonged to which it covers.
pub(super) fn volume(folder: &Path, user: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let (user, group) = user.split_once(':').unwrap();
    unix::fs::chown(folder, user.parse().ok(), group.parse().ok()).unwrap();
    folder.to_owned()
}

fn owned<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A program that runs as in a container.
pub(super) struct Container {
    child: Child,
    spec: Spec,
    log: PathBuf,
    _root: TempDir,
}

/// Mounts everything, makes the root read-only, and becomes the program. Arguments: root, working directory, user, the program with its
/// own. The mounts are in the environment, a line each: kind, target, source; of a tmpfs, its options. `chroot` would begin in `/`; `unshare`,
/// which unshares nothing more here, begins where it is told, and gives up all groups as `chroot --groups=` does.
const BECOME: &str = r#"
set -euo pipefail
root=$1 workdir=$2 user=$3
shift 3
mount --bind "$root" "$root"
while read -r kind target source; do
  [[ $kind ]] || continue
  at=$root$target
  if [[ $kind != tmpfs && ! -d $source ]]; then mkdir -p "$(dirname "$at")" && touch "$at"; else mkdir -p "$at"; fi
  case $kind in
  tmpfs) mount -t tmpfs -o "$source" tmpfs "$at" ;;
  *) mount --rbind "$source" "$at" ;;
  esac
  [[ $kind != ro ]] || mount -o remount,bind,ro "$at"
done <<<"$MOUNTS"
mount -o remount,bind,ro "$root"
unset MOUNTS
exec setpriv --no-new-privs --bounding-set=-all,+setuid,+setgid,+sys_chroot --inh-caps=-all \
  unshare --root="$root" --wd="$workdir" --setuid="${user%:*}" --setgid="${user#*:}" "$@"
"#;

impl Container {
    /// Starts it in a copy of `image`, with what an engine adds to every container. The copy's files are links: nobody can write to them.
    pub(super) fn start(network: &Network, image: &Path, spec: Spec) -> Container {
        let root = tempfile::tempdir().unwrap();
        let copied = Command::new("cp").arg("-al").arg(image.join(".")).arg(root.path()).status();
        assert!(copied.unwrap().success());
        fs::set_permissions(root.path(), unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        let names = spec.names.join(" ");
        fs::write(root.path().join("etc/hosts"), format!("127.0.0.1 localhost {names}\n")).unwrap();

        let mut mounts = String::from("rw /proc /proc\n");
        for device in ["null", "zero", "random", "urandom"] {
            mounts += &format!("rw /dev/{device} /dev/{device}\n");
        }
        for (source, target, writable) in &spec.mounts {
            let kind = if *writable { "rw" } else { "ro" };
            mounts += &format!("{kind} {target} {}\n", source.display());
        }
        for (target, options) in &spec.tmpfs {
            mounts += &format!("tmpfs {target} {options}\n");
        }
        let log = root.path().with_extension("log");
        let written = File::create(&log).unwrap();
        let mut command = network.command("unshare");
        command.args(["--mount", "bash", "-c", BECOME, "bash"]).arg(root.path());
        command.arg(&spec.workdir).arg(&spec.user).args(&spec.command);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("MOUNTS", mounts).envs(spec.environment.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(written.try_clone().unwrap()).stderr(written);
        let child = command.spawn().unwrap();
        Container { child, spec, log, _root: root }
    }

    /// What it has written so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Another program in the same container: root, network, user, variables.
    pub(super) fn execute(&self, program: &[&str]) -> Result<String, String> {
        let (user, group) = self.spec.user.split_once(':').unwrap();
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &self.child.id().to_string(),
            "--mount",
            "--net",
            "--root",
            "--wd",
        ]);
        command.args(["--setuid", user, "--setgid", group]).args(program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.spec.environment.iter().map(|(k, v)| (k, v)));
        succeeded(&command.output().unwrap())
    }

    /// Waits until a program in it succeeds.
    pub(super) fn becomes_healthy(&mut self, check: impl Fn(&Container) -> Result<String, String>) {
        let name = self.spec.command.join(" ");
        eventually(&format!("{name} is healthy"), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{name} ended with {status}:\n{}", self.log());
            }
            check(self).map_err(|why| format!("{why}\n{}", self.log()))
        });
    }

    /// Waits for its end: the code.
    pub(super) fn end(&mut self) -> Option<i32> {
        let child = &mut self.child;
        eventually("the program ends", || child.try_wait().unwrap().ok_or("it runs")).code()
    }

    /// Asks it to end, as an engine does.
    pub(super) fn stop(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status().unwrap();
        assert!(sent.success());
        self.end()
    }

    /// That it is nobody, can become nobody else, and can write to its volumes alone.
    pub(super) fn is_confined(&self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = |name: &str| {
            let line = status.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let (user, group) = self.spec.user.split_once(':').unwrap();
        assert_eq!(value("Uid"), [user; 4].join(" "));
        assert_eq!(value("Gid"), [group; 4].join(" "));
        assert_eq!(value("Groups"), "");
        assert_eq!(value("NoNewPrivs"), "1");
        for capabilities in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(value(capabilities), "0000000000000000", "{capabilities}");
        }
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", self.child.id())).unwrap();
        let mounts = mounts.lines().map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[4].to_owned(), fields[5].split(',').any(|option| option == "rw"))
        });
        let mut writable: Vec<String> =
            mounts.filter(|(_, writable)| *writable).map(|(target, _)| target).collect();
        // What an engine gives to every container; and what others have mounted below something of theirs, which is theirs to protect.
        let below = self.spec.mounts.iter().map(|(_, target, _)| format!("{target}/"));
        let given = ["/proc".to_owned(), "/dev".to_owned()].into_iter().chain(below);
        let given: Vec<String> = given.collect();
        writable.retain(|target| !given.iter().any(|it| target.starts_with(it)));
        writable.sort();
        let volumes = self.spec.mounts.iter().filter(|(.., writable)| *writable);
        let mut expected: Vec<String> = volumes.map(|(_, target, _)| target.clone()).collect();
        expected.extend(self.spec.tmpfs.iter().map(|(target, _)| target.clone()));
        expected.sort();
        assert_eq!(writable, expected);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.spec.command.join(" "), self.log());
        }
        let _ = fs::remove_file(&self.log);
    }
}
