//! Whose shared key signs for which account, the limits of the header, and the answer if no key
//! signs.

use serde_json::{Value, json};

use super::accounts::{call, charged, served};
use super::post::{DEFAULT_TOKEN, PUBLIC_URL, Post, SETTINGS, event, events, settings_of, voice};
use crate::harness::api::Api;
use crate::harness::samples::account;
use crate::harness::system::System;
use crate::model::account::Account;
use ring::hmac;

/// A key: its id and its secret.
type Key = (&'static str, &'static str);

const ACME: Key = ("webhooks_sharedkey_acme", "YWNtZQ==acme-0123456789");
const NEXT: Key = ("webhooks_sharedkey_next", "bmV4dA==next-0123456789");
const GLOBEX: Key = ("webhooks_sharedkey_globex", "Z2xvYmV4-0123456789");
const DEFAULT: Key = ("webhooks_sharedkey_default", "ZGVmYXVsdA==-0123456789");
const UNKNOWN: Key = ("webhooks_sharedkey_unknown", "dW5rbm93bg==-0123456789");
const ACME_TOKEN: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";

const PUBLIC: (&str, &str) = ("CALLMETER__HTTP__PUBLIC_URL", PUBLIC_URL);
const DEFAULTS: (&str, &str) = (
    "TWILIO_SHARED_KEYS",
    "webhooks_sharedkey_other=b3RoZXI=,webhooks_sharedkey_default=ZGVmYXVsdA==-0123456789",
);
const NO_ROTATION: (&str, &str) = ("CALLMETER__TWILIO__PREVIOUS_TOKEN_HOURS", "0");

async fn set_keys(api: &Api, account: &Account, keys: Value) {
    let path = format!("/v1/accounts/{}", account.id);
    api.patch(&path, &json!({ "twilio_shared_keys": keys })).await.expect(200);
}

async fn set(api: &Api, account: &Account, (id, secret): Key) {
    set_keys(api, account, json!({ id: secret })).await;
}

/// A form and an array that report a call.
fn both(account: &Account, number: usize) -> [Post; 2] {
    let array = json!([event(&call(account, 2 * number + 1))]);
    [voice("", &call(account, 2 * number)), events("", array.to_string())]
}

#[tokio::test]
async fn a_shared_key_signs_for_its_own_account_and_those_of_the_settings_for_accounts_without() {
    let mut system = System::new().await;
    let (acme, globex, plain) = (account("acme", 0), account("globex", 0), account("plain", 0));
    let settings = [PUBLIC, DEFAULTS, NO_ROTATION];
    let api = served(&mut system, &settings, &[&acme, &globex, &plain]).await;
    set(&api, &acme, ACME).await;
    set(&api, &globex, GLOBEX).await;
    // The call's account, the named key, the signing secret, and the answer.
    let cases = [
        (&acme, ACME.0, ACME.1, 204),
        (&acme, GLOBEX.0, GLOBEX.1, 403),
        (&acme, GLOBEX.0, ACME.1, 403),
        (&acme, ACME.0, GLOBEX.1, 403),
        (&acme, DEFAULT.0, DEFAULT.1, 403),
        (&acme, UNKNOWN.0, ACME.1, 403),
        (&globex, GLOBEX.0, GLOBEX.1, 204),
        (&globex, ACME.0, ACME.1, 403),
        (&plain, DEFAULT.0, DEFAULT.1, 204),
        (&plain, "webhooks_sharedkey_other", "b3RoZXI=", 204),
        (&plain, "webhooks_sharedkey_other", DEFAULT.1, 403),
        (&plain, "WEBHOOKS_SHAREDKEY_DEFAULT", DEFAULT.1, 403),
        (&plain, ACME.0, ACME.1, 403),
        (&plain, UNKNOWN.0, UNKNOWN.1, 403),
        (&plain, DEFAULT.0, "", 403),
    ];
    let mut valid = Vec::new();
    for (number, (account, id, secret, status)) in cases.into_iter().enumerate() {
        for (kind, post) in both(account, number).iter().enumerate() {
            let answer = post.send_by_key(&api, id, secret).await;
            assert_eq!(answer.status, status, "{} {id} {secret} {answer:?}", account.id);
            if status == 403 {
                assert_eq!(answer.problem(403), "bad_signature");
            } else {
                valid.push((account.id.clone(), 2 * number + kind));
            }
        }
    }
    for account in [&acme, &globex, &plain] {
        let own = valid.iter().filter(|(id, _)| *id == account.id).map(|(_, number)| *number);
        assert_eq!(charged(&mut system, &api, account).await, own.collect::<Vec<_>>());
    }
    let by = |kind: &'static str, outcome: &'static str| {
        let api = api.clone();
        async move {
            let labels = [("signature", kind), ("outcome", outcome)];
            api.metric("callmeter_callbacks_total", &labels).await
        }
    };
    assert_eq!(by("shared_key", "accepted").await, Some(8));
    assert_eq!(by("shared_key", "forged").await, Some(22));
    assert_eq!(by("token", "forged").await, None);
}

