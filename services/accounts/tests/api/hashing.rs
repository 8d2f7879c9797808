//! Many who sign in at once.

use futures_util::future::join_all;

use crate::service::{PASSWORD, Service};

#[tokio::test]
async fn who_comes_in_a_crowd_is_served_in_turn_or_told_to_come_back() {
    let service = Service::start_with(1).await;
    service.sign_up("ada", "a@example.org", PASSWORD).await;
    let hashed = || service.metric("accounts_hash_duration_seconds_count");
    let before = hashed();
    let names: Vec<_> = (0..100).map(|number| format!("ada{number}")).collect();
    let crowd = names.iter().map(|name| service.sign_in(name, "wrong wrong wrong"));
    let crowd = join_all(crowd).await;
    let served = crowd.iter().filter(|reply| reply.status == 401).count();
    let refused = crowd.iter().filter(|reply| reply.status == 503);
    let refused = refused.map(|reply| {
        assert_eq!(
            (reply.kind(), &reply.headers["retry-after"]),
            ("sign-in-busy", &"1".parse().unwrap())
        );
    });
    let refused = refused.count();
    assert_eq!(served + refused, 100, "nobody got another answer");
    assert!(served > 0 && refused > 0, "{served} {refused}");
    // Whoever was refused cost no hash.
    assert_eq!(hashed() - before, served as f64);
    let result =
        |result: &str| service.metric(&format!("accounts_sign_ins_total{{result=\"{result}\"}}"));
    assert_eq!((result("refused"), result("busy")), (served as f64, refused as f64));
    assert_eq!(service.metric("accounts_hashers_limit"), 1.0);
    assert_eq!(service.metric("accounts_hashers_busy"), 0.0);
    assert_eq!(service.metric("accounts_hash_wait_seconds_count"), 101.0);
    assert_eq!(service.sign_in("ada", PASSWORD).await.status, 200, "and after that all is well");
}
