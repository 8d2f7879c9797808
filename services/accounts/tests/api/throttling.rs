//! Guessing passwords is slow, and nobody else suffers from it.

use std::{collections::BTreeSet, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use platform::storage::Sql;
use reqwest::Method;
use serde_json::json;

use crate::service::{PASSWORD, Reply, Service};

const WRONG: &str = "wrong wrong wrong";

impl Service {
    /// Signs in for a token, with headers of the gateway.
    async fn sign_in_by(&self, username: &str, password: &str, headers: &[(&str, &str)]) -> Reply {
        let body = json!({"username": username, "password": password}).to_string();
        self.send(Method::POST, "/api-token-auth", "", Some(body), headers).await
    }

    /// Basic, at the exchange.
    async fn basic(&self, username: &str, password: &str, headers: &[(&str, &str)]) -> Reply {
        let basic = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        let body = json!({"authorization": basic}).to_string();
        self.send(Method::POST, "/credentials/exchange", "", Some(body), headers).await
    }

    /// Signs up from an address.
    async fn sign_up_from(&self, username: &str, email: &str, address: &str) -> Reply {
        let body = json!({"username": username, "email": email, "password": PASSWORD}).to_string();
        let headers = [("x-client-address", address)];
        self.send(Method::POST, "/users", "", Some(body), &headers).await
    }

    /// Passwords that were looked at.
    fn tried(&self) -> f64 {
        self.metric("accounts_hash_duration_seconds_count")
    }

    fn throttled(&self, scope: &str) -> f64 {
        self.metric(&format!("accounts_throttled_total{{scope=\"{scope}\"}}"))
    }
}

fn refused(reply: &Reply) -> u64 {
    assert_eq!((reply.status, reply.kind()), (429, "too-many-attempts"), "{reply:?}");
    reply.headers["retry-after"].to_str().unwrap().parse().unwrap()
}

/// So that a slow machine does not wait it out.
const LONGER: &str = "UPDATE sign_in_failures SET next_at = next_at + 60000";

#[tokio::test]
async fn a_wrong_password_opens_a_time_in_which_none_is_tried_wherever_it_comes() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    assert_eq!(service.sign_in("ada", WRONG).await.status, 401);
    service.sql(LONGER).await;
    let before = service.tried();
    for password in [WRONG, PASSWORD] {
        for name in ["ada", "ADA"] {
            let wait = refused(&service.sign_in(name, password).await);
            assert!((50..=61).contains(&wait), "{wait}");
            refused(&service.session(name, password, &[]).await);
            refused(&service.basic(name, password, &[]).await);
        }
    }
    assert_eq!(service.tried(), before, "before anything is hashed");
    assert_eq!(service.throttled("account"), 12.0);
    assert_eq!(service.metric("accounts_sign_ins_total{result=\"throttled\"}"), 12.0);
    let exchanges = "accounts_exchanges_total{scheme=\"basic\",result=\"throttled\"}";
    assert_eq!(service.metric(exchanges), 4.0);

    service.wait_out().await;
    for _ in 0..3 {
        assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200);
        assert_eq!(service.session("ada", PASSWORD, &[]).await.status, 201);
        assert_eq!(service.basic("ada", PASSWORD, &[]).await.status, 200);
    }
    // Right ones in between do not give a stranger new guesses.
    assert_eq!(service.number("SELECT failures FROM sign_in_failures").await, 1);
}

#[tokio::test]
async fn guesses_that_come_together_do_not_slip_through_and_right_passwords_do() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let before = service.tried();
    let guesses = join_all((0..50).map(|_| service.sign_in("ada", WRONG))).await;
    let count = |status| guesses.iter().filter(|reply| reply.status == status).count();
    // Whose turn does not come within a second is told that it is busy.
    assert_eq!((count(401), count(429) + count(503)), (1, 49), "{guesses:?}");
    assert_eq!(service.tried() - before, 1.0);

    service.wait_out().await;
    let right = join_all((0..5).map(|_| service.sign_in("ada", PASSWORD))).await;
    assert!(right.iter().all(|reply| [200, 503].contains(&reply.status)), "{right:?}");
    assert!(right.iter().any(|reply| reply.status == 200), "{right:?}");
    assert_eq!(service.number("SELECT failures FROM sign_in_failures").await, 1);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_refused_in_the_same_bytes_at_the_same_time() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let names = ["ada", "nobody", "no body", "", "nul\u{0}"];
    for round in 0..4 {
        let before = service.tried();
        for name in names {
            assert_eq!(service.sign_in(name, WRONG).await.status, 401, "{name} {round}");
        }
        assert_eq!(service.tried() - before, 5.0);
        service.sql("UPDATE sign_in_failures SET next_at = 1000 * (next_at / 1000 + 60)").await;
        let differ = "SELECT count(DISTINCT failures) FROM sign_in_failures";
        assert_eq!(service.number(differ).await, 1);
        service
            .sql(
                "UPDATE sign_in_failures SET next_at = (SELECT max(next_at) FROM sign_in_failures)",
            )
            .await;
        let mut answers = Vec::new();
        for name in names {
            let reply = service.sign_in(name, WRONG).await;
            refused(&reply);
            let (status, body, mut headers) = reply.told();
            headers.remove("retry-after"); // a second may have passed
            answers.push((status, body, headers));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
        service.wait_out().await;
    }
}