#[tokio::test]
async fn with_the_header_nothing_else_counts_than_a_shared_key_by_sha_256() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let settings = [PUBLIC, DEFAULTS, ("TWILIO_AUTH_TOKEN", DEFAULT_TOKEN)];
    let api = served(&mut system, &settings, &[&acme]).await;
    set(&api, &acme, ACME).await;
    let token = json!({ "twilio_auth_token": ACME_TOKEN });
    api.patch("/v1/accounts/acme", &token).await.expect(200);
    let named = settings_of(ACME.0);
    let sha_1 = format!("key={},algorithm=HMAC_SHA1", ACME.0);
    let other = format!("key={},algorithm=HMAC_SHA384", ACME.0);
    let long = format!("key={},algorithm=HMAC_SHA256", "k".repeat(8_000));
    let twice = format!("{named},{named}");
    let strange = format!("key={}é,algorithm=HMAC_SHA256", ACME.0);
    let headers: [&[&str]; 14] = [
        &[&named],
        &[&sha_1],
        &[&other],
        &[&long],
        &[&twice],
        &[&strange],
        &[""],
        &["\t"],
        &["x"],
        &["key=,algorithm=,"],
        &["algorithm=HMAC_SHA1"],
        &[&named, &named],
        &["", &named],
        &[&named, ""],
    ];
    let sha_1 = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
    for (number, headers) in headers.into_iter().enumerate() {
        for post in both(&acme, number) {
            for (secret, algorithm) in [
                (ACME_TOKEN, sha_1),
                (DEFAULT_TOKEN, sha_1),
                (ACME_TOKEN, hmac::HMAC_SHA256),
                (ACME.1, sha_1),
            ] {
                let (path, signature) = post.sign_with(PUBLIC_URL, secret, algorithm);
                let mut sent = vec![("x-twilio-signature", signature.as_str())];
                sent.extend(headers.iter().map(|header| (SETTINGS, *header)));
                let answer = post.send_with(&api, &path, &sent).await;
                assert_eq!(answer.problem(403), "bad_signature", "{headers:?} {secret}");
            }
            let (path, signature) = post.sign_with(PUBLIC_URL, ACME.1, hmac::HMAC_SHA256);
            let mut sent = vec![("x-twilio-signature", signature.as_str())];
            sent.extend(headers.iter().map(|header| (SETTINGS, *header)));
            let answer = post.send_with(&api, &path, &sent).await;
            let expected = if number == 0 { 204 } else { 403 };
            assert_eq!(answer.status, expected, "{headers:?} {answer:?}");
        }
    }
    // Without the header no shared key counts, and two signatures count as none.
    for post in both(&acme, 50) {
        for algorithm in [sha_1, hmac::HMAC_SHA256] {
            let (path, signature) = post.sign_with(PUBLIC_URL, ACME.1, algorithm);
            let answer = post.send_to(&api, &path, Some(&signature)).await;
            assert_eq!(answer.problem(403), "bad_signature");
        }
        let (path, signature) = post.sign_with(PUBLIC_URL, ACME.1, hmac::HMAC_SHA256);
        for another in ["forged", &signature] {
            let signatures = [("x-twilio-signature", &*signature), ("x-twilio-signature", another)];
            let sent = [&signatures[..], &[(SETTINGS, &named)]].concat();
            let answer = post.send_with(&api, &path, &sent).await;
            assert_eq!(answer.problem(403), "bad_signature");
        }
        assert_eq!(post.send_with(&api, &path, &[(SETTINGS, &named)]).await.status, 403);
        assert_eq!(post.send(&api, ACME_TOKEN).await.status, 204, "a token signs as ever");
    }
    assert_eq!(charged(&mut system, &api, &acme).await, [0, 1, 100, 101]);
}

