//! People: their accounts, tokens and sessions.

use reqwest::Method;
use serde_json::json;

use crate::harness::{App, PASSWORD, Reply, Shape, eventually, in_both_shapes};

#[test]
fn an_account_is_read_edited_and_deleted_and_everything_of_it_goes() {
    in_both_shapes(|app| {
        let (ada, ben) = (app.someone("ada"), app.someone("ben"));
        let song = app.post("/api/musics/", &ada, json!({"title": "Tide", "artist": "Ada"}));
        let music = song.json["id"].clone();
        for person in [&ada, &ben] {
            let kept =
                app.call(Method::POST, &format!("/api/users/{music}/add_fav_music/"), person, None);
            assert_eq!(kept.status, 200, "{kept:?}");
        }

        let own = app.get("/api/users/1/", &ada);
        assert_eq!(own.json["email"], json!("ada@example.org"), "{own:?}");
        assert_eq!(own.json["favourite_count"], json!(1));
        assert_eq!(own.json["favourite_musics"][0], song.json);
        let others = app.get("/api/users/1/", &ben);
        assert_eq!(others.json.get("email"), None, "{others:?}");
        app.get("/api/users/99/", &ben).is_problem(404, "user-not-found");

        let mut sent_back = own.json.clone();
        sent_back["email"] = json!("ada@example.com");
        let patched = app.call(Method::PATCH, "/api/users/1/", &ada, Some(sent_back));
        assert_eq!(
            (patched.status, &patched.json["email"]),
            (200, &json!("ada@example.com")),
            "{patched:?}"
        );
        app.call(Method::PATCH, "/api/users/1/", &ben, Some(json!({"email": "x@y.z"})))
            .is_problem(403, "not-self");
        app.call(Method::DELETE, "/api/users/1/", &ben, None).is_problem(403, "not-self");

        assert_eq!(app.call(Method::DELETE, "/api/users/1/", &ada, None).status, 204);
        eventually("the token stops counting", || {
            let reply = app.get("/api/musics/", &ada);
            if reply.status == 401 { Ok(()) } else { Err(format!("{reply:?}")) }
        });
        app.get("/api/users/1/", &ben).is_problem(404, "user-not-found");
        let left = app.get(&format!("/api/musics/{music}/"), &ben);
        assert_eq!((left.status, &left.json["created_by"]), (200, &json!(null)), "{left:?}");
        let list = app.get("/api/users/", &ben);
        assert_eq!(list.json.as_array().unwrap().len(), 1, "{list:?}");
        assert_eq!(list.json[0]["username"], json!("ben"));
    });
}

#[test]
fn a_new_password_ends_every_other_token_and_session() {
    let app = App::start(Shape::One);
    let (first, second) = (app.someone("ada"), app.token("ada"));
    let new = json!({"password": "eight calm herons wade"});
    assert_eq!(app.call(Method::PATCH, "/api/users/1/", &first, Some(new)).status, 200);
    eventually("the other token stops counting", || {
        let reply = app.get("/api/musics/", &second);
        if reply.status == 401 { Ok(()) } else { Err(format!("{reply:?}")) }
    });
    assert_eq!(app.get("/api/musics/", &first).status, 200);
}

#[test]
fn tokens_have_names_and_can_be_revoked() {
    let app = App::start(Shape::One);
    let (ada, ben) = (app.someone("ada"), app.someone("ben"));
    let made = app.post("/api/tokens/", &ada, json!({"name": "laptop"}));
    assert_eq!(made.status, 201, "{made:?}");
    let secret = made.json["token"].as_str().unwrap();
    assert_eq!(app.get("/api/musics/", secret).status, 200);
    let list = app.get("/api/tokens/", &ada);
    let names: Vec<_> = list.json.as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, [&json!("sign-in"), &json!("laptop")], "{list:?}");
    assert!(!list.text.contains(secret), "a secret is shown once");
    let path = format!("/api/tokens/{}/", made.json["id"]);
    app.call(Method::DELETE, &path, &ben, None).is_problem(404, "token-not-found");
    assert_eq!(app.call(Method::DELETE, &path, &ada, None).status, 204);
    eventually("it stops counting", || {
        let reply = app.get("/api/musics/", secret);
        if reply.status == 401 { Ok(()) } else { Err(format!("{reply:?}")) }
    });
    app.post("/api/tokens/", &ada, json!({"name": ""})).is_problem(400, "invalid-input");
}

