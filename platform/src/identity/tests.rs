use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::SystemTime};

use axum::{Json, Router, extract::State, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use telemetry::Telemetry;

use super::*;
use crate::config::{HttpUrl, Value};

fn part(json: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

async fn refusal(verifier: &Verifier, assertion: &str) -> u16 {
    verifier.verify(assertion).await.unwrap_err().status().as_u16()
}

#[tokio::test]
async fn an_assertion_says_who_calls() {
    let signer = Signer::generate().unwrap();
    let verifier = Verifier::fixed(signer.keys()).unwrap();
    let assertion = signer.sign_via(7, "ada", "token:12").unwrap();
    let expected = Caller { id: 7, name: "ada".into(), via: "token:12".into() };
    assert_eq!(verifier.verify(&assertion).await.unwrap(), expected);
    assert_eq!(verifier.verify(&assertion).await.unwrap(), expected); // remembered
    assert!(!format!("{expected:?} {signer:?}").contains("ada"));
    let unsaid = verifier.verify(&signer.sign(7, "ada").unwrap()).await.unwrap();
    assert_eq!(unsaid, Caller { via: "".into(), ..expected });
}

#[tokio::test]
async fn what_accounts_did_not_sign_is_refused() {
    let (signer, other) = (Signer::generate().unwrap(), Signer::generate().unwrap());
    let verifier = Verifier::fixed(signer.keys()).unwrap();
    let good = signer.sign(7, "ada").unwrap();
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let kid = &signer.keys().keys[0].kid;
    let admin = part(
        &json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "1", "name": "x", "iat": 1, "exp": u32::MAX}),
    );
    let none = part(&json!({"alg": "none", "kid": kid}));
    let hmac = part(&json!({"alg": "HS256", "kid": kid}));
    for (why, assertion) in [
        ("another's key", other.sign(7, "ada").unwrap()),
        ("other claims", format!("{header}.{admin}.{signature}")),
        ("no algorithm", format!("{none}.{claims}.")),
        ("the public key as a secret", format!("{hmac}.{claims}.{signature}")),
        ("no signature", format!("{header}.{claims}.")),
        ("no token", "nothing".to_owned()),
        ("too long", "x".repeat(3000)),
    ] {
        assert_eq!(refusal(&verifier, &assertion).await, 401, "{why}");
    }
}

#[tokio::test]
async fn an_assertion_ends_after_a_minute_and_is_for_the_inside_only() {
    let signer = Signer::generate().unwrap();
    let verifier = Verifier::fixed(signer.keys()).unwrap();
    let ago = |seconds| SystemTime::now() - std::time::Duration::from_secs(seconds);
    let fresh_enough = signer.sign_at(7, "ada", "", ago(58)).unwrap();
    assert!(verifier.verify(&fresh_enough).await.is_ok());
    let expired = signer.sign_at(7, "ada", "", ago(70)).unwrap();
    assert_eq!(refusal(&verifier, &expired).await, 401);
    let foreign = Claims {
        iss: ISSUER.into(),
        aud: "somebody-else".into(),
        sub: "7".into(),
        name: "ada".into(),
        via: String::new(),
        iat: 1,
        exp: u64::from(u32::MAX),
    };
    let foreign = signer.encode(&foreign);
    assert_eq!(refusal(&verifier, &foreign).await, 401);
}

#[test]
fn a_key_file_is_made_once_and_kept_from_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/accounts.key");
    let first = Signer::from_file(&path).unwrap();
    let second = Signer::from_file(&path).unwrap();
    assert_eq!(first.keys().keys[0].kid, second.keys().keys[0].kid);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = Signer::from_file(&path).unwrap_err().to_string();
    assert!(refused.contains("chmod 600") && refused.contains("accounts.key"), "{refused}");
    fs::write(&path, "no key").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = format!("{:#}", Signer::from_file(&path).unwrap_err());
    assert!(refused.contains("no Ed25519 key") && !refused.contains("no key\n"), "{refused}");
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_and_again_when_they_change() {
    let calls = Arc::new(AtomicUsize::new(0));
    let published = Arc::new(std::sync::Mutex::new(Signer::generate().unwrap()));
    let state = (calls.clone(), published.clone());
    let keys = async |State((calls, published)): State<(
        Arc<AtomicUsize>,
        Arc<std::sync::Mutex<Signer>>,
    )>| {
        calls.fetch_add(1, SeqCst);
        Json(published.lock().unwrap().keys().clone())
    };
    let router = Router::new().route("/.well-known/jwks.json", get(keys)).with_state(state);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = HttpUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async { axum::serve(listener, router).await });

    let verifier = Arc::new(Verifier::new(&url, &Telemetry::disabled("test")).unwrap());
    let assertion = published.lock().unwrap().sign(7, "ada").unwrap();
    let callers = (0..20).map(|_| {
        let (verifier, assertion) = (verifier.clone(), assertion.clone());
        tokio::spawn(async move { verifier.verify(&assertion).await.is_ok() })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert!(caller.await.unwrap());
    }
    assert_eq!(calls.load(SeqCst), 1);

    // A forged key id asks no more often than once a second; it is refused, not unavailable.
    let forged = Signer::generate().unwrap().sign(7, "ada").unwrap();
    for _ in 0..10 {
        assert_eq!(refusal(&verifier, &forged).await, 401);
    }
    assert_eq!(calls.load(SeqCst), 1);

    tokio::time::pause(); // the second passes by itself
    tokio::time::advance(std::time::Duration::from_millis(1100)).await;
    tokio::time::resume();
    *published.lock().unwrap() = Signer::generate().unwrap();
    let rotated = published.lock().unwrap().sign(8, "ben").unwrap();
    assert_eq!(verifier.verify(&rotated).await.unwrap().id, 8);
    assert_eq!(calls.load(SeqCst), 2);
    // What was signed with the key that is gone does not count any more, though it was checked before.
    assert_eq!(refusal(&verifier, &assertion).await, 401);
    server.abort();
}

#[tokio::test]
async fn with_accounts_away_nobody_is_guessed() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = HttpUrl::parse(&format!("http://{closed}")).unwrap();
    let verifier = Verifier::new(&url, &Telemetry::disabled("test")).unwrap();
    let assertion = Signer::generate().unwrap().sign(7, "ada").unwrap();
    assert_eq!(refusal(&verifier, &assertion).await, 503);
    assert_eq!(refusal(&verifier, &assertion).await, 503);
}