#[tokio::test]
async fn without_a_shared_key_callbacks_wait_and_by_an_unknown_one_they_are_refused() {
    let mut system = System::new().await;
    let (acme, plain) = (account("acme", 0), account("plain", 0));
    // Tokens are set, but do not verify such a request.
    let settings = [PUBLIC, ("TWILIO_AUTH_TOKEN", DEFAULT_TOKEN)];
    let api = served(&mut system, &settings, &[&acme, &plain]).await;
    for post in [voice("", &call(&acme, 1)), events("", "[]")] {
        let (path, signature) = post.sign(PUBLIC_URL, DEFAULT_TOKEN);
        for header in [settings_of(ACME.0), String::new()] {
            let answer = post.send_named(&api, &path, &signature, &header).await;
            assert_eq!(answer.problem(503), "not_configured");
        }
        assert_eq!(post.send_by_key(&api, ACME.0, ACME.1).await.problem(503), "not_configured");
    }
    set(&api, &acme, ACME).await;
    for post in [voice("", &call(&acme, 1)), events("", "[]")] {
        assert_eq!(post.send_by_key(&api, NEXT.0, NEXT.1).await.problem(403), "bad_signature");
        assert_eq!(post.send_by_key(&api, ACME.0, NEXT.1).await.problem(403), "bad_signature");
        assert_eq!(post.send_by_key(&api, ACME.0, ACME.1).await.status, 204);
    }
    // An account without a key: Twilio posts again until it has one; but a request that names
    // another account's key is a forgery, whoever signed it.
    let waiting = voice("", &call(&plain, 2));
    assert_eq!(waiting.send_by_key(&api, NEXT.0, NEXT.1).await.problem(503), "not_configured");
    for secret in [ACME.1, NEXT.1] {
        let answer = waiting.send_by_key(&api, ACME.0, secret).await;
        assert_eq!(answer.problem(403), "bad_signature");
    }
    let stranger = voice("", &call(&account("nobody", 0), 3));
    assert_eq!(stranger.send_by_key(&api, NEXT.0, NEXT.1).await.problem(403), "bad_signature");
    set(&api, &plain, NEXT).await;
    assert_eq!(waiting.send_by_key(&api, NEXT.0, NEXT.1).await.status, 204);
    assert_eq!(charged(&mut system, &api, &acme).await, [1]);
    assert_eq!(charged(&mut system, &api, &plain).await, [2]);
}

#[tokio::test]
async fn a_shared_key_signs_for_linked_twilio_accounts_and_events_of_others_are_left_out() {
    let mut system = System::new().await;
    let (acme, globex) = (account("acme", 0), account("globex", 0));
    let sub = account("sub-of-acme", 0);
    let api = served(&mut system, &[PUBLIC, DEFAULTS], &[&acme, &globex]).await;
    set(&api, &acme, ACME).await;
    let post = voice("", &call(&sub, 1));
    assert_eq!(post.send_by_key(&api, ACME.0, ACME.1).await.status, 403, "not linked yet");
    system.run(&["account", "link", "acme", &sub.sid]).expect_success();
    assert_eq!(post.send_by_key(&api, ACME.0, ACME.1).await.status, 204);
    let mixed = json!([
        event(&call(&acme, 2)),
        event(&call(&globex, 3)),
        event(&call(&sub, 4)),
        event(&call(&account("nobody", 0), 5)),
    ]);
    let mixed = events("", mixed.to_string());
    assert_eq!(mixed.send_by_key(&api, ACME.0, ACME.1).await.status, 204);
    let foreign = json!([event(&call(&globex, 6)), {"odd": true}]);
    let foreign = events("", foreign.to_string());
    assert_eq!(foreign.send_by_key(&api, ACME.0, ACME.1).await.status, 403);
    // The settings' keys also sign for Twilio accounts that no customer pays for: their calls are
    // kept.
    let stranger = voice("", &call(&account("nobody", 0), 7));
    assert_eq!(stranger.send_by_key(&api, DEFAULT.0, DEFAULT.1).await.status, 204);
    assert_eq!(charged(&mut system, &api, &acme).await, [1, 2, 4]);
    assert_eq!(charged(&mut system, &api, &globex).await, [] as [usize; 0]);
    let labels = [("outcome", "foreign")];
    assert_eq!(api.metric("callmeter_callback_records_total", &labels).await, Some(2));
}