/// The gateway keeps an exchange for a second. Accounts knows better, and no client is told that this is a fault of the servers.
#[test]
fn a_credential_that_ends_within_its_second_is_answered_as_any_dead_one() {
    in_both_shapes(|app| {
        let (lost, kept) = (app.someone("ada"), app.token("ada"));
        let dead = |token: &str| {
            app.post("/api/tokens/", token, json!({"name": "spare"}))
                .is_problem(401, "invalid-credentials");
            // What accounts has said once counts for every request that comes after it.
            app.get("/api/musics/?limit=1", token).is_problem(401, "invalid-credentials");
        };
        assert_eq!(app.get("/api/musics/?limit=1", &lost).status, 200);
        let new = json!({"password": "eight calm herons wade"});
        assert_eq!(app.call(Method::PATCH, "/api/users/1/", &kept, Some(new)).status, 200);
        dead(&lost);

        let revoked = app.post("/api/tokens/", &kept, json!({"name": "laptop"}));
        let secret = revoked.json["token"].as_str().unwrap();
        assert_eq!(app.get("/api/musics/?limit=1", secret).status, 200);
        let path = format!("/api/tokens/{}/", revoked.json["id"]);
        assert_eq!(app.call(Method::DELETE, &path, &kept, None).status, 204);
        dead(secret);

        assert_eq!(app.call(Method::DELETE, "/api/users/1/", &kept, None).status, 204);
        dead(&kept);
    });
}

#[test]
fn a_session_is_a_cookie_and_changes_only_what_its_own_pages_ask_for() {
    let app = App::start(Shape::One);
    app.someone("ada");
    let url = |path: &str| format!("{}{path}", app.url("gateway", "api"));
    let sign_in = || {
        let who = json!({"username": "ada", "password": PASSWORD});
        let reply = Reply::to(app.client().post(url("/api/session/")).json(&who));
        assert_eq!(reply.status, 200, "{reply:?}");
        let cookies = reply.headers("set-cookie");
        let session = cookies.iter().find(|it| it.starts_with("__Host-session=")).unwrap();
        for part in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
            assert!(session.contains(part), "{session}");
        }
        session.split(';').next().unwrap().to_owned()
    };
    let (cookie, other) = (sign_in(), sign_in());
    assert_ne!(cookie, other, "each sign-in has a session of its own");
    let read = Reply::to(app.client().get(url("/api/users/1/")).header("cookie", &cookie));
    assert_eq!(read.json["username"], json!("ada"), "{read:?}");

    let write = |proof: &[(&str, &str)]| {
        let song = json!({"title": "Sea", "artist": "Ada"});
        let mut request =
            app.client().post(url("/api/musics/")).header("cookie", &cookie).json(&song);
        for (name, value) in proof {
            request = request.header(*name, *value);
        }
        Reply::to(request)
    };
    let own = app.url("gateway", "api");
    for forged in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "http://evil.example")],
        &[("origin", "http://127.0.0.1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", own.as_str())],
    ] {
        write(forged).is_problem(403, "cross-origin");
    }
    assert_eq!(write(&[("sec-fetch-site", "same-origin")]).status, 201);
    assert_eq!(write(&[("origin", own.as_str())]).status, 201);

    let out = Reply::to(
        app.client()
            .delete(url("/api/session/"))
            .header("cookie", &cookie)
            .header("sec-fetch-site", "same-origin"),
    );
    assert_eq!(out.status, 204, "{out:?}");
    eventually("the session stops counting", || {
        let reply = Reply::to(app.client().get(url("/api/users/1/")).header("cookie", &cookie));
        if reply.status == 401 { Ok(()) } else { Err(format!("{reply:?}")) }
    });
    let still = Reply::to(app.client().get(url("/api/users/1/")).header("cookie", &other));
    assert_eq!(still.status, 200, "{still:?}");
}

