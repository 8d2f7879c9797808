//! A real PostgreSQL that goes away and comes back, and ways of not getting into it.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    App, Process, Shape,
    databases::{Databases, sql},
    eventually,
};

/// A server of its own, because it is stopped in the middle.
pub(crate) struct Server {
    directory: TempDir,
    port: u16,
    running: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let directory = tempfile::tempdir().unwrap();
        // The server refuses to run as root, and its folder has to be its user's.
        succeeds(Command::new("chown").arg("postgres").arg(directory.path()));
        let data = directory.path().join("data");
        succeeds(
            Server::program("initdb")
                .args(["-A", "trust", "-U", "postgres", "-N", "-D"])
                .arg(&data),
        );
        fs::write(
            data.join("pg_hba.conf"),
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
        )
        .unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Server { directory, port, running: None };
        server.start_again();
        server
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }

    fn program(name: &str) -> Command {
        let folders = fs::read_dir("/usr/lib/postgresql").expect("tests/real/install has it");
        let mut folders: Vec<PathBuf> = folders.map(|it| it.unwrap().path()).collect();
        folders.sort();
        let program = folders.pop().unwrap().join("bin").join(name);
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub(crate) fn start_again(&mut self) {
        let mut command = Server::program("postgres");
        command.arg("-D").arg(self.directory.path().join("data"));
        command.arg("-k").arg(self.directory.path()).args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        self.running = Some(command.spawn().unwrap());
        let url = self.url();
        eventually("the server answers", || {
            let ready =
                Command::new("psql").args(["-qXAtc", "SELECT 1", "-d", &url]).output().unwrap();
            if ready.status.success() { Ok(()) } else { Err("not yet") }
        });
    }

    /// The fast shutdown: connections are ended, transactions rolled back.
    pub(crate) fn stop(&mut self) {
        self.signal("INT");
        self.running.take().unwrap().wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        let path = self.directory.path().join("data/postmaster.pid");
        let text = fs::read_to_string(path).unwrap();
        let id = text.lines().next().unwrap();
        succeeds(Command::new("kill").args([&format!("-{name}"), id]));
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) fn sql(&self, statement: &str) -> String {
        sql(&self.url(), &[statement])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            self.signal("QUIT"); // at once: nothing is kept
            let _ = running.wait();
        }
    }
}

fn succeeds(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

fn is_ready(catalog: &Process) -> bool {
    let Some(address) = catalog.find("catalog", "internal") else { return false };
    let asked = reqwest::blocking::get(format!("http://{address}/health/ready"));
    asked.is_ok_and(|reply| reply.status() == 200)
}

/// No answer may take longer: the gateway's calls have 2 s in all.
const LONGEST: Duration = Duration::from_secs(4);

#[test]
fn while_the_server_is_stopped_requests_are_503_and_afterwards_all_is_well_without_a_restart() {
    let mut server = Server::start();
    for shape in [Shape::One, Shape::Each] {
        let app = App::start_over(Some(Databases::on(server.url())), shape, &[]);
        let ada = app.someone("ada");
        let song = app.post("/api/musics/", &ada, json!({"title": "Stay", "artist": "Moss"}));
        assert_eq!(song.status, 201, "{song:?}");
        server.stop();
        let stopped = Instant::now();
        let mut answers = 0;
        while stopped.elapsed() < Duration::from_secs(4) {
            for request in 0..3 {
                let begun = Instant::now();
                let reply = match request {
                    0 => app.get(song.header("location"), &ada),
                    1 => app.get("/api/musics/?search=stay", &ada),
                    _ => app.post("/api/musics/", &ada, json!({"title": "Go", "artist": "Moss"})),
                };
                assert_eq!(reply.status, 503, "{reply:?}");
                assert!(!reply.header("retry-after").is_empty(), "{reply:?}");
                assert!(begun.elapsed() < LONGEST, "{:?}", begun.elapsed());
                answers += 1;
            }
        }
        assert!(answers >= 3);
        server.start_again();
        let read = eventually("songs are read again", || {
            let reply = app.get(song.header("location"), &ada);
            if reply.status == 200 { Ok(reply) } else { Err(format!("{reply:?}")) }
        });
        assert_eq!(read.json, song.json);
        let again = app.post("/api/musics/", &ada, json!({"title": "Back", "artist": "Moss"}));
        assert_eq!(again.status, 201, "{again:?}");
    }
}

/// A network between program and server. What is on its way when it is cut never arrives, and nobody learns of it.
struct Network {
    port: u16,
    cuts: Arc<AtomicUsize>,
    whole: Arc<AtomicBool>,
}

impl Network {
    fn before(server: u16) -> Network {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Network { port, cuts: Arc::default(), whole: Arc::new(true.into()) };
        let (cuts, whole) = (network.cuts.clone(), network.whole.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let made = cuts.load(Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                for (mut from, mut to) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    let (cuts, whole) = (cuts.clone(), whole.clone());
                    thread::spawn(move || {
                        let mut bytes = [0; 1 << 14];
                        while let Ok(read @ 1..) = from.read(&mut bytes) {
                            // Swallowed: by a cut since the connection was made, or while there is none.
                            let lost = cuts.load(Ordering::SeqCst) != made
                                || !whole.load(Ordering::SeqCst);
                            if !lost && to.write_all(&bytes[..read]).is_err() {
                                break;
                            }
                        }
                    });
                }
            }
        });
        network
    }

    fn cut(&self) {
        self.whole.store(false, Ordering::SeqCst);
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.whole.store(true, Ordering::SeqCst);
    }
}

