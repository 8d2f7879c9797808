//! Which routes there are (S15), and that nothing else of the services can be reached through the gateway.

use std::collections::BTreeSet;

use reqwest::Method;

use super::{World, operations};

/// What is served and not in the document: the document itself, and the page that shows it.
const BESIDE_THE_DOCUMENT: [&str; 4] =
    ["/openapi.json", "/docs", "/docs/index.html", "/docs/swagger-ui.css"];

/// Of every service's internal port, and what such things are called elsewhere.
const INTERNAL: [&str; 12] = [
    "/metrics",
    "/health",
    "/health/live",
    "/health/ready",
    "/health/startup",
    "/livez",
    "/readyz",
    "/debug/pprof",
    "/internal",
    "/admin",
    "/api/metrics",
    "/api/admin",
];

#[test]
fn every_route_of_the_document_is_served_and_with_no_other_method() {
    let world = World::start();
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let routes: BTreeSet<_> = world.operations.iter().map(|it| it.route.clone()).collect();
    assert!(routes.len() > 10, "{routes:?}");
    for route in routes {
        let one = world.operations.iter().find(|it| it.route == route).unwrap();
        for method in methods {
            let mut asked = one.clone();
            asked.method = method.parse().unwrap();
            // Nobody is signed in: a route that wants nobody to be answers by its own refusal.
            let reply = world.send(world.bare(&asked));
            let named = world.operations.iter().find(|it| it.name() == asked.name());
            match named {
                Some(it) if it.open => assert_eq!(reply.status, 415, "{}: {reply:?}", it.name()),
                Some(_) => _ = reply.is_problem(401, "not-signed-in"),
                None => {
                    reply.is_problem(405, "method-not-allowed");
                    assert!(!reply.header("allow").contains(method), "{method} {route}: {reply:?}");
                }
            }
        }
    }
    for path in BESIDE_THE_DOCUMENT {
        assert_eq!(world.app.get(path, "").status, 200, "{path}");
        let written = world.app.call(Method::POST, path, &world.ada, None);
        assert_eq!(written.status, 405, "{path}: {written:?}");
    }
    world.nothing_was_told();
}

#[test]
fn what_is_internal_cannot_be_reached_through_the_gateway() {
    let world = World::start();
    let public: BTreeSet<_> = world.operations.iter().map(|it| it.route.clone()).collect();
    let mut paths: BTreeSet<String> = INTERNAL.iter().map(|&it| it.to_owned()).collect();
    for service in ["accounts", "catalog", "wallet"] {
        let document = world.app.open(&format!("{}/openapi.json", world.app.url(service, "api")));
        let inside = operations(&document.json);
        assert!(!inside.is_empty(), "{document:?}");
        for route in inside.into_iter().map(|it| it.route).filter(|it| !public.contains(it)) {
            let path = route.replace("{id}", "1").replace("{music_id}", "1");
            paths.extend([format!("/{service}{path}"), format!("/api/../{path}"), path]);
        }
    }
    assert!(paths.contains("/credentials/exchange"), "{paths:?}");
    for path in paths {
        for spelt in [path.clone(), format!("{path}/"), format!("/{path}")] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let url = format!("{}{spelt}", world.app.url("gateway", "api"));
                let reply = world.by(&world.ada, world.app.client().request(method, url));
                assert_eq!(reply.status, 404, "{spelt}: {reply:?}");
                reply.is_problem(404, "not-found");
            }
        }
    }
    world.nothing_was_told();
}
