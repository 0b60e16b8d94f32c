//! Rate limits: guessed keys, keys that ask too often, and everything that is not limited.
//!
//! The refill of tokens is tested where they are counted (`src/http/rates.rs`). Here rates are so
//! low that a whole test gets a few tokens at most, however long it takes.

use crate::harness::api::{Answer, Api};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::system::System;
use crate::keys::{make, revoke};
use reqwest::Method;
use serde_json::json;
use std::time::Instant;

/// Sends the same request several times and returns the statuses; each 429 must say when to retry.
async fn statuses(api: &Api, path: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        let answer = api.get(path).await;
        if answer.status == 429 {
            assert_limited(&answer);
        }
        statuses.push(answer.status);
    }
    statuses
}

fn assert_limited(answer: &Answer) {
    assert_eq!(answer.problem(429), "rate_limited");
    let wait: u64 = answer.retry_after.as_deref().expect("Retry-After").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{answer:?}");
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessed_keys_are_refused_before_postgres_is_asked_and_known_ones_still_pass() {
    let mut system = System::new().await;
    let limits = [
        ("CALLMETER__HTTP__FAILED_LOGINS_PER_SECOND", "1"),
        ("CALLMETER__HTTP__FAILED_LOGINS_BURST", "5"),
    ];
    let index = system.start("api", &limits);
    let api = system.ready(index).await;
    system.open(&api, &[account("acme", 0)]).await;
    let (_, known) = make(&api, "account", Some("acme")).await;
    let known = api.with_key(Some(&known));
    known.get("/v1/accounts/acme").await.expect(200);
    let (id, revoked) = make(&api, "admin", None).await;
    assert_eq!(revoke(&api, &id).await.status, 204);

    let begun = Instant::now();
    let guess = api.with_key(Some("cmk_guessed"));
    let answers = statuses(&guess, "/v1/accounts/acme", 100).await;
    let tokens = 5 + 1 + usize::try_from(begun.elapsed().as_secs()).expect("small");
    let refused = count(&answers, 401);
    assert!((5..=tokens).contains(&refused), "{refused} of {tokens}: {answers:?}");
    assert_eq!(count(&answers, 429), 100 - refused, "{answers:?}");

    // While this address may not guess any more, known keys pass, and so do requests without a key.
    assert_eq!(count(&statuses(&known, "/v1/accounts/acme", 20).await, 200), 20);
    assert_eq!(count(&statuses(&api, "/v1/accounts/acme", 20).await, 200), 20);
    assert_eq!(count(&statuses(&api.with_key(None), "/v1/accounts/acme", 20).await, 401), 20);
    for path in ["/livez", "/readyz", "/readyz/api", "/metrics"] {
        assert_eq!(count(&statuses(&guess, path, 10).await, 200), 10, "{path}");
    }
    let hook = async || {
        let sent = api.post_as("/webhooks/twilio/voice", "text/plain", &[], b"x=1".to_vec()).await;
        sent.expect("an answer").status
    };
    for _ in 0..10 {
        assert_ne!(hook().await, 429);
    }
    until("revoked keys are guesses too", SOON, async || {
        let answer = api.with_key(Some(&revoked)).get("/v1/keys").await;
        (answer.status == 429).then_some(())
    })
    .await;
    let limited = api.metric("callmeter_http_rate_limited_total", &[("limit", "failed_login")]);
    assert!(limited.await.is_some_and(|count| count >= 90), "they are counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_key_that_asks_too_often_is_told_when_to_try_again() {
    let mut system = System::new().await;
    let limits = [
        ("CALLMETER__HTTP__ACCOUNT_KEY_REQUESTS_PER_SECOND", "1"),
        ("CALLMETER__HTTP__ACCOUNT_KEY_REQUESTS_BURST", "10"),
    ];
    let index = system.start("api", &limits);
    let api = system.ready(index).await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let (_, one) = make(&api, "account", Some("acme")).await;
    let (_, other) = make(&api, "account", Some("acme")).await;
    let (_, dialer) = make(&api, "authorize", None).await;
    let (one, other) = (api.with_key(Some(&one)), api.with_key(Some(&other)));

    let begun = Instant::now();
    let answers = statuses(&one, "/v1/accounts/acme", 100).await;
    let tokens = 10 + 1 + usize::try_from(begun.elapsed().as_secs()).expect("small");
    let passed = count(&answers, 200);
    assert!((10..=tokens).contains(&passed), "{passed} of {tokens}: {answers:?}");
    assert_eq!(count(&answers, 429), 100 - passed, "{answers:?}");
    // Refused by its rate before the account in its path is checked.
    until("a key without tokens is told so first", SOON, async || {
        (one.get("/v1/accounts/nobody").await.status == 429).then_some(())
    })
    .await;
    other.get("/v1/accounts/acme").await.expect(200);

    // Keys of other scopes are not limited by default.
    assert_eq!(count(&statuses(&api, "/v1/accounts/acme", 100).await, 200), 100);
    let (dialer, call) = (api.with_key(Some(&dialer)), "/v1/authorizations/CA1");
    let mut answers = Vec::new();
    for _ in 0..100 {
        let path = format!("{call}?account=acme");
        let sent = dialer.send(Method::DELETE, &path, &[], None).await.expect("an answer");
        answers.push(sent.status);
    }
    assert_eq!(count(&answers, 204), 100, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_other_scopes_are_limited_where_the_settings_say_so() {
    let mut system = System::new().await;
    let changed = [
        ("CALLMETER__HTTP__OTHER_KEY_REQUESTS_PER_SECOND", "1"),
        ("CALLMETER__HTTP__OTHER_KEY_REQUESTS_BURST", "10"),
        ("CALLMETER__HTTP__ACCOUNT_KEY_REQUESTS_PER_SECOND", "0"),
    ];
    let index = system.start("api", &changed);
    let api = system.ready(index).await;
    let admin = statuses(&api, "/v1/keys", 100).await;
    assert!(count(&admin, 200) >= 10 && count(&admin, 429) > 50, "{admin:?}");
    let body = json!({"name": "x", "scope": "account", "account": "nobody"});
    until("a token comes", SOON, async || {
        (api.post("/v1/keys", &body).await.status == 400).then_some(())
    })
    .await;
}
