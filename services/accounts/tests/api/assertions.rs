//! Assertions: what the service signs, others believe; what somebody else made up, nobody does.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey, pkcs8::DecodePrivateKey};
use platform::{
    config::{HttpUrl, Value as _},
    identity::Verifier,
};
use serde_json::{Value, json};
use telemetry::Telemetry;

use crate::service::Service;

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn signed(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).to_bytes());
    format!("{message}.{signature}")
}

fn with(mut json: Value, field: &str, value: Value) -> Value {
    json[field] = value;
    json
}

#[tokio::test]
async fn only_a_fresh_assertion_of_our_own_for_the_inside_is_believed() {
    let service = Service::start().await;
    let real = service.someone("ada").await;
    let keys = service.get("/.well-known/jwks.json", "").await.json;
    let kid = keys["keys"][0]["kid"].clone();
    assert_eq!(keys["keys"][0]["alg"], "EdDSA");
    let pem = fs::read_to_string(service.data.path().join("accounts.key")).unwrap();
    let key = SigningKey::from_pkcs8_pem(&pem).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({"typ": "JWT", "alg": "EdDSA", "kid": kid});
    let claims = json!({
        "iss": "musicwallet-accounts", "aud": "musicwallet-internal", "sub": "1", "name": "ada", "iat": now, "exp": now + 60
    });
    let asked = async |assertion: &str| service.get("/users/names?ids=1", assertion).await;
    assert_eq!(asked(&real).await.status, 200);
    assert_eq!(
        asked(&signed(&header, &claims, &key)).await.status,
        200,
        "the test knows how to sign"
    );

    let other = SigningKey::from_bytes(&[7; 32]);
    let (head, rest) = real.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let forged = part(&with(claims.clone(), "sub", json!("2")));
    let hmac = part(&with(header.clone(), "alg", json!("HS256")));
    for (why, assertion) in [
        ("expired", signed(&header, &with(claims.clone(), "exp", json!(now - 10)), &key)),
        ("no end", signed(&header, &with(claims.clone(), "exp", Value::Null), &key)),
        ("for others", signed(&header, &with(claims.clone(), "aud", json!("elsewhere")), &key)),
        ("by others", signed(&header, &with(claims.clone(), "iss", json!("elsewhere")), &key)),
        ("nobody", signed(&header, &with(claims.clone(), "sub", json!("ada")), &key)),
        ("another's key", signed(&header, &claims, &other)),
        (
            "a key that there is not",
            signed(&with(header.clone(), "kid", json!("x")), &claims, &key),
        ),
        ("no key named", signed(&with(header.clone(), "kid", Value::Null), &claims, &key)),
        ("no algorithm", signed(&with(header.clone(), "alg", json!("none")), &claims, &key)),
        ("no signature", format!("{}.{body}.", part(&with(header.clone(), "alg", json!("none"))))),
        ("a symmetric one", format!("{hmac}.{body}.{signature}")),
        ("another algorithm", signed(&with(header.clone(), "alg", json!("ES256")), &claims, &key)),
        ("other claims", format!("{head}.{forged}.{signature}")),
        ("cut", real[..real.len() - 2].to_owned()),
        ("two parts", format!("{head}.{body}")),
        ("not one", "x".repeat(3000)),
    ] {
        let reply = asked(&assertion).await;
        assert_eq!((reply.status, reply.kind()), (401, "invalid-assertion"), "{why}");
    }
}

#[tokio::test]
async fn with_another_key_the_old_assertions_are_worth_nothing_and_new_ones_are_believed() {
    let mut service = Service::start().await;
    let old = service.someone("ada").await;
    let token = format!("Token {}", service.token("ada").await);
    let url = HttpUrl::parse(&service.url).unwrap();
    let verifier = Verifier::new(&url, &Telemetry::disabled("test")).unwrap();
    assert!(verifier.verify(&old).await.is_ok());

    fs::remove_file(service.data.path().join("accounts.key")).unwrap();
    service.restart().await;
    let new = service.exchange(&token).await.json["assertion"].as_str().unwrap().to_owned();
    tokio::time::pause(); // a second passes: keys are fetched once a second at most
    tokio::time::advance(std::time::Duration::from_millis(1100)).await;
    tokio::time::resume();
    assert_eq!(verifier.verify(&new).await.unwrap().id, 1);
    assert_eq!(verifier.verify(&old).await.unwrap_err().status(), 401);
}