#[tokio::test]
async fn one_shared_key_follows_another_without_a_gap_and_a_forgotten_one_is_revoked() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &[PUBLIC, DEFAULTS], &[&acme]).await;
    let strict = system.start("api", &[PUBLIC, DEFAULTS, NO_ROTATION]);
    let strict = system.ready(strict).await;
    let mut number = 0;
    let mut valid = Vec::new();
    let mut check = async |api: &Api, key: Key, status: u16| {
        number += 1;
        let answer = voice("", &call(&acme, number)).send_by_key(api, key.0, key.1).await;
        assert_eq!(answer.status, status, "{number} {key:?} {answer:?}");
        if status == 204 {
            valid.push(number);
        }
    };
    check(&api, DEFAULT, 204).await;
    set(&api, &acme, ACME).await;
    // The settings' key signed until now: requests signed with it are posted again for a while.
    for (key, status) in [(ACME, 204), (DEFAULT, 204), (NEXT, 403)] {
        check(&api, key, status).await;
    }
    check(&strict, DEFAULT, 403).await;
    set(&api, &acme, NEXT).await;
    for (key, status) in [(ACME, 204), (NEXT, 204)] {
        check(&api, key, status).await;
    }
    set_keys(&api, &acme, json!({ ACME.0: null })).await;
    for (key, status) in [(ACME, 403), (NEXT, 204)] {
        check(&api, key, status).await;
    }
    // Another secret under the same id replaces the old one at once.
    let corrected = (NEXT.0, GLOBEX.1);
    set(&api, &acme, corrected).await;
    for (key, status) in [(NEXT, 403), (corrected, 204)] {
        check(&api, key, status).await;
    }
    check(&strict, DEFAULT, 403).await;
    set_keys(&api, &acme, Value::Null).await;
    check(&api, corrected, 403).await;
    check(&strict, DEFAULT, 204).await;
    assert_eq!(charged(&mut system, &api, &acme).await, valid);
}

#[tokio::test]
async fn a_shared_key_that_cannot_be_opened_makes_callbacks_wait_and_refuses_none() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &[PUBLIC], &[&acme]).await;
    set(&api, &acme, ACME).await;
    let another = ("CALLMETER__HTTP__ADMIN_KEY", "another-admin-key-of-the-tests-012345");
    let locked = system.start("api", &[PUBLIC, another, DEFAULTS]);
    let locked = system.ready(locked).await;
    let nameless = voice("", &json!({"CallStatus": "completed"}));
    for post in [&voice("", &call(&acme, 1)), &nameless] {
        for secret in [ACME.1, NEXT.1] {
            let answer = post.send_by_key(&locked, ACME.0, secret).await;
            assert_eq!(answer.problem(503), "not_configured");
        }
        assert_eq!(post.send_by_key(&locked, NEXT.0, NEXT.1).await.problem(403), "bad_signature");
    }
    // A request that names no account is checked against every key of that id.
    assert_eq!(nameless.send_by_key(&api, ACME.0, ACME.1).await.status, 204);
    assert_eq!(nameless.send_by_key(&api, ACME.0, NEXT.1).await.problem(403), "bad_signature");
    assert_eq!(nameless.send_by_key(&locked, DEFAULT.0, DEFAULT.1).await.status, 204);
    assert_eq!(voice("", &call(&acme, 1)).send_by_key(&api, ACME.0, ACME.1).await.status, 204);
    assert_eq!(charged(&mut system, &api, &acme).await, [1]);
}
