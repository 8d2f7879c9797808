//! What nobody is to see is nowhere to be seen.

use std::{
    fs,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use reqwest::Method;
use serde_json::json;
use tracing_subscriber::{filter::LevelFilter, fmt::format::FmtSpan};

use crate::service::{PASSWORD, Service};

/// Everything that is logged, at every level.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_and_nothing_personal_is_in_logs_spans_metrics_or_errors() {
    let service = Service::start().await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    // Instead of the service's own subscriber: this one keeps more.
    let _guard = tracing::subscriber::set_default(subscriber);

    let (name, email) = ("canary.name", "canary.mail@example.org");
    let mut replies = vec![
        service.sign_up(name, email, "canaryweak").await,
        service.sign_up(name, "canary.mail", PASSWORD).await,
        service.post("/users", json!({"password": {"canary-in-a-map": 1}})).await,
        service.post("/users", json!("canary password as body")).await,
        service.post("/api-token-auth", json!([name, PASSWORD])).await,
        service.post("/api-token-auth", json!({"username": 5, "password": 31415926535_u64})).await,
    ];
    assert_eq!(service.sign_up(name, email, PASSWORD).await.status, 201);
    let token = service.token(name).await;
    let basic = "Basic Y2FuYXJ5Lm5hbWU6Y2FuYXJ5LXdyb25nLXBhc3N3b3Jk"; // canary-wrong-password
    let exchanged = service.exchange(&format!("Token {token}")).await;
    let assertion = exchanged.json["assertion"].as_str().unwrap().to_owned();
    replies.extend([
        service.sign_up(name, email, PASSWORD).await,
        service.sign_in(name, "canary-wrong-password").await,
        service.exchange(basic).await,
        service.exchange(&format!("Token {token}x")).await,
        service.exchange("Basic canary%%%").await,
        service.get("/users/by-name?username=canary.nobody", &assertion).await,
        service.get("/users/names?ids=canary", &assertion).await,
        service.get("/users/names?ids=1", &format!("{assertion}x")).await,
        service
            .call(Method::POST, "/api-token-auth", "", Some("{\"password\":\"canary".into()))
            .await,
    ]);
    assert_eq!(
        service.get(&format!("/users/by-name?username={name}"), &assertion).await.status,
        200
    );
    service.wait_out().await;
    let from = [("x-client-address", "203.0.113.77"), ("x-device", "canary-device")];
    let begun = service.session(name, PASSWORD, &from).await;
    let (session, device) = (begun.text("session"), begun.text("device"));
    let cookie = service.exchange_session(session).await;
    let named = json!({"name": "canary-player"});
    let made = service.write(Method::POST, "/tokens", cookie.text("assertion"), named).await;
    assert_eq!(service.get("/tokens", &assertion).await.status, 200);
    let with_device = [("x-client-address", "203.0.113.77"), ("x-device", device)];
    replies.extend([
        service.session(name, "canary-wrong-password", &with_device).await,
        service.session(name, "canary-wrong-password", &from).await,
        service.session(name, PASSWORD, &from).await,
        service.exchange_session("canary-session").await,
        service
            .write(Method::PATCH, "/users/1", &assertion, json!({"email": "canary", "password": 5}))
            .await,
        service.write(Method::POST, "/tokens", &assertion, json!({"name": "canary\u{0}"})).await,
    ]);
    assert!(replies.iter().any(|reply| reply.status == 429), "{replies:#?}");

    // Failures of ours, with causes in the log.
    service.sql("UPDATE users SET password_hash = 'canary-that-is-no-hash'").await;
    service.wait_out().await;
    replies.push(service.sign_in(name, PASSWORD).await);
    service.sql("DROP TABLE tokens").await;
    replies.push(service.exchange(&format!("Token {token}")).await);
    assert_eq!(replies.iter().filter(|reply| reply.status == 500).count(), 2, "{replies:#?}");
    assert!(replies.iter().all(|reply| reply.status >= 400), "{replies:#?}");

    let lines = lines.text();
    let spans = format!("{:?}", service.spans.take());
    let metrics = service.telemetry.render(None).1;
    let errors: String = replies.into_iter().map(|reply| reply.text).collect();
    assert!(lines.contains("somebody signed up") && lines.contains("verify password"), "{lines}");
    let causes = ["no such table: tokens", "relation \"tokens\" does not exist"];
    assert!(causes.into_iter().any(|cause| lines.contains(cause)), "causes are logged");
    assert!(spans.contains("INSERT tokens") && metrics.contains("accounts_sign_ins_total"));
    for secret in [
        "canary",
        PASSWORD,
        "31415926535",
        token.strip_prefix("trk_").unwrap(),
        made.text("token").strip_prefix("trk_").unwrap(),
        session,
        device,
        "203.0.113.77",
        &assertion,
        assertion.rsplit('.').next().unwrap(),
        basic.strip_prefix("Basic ").unwrap(),
        "$argon2id$v=19$m=19456,t=2,p=1$",
    ] {
        for (place, text) in
            [("lines", &lines), ("spans", &spans), ("metrics", &metrics), ("errors", &errors)]
        {
            let found = text.find(secret).map(|at| {
                text.get(at.saturating_sub(200)..)
                    .unwrap_or_default()
                    .chars()
                    .take(500)
                    .collect::<String>()
            });
            assert_eq!(found, None, "{secret} is in the {place}");
        }
    }
}

/// S8.
#[tokio::test]
async fn a_copy_of_the_files_gives_no_credential_and_the_key_is_for_its_owner_only() {
    let service = Service::start_on_file().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let token = service.token("ada").await;
    let begun = service.session("ada", PASSWORD, &[]).await;
    let own = service.assertion(&format!("Token {token}")).await;
    let made = service.write(Method::POST, "/tokens", &own, json!({"name": "player"})).await;
    let secrets = [begun.text("session"), begun.text("device"), &made.text("token")[4..36]];
    let mut copy = Vec::new();
    for entry in fs::read_dir(service.data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "key") {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        } else {
            copy.extend(fs::read(path).unwrap());
        }
    }
    let holds = |text: &str| copy.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("$argon2id$v=19$m=19456,t=2,p=1$") && holds("ada"));
    assert!(holds("player"));
    assert!(!holds(PASSWORD) && !holds(&token) && !holds(&token[4..36]));
    assert!(secrets.iter().all(|secret| !holds(secret)));
}
