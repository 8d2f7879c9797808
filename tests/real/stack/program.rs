//! A real program as a child process, from finding its file to its end.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;

use super::tool;

/// Longer than a start takes on a busy machine; reached only by a failure.
const STARTING: Duration = Duration::from_secs(60);
/// How long a program may take to end when it was asked to.
pub(super) const STOPPING: Duration = Duration::from_secs(10);

/// Where programs listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// On their usual ports; one that is taken is an error.
    Usual,
    /// On any that are free.
    Free,
}

/// What a program is, and how it is started.
#[derive(Debug)]
pub(super) struct Kind {
    /// As people call it.
    pub(super) name: &'static str,
    /// Its file.
    pub(super) program: &'static str,
    /// What it listens for, and the usual port of each.
    pub(super) sockets: &'static [(&'static str, u16)],
    /// Makes what it needs in the folder for its data, once.
    pub(super) prepare: fn(&Path) -> Result<()>,
    /// Gives arguments and variables, from the addresses of the sockets and the folder for its data.
    pub(super) configure: fn(&mut Command, &[SocketAddr], &Path),
    /// It is ready when each of these paths of a socket is answered with less than 500.
    pub(super) ready: &'static [(usize, &'static str)],
}

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    kind: &'static Kind,
    file: PathBuf,
    addresses: Vec<SocketAddr>,
    data: PathBuf,
    log: PathBuf,
    variables: Vec<(&'static str, String)>,
    /// Of its log, so that nobody else uses the same data.
    _lock: File,
    /// Where in the log the running process begins.
    begins: u64,
    child: Child,
    client: Client,
}

impl Program {
    /// Starts it, and returns when it is ready. `data` gets a folder for what it keeps and a file for what it writes.
    pub(super) fn start(kind: &'static Kind, ports: Ports, data: &Path) -> Result<Program> {
        Program::start_with(kind, ports, data, Vec::new())
    }

    /// The same with more variables in its environment.
    pub(super) fn start_with(
        kind: &'static Kind,
        ports: Ports,
        data: &Path,
        variables: Vec<(&'static str, String)>,
    ) -> Result<Program> {
        let file = tool(kind.program)?;
        let addresses = addresses(kind, ports)?;
        let data = std::path::absolute(data)?.join(kind.program);
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        let log = data.with_extension("log");
        let lock = locked(&log)
            .with_context(|| format!("{} cannot have {}", kind.name, data.display()))?;
        (kind.prepare)(&data).with_context(|| format!("cannot prepare {}", data.display()))?;
        let (begins, child) = spawn(kind, &file, &addresses, &data, &log, &variables)?;
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let mut program = Program {
            kind,
            file,
            addresses,
            data,
            log,
            variables,
            _lock: lock,
            begins,
            child,
            client,
        };
        program.becomes_ready(ports == Ports::Free)?;
        Ok(program)
    }

    fn spawn(&self) -> Result<(u64, Child)> {
        let Program { kind, file, addresses, data, log, variables, .. } = self;
        spawn(kind, file, addresses, data, log, variables)
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }

    /// Starts it again after its end, where it was and with what it kept.
    ///
    /// # Errors
    /// As for a first start.
    pub fn start_again(&mut self) -> Result<()> {
        (self.begins, self.child) = self.spawn()?;
        self.becomes_ready(false)
    }

    /// Asks it to end, waits 10 s for it, and kills it then.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.ended_by(Instant::now() + STOPPING);
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, if it runs: `STOP`, `CONT`, `TERM`.
    pub fn signal(&mut self, name: &str) {
        // Once it was waited for, its id may be another's.
        if self.check().is_ok() {
            // The shell's own `kill`: not every system has the program.
            let script = ["-c", "kill -\"$0\" \"$1\"", name, &self.id().to_string()];
            let _ = Command::new("sh").args(script).status();
        }
    }

    /// That it still runs.
    ///
    /// # Errors
    /// That it ended, and what it wrote last.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}; {}", self.kind.name, self.last_lines()),
        }
    }

    pub(super) fn ended_by(&mut self, deadline: Instant) {
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                return self.kill();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where a socket is reached: `http://127.0.0.1:1234`.
    pub(super) fn url(&self, socket: usize) -> String {
        format!("http://{}", self.addresses[socket])
    }

    pub(super) fn address(&self, socket: usize) -> SocketAddr {
        self.addresses[socket]
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// The answer to a query.
    pub(super) fn get(&self, socket: usize, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        self.get_with(socket, path, query, None)
    }

    /// The answer to a query with one more header.
    pub(super) fn get_with(
        &self,
        socket: usize,
        path: &str,
        query: &[(&str, &str)],
        header: Option<(&str, &str)>,
    ) -> Result<Value> {
        let url = format!("{}{path}", self.url(socket));
        let mut request = self.client.get(url).query(query);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = self.answer(request)?;
        serde_json::from_str(&answer).with_context(|| format!("{} said {answer}", self.kind.name))
    }

    /// Posts, and wants no answer.
    pub(super) fn post(&self, socket: usize, path: &str, body: &Value) -> Result<()> {
        let url = format!("{}{path}", self.url(socket));
        self.answer(self.client.post(url).json(body)).map(drop)
    }

    fn answer(&self, request: RequestBuilder) -> Result<String> {
        let name = self.kind.name;
        let response = request.send().with_context(|| format!("cannot ask {name}"))?;
        let (status, url) = (response.status(), response.url().clone());
        let text = response.text().with_context(|| format!("{name} broke off"))?;
        if status.is_success() { Ok(text) } else { bail!("{name} said {status} to {url}: {text}") }
    }

    /// Waits for it. Between the choice of a free port and its use somebody else may take it: then it is tried again, elsewhere if it may
    /// move, and in the same place when it is started again there.
    fn becomes_ready(&mut self, may_move: bool) -> Result<()> {
        let deadline = Instant::now() + STARTING;
        loop {
            let ready = self.kind.ready.iter().all(|(socket, path)| {
                let url = format!("{}{path}", self.url(*socket));
                let answer = self.client.get(url).timeout(Duration::from_secs(1)).send();
                answer.is_ok_and(|it| it.status().as_u16() < 500)
            });
            let late = Instant::now() > deadline;
            match self.check() {
                // Alive after it was asked: so it was not somebody else who answered.
                Ok(()) if ready => return Ok(()),
                Ok(()) if late => {
                    let name = self.kind.name;
                    bail!("{name} is not ready after {STARTING:?}; {}", self.last_lines())
                }
                Ok(()) => {}
                Err(_) if !late && self.found_a_port_taken() => {
                    if may_move {
                        self.addresses = addresses(self.kind, Ports::Free)?;
                    }
                    (self.begins, self.child) = self.spawn()?;
                }
                Err(ended) => return Err(ended),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn found_a_port_taken(&self) -> bool {
        let mut text = String::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.begins))?;
            log.read_to_string(&mut text)
        });
        read.is_ok() && text.contains("address already in use")
    }

    fn last_lines(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        format!("the last lines of {}:\n{last}", self.log.display())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- {}: {}", self.kind.name, self.last_lines());
        }
    }
}

