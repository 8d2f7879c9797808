//! Bad input: a 4xx problem that names field and limit, never a 5xx, never half a change.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use reqwest::Method;
use serde_json::json;

use crate::harness::{App, PASSWORD, Reply, Shape};

fn raw(app: &App, method: Method, path: &str, token: &str, kind: &str, body: Vec<u8>) -> Reply {
    let url = format!("{}{path}", app.url("gateway", "api"));
    let request = app.client().request(method, url).header("content-type", kind);
    // The server closes a connection on which it was sent more than it reads, and does not announce that: no later request may take it.
    let close = if body.len() > 64 << 10 { "close" } else { "keep-alive" };
    let request = request.header("connection", close).body(body);
    Reply::to(request.header("authorization", format!("Token {token}")))
}

fn songs(app: &App, token: &str) -> String {
    app.get("/api/musics/?limit=500&count=true", token).text
}

#[test]
fn every_mistake_of_a_song_is_named_with_its_limit() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let before = songs(&app, &ada);
    let post = |body| app.post("/api/musics/", &ada, body);
    let long = "x".repeat(301);
    let cases = [
        (json!({}), vec!["/title", "/artist"]),
        (json!({"title": "", "artist": "  "}), vec!["/title", "/artist"]),
        (
            json!({"title": long, "artist": long, "album": long}),
            vec!["/title", "/artist", "/album"],
        ),
        (json!({"title": "a", "artist": "b", "duration_ms": -1}), vec!["/duration_ms"]),
        (json!({"title": "a", "artist": "b", "duration_ms": "long"}), vec!["/duration_ms"]),
        (json!({"title": "a", "artist": "b", "owner": 7}), vec!["/owner"]),
        (json!({"title": 7, "artist": "b"}), vec!["/title"]),
        (json!({"title": "a", "artist": null}), vec!["/artist"]),
    ];
    for (body, pointers) in cases {
        let reply = post(body.clone());
        reply.is_problem(400, "invalid-input");
        let mut named = reply.pointers();
        named.sort_by_key(|it| pointers.iter().position(|expected| expected == it));
        assert_eq!(named, pointers, "{body}: {reply:?}");
    }
    let limits = post(json!({"title": long, "artist": "b"}));
    assert_eq!(limits.json["errors"][0]["limit"], json!(300), "{limits:?}");
    assert_eq!(songs(&app, &ada), before);
}

#[test]
fn bodies_that_are_no_json_are_refused() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let before = songs(&app, &ada);
    let post =
        |kind: &str, body: Vec<u8>| raw(&app, Method::POST, "/api/musics/", &ada, kind, body);
    let deep = format!("{{\"title\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for body in [
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{\"title\":\"\xff\xfe\",\"artist\":\"b\"}".to_vec(),
        b"{\"title\":\"a\",\"artist\":\"b\",\"duration_ms\":1e400}".to_vec(),
        b"{\"title\":\"a\",\"artist\":\"b\",\"duration_ms\":NaN}".to_vec(),
        b"{\"title\":\"a\",\"artist\":\"b\",\"duration_ms\":9223372036854775808}".to_vec(),
        deep.into_bytes(),
    ] {
        let reply = post("application/json", body.clone());
        assert_eq!(
            reply.status,
            400,
            "{}: {reply:?}",
            String::from_utf8_lossy(&body[..body.len().min(80)])
        );
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
    let song = b"{\"title\":\"a\",\"artist\":\"b\"}".to_vec();
    assert_eq!(post("text/plain", song).status, 415);
    let large = post("application/json", vec![b' '; 1 << 20]);
    assert_eq!(large.status, 413, "{large:?}");
    assert_eq!(large.json["errors"][0]["limit"], json!(64 << 10), "{large:?}");
    assert_eq!(songs(&app, &ada), before);
}

#[test]
fn wrong_parameters_and_paths_are_client_errors() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e9", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("cursor=%F0%9F%92%A9", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("search=!!!", "search"),
        ("count=perhaps", "count"),
    ] {
        let reply = app.get(&format!("/api/musics/?{query}"), &ada);
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
        assert!(reply.text.contains(named), "{query}: {reply:?}");
    }
    for (query, pointer) in [
        ("artist=%ff", "?artist"),
        ("search=a%ff", "?search"),
        ("genre=%c0%80", "?genre"),
        ("search=%zz", "?search"),
        ("artist=a%00b", "?artist"),
        ("created_by=%ff", "?created_by"),
        ("limit%3D1%26count=true", "?limit=1&count"),
    ] {
        let reply = app.get(&format!("/api/musics/?{query}"), &ada);
        reply.is_problem(400, "invalid-input");
        assert_eq!(reply.pointers(), [pointer], "{query}: {reply:?}");
    }
    for path in [
        "/api/musics/0/",
        "/api/musics/-1/",
        "/api/musics/9223372036854775808/",
        "/api/musics/abc/",
        "/api/musics/%00/",
        "/api/musics/%ff/",
        "/api/musics/..%2f..%2fetc%2fpasswd/",
        "/api/nothing/",
        "/health/ready",
        "/metrics",
        "/api/charts/top",
    ] {
        let reply = app.get(path, &ada);
        assert!([400, 404].contains(&reply.status), "{path}: {reply:?}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
    }
    let reply = app.call(Method::PATCH, "/api/musics/", &ada, Some(json!({})));
    reply.is_problem(405, "method-not-allowed");
    assert!(reply.header("allow").contains("POST"), "{reply:?}");
}