#[test]
fn after_a_cut_of_which_nobody_learns_connections_are_given_up_and_made_anew() {
    let server = Server::start();
    let network = Network::before(server.port);
    let mut databases = Databases::on(server.url());
    let folder = tempfile::tempdir().unwrap();
    let settings = databases.create("CATALOG", folder.path());
    let (direct, detour) = (format!(":{}/", server.port), format!(":{}/", network.port));
    let settings = settings.map(|(name, value)| (name, value.replace(&direct, &detour)));
    let settings = settings.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
    let app = App::start_over(None, Shape::One, &settings);
    let ada = app.someone("ada");
    let add = || {
        let begun = Instant::now();
        let reply = app.post("/api/musics/", &ada, json!({"title": "Moor", "artist": "Fen"}));
        (reply.status, begun.elapsed())
    };
    assert_eq!(add().0, 201);
    // The table is locked, so that every connection is in the middle of a statement when the network is cut.
    let superuser = settings[0].1.rsplit_once('/').unwrap().1;
    let superuser = format!("{}/{superuser}", server.url().rsplit_once('/').unwrap().0);
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'catalog' AND wait_event_type = 'Lock'";
    thread::scope(|scope| {
        scope.spawn(|| sql(&superuser, &["BEGIN", "LOCK musics", "SELECT pg_sleep(2)", "COMMIT"]));
        eventually("the table is locked", || {
            let text = "SELECT count(*) FROM pg_locks WHERE relation = 'musics'::regclass AND mode = 'AccessExclusiveLock'";
            if sql(&superuser, &[text]) == "1" { Ok(()) } else { Err("not yet") }
        });
        for _ in 0..16 {
            scope.spawn(|| {
                let (status, time) = add();
                assert!(status == 503 && time < LONGEST, "{status} {time:?}");
            });
        }
        eventually("all connections wait", || {
            let waiting = server.sql(busy);
            if waiting == "8" { Ok(()) } else { Err(waiting) }
        });
        network.cut();
    });
    network.mend();
    let mended = Instant::now();
    eventually("songs are added again", || if add().0 == 201 { Ok(()) } else { Err("not yet") });
    assert!(mended.elapsed() < Duration::from_secs(10), "{:?}", mended.elapsed());
}

#[test]
fn when_connections_are_ended_no_more_requests_fail_than_were_in_flight() {
    const CLIENTS: usize = 4;
    let server = Server::start();
    let app = App::start_over(Some(Databases::on(server.url())), Shape::One, &[]);
    let ada = app.someone("ada");
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask = || {
        let mut failures = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let reply = app.get("/api/musics/?limit=5", &ada);
            answers.fetch_add(1, Ordering::Relaxed);
            if reply.status != 200 {
                failures.push(format!("{} {}", reply.status, reply.json["type"]));
            }
        }
        failures
    };
    // So that connections are fresh.
    let are_busy = || {
        let so_far = answers.load(Ordering::Relaxed);
        eventually("requests are answered", || {
            let more = answers.load(Ordering::Relaxed) - so_far;
            if more > 10 * CLIENTS { Ok(()) } else { Err(more) }
        });
    };
    for service in ["catalog", "accounts", "catalog"] {
        stop.store(false, Ordering::Relaxed);
        let failures = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
            are_busy();
            let ended = server.sql(&format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{service}'"
            ));
            assert!(ended.parse::<u32>().unwrap() >= 1, "{ended}");
            are_busy();
            stop.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|it| it.join().unwrap()).collect::<Vec<String>>()
        });
        assert!(failures.len() <= CLIENTS, "{service}: {failures:?}");
        assert!(failures.iter().all(|it| it.starts_with("503")), "{failures:?}");
        assert_eq!(app.get("/api/musics/", &ada).status, 200);
    }
}

