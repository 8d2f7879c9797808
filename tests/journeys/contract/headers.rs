//! The headers that protect (S14): the same ones on every answer of every route, whoever asks and whatever comes out.

use reqwest::Method;

use super::World;
use crate::harness::Reply;

/// Of every answer of the API.
const API: [(&str, &str); 5] = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
];
/// The page of the document has scripts, and styles in its elements.
const PAGE: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
                    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What an answer has of the headers that matter to a browser: those of [`API`], and what tells others about us or lets them in.
fn snapshot(reply: &Reply) -> Vec<(&str, &str)> {
    let matters = |name: &str| {
        API.iter().any(|(protecting, _)| *protecting == name)
            || name.starts_with("access-control-")
            || ["server", "via", "x-powered-by"].contains(&name)
    };
    let mut found: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| matters(name.as_str()))
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn every_answer_has_the_headers_that_protect() {
    let world = World::start();
    // What removes Ada comes last, so that her routes have answers until then.
    let (removing, others): (Vec<_>, Vec<_>) =
        world.operations.iter().partition(|it| it.method == Method::DELETE);
    for operation in others.into_iter().chain(removing) {
        let refused = world.send(world.request(operation));
        let answered = world.by(&world.ada, world.request(operation));
        if !operation.open {
            assert_eq!(refused.status, 401, "{refused:?}");
        }
        for reply in [&refused, &answered] {
            assert_eq!(snapshot(reply), API, "{}: {reply:?}", operation.name());
            for name in ["traceresponse", "x-trace-id", "x-request-id"] {
                assert!(!reply.header(name).is_empty(), "{}: {reply:?}", operation.name());
            }
        }
    }
    let get = |path: &str| world.app.get(path, "");
    let nothing = get("/nothing");
    let document = get("/openapi.json");
    let method = world.app.call(Method::PATCH, "/api/musics/", "", None);
    let long = get(&format!("/api/musics/?search={}", "x".repeat(9_000)));
    let large = world.app.post("/api/users/", "", serde_json::json!("x".repeat(70_000)));
    for (status, reply) in
        [(404, &nothing), (200, &document), (405, &method), (414, &long), (413, &large)]
    {
        assert_eq!(reply.status, status, "{reply:?}");
        assert_eq!(snapshot(reply), API, "{reply:?}");
    }
    for path in ["/docs", "/docs/index.html", "/docs/swagger-ui.css"] {
        let mut expected = API;
        expected[1].1 = PAGE;
        assert_eq!(snapshot(&get(path)), expected, "{path}");
    }
    world.nothing_was_told();
}
