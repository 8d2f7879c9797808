//! `musicwallet import`: files, pipes, and the sentence where it cannot be done.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::harness::{App, PASSWORD, Shape, binary};

/// `musicwallet import`, which finds these variables and nothing else. Standard input is the end of a pipe that has `given`.
fn import(arguments: &[&str], variables: &[(&str, &str)], given: &str) -> Output {
    let mut command = Command::new(binary());
    command.arg("import").args(arguments).env_clear().envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may well end without having read it.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), given.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn fails(output: &Output, code: i32, told: &[&str]) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for part in told {
        assert!(stderr.contains(part), "{part:?} is missing in: {stderr}");
    }
    stderr
}

#[test]
fn files_and_pipes_are_imported_and_the_report_says_what_became_of_them() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let url = app.url("gateway", "api");
    let variables = [("MUSICWALLET_URL", url.as_str()), ("MUSICWALLET_TOKEN", &ada)];
    let csv = "title,artist\nMoor,Fen\nHeath,Fen\n";
    let file = app.data.path().join("songs.csv");
    fs::write(&file, csv).unwrap();

    let piped = import(&["--musics", "/dev/stdin"], &variables, csv);
    let stdout = String::from_utf8(piped.stdout.clone()).unwrap();
    assert!(piped.status.success(), "{piped:?}");
    assert!(stdout.starts_with("/dev/stdin: 2 rows, 2 added"), "{stdout}");

    fs::write(app.data.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    let password = app.data.path().join("password");
    let again = import(
        &[
            "--musics",
            file.to_str().unwrap(),
            "--username",
            "ada",
            "--password-file",
            password.to_str().unwrap(),
        ],
        &[("MUSICWALLET_URL", &url), ("MUSICWALLET_TOKEN", ""), ("MUSICWALLET_PASSWORD", "")],
        "",
    );
    let stdout = String::from_utf8(again.stdout.clone()).unwrap();
    assert!(again.status.success(), "{again:?}");
    assert!(stdout.contains("2 rows, 0 added, 2 already there"), "{stdout}");

    let directory = app.data.path().to_str().unwrap();
    let told = fails(&import(&["--musics", directory], &variables, ""), 1, &["is a directory"]);
    assert_eq!(told.lines().count(), 1, "{told}");

    let refused = import(&["--musics", "/dev/stdin"], &variables, "title,who\na,b\n");
    let told = fails(&refused, 1, &["(400 Bad Request)"]);
    assert_eq!(told.matches("artist").count(), 1, "the mistake is told once: {told}");
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    let songs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalog/seed.csv");
    let songs = songs.to_str().unwrap();
    let empty = [("MUSICWALLET_TOKEN", ""), ("MUSICWALLET_PASSWORD", "")];
    let nobody = import(&["--musics", songs], &empty, "");
    fails(&nobody, 2, &["--username", "MUSICWALLET_TOKEN"]);
    let mute = import(&["--musics", songs, "--username", "ada"], &empty, "");
    fails(&mute, 2, &["--password-file", "MUSICWALLET_PASSWORD"]);
    for url in ["127.0.0.1:8080", "https://127.0.0.1", "http://u:p@127.0.0.1"] {
        let wrong = import(&["--musics", songs, "--url", url], &[("MUSICWALLET_TOKEN", "t")], "");
        fails(&wrong, 2, &["--url", "http://127.0.0.1:"]);
    }
}
