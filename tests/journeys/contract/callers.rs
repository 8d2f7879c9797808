//! Who may do what (S3): every route and every kind of caller. An operator has no routes; credentials that are too old are in the tests of
//! accounts, which can age them.

use reqwest::{Method, blocking::RequestBuilder};
use serde_json::json;

use super::World;
use crate::harness::{PASSWORD, eventually};

/// For each operation at what Ada has: what those are answered who prove nothing, what Ben is, what Ada is. In this order, so that what
/// is to be deleted is there before.
const TABLE: [(&str, [u16; 3]); 22] = [
    ("POST /api-token-auth", [200, 200, 200]),
    ("POST /api/session", [200, 200, 200]),
    ("POST /api/users", [201, 201, 201]),
    ("GET /api/users", [401, 200, 200]),
    ("GET /api/users/{id}", [401, 200, 200]),
    ("GET /api/users/{id}/favourites", [401, 200, 200]),
    ("GET /api/musics", [401, 200, 200]),
    ("GET /api/musics/{id}", [401, 200, 200]),
    // One's own, whoever one is.
    ("GET /api/tokens", [401, 200, 200]),
    ("POST /api/tokens", [401, 201, 201]),
    ("GET /api/export", [401, 200, 200]),
    ("POST /api/import", [401, 200, 200]),
    ("POST /api/musics", [401, 201, 201]),
    ("POST /api/musics/import", [401, 200, 200]),
    // Nobody but the owner.
    ("PUT /api/musics/{id}", [401, 403, 200]),
    ("PATCH /api/musics/{id}", [401, 403, 200]),
    ("POST /api/users/{id}/add_fav_music", [401, 403, 200]),
    ("DELETE /api/users/{id}/remove_fav_music", [401, 403, 200]),
    ("DELETE /api/musics/{id}", [401, 403, 204]),
    ("DELETE /api/tokens/{id}", [401, 404, 204]),
    ("PATCH /api/users/{id}", [401, 403, 200]),
    // Ends every other token.
    ("PUT /api/users/{id}", [401, 403, 200]),
];
/// These have tests of their own: one is about the session by which one came, the other leaves nobody to ask.
const APART: [&str; 2] = ["DELETE /api/session", "DELETE /api/users/{id}"];

#[test]
fn every_operation_answers_every_kind_of_caller_as_the_table_says() {
    let world = World::start();
    the_table_is_whole(&world);
    let strangers = strangers(&world);
    for (name, [stranger, other, owner]) in TABLE {
        let operation = world.operation(name);
        let before = world.belongings();
        for (who, credential) in &strangers {
            let reply = world.send(credential(world.request(operation)));
            assert_eq!(reply.status, stranger, "{name} by {who}: {reply:?}");
            if stranger == 401 {
                let nobody = *who == "nobody";
                reply.is_problem(401, if nobody { "not-signed-in" } else { "invalid-credentials" });
            }
        }
        let by_ben = world.by(&world.ben, world.request(operation));
        assert_eq!(by_ben.status, other, "{name} by Ben: {by_ben:?}");
        assert_eq!(world.belongings(), before, "{name} by somebody else changed what Ada has");
        let by_ada = world.by(&world.ada, world.request(operation));
        assert_eq!(by_ada.status, owner, "{name} by Ada: {by_ada:?}");
    }
    world.nothing_was_told();
}

fn the_table_is_whole(world: &World) {
    let mut rows: Vec<String> =
        TABLE.iter().map(|(name, _)| *name).chain(APART).map(str::to_owned).collect();
    let mut operations: Vec<String> = world.operations.iter().map(|it| it.name()).collect();
    rows.sort();
    operations.sort();
    assert_eq!(rows, operations, "the table has a row for each operation of the document");
}

type Credential = Box<dyn Fn(RequestBuilder) -> RequestBuilder>;