#[test]
fn each_way_of_not_getting_in_is_one_sentence_with_the_setting_and_the_remedy() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let mut databases = Databases::on(server.url());
    let [(_, url), (_, password)] = databases.create("CATALOG", directory.path());
    let wrong = directory.path().join("wrong");
    fs::write(&wrong, "canary-wrong").unwrap();
    let wrong = wrong.to_str().unwrap();
    let (place, name) = url.rsplit_once('/').unwrap();
    let refuses = |url: &str, password: &str, code: i32, told: &[&str]| {
        for arguments in [&["serve", "catalog"][..], &["migrate"]] {
            let settings =
                [("CATALOG_DATABASE", url), ("CATALOG_DATABASE_PASSWORD_FILE", password)];
            let process = Process::launch(arguments, directory.path(), &settings);
            let (status, stdout, stderr) = process.end();
            assert_eq!(status, Some(code), "{stderr}");
            for part in told.iter().chain(&["CATALOG_DATABASE"]) {
                assert!(stderr.contains(part), "{part:?} is missing in: {stderr}");
            }
            assert!(!stderr.contains("panicked"), "{stderr}");
            assert!(!stderr.contains("canary") && !stdout.contains("canary"), "{stdout}{stderr}");
        }
    };
    refuses(&url, wrong, 3, &["does not let", "CATALOG_DATABASE_PASSWORD_FILE"]);
    refuses(&url, "/nowhere/it/is", 2, &["cannot be read", "/nowhere/it/is"]);
    let in_url = url.replacen('@', ":canary@", 1);
    refuses(&in_url, "", 3, &["does not let"]);
    let superuser = server.url();
    let missing = format!("{}/nothing_there", superuser.rsplit_once('/').unwrap().0);
    refuses(&missing, "", 3, &["there is no database", "CREATE DATABASE"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("postgres://ada:canary@127.0.0.1:{free}/{name}");
    refuses(&nobody, "", 3, &["cannot be reached", "start it"]);
    let socket = format!("postgres://ada@localhost/{name}?host=/nowhere");
    refuses(&socket, "", 3, &["cannot be reached"]);
    let encrypted = format!("postgres://ada:canary@127.0.0.1:{free}/{name}?sslmode=require");
    refuses(&encrypted, "", 2, &["demands TLS"]);

    let superuser = format!("{}/{name}", superuser.rsplit_once('/').unwrap().0);
    sql(&superuser, &["CREATE TABLE bookmarks (url TEXT)"]);
    refuses(&url, &password, 3, &["belongs to another program", place]);
    sql(&superuser, &["DROP TABLE bookmarks"]);
    let settings = [("CATALOG_DATABASE", &*url), ("CATALOG_DATABASE_PASSWORD_FILE", &*password)];
    for told in ["version 1 (1 musics)", "version 1 (nothing to do)"] {
        let (code, stdout, stderr) =
            Process::launch(&["migrate"], directory.path(), &settings).end();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains(&format!("{url}: {told}")), "{stdout}");
    }
    sql(&superuser, &["UPDATE _sqlx_migrations SET checksum = 'x'"]);
    refuses(&url, &password, 3, &["made by another build"]);
    sql(&superuser, &["UPDATE _sqlx_migrations SET version = 1000"]);
    refuses(&url, &password, 3, &["comes from a newer MusicWallet"]);
    sql(&superuser, &["DROP TABLE _sqlx_migrations", "DROP TABLE musics, milestones"]);
    sql(&superuser, &[&format!("ALTER DATABASE {name} OWNER TO postgres")]);
    sql(&superuser, &[&format!("GRANT CONNECT ON DATABASE {name} TO {name}")]);
    refuses(&url, &password, 3, &["may not do", "owner"]);

    let shown = Process::launch(&["config", "--catalog-database", &in_url], directory.path(), &[]);
    let (_, shown, _) = shown.end();
    assert!(shown.contains(":***@") && !shown.contains("canary"), "{shown}");
}

#[test]
fn two_programs_that_start_at_once_on_a_new_database_both_serve_and_plant_once() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let mut databases = Databases::on(server.url());
    let settings = databases.create("CATALOG", directory.path());
    let mut settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    settings.push(("CATALOG_SEED", "true"));
    let launch = || Process::launch(&["serve", "catalog"], directory.path(), &settings);
    let mut programs = [launch(), launch(), launch()];
    let url = settings[0].1.rsplit_once('/').unwrap();
    let superuser = format!("{}/{}", server.url().rsplit_once('/').unwrap().0, url.1);
    eventually("all of them serve", || {
        let ready = programs.iter().filter(|it| is_ready(it)).count();
        if ready == 3 { Ok(()) } else { Err(format!("{ready} are ready")) }
    });
    assert_eq!(sql(&superuser, &["SELECT count(*) FROM musics"]), "40");
    for program in &mut programs {
        assert!(program.terminate().success());
    }
}