/// An address for each socket of a program.
fn addresses(kind: &Kind, ports: Ports) -> Result<Vec<SocketAddr>> {
    let address = |(what, usual): &(&str, u16)| match ports {
        Ports::Usual => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *usual));
            TcpListener::bind(address).map(|_| address).with_context(|| {
                format!(
                    "{} cannot have port {usual} ({what}); end what uses it, or take free ports",
                    kind.name
                )
            })
        }
        Ports::Free => free_address(),
    };
    kind.sockets.iter().map(address).collect()
}

/// One that the system has free, and that nobody in this process got before.
fn free_address() -> Result<SocketAddr> {
    static GIVEN: Mutex<Option<HashSet<SocketAddr>>> = Mutex::new(None);
    loop {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.get_or_insert_default().insert(address) {
            return Ok(address);
        }
    }
}

/// An empty log, which nobody else has.
fn locked(log: &Path) -> Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(log)?;
    file.try_lock().context("another stack uses it")?;
    file.set_len(0)?;
    Ok(file)
}

/// Starts the process; also, where its part of the log begins.
fn spawn(
    kind: &Kind,
    file: &Path,
    addresses: &[SocketAddr],
    data: &Path,
    log: &Path,
    variables: &[(&str, String)],
) -> Result<(u64, Child)> {
    let output = OpenOptions::new().append(true).open(log)?;
    let begins = output.metadata()?.len();
    // It replaces itself by the program, and has the kernel kill that when we end.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(file);
    (kind.configure)(&mut command, addresses, data);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    // Ctrl-C is for us; we end them.
    command.process_group(0).current_dir(data);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let child = spawn_for_all_of_us(command)
        .context("cannot start setpriv (Debian's package util-linux has it)")?;
    Ok((begins, child))
}

/// Starts the process from a thread that ends with this process: the kernel takes the end of the thread that started a child for that of
/// the parent.
fn spawn_for_all_of_us(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, ordered) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in ordered {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, child) = mpsc::channel();
    STARTER.send((command, reply)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

/// A file of this repository.
pub(super) fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// Makes a folder; what was there is gone.
pub(super) fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

/// Writes what `prometheus/generate --fast` makes: the folder `rules` and `alertmanager.yml`, in which minutes are seconds.
pub(super) fn hurry(folder: &Path) -> Result<()> {
    let mut generate = Command::new(shipped("prometheus/generate"));
    let made = generate.arg("--fast").arg(folder).output().context("cannot run generate")?;
    let error = String::from_utf8_lossy(&made.stderr);
    if made.status.success() { Ok(()) } else { bail!("{}", error.trim()) }
}