/// Everybody who proves nothing, or nothing any more.
fn strangers(world: &World) -> Vec<(&'static str, Credential)> {
    let app = &world.app;
    let header = |value: String| -> Credential {
        world.keep_secret(value.split_once(' ').unwrap().1);
        Box::new(move |request| request.header("authorization", value.clone()))
    };
    let token = |token: &str| header(format!("Token {token}"));
    let made = app.post("/api/tokens/", &world.ada, json!({"name": "lost"}));
    let revoked = made.json["token"].as_str().unwrap().to_owned();
    let path = format!("/api/tokens/{}/", made.json["id"]);
    assert_eq!(app.call(Method::DELETE, &path, &world.ada, None).status, 204);

    let deleted = app.someone("cleo");
    assert_eq!(app.call(Method::DELETE, "/api/users/3/", &deleted, None).status, 204);

    let (before, now) = (app.someone("dora"), app.token("dora"));
    let new = json!({"password": "eight calm herons wade"});
    assert_eq!(app.call(Method::PATCH, "/api/users/4/", &now, Some(new)).status, 200);

    let session = world.session("ada");
    let out = world.bare(world.operation("DELETE /api/session"));
    let out = out.header("cookie", &session).header("sec-fetch-site", "same-origin");
    assert_eq!(world.send(out).status, 204);

    let assertion = assertion(world);
    let strangers: Vec<(_, Credential)> = vec![
        ("nobody", Box::new(|request| request)),
        ("a token that was never given", token("trk_000000000000000000000000000000000000")),
        ("a token that was revoked", token(&revoked)),
        ("a token of somebody who is gone", token(&deleted)),
        ("a token of before a new password", token(&before)),
        ("a session that is over", Box::new(move |it| it.header("cookie", session.clone()))),
        ("a service's assertion", header(format!("Bearer {assertion}"))),
    ];
    let reading = world.operation("GET /api/users");
    for (who, credential) in &strangers {
        eventually(&format!("{who} counts for nothing"), || {
            let reply = world.send(credential(world.request(reading)));
            if reply.status == 401 { Ok(()) } else { Err(format!("{reply:?}")) }
        });
    }
    strangers
}

/// One that a service believes, as who can ask accounts may get it.
fn assertion(world: &World) -> String {
    let exchange = format!("{}/credentials/exchange", world.app.url("accounts", "api"));
    let credential = json!({"authorization": format!("Token {}", world.ada)});
    let reply = world.send(world.app.client().post(exchange).json(&credential));
    let assertion = reply.json["assertion"].as_str().unwrap_or_else(|| panic!("{reply:?}"));
    let inside = world.app.client().get(format!("{}/musics", world.app.url("catalog", "api")));
    assert_eq!(world.send(inside.bearer_auth(assertion)).status, 200, "inside, it counts");
    assertion.to_owned()
}

#[test]
fn a_session_ends_by_nobody_but_itself() {
    let world = World::start();
    let (ada, ben) = (world.session("ada"), world.session("ben"));
    let out = world.operation("DELETE /api/session");
    let with = |cookie: &str| {
        world.send(world.bare(out).header("cookie", cookie).header("sec-fetch-site", "same-origin"))
    };
    let read = |cookie: &str| {
        let request = world.bare(world.operation("GET /api/users/{id}"));
        world.send(request.header("cookie", cookie))
    };
    world.send(world.bare(out)).is_problem(401, "not-signed-in");
    for token in [&world.ada, &world.ben] {
        world.by(token, world.bare(out)).is_problem(404, "session-not-found");
    }
    assert_eq!(with(&ben).status, 204);
    eventually("Ben's is over", || {
        let reply = read(&ben);
        if reply.status == 401 { Ok(()) } else { Err(format!("{reply:?}")) }
    });
    assert_eq!(read(&ada).json["email"], json!("ada@example.org"), "Ada's goes on, and is hers");
    world.nothing_was_told();
}

#[test]
fn an_account_is_deleted_by_nobody_but_its_owner() {
    let world = World::start();
    let delete = world.operation("DELETE /api/users/{id}");
    let before = world.belongings();
    world.send(world.request(delete)).is_problem(401, "not-signed-in");
    world.by(&assertion(&world), world.request(delete)).is_problem(401, "invalid-credentials");
    world.by(&world.ben, world.request(delete)).is_problem(403, "not-self");
    let wrong = world.request(delete).basic_auth("ada", Some("wrong wrong"));
    world.send(wrong).is_problem(401, "invalid-credentials");
    assert_eq!(world.belongings(), before);
    let basic = world.request(delete).basic_auth("ben", Some(PASSWORD));
    world.send(basic).is_problem(403, "not-self");
    assert_eq!(world.by(&world.ada, world.request(delete)).status, 204);
    world.by(&world.ben, world.request(delete)).is_problem(404, "user-not-found");
    world.nothing_was_told();
}