#[test]
fn who_guesses_passwords_has_to_wait_and_the_owner_with_a_known_browser_has_not() {
    let app = App::start_with(Shape::One, &[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")]);
    app.someone("ada");
    let url = format!("{}/api/session/", app.url("gateway", "api"));
    let sign_in = |password: &str, address: &str, cookie: &str| {
        let who = json!({"username": "ada", "password": password});
        let request = app.client().post(&url).json(&who).header("x-forwarded-for", address);
        Reply::to(request.header("cookie", cookie))
    };
    let known = sign_in(PASSWORD, "10.0.0.1", "");
    assert_eq!(known.status, 200, "{known:?}");
    let cookies = known.headers("set-cookie");
    let device = cookies.iter().find(|it| it.starts_with("__Host-device=")).unwrap();
    let device = device.split(';').next().unwrap();

    let mut guesses = 0;
    // The first waits are of one and two seconds, which may pass before the next guess.
    let last = eventually("a guess has to wait for more than two seconds", || {
        guesses += 1;
        let reply =
            sign_in("wrong wrong", &format!("10.9.{}.{}", guesses / 250, guesses % 250), "");
        let waits = reply.header("retry-after").parse().is_ok_and(|it: u64| it > 2);
        if waits { Ok(reply) } else { Err(format!("{reply:?}")) }
    });
    last.is_problem(429, "too-many-attempts");
    sign_in(PASSWORD, "10.0.0.2", "").is_problem(429, "too-many-attempts");
    assert_eq!(sign_in(PASSWORD, "10.0.0.1", device).status, 200);
    // What a stranger says about addresses changes nothing where no proxy is trusted: all guesses are of one address, whichever they name.
    let statuses = |app: &App| -> Vec<u16> {
        let url = format!("{}/api/session/", app.url("gateway", "api"));
        let guess = |n: u32| {
            let wrong = json!({"username": format!("nobody{n}"), "password": "wrong wrong"});
            let request = app.client().post(&url).json(&wrong);
            Reply::to(request.header("x-forwarded-for", format!("10.8.0.{n}"))).status
        };
        (0..30).map(guess).collect()
    };
    let stranger = App::start(Shape::One);
    let (told, trusted) = (statuses(&stranger), statuses(&app));
    assert!(told[0] == 401 && told[29] == 429, "{told:?}");
    assert_eq!(trusted, [401; 30], "those of a trusted proxy are of 30 addresses");
}

#[test]
fn what_was_revoked_just_now_deletes_no_account_and_nobody_acts_for_who_is_gone() {
    in_both_shapes(|app| {
        let (first, second) = (
            app.someone("ada"),
            app.post("/api/tokens/", &app.token("ada"), json!({"name": "other"})),
        );
        let (other, id) = (second.json["token"].as_str().unwrap(), &second.json["id"]);
        let song = app.post("/api/musics/", &first, json!({"title": "Tide", "artist": "Ada"}));
        let music = &song.json["id"];
        let keep = |token: &str| {
            app.call(Method::POST, &format!("/api/users/{music}/add_fav_music/"), token, None)
        };
        assert_eq!(keep(other).status, 200);
        let revoked = app.call(Method::DELETE, &format!("/api/tokens/{id}/"), &first, None);
        assert_eq!(revoked.status, 204, "{revoked:?}");
        // The gateway has just used it, and need not ask for a second.
        app.call(Method::DELETE, "/api/users/1/", other, None)
            .is_problem(401, "invalid-credentials");
        let still = app.get("/api/users/1/", &first);
        assert_eq!(still.json["favourite_count"], json!(1), "{still:?}");
        let left = app.get(&format!("/api/musics/{music}/"), &first);
        assert_eq!(left.json["created_by"], json!("ada"), "{left:?}");

        let third = app.token("ada");
        assert_eq!(app.get("/api/users/1/", &third).status, 200);
        assert_eq!(app.call(Method::DELETE, "/api/users/1/", &first, None).status, 204);
        app.post("/api/musics/", &third, json!({"title": "Ebb", "artist": "Ada"}))
            .is_problem(401, "invalid-credentials");
        keep(&first).is_problem(401, "invalid-credentials");
    });
}

#[test]
fn a_page_of_people_who_keep_the_longest_texts_is_answered() {
    let app = App::start_with(Shape::One, &[("GATEWAY_TRUSTED_PROXIES", "127.0.0.1")]);
    let long =
        |number: u32, length: usize| format!("{number:03}{}", "\u{1F3B5}".repeat(length - 3));
    let rows = (0..100).map(|n| {
        let [title, artist, album] = [long(n, 300), long(n, 300), long(n, 300)];
        format!("{title},{artist},{album},{}\n", long(n, 100))
    });
    let file = format!("title,artist,album,genre\n{}", rows.collect::<String>());
    // So many do not sign up from one address.
    let sign_up = |n: u32| {
        let new = json!({"username": format!("person{n}"), "email": "p@example.org", "password": PASSWORD});
        let request = app.client().post(app.url("gateway", "api") + "/api/users/").json(&new);
        let reply = Reply::to(request.header("x-forwarded-for", format!("10.7.0.{n}")));
        assert_eq!(reply.status, 201, "{reply:?}");
        app.token(&format!("person{n}"))
    };
    let people: Vec<String> = (0..25).map(sign_up).collect();
    for person in &people {
        let kept = app.import_library(person, file.clone());
        assert_eq!((kept.status, &kept.json["added"]), (200, &json!(100)), "{}", kept.text);
    }
    let page = app.get("/api/users/", &people[0]);
    assert_eq!((page.status, page.header("degraded")), (200, ""), "{}", page.text.len());
    let page = page.json.as_array().unwrap();
    assert_eq!(page.len(), 25);
    assert!(page.iter().all(|it| it["favourite_musics"].as_array().unwrap().len() == 100));
}