/// Nobody learns who has an account, whoever asks from wherever: answers and work are the same, and so is the time, which is printed.
#[tokio::test]
async fn of_two_hundred_names_that_somebody_has_and_two_hundred_others_nothing_is_told() {
    const NAMES: usize = 200;
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    service
        .sql(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199) \
             INSERT INTO users (username, username_key, username_looks, email, password_hash, created_at) \
             SELECT 'known' || i, 'known' || i, 'known' || i, email, password_hash, created_at FROM users, n",
        )
        .await;
    let (mut answers, mut times) = (BTreeSet::new(), [Vec::new(), Vec::new()]);
    for n in 0..NAMES {
        for (which, name) in ["known", "nobody"].into_iter().enumerate() {
            let address = format!("10.{which}.{}.{}", n / 250, n % 250);
            let (before, begun) = (service.tried(), Instant::now());
            let from = [("x-client-address", &*address)];
            let reply = service.sign_in_by(&format!("{name}{n}"), WRONG, &from).await;
            times[which].push(begun.elapsed());
            assert_eq!(service.tried() - before, 1.0, "{name}{n}");
            let (status, body, headers) = reply.told();
            answers.insert((status, body, format!("{headers:?}")));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let medians = times.map(|mut it| {
        it.sort();
        it[NAMES / 2]
    });
    eprintln!("median time of a refusal: known {:?}, nobody {:?}", medians[0], medians[1]);
}

#[tokio::test]
async fn a_hundred_are_tried_a_day_however_the_service_is_restarted() {
    let mut service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    assert_eq!(service.sign_in("ada", WRONG).await.status, 401);
    service.sql("UPDATE sign_in_failures SET failures = 98, next_at = 0").await;
    assert_eq!(service.sign_in("ada", WRONG).await.status, 401);
    let seconds = Sql {
        sqlite: "SELECT (next_at - unixepoch() * 1000) / 1000 FROM sign_in_failures",
        postgres: "SELECT (next_at - extract(epoch FROM now())::bigint * 1000) / 1000 FROM sign_in_failures",
    };
    assert!(service.number(seconds).await <= 10);
    service.wait_out().await;
    assert_eq!(service.sign_in("ada", WRONG).await.status, 401);
    service.restart().await;
    let day = "SELECT count(*) FROM sign_in_failures WHERE next_at = (day + 1) * 86400000 AND failures = 100";
    assert_eq!(service.number(day).await, 1, "until the end of the day");
    for password in [WRONG, PASSWORD] {
        refused(&service.sign_in("ada", password).await);
    }
    // The next day.
    service.sql("UPDATE sign_in_failures SET day = day - 1, next_at = next_at - 86400000").await;
    assert_eq!(service.sign_in("ada", WRONG).await.status, 401);
    assert_eq!(service.number("SELECT failures FROM sign_in_failures").await, 1);
}

/// S1, the short real run.
#[tokio::test]
async fn a_thousand_guesses_from_two_hundred_addresses_are_a_handful() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let (before, begun) = (service.tried(), std::time::Instant::now());
    for number in 0..1_000 {
        let address = format!("192.0.2.{}", number % 200);
        let reply = service.sign_in_by("ada", WRONG, &[("x-client-address", &address)]).await;
        assert!([401, 429].contains(&reply.status), "{reply:?}");
    }
    // Two waits of a second, then of 3 and more.
    let most = 3 + begun.elapsed().as_secs() / 3;
    let tried = service.tried() - before;
    assert!((1.0..=most as f64).contains(&tried), "{tried} of at most {most}");
    assert_eq!(service.throttled("account"), 1_000.0 - tried);
    assert_eq!(service.throttled("address"), 0.0, "what is not tried does not count for these");
}

