//! Texts that would be statements, patterns or markup somewhere else (S12, S19): here they are texts, in every field and parameter.

use serde_json::{Value, json};

use super::World;
use crate::harness::{PASSWORD, Reply};

const CORPUS: [&str; 20] = [
    "' OR '1'='1",
    "' OR 1=1 --",
    "\" OR \"\"=\"",
    "'; DROP TABLE musics; --",
    "1; DELETE FROM users",
    "x') UNION SELECT password_hash FROM users --",
    "\\'; SELECT pg_sleep(10); --",
    "$1",
    "?1",
    ":name",
    "%' AND 1=1 AND '%'='",
    "_%_%",
    "a* OR title:b NEAR(c d)",
    "\"unbalanced",
    ") OR (1=1",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "=HYPERLINK(\"http://evil.example\")",
    "../../etc/passwd",
    "\u{202e}evil\u{200b}",
];

#[test]
fn a_text_that_is_a_statement_elsewhere_is_kept_or_refused_and_does_nothing() {
    let world = World::start();
    let before = world.belongings();
    for text in CORPUS {
        let song = json!({"title": text, "artist": text, "album": text, "genre": text});
        let written = [
            world.by(&world.ben, world.bare(world.operation("POST /api/musics")).json(&song)),
            world.by(
                &world.ben,
                world.bare(world.operation("POST /api/tokens")).json(&json!({"name": text})),
            ),
        ];
        for reply in &written {
            is_kept_or_refused(reply, text);
        }
        for name in ["PATCH /api/users/{id}", "POST /api/users"] {
            let (username, email) = (json!(text), json!(format!("{text}@example.org")));
            for body in [
                json!({"username": username, "email": "e@example.org", "password": PASSWORD}),
                json!({"username": "e", "email": email, "password": ""}),
            ] {
                let reply = world.by(&world.ada, world.bare(world.operation(name)).json(&body));
                assert_eq!(reply.status, 400, "{name} {body}: {reply:?}");
            }
        }
        let csv = format!("title,artist\n\"{0}\",\"{0}\"\n", text.replace('"', "\"\""));
        let file = world.bare(world.operation("POST /api/import"));
        let report = world.by(&world.ben, file.header("content-type", "text/csv").body(csv));
        assert_eq!((report.status, &report.json["rows"]), (200, &json!(1)), "{text}: {report:?}");
        assert_eq!(world.belongings(), before, "{text}");
    }
    // A name of nobody proves nothing, whatever it says; three are few enough for this address.
    for text in &CORPUS[..3] {
        let who = json!({"username": text, "password": text});
        world.app.post("/api-token-auth/", "", who).is_problem(401, "invalid-credentials");
    }
    assert_eq!(people(&world), 2);
    world.nothing_was_told();
}

/// What was written comes back as it was, or was refused as input.
#[track_caller]
fn is_kept_or_refused(reply: &Reply, text: &str) {
    if reply.status == 201 {
        for field in ["title", "artist", "album", "genre", "name"] {
            let kept = reply.json.get(field);
            assert!(kept.is_none_or(|it| it == text), "{text}: {reply:?}");
        }
    } else {
        reply.is_problem(400, "invalid-input");
    }
}

#[test]
fn a_parameter_that_is_a_statement_elsewhere_finds_what_is_called_so() {
    let world = World::start();
    let before = world.belongings();
    let reading: Vec<_> = world.operations.iter().filter(|it| !it.parameters.is_empty()).collect();
    assert!(reading.iter().map(|it| it.parameters.len()).sum::<usize>() > 10, "{reading:?}");
    for operation in reading {
        for parameter in operation.parameters.iter().map(String::as_str).chain(["unknown"]) {
            for text in CORPUS {
                let request = world.bare(operation).query(&[(parameter, text)]);
                let reply = world.by(&world.ben, request);
                let name = operation.name();
                // All but Ada's song are ours, and nothing is called like one of these.
                let nothing = reply.status == 200 && finds_nothing(&reply.json, parameter);
                assert!(nothing || reply.status == 400, "{name} {parameter}={text}: {reply:?}");
                if reply.status == 400 {
                    reply.is_problem(400, "invalid-input");
                    assert_eq!(reply.pointers(), [format!("?{parameter}")], "{reply:?}");
                }
            }
        }
    }
    for text in CORPUS.iter().filter(|it| !it.contains('/')) {
        for route in ["/api/musics/", "/api/users/", "/api/tokens/"] {
            let mut url = reqwest::Url::parse(&world.app.url("gateway", "api")).unwrap();
            url.set_path(&format!("{route}1 {text}"));
            let reply = world.by(&world.ben, world.app.client().delete(url));
            assert!([400, 404].contains(&reply.status), "{route} {text}: {reply:?}");
        }
    }
    assert_eq!(world.belongings(), before);
    assert_eq!(people(&world), 2);
    world.nothing_was_told();
}

/// Search looks for beginnings of words, and the corpus has such words as "a"; whole names find nothing.
fn finds_nothing(answer: &Value, parameter: &str) -> bool {
    answer.as_array().is_some_and(|it| it.is_empty() || parameter == "search")
}

fn people(world: &World) -> usize {
    world.app.get("/api/users/", &world.ada).json.as_array().unwrap().len()
}