#[test]
fn a_repeated_parameter_is_refused_and_costs_one_call_at_most() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let reply = app.get(&format!("/api/musics/?limit=1{}", "&created_by=ada".repeat(50)), &ada);
    reply.is_problem(400, "invalid-input");
    assert!(reply.pointers().iter().all(|it| *it == "?created_by"), "{reply:?}");
    let metrics = app.internal("accounts", "/metrics").text;
    let calls: Vec<_> = metrics
        .lines()
        .filter(|it| it.starts_with("http_server_request_duration_seconds_count"))
        .filter_map(|it| it.split_once("/users/by-name")?.1.split_once(' '))
        .map(|(_, number)| number)
        .collect();
    assert_eq!(calls, ["1"], "{metrics}");
}

#[test]
fn a_body_that_breaks_off_or_does_not_end_is_a_problem_like_any_other() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let address = app.url("gateway", "api");
    for (method, path) in [
        ("POST", "/api/users/"),
        ("POST", "/api-token-auth/"),
        ("POST", "/api/musics/"),
        ("PATCH", "/api/musics/1/"),
    ] {
        let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Token {ada}\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nno number\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");

        let url = format!("{address}{path}");
        let unending = std::io::repeat(b' ').take((64 << 10) + 1); // no length is told
        let body = reqwest::blocking::Body::new(unending);
        let request = app.client().request(method.parse().unwrap(), url).body(body);
        let request = request.header("content-type", "application/json");
        let large = Reply::to(request.header("authorization", format!("Token {ada}")));
        assert_eq!(large.status, 413, "{path}: {large:?}");
        assert_eq!(large.json["errors"][0]["limit"], json!(64 << 10), "{path}: {large:?}");
    }
}

#[test]
fn names_and_passwords_that_cannot_be_are_refused_with_the_remedy() {
    let app = App::start(Shape::One);
    let sign_up = |username: &str, email: &str, password: &str| {
        app.post(
            "/api/users/",
            "",
            json!({"username": username, "email": email, "password": password}),
        )
    };
    let mail = "a@example.org";
    let (short, long) = ("a".repeat(7), "a".repeat(129));
    for (username, email, password, pointer) in [
        ("", mail, PASSWORD, "/username"),
        ("a b", mail, PASSWORD, "/username"),
        ("zero\u{200b}width", mail, PASSWORD, "/username"),
        (&"n".repeat(151), mail, PASSWORD, "/username"),
        ("ada", "nobody", PASSWORD, "/email"),
        ("ada", mail, short.as_str(), "/password"),
        ("ada", mail, long.as_str(), "/password"),
        ("ada", mail, "password1", "/password"),
    ] {
        let reply = sign_up(username, email, password);
        reply.is_problem(400, "invalid-input");
        assert_eq!(reply.pointers(), [pointer], "{username} {reply:?}");
    }
    assert_eq!(sign_up("Ünal", mail, PASSWORD).status, 201);
    sign_up("u\u{308}nal", mail, PASSWORD).is_problem(409, "username-taken");
    let who = json!({"username": "nobody", "password": PASSWORD});
    let unknown = app.post("/api-token-auth/", "", who);
    let wrong =
        app.post("/api-token-auth/", "", json!({"username": "Ünal", "password": "wrong wrong"}));
    unknown.is_problem(401, "invalid-credentials");
    let body = |reply: &Reply| {
        let mut body = reply.json.clone();
        body["trace_id"] = json!(null);
        body
    };
    assert_eq!(body(&unknown), body(&wrong));
}

#[test]
fn an_import_that_breaks_a_limit_changes_nothing() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let before = songs(&app, &ada);
    let many = format!("title,artist\n{}", "a,b\n".repeat(100_001));
    let reply = app.import(&ada, many);
    assert_eq!(reply.status, 413, "{reply:?}");
    assert_eq!(reply.json["errors"][0]["limit"], json!(100_000), "{reply:?}");
    let large = app.import(&ada, vec![b'x'; (32 << 20) + 1]);
    assert_eq!(large.status, 413, "{}", large.text);
    assert_eq!(large.json["errors"][0]["limit"], json!(32 << 20), "{large:?}");
    assert_eq!(app.import(&ada, b"title,artist\n\xe9t\xe9,b\n".to_vec()).status, 400);
    assert_eq!(app.import(&ada, "name,who\na,b\n").status, 400);
    assert_eq!(app.import(&ada, "").status, 400);
    assert_eq!(songs(&app, &ada), before);
}

#[test]
fn connections_that_waste_time_are_closed_and_others_are_served() {
    let app = App::start(Shape::One);
    let ada = app.someone("ada");
    let address = app.url("gateway", "api");
    let address = address.strip_prefix("http://").unwrap();
    let mut wasters: Vec<TcpStream> = (0..500)
        .map(|n| {
            let mut stream = TcpStream::connect(address).unwrap();
            let bytes: &[u8] = match n % 3 {
                0 => b"",
                1 => b"PRI * HT",
                _ => b"GET /api/musics/ HTTP/1.1\r\nhost: x\r\nx-slow: ",
            };
            stream.write_all(bytes).unwrap();
            stream
        })
        .collect();
    assert_eq!(app.get("/api/musics/?limit=1", &ada).status, 200);
    for stream in &mut wasters {
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
    assert_eq!(app.get("/api/musics/?limit=1", &ada).status, 200);
}
