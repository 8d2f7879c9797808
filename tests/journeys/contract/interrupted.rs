//! A crash in the middle of an import, and the same file again: nothing twice, nothing lost.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use crate::harness::{App, Shape, eventually};

/// Songs of a file; besides, it has one of them twice, and a row that is none.
const SONGS: u64 = 2_500;
const CRASHES: u64 = 20;

/// When the wallet crashes.
#[derive(Clone, Copy, Debug)]
enum Instant {
    /// After so many bytes of the file were sent.
    Sent(usize),
    /// The catalog has added so many songs, of which the wallet may not know yet.
    Matched(u64),
    /// The wallet has so many in its database.
    Kept(u64),
}

#[test]
fn a_wallet_that_crashes_in_the_middle_of_an_import_resumes_it_by_the_same_file() {
    let mut app = App::start_over(None, Shape::Each, &[]);
    let ada = app.someone("ada");
    let (mut random, mut interrupted) = (0x5eed, 0);
    for crash in 0..CRASHES {
        let file = file(crash);
        let instant = match crash % 3 {
            0 => Instant::Sent(next(&mut random, file.len() as u64) as usize),
            1 => Instant::Matched(1 + next(&mut random, SONGS)),
            _ => Instant::Kept(1 + next(&mut random, SONGS)),
        };
        interrupted += u64::from(!completes(&app, &ada, &file, instant));
        app.kill("wallet");
        app.restart("wallet");
        let again = app.import_library(&ada, file);
        assert_eq!(again.status, 200, "{crash} {instant:?}: {again:?}");
        let count = |name: &str| again.json[name].as_u64().unwrap();
        assert_eq!(count("rows"), SONGS + 2, "{crash} {instant:?}: {again:?}");
        assert_eq!(count("added") + count("already"), SONGS + 1, "{crash} {instant:?}: {again:?}");
        // One more, because the song that is there twice counts, too.
        if let Instant::Kept(rows) = instant {
            assert!(
                count("already") > rows,
                "{crash} {instant:?}: what was kept is lost: {again:?}"
            );
        }
    }
    // A third of them for certain, while their files came; of the others, a busy machine may see some too late.
    assert!(interrupted > CRASHES.div_ceil(3), "only {interrupted} imports were interrupted");

    let export = app.get("/api/export?format=json", &ada).json;
    let mut kept: Vec<_> =
        export.as_array().unwrap().iter().map(|it| it["title"].as_str().unwrap()).collect();
    kept.sort_unstable();
    let all = (0..CRASHES).flat_map(|crash| (0..SONGS).map(move |song| title(crash, song)));
    let mut expected: Vec<String> = all.collect();
    expected.sort_unstable();
    let differs = kept.iter().zip(&expected).find(|(kept, expected)| kept != expected);
    assert_eq!(differs, None);
    assert_eq!(kept.len(), expected.len());
    let songs = app.get("/api/musics/?created_by=ada&limit=1&count=true", &ada);
    assert_eq!(songs.header("total-count"), expected.len().to_string(), "in the catalog");
}

fn title(crash: u64, song: u64) -> String {
    format!("Crash {crash} song {song}")
}

fn file(crash: u64) -> String {
    let rows = (0..SONGS).map(|song| format!("{},The Ferns\n", title(crash, song)));
    let twice = title(crash, 0).to_uppercase();
    format!("title,artist\n,Nobody\n{}{twice},the ferns\n", rows.collect::<String>())
}

/// Below `limit`: xorshift, so that the instants are the same in every run.
fn next(random: &mut u64, limit: u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random % limit
}

/// Imports, and kills the wallet at the instant; whether the import was faster.
fn completes(app: &App, token: &str, file: &str, instant: Instant) -> bool {
    let (service, series, wanted) = match instant {
        Instant::Sent(bytes) => {
            upload(app, token, file, bytes);
            return false;
        }
        Instant::Matched(songs) => {
            ("catalog", "catalog_musics_created_total{source=\"import\"}", songs)
        }
        Instant::Kept(songs) => ("wallet", "wallet_import_rows_total{outcome=\"added\"}", songs),
    };
    let count = || app.metric(service, series).unwrap_or_default() as u64;
    let before = count();
    let reply = thread::scope(|scope| {
        let import = scope.spawn(|| app.import_library(token, file.to_owned()));
        eventually("the import is as far", || {
            let done = count() - before;
            if done >= wanted { Ok(()) } else { Err(format!("{done} of {wanted}")) }
        });
        app.signal("wallet", "KILL");
        import.join().unwrap()
    });
    assert!([200, 503].contains(&reply.status), "{instant:?}: {reply:?}");
    reply.status == 200
}

/// Sends a file, and kills the wallet when so much of it is sent. By hand, because the gateway may answer before the rest has come.
fn upload(app: &App, token: &str, file: &str, until: usize) {
    let address = app.url("gateway", "api");
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /api/import HTTP/1.1\r\nhost: x\r\nauthorization: Token {token}\r\ncontent-type: text/csv\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        file.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&file.as_bytes()[..until]).unwrap();
    app.signal("wallet", "KILL");
    let mut answer = Vec::new();
    if stream.write_all(&file.as_bytes()[until..]).is_ok()
        && stream.read_to_end(&mut answer).is_ok()
    {
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
}