/// S11.
#[tokio::test]
async fn a_known_device_is_not_locked_out_by_a_stranger() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let device = service.session("ada", PASSWORD, &[]).await.text("device").to_owned();
    let here = ("x-client-address", "192.0.2.1");
    for number in 0..1_000 {
        service.sign_in_by("ada", WRONG, &[here]).await;
        if number == 500 {
            service.wait_out().await;
        }
    }
    let longest = Sql {
        sqlite: "SELECT max(next_at - unixepoch() * 1000) FROM sign_in_failures",
        postgres: "SELECT max(next_at - extract(epoch FROM now())::bigint * 1000) FROM sign_in_failures",
    };
    assert!(service.number(longest).await <= 11_000, "the owner waits ten seconds at most");
    service.sql("UPDATE sign_in_failures SET failures = 100, next_at = (day + 1) * 86400000").await;
    refused(&service.session("ada", PASSWORD, &[here]).await);

    let known = [here, ("x-device", device.as_str())];
    let begun = service.session("ada", PASSWORD, &known).await;
    assert_eq!((begun.status, begun.text("device")), (201, &*device), "{begun:?}");
    assert_eq!(service.sign_in_by("ada", PASSWORD, &known).await.status, 200);
    assert_eq!(service.basic("ada", PASSWORD, &known).await.status, 200);

    // Its own failures count for itself.
    assert_eq!(service.sign_in_by("ada", WRONG, &known).await.status, 401);
    service.sql("UPDATE sign_in_failures SET next_at = next_at + 60000").await;
    refused(&service.sign_in_by("ada", PASSWORD, &known).await);
    assert_eq!(service.throttled("device"), 1.0);
    assert_eq!(service.number("SELECT count(*) FROM sign_in_failures").await, 2);
}

#[tokio::test]
async fn a_device_is_known_for_its_owner_only_and_not_for_ever() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    service.sign_up("eve", "e@example.org", PASSWORD).await;
    let eves = service.session("eve", PASSWORD, &[]).await.text("device").to_owned();
    let adas = service.session("ada", PASSWORD, &[]).await.text("device").to_owned();
    service.sign_in("ada", WRONG).await;
    service.sql(LONGER).await;
    for device in [eves.as_str(), "", "x", &"A".repeat(43), "é"] {
        refused(&service.session("ada", PASSWORD, &[("x-device", device)]).await);
    }
    let known = [("x-device", adas.as_str())];
    assert_eq!(service.session("ada", PASSWORD, &known).await.status, 201);
    service.sql("UPDATE devices SET expires_at = 1").await;
    refused(&service.session("ada", PASSWORD, &known).await);
    service.wait_out().await;
    let again = service.session("ada", PASSWORD, &known).await;
    assert_ne!(again.text("device"), adas, "it becomes another one");
    assert_eq!(service.number("SELECT count(*) FROM devices WHERE user_id = 1").await, 1);
}

#[tokio::test]
async fn an_address_fails_ten_times_whoever_is_tried_and_right_ones_do_not_count() {
    let service = Service::start().await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let from = |address| [("x-client-address", address)];
    let here = from("2001:db8:1:2::1");
    let right = join_all((0..12).map(|_| service.sign_in_by("ada", PASSWORD, &here))).await;
    let busy = right.iter().filter(|reply| reply.status == 503).count();
    let signed_in = right.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(signed_in + busy, 12, "{right:?}");
    for number in 0..10 {
        let reply = service.sign_in_by(&format!("n{number}"), WRONG, &here).await;
        assert_eq!(reply.status, 401, "{number}");
    }
    let before = service.tried();
    for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::7"] {
        let wait = refused(&service.sign_in_by("ben", WRONG, &from(address)).await);
        assert!((1..=60).contains(&wait), "{wait}");
        refused(&service.session("ada", PASSWORD, &from(address)).await);
        refused(&service.basic("ada", PASSWORD, &from(address)).await);
    }
    assert_eq!((service.throttled("address"), service.tried()), (6.0, before));
    // Nothing was booked for who was not tried, and others sign in.
    let ben = service.sign_in_by("ben", WRONG, &from("2001:db8:1:3::1")).await;
    assert_eq!(ben.status, 401);
    assert_eq!(service.sign_in_by("ada", PASSWORD, &from("192.0.2.1")).await.status, 200);
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200, "nor who has no address");
    let wrong = service.sign_in_by("ada", PASSWORD, &from("here")).await;
    assert_eq!((wrong.status, wrong.pointers()), (400, vec!["x-client-address"]));
}

#[tokio::test]
async fn twenty_sign_up_from_an_address_and_then_one_a_minute() {
    let service = Service::start().await;
    let here = "192.0.2.1";
    for number in 0..20 {
        let mistaken = service.sign_up_from(&format!("n{number}"), "nobody", here).await;
        assert_eq!(mistaken.status, 400, "mistakes do not count");
        let reply = service.sign_up_from(&format!("n{number}"), "a@example.org", here).await;
        assert_eq!(reply.status, 201, "{number}");
    }
    for name in ["n1", "ada"] {
        let wait = refused(&service.sign_up_from(name, "a@example.org", here).await);
        assert!((1..=60).contains(&wait), "{wait}");
    }
    assert_eq!(service.throttled("sign_up"), 2.0);
    assert_eq!(service.sign_up_from("ada", "a@example.org", "192.0.2.2").await.status, 201);
    assert_eq!(service.sign_up("ben", "a@example.org", PASSWORD).await.status, 201);
    assert_eq!(service.number("SELECT count(*) FROM users").await, 22);
}
