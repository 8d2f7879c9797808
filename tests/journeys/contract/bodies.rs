//! What nobody may set (S4): a field that is not for the caller is refused by its name, or is one of an answer that may be sent back and
//! changes nothing.

use serde_json::{Value, json};

use super::World;

/// What somebody might try to give themselves.
const GREEDY: [&str; 12] = [
    "id",
    "user_id",
    "owner",
    "created_by",
    "added_by",
    "role",
    "is_admin",
    "is_staff",
    "is_superuser",
    "favourite_count",
    "expires_at",
    "password_hash",
];

/// For each operation that takes JSON, which of these may be sent back; the others are refused.
const SENT_BACK: [(&str, &[&str]); 10] = [
    ("POST /api-token-auth", &[]),
    ("POST /api/session", &[]),
    ("POST /api/users", &["id", "favourite_count"]),
    ("POST /api/tokens", &["id"]),
    ("POST /api/musics", &["id", "created_by"]),
    ("PUT /api/musics/{id}", &["id", "created_by"]),
    ("PATCH /api/musics/{id}", &["id", "created_by"]),
    ("POST /api/users/{id}/add_fav_music", &[]),
    ("DELETE /api/users/{id}/remove_fav_music", &[]),
    ("PATCH /api/users/{id}", &["id", "favourite_count"]),
];
/// The same as `POST /api/users`, but it ends all other tokens, so it comes last.
const LAST: (&str, &[&str]) = ("PUT /api/users/{id}", &["id", "favourite_count"]);

#[test]
fn a_body_gives_nobody_more_than_is_asked_for() {
    let world = World::start();
    let rows = || SENT_BACK.into_iter().chain([LAST]);
    let mut named: Vec<String> = rows().map(|(name, _)| name.to_owned()).collect();
    let takes_json = world
        .operations
        .iter()
        .filter(|it| it.body.as_deref().is_some_and(|kind| kind == "application/json"));
    let mut operations: Vec<String> = takes_json.map(|it| it.name()).collect();
    named.sort();
    operations.sort();
    assert_eq!(named, operations, "there is a row for each operation that takes JSON");

    for (name, sent_back) in rows() {
        let send =
            |body: &Value| world.by(&world.ada, world.bare(world.operation(name)).json(body));
        let before = world.belongings();
        for field in GREEDY.into_iter().filter(|it| !sent_back.contains(it)) {
            let mut body = world.body(name);
            body[field] = json!(2);
            let reply = send(&body);
            reply.is_problem(400, "invalid-input");
            assert_eq!(reply.pointers(), [format!("/{field}")], "{name}: {reply:?}");
        }
        assert_eq!(world.belongings(), before, "{name} was refused");
        if sent_back.is_empty() {
            continue;
        }
        let mut body = world.body(name);
        for field in sent_back {
            body[*field] = if *field == "created_by" { json!("ben") } else { json!(999) };
        }
        let reply = send(&body);
        assert!([200, 201].contains(&reply.status), "{name}: {reply:?}");
        for field in sent_back {
            assert_ne!(reply.json[*field], body[*field], "{name} believed {field}: {reply:?}");
        }
    }
    world.nothing_was_told();
}
