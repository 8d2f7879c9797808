//! What another site can make a signed-in browser do (S5): nothing.

use serde_json::{Value, json};

use super::World;
use crate::harness::PASSWORD;

#[test]
fn no_unsafe_operation_believes_a_cookie_without_proof_of_the_same_origin() {
    let world = World::start();
    let cookie = world.session("ada");
    let own = world.app.url("gateway", "api");
    let (longer, subdomain) = (format!("{own}.evil.example"), own.replace("//", "//evil."));
    let forged: [&[(&str, &str)]; 11] = [
        &[],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "http://evil.example")],
        &[("origin", &longer)],
        &[("origin", &subdomain)],
        &[("origin", "http://127.0.0.1")],
        &[("referer", &own)],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("sec-fetch-site", "none")],
    ];
    let before = world.belongings();
    let guarded = world.operations.iter().filter(|it| it.is_unsafe() && !it.open);
    assert!(guarded.clone().count() > 10);
    for operation in guarded {
        for proof in forged {
            let mut request = world.bare(operation).header("cookie", &cookie);
            request = match operation.body.as_deref() {
                Some("text/csv") => request.header("content-type", "text/csv").body("title\n"),
                Some(_) => request.json(&world.body(&operation.name())),
                None => request,
            };
            for (name, value) in proof {
                request = request.header(*name, *value);
            }
            let reply = world.send(request);
            assert_eq!(reply.status, 403, "{} {proof:?}: {reply:?}", operation.name());
            reply.is_problem(403, "cross-origin");
        }
    }
    assert_eq!(world.belongings(), before);
    // The session is good: what proves its origin is let in, and reading needs no proof.
    for name in ["POST /api/tokens", "GET /api/users/{id}"] {
        let request = world.bare(world.operation(name)).header("cookie", &cookie);
        let request = if name.starts_with("GET") {
            request
        } else {
            request.header("origin", &own).json(&world.body(name))
        };
        let reply = world.send(request);
        assert!([200, 201].contains(&reply.status), "{reply:?}");
    }
    world.nothing_was_told();
}

/// A browser adds a cookie by itself, but never one of these.
#[test]
fn what_a_program_puts_into_the_header_needs_no_proof() {
    let world = World::start();
    let cookie = world.session("ada");
    for operation in world.operations.iter().filter(|it| it.is_unsafe() && !it.open) {
        let request = || {
            // Ben, at what is Ada's: whatever he is answered, it is not about where it came from.
            let request = world.bare(operation).header("cookie", &cookie);
            request.header("origin", "http://evil.example").header("sec-fetch-site", "cross-site")
        };
        let (token, bearer) =
            (world.by(&world.ben, request()), world.send(request().bearer_auth(&world.ben)));
        let basic = world.send(request().basic_auth("ben", Some(PASSWORD)));
        for reply in [&token, &bearer, &basic] {
            let kind = &reply.json["type"];
            assert_ne!(kind, "/problems/cross-origin", "{}: {reply:?}", operation.name());
            assert_ne!(reply.status, 401, "{}: {reply:?}", operation.name());
            assert_eq!(reply.status, token.status, "{}: {reply:?}", operation.name());
        }
    }
    world.nothing_was_told();
}

/// Signing in and up needs no cookie, but no page of another site can do it either: a form has none of the types that are taken, and for
/// JSON a browser asks first, which nobody answers.
#[test]
fn a_form_of_another_site_signs_nobody_in_or_up() {
    let world = World::start();
    for operation in world.operations.iter().filter(|it| it.open) {
        let body = world.body(&operation.name()).to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let request = world.bare(operation).header("content-type", kind);
            let reply = world.send(request.body(body.clone()));
            assert_eq!(reply.status, 415, "{} {kind}: {reply:?}", operation.name());
        }
        let mut asking = operation.clone();
        asking.method = reqwest::Method::OPTIONS;
        let asked = world.bare(&asking).header("origin", "http://evil.example");
        let asked = asked.header("access-control-request-method", operation.method.as_str());
        let reply = world.send(asked.header("access-control-request-headers", "content-type"));
        let allowed = reply.headers.keys().filter(|it| it.as_str().starts_with("access-control"));
        assert_eq!(allowed.count(), 0, "{reply:?}");
    }
    let users = world.app.get("/api/users/", &world.ada).json;
    let names: Vec<&Value> = users.as_array().unwrap().iter().map(|it| &it["username"]).collect();
    assert_eq!(names, [&json!("ada"), &json!("ben")]);
    world.nothing_was_told();
}
