//! The calls of the Django ancestor's README, as it has them: with httpie, on its paths, with its slashes.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{App, PASSWORD, in_both_shapes};

/// httpie, as somebody types it: the answer's body. Anything but a success is a failure.
fn http(app: &App, arguments: &[&str]) -> Value {
    let tools = std::env::var("MUSICWALLET_TOOLS").expect("tests/real/run says where tools are");
    let api = app.url("gateway", "api");
    let arguments = arguments.iter().map(|it| it.replace("http://127.0.0.1:8000", &api));
    let output = Command::new(format!("{tools}/python/bin/http"))
        .args(["--ignore-stdin", "--check-status", "--body"])
        .args(arguments.clone())
        .output()
        .unwrap();
    let body = String::from_utf8_lossy(&output.stdout);
    let shown: Vec<String> = arguments.collect();
    assert!(output.status.success(), "http {}: {body}", shown.join(" "));
    serde_json::from_str(&body).unwrap_or_default()
}

#[test]
fn the_calls_of_the_ancestors_readme_run_unchanged() {
    in_both_shapes(|app| {
        let password = format!("password={PASSWORD}");
        for name in ["user1", "user2"] {
            let (username, email) =
                (format!("username={name}"), format!("email={name}@example.org"));
            let url = "http://127.0.0.1:8000/api/users/";
            let user = http(app, &["POST", url, &username, &email, &password]);
            assert_eq!(user["username"], json!(name));
        }
        let sign_in = "http://127.0.0.1:8000/api-token-auth/";
        let issued = http(app, &["POST", sign_in, "username=user1", &password]);
        let token = format!("Authorization: Token {}", issued["token"].as_str().unwrap());
        let http = |arguments: &[&str]| http(app, &[arguments, &[token.as_str()]].concat());

        let users = http(&["http://127.0.0.1:8000/api/users/"]);
        assert_eq!(users.as_array().unwrap().len(), 2);
        let user = http(&["GET", "http://127.0.0.1:8000/api/users/1/"]);
        assert_eq!(user["favourite_musics"], json!([]));
        let song = ["title=Title", "artist=Artist", "album=Album"];
        let url = "http://127.0.0.1:8000/api/musics/";
        let music = http(&[&["POST", url][..], &song].concat());
        assert_eq!(music["created_by"], json!("user1"));
        let one = format!("{url}{}/", music["id"]);
        assert_eq!(http(&["GET", &one]), music);
        let changed = http(&["PUT", &one, "title=Other", "artist=Artist", "album=Album"]);
        assert_eq!(changed["title"], json!("Other"));
        assert!(http(&["GET", url]).as_array().unwrap().contains(&changed));

        let users = "http://127.0.0.1:8000/api/users";
        let added = http(&["POST", &format!("{users}/{}/add_fav_music/", music["id"])]);
        assert_eq!(added["status"], json!("Success: Favourite music added"));
        let kept = http(&["GET", &format!("{users}/1/")]);
        assert_eq!(kept["favourite_musics"], json!([changed]));
        let removed = http(&["DELETE", &format!("{users}/{}/remove_fav_music/", music["id"])]);
        assert_eq!(removed["status"], json!("Success: Favourite music removed"));
        http(&["DELETE", &one]);

        let renamed = ["username=user3", "email=user3@example.org", password.as_str()];
        let user = http(&[&["PUT", "http://127.0.0.1:8000/api/users/1/"][..], &renamed].concat());
        assert_eq!(user["username"], json!("user3"));
        http(&["DELETE", "http://127.0.0.1:8000/api/users/1/"]);
    });
}
