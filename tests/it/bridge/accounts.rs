//! Whose token signs for which account, and the answer if no token does.

use serde_json::{Value, json};

use super::post::{DEFAULT_TOKEN, PUBLIC_URL, event, events, voice};
use crate::harness::api::Api;
use crate::harness::samples::{account, call_sid, completed, now};
use crate::harness::system::System;
use crate::model::account::Account;

const ACME_TOKEN: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
const NEXT_TOKEN: &str = "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf";

/// Settings of a process that receives Twilio's requests.
pub(super) fn settings() -> Vec<(&'static str, &'static str)> {
    vec![("CALLMETER__HTTP__PUBLIC_URL", PUBLIC_URL), ("TWILIO_AUTH_TOKEN", DEFAULT_TOKEN)]
}

/// Starts a process and opens accounts with plenty of money.
pub(super) async fn served(
    system: &mut System,
    changed: &[(&str, &str)],
    accounts: &[&Account],
) -> Api {
    let index = system.start("meter,api", changed);
    let api = system.ready(index).await;
    system.open(&api, accounts.iter().copied()).await;
    api
}

pub(crate) fn call(account: &Account, number: usize) -> Value {
    completed(account, &call_sid(number), 61, now())
}

async fn set_token(api: &Api, account: &Account, token: Option<&str>) {
    let path = format!("/v1/accounts/{}", account.id);
    api.patch(&path, &json!({"twilio_auth_token": token})).await.expect(200);
}

/// The numbers of the charged calls, once everything posted has been processed.
pub(super) async fn charged(system: &mut System, api: &Api, account: &Account) -> Vec<usize> {
    system.settle(api).await;
    let charges = api.charges(&account.id).await.expect("a list");
    let digits = |sid: &str| usize::from_str_radix(&sid[2..], 16).expect("hex");
    let mut numbers: Vec<_> = charges.iter().map(|charge| digits(&charge.call_sid)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_token_signs_for_its_own_account_and_the_default_one_for_those_without() {
    let mut system = System::new().await;
    let (acme, globex, plain) = (account("acme", 0), account("globex", 0), account("plain", 0));
    let mut changed = settings();
    changed.push(("CALLMETER__TWILIO__PREVIOUS_TOKEN_HOURS", "0"));
    let api = served(&mut system, &changed, &[&acme, &globex, &plain]).await;
    set_token(&api, &acme, Some(ACME_TOKEN)).await;
    set_token(&api, &globex, Some(NEXT_TOKEN)).await;
    // The call's account, the token, and the answer.
    let cases = [
        (&acme, ACME_TOKEN, 204),
        (&acme, NEXT_TOKEN, 403),
        (&acme, DEFAULT_TOKEN, 403),
        (&globex, NEXT_TOKEN, 204),
        (&globex, ACME_TOKEN, 403),
        (&plain, DEFAULT_TOKEN, 204),
        (&plain, ACME_TOKEN, 403),
        (&plain, "", 403),
    ];
    let mut valid = Vec::new();
    for (number, (account, token, status)) in cases.into_iter().enumerate() {
        let posts = [
            voice("", &call(account, 2 * number)),
            events("", json!([event(&call(account, 2 * number + 1))]).to_string()),
        ];
        for (kind, post) in posts.iter().enumerate() {
            let answer = post.send(&api, token).await;
            assert_eq!(answer.status, status, "{} {token} {answer:?}", account.id);
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
}

#[tokio::test]
async fn an_event_of_another_account_than_the_tokens_is_refused_and_the_others_are_taken() {
    let mut system = System::new().await;
    let (acme, globex) = (account("acme", 0), account("globex", 0));
    let api = served(&mut system, &settings(), &[&acme, &globex]).await;
    set_token(&api, &acme, Some(ACME_TOKEN)).await;
    let mixed = json!([
        event(&call(&acme, 1)),
        event(&call(&globex, 2)),
        // Only the account that is charged counts, not the fields beside it.
        {"AccountSid": acme.sid, "specversion": "1.0", "data": event(&call(&globex, 3))["data"],
            "type": "com.twilio.voice.status-callback.call.completed"},
        event(&call(&account("nobody", 0), 4)),
        event(&call(&acme, 5)),
    ]);
    assert_eq!(events("", mixed.to_string()).send(&api, ACME_TOKEN).await.status, 204);
    let foreign = json!([event(&call(&globex, 6)), {"odd": true}]);
    assert_eq!(events("", foreign.to_string()).send(&api, ACME_TOKEN).await.status, 403);
    let disguised = json!({"AccountSid": acme.sid, "specversion": "1.0",
        "type": "com.twilio.voice.status-callback.call.completed",
        "data": event(&call(&globex, 7))["data"].to_string()});
    assert_eq!(voice("", &disguised).send(&api, ACME_TOKEN).await.status, 403);
    assert_eq!(charged(&mut system, &api, &acme).await, [1, 5]);
    assert_eq!(charged(&mut system, &api, &globex).await, [] as [usize; 0]);
    let records = |outcome: &'static str| {
        let api = api.clone();
        async move { api.metric("callmeter_callback_records_total", &[("outcome", outcome)]).await }
    };
    assert_eq!((records("published").await, records("foreign").await), (Some(2), Some(3)));
}

#[tokio::test]
async fn a_token_signs_for_the_sub_accounts_that_are_linked_to_its_account() {
    let mut system = System::new().await;
    let (acme, sub) = (account("acme", 0), account("sub-of-acme", 0));
    let api = served(&mut system, &settings(), &[&acme]).await;
    set_token(&api, &acme, Some(ACME_TOKEN)).await;
    let post = voice("", &call(&sub, 1));
    assert_eq!(post.send(&api, ACME_TOKEN).await.status, 403, "not linked yet");
    system.run(&["account", "link", "acme", &sub.sid]).expect_success();
    assert_eq!(post.send(&api, ACME_TOKEN).await.status, 204);
    // A sub-account's own token signs too, and its parent's still does.
    let own = json!({"twilio_auth_token": NEXT_TOKEN, "twilio_account_sid": sub.sid});
    api.patch("/v1/accounts/acme", &own).await.expect(200);
    for (number, token) in [(2, NEXT_TOKEN), (3, ACME_TOKEN)] {
        assert_eq!(voice("", &call(&sub, number)).send(&api, token).await.status, 204);
    }
    assert_eq!(charged(&mut system, &api, &acme).await, [1, 2, 3]);
}

#[tokio::test]
async fn every_token_of_before_counts_for_a_while_and_a_forgotten_one_no_more() {
    let mut system = System::new().await;
    let (acme, sub) = (account("acme", 0), account("sub-of-acme", 0));
    let api = served(&mut system, &settings(), &[&acme]).await;
    system.run(&["account", "link", "acme", &sub.sid]).expect_success();
    // The settings' token served them until now; the second one is mistyped, then corrected.
    let tokens = [DEFAULT_TOKEN, ACME_TOKEN, "mistyped", NEXT_TOKEN];
    for token in &tokens[1..] {
        set_token(&api, &acme, Some(token)).await;
    }
    let mut valid = Vec::new();
    for (number, token) in tokens.into_iter().enumerate() {
        for (number, account) in [(2 * number, &acme), (2 * number + 1, &sub)] {
            let answer = voice("", &call(account, number)).send(&api, token).await;
            assert_eq!(answer.status, 204, "{token} {answer:?}");
            valid.push(number);
        }
    }
    // With the rotation period over.
    let mut changed = settings();
    changed.push(("CALLMETER__TWILIO__PREVIOUS_TOKEN_HOURS", "0"));
    let strict = system.start("api", &changed);
    let strict = system.ready(strict).await;
    for (number, token) in tokens.into_iter().enumerate() {
        let answer = voice("", &call(&acme, 10 + number)).send(&strict, token).await;
        let status = if token == NEXT_TOKEN { 204 } else { 403 };
        assert_eq!(answer.status, status, "{token} {answer:?}");
    }
    valid.push(13);
    set_token(&api, &acme, None).await;
    for (number, token) in tokens.into_iter().enumerate() {
        let answer = voice("", &call(&acme, 20 + number)).send(&api, token).await;
        let status = if token == DEFAULT_TOKEN { 204 } else { 403 };
        assert_eq!(answer.status, status, "{token} {answer:?}");
    }
    valid.push(20);
    assert_eq!(charged(&mut system, &api, &acme).await, valid);
}

#[tokio::test]
async fn however_often_a_token_is_changed_the_last_ten_of_them_count() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &settings(), &[&acme]).await;
    let token = |number: usize| format!("token-{number}");
    for number in 0..12 {
        set_token(&api, &acme, Some(&token(number))).await;
    }
    for number in 0..12 {
        let answer = voice("", &call(&acme, number)).send(&api, &token(number)).await;
        assert_eq!(answer.status, if number < 2 { 403 } else { 204 }, "{number} {answer:?}");
    }
    assert_eq!(charged(&mut system, &api, &acme).await, (2..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_a_token_callbacks_wait_and_without_a_signature_they_are_refused() {
    let mut system = System::new().await;
    let (acme, plain) = (account("acme", 0), account("plain", 0));
    let public = [("CALLMETER__HTTP__PUBLIC_URL", PUBLIC_URL)];
    let api = served(&mut system, &public, &[&acme, &plain]).await;
    for post in [voice("", &call(&acme, 1)), events("", "[]")] {
        let unsigned = post.send_to(&api, &post.path, None).await;
        assert_eq!(unsigned.problem(503), "not_configured");
        assert_eq!(post.send(&api, ACME_TOKEN).await.problem(503), "not_configured");
    }
    set_token(&api, &acme, Some(ACME_TOKEN)).await;
    for post in [voice("", &call(&acme, 1)), events("", "[]")] {
        let unsigned = post.send_to(&api, &post.path, None).await;
        assert_eq!(unsigned.problem(403), "bad_signature");
        assert_eq!(post.send(&api, ACME_TOKEN).await.status, 204);
    }
    // An account without a token: Twilio posts again until it has one; but a request signed with
    // another account's token is a forgery.
    let waiting = voice("", &call(&plain, 2));
    assert_eq!(waiting.send(&api, NEXT_TOKEN).await.problem(503), "not_configured");
    assert_eq!(waiting.send(&api, ACME_TOKEN).await.problem(403), "bad_signature");
    let stranger = voice("", &call(&account("nobody", 0), 3));
    assert_eq!(stranger.send(&api, NEXT_TOKEN).await.problem(403), "bad_signature");
    set_token(&api, &plain, Some(NEXT_TOKEN)).await;
    assert_eq!(waiting.send(&api, NEXT_TOKEN).await.status, 204);
    assert_eq!(charged(&mut system, &api, &acme).await, [1]);
    assert_eq!(charged(&mut system, &api, &plain).await, [2]);
}

#[tokio::test]
async fn a_token_that_cannot_be_opened_makes_callbacks_wait_and_refuses_none() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &settings(), &[&acme]).await;
    set_token(&api, &acme, Some(ACME_TOKEN)).await;
    let mut changed = settings();
    changed.push(("CALLMETER__HTTP__ADMIN_KEY", "another-admin-key-of-the-tests-012345"));
    let locked = system.start("api", &changed);
    let locked = system.ready(locked).await;
    let post = voice("", &call(&acme, 1));
    assert_eq!(post.send(&locked, ACME_TOKEN).await.problem(503), "not_configured");
    assert_eq!(post.send(&locked, NEXT_TOKEN).await.problem(503), "not_configured");
    // So does a request that names no account, unless a token that can be opened signed it.
    let nameless = voice("", &json!({"CallStatus": "completed"}));
    assert_eq!(nameless.send(&locked, ACME_TOKEN).await.problem(503), "not_configured");
    assert_eq!(nameless.send(&locked, DEFAULT_TOKEN).await.status, 204);
    assert_eq!(nameless.send(&api, NEXT_TOKEN).await.problem(403), "bad_signature");
    let mixed = json!([event(&call(&acme, 2)), event(&call(&account("nobody", 0), 3))]);
    // The settings' token signed it while that token counts for the account, as before.
    assert_eq!(events("", mixed.to_string()).send(&locked, DEFAULT_TOKEN).await.status, 204);
    for (post, signature) in [(&post, "forged"), (&nameless, "forged")] {
        let forged = post.send_to(&api, &post.path, Some(signature)).await;
        assert_eq!(forged.problem(403), "bad_signature");
        assert_eq!(post.send_to(&locked, &post.path, None).await.problem(403), "bad_signature");
    }
    assert_eq!(post.send(&api, ACME_TOKEN).await.status, 204);
    assert_eq!(charged(&mut system, &api, &acme).await, [1, 2]);
}

#[tokio::test]
async fn a_message_of_no_account_is_held_against_every_token_there_is() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &settings(), &[&acme]).await;
    set_token(&api, &acme, Some(ACME_TOKEN)).await;
    // More tokens than are read at once, each of them later.
    let mut sql = system.sql().await;
    sqlx::raw_sql(
        "WITH new AS (
             INSERT INTO twilio_accounts (account_key, twilio_account_sid, linked_at)
             SELECT account_key, 'AC' || n, linked_at
             FROM twilio_accounts, generate_series(100000, 102500) AS n
             WHERE twilio_account_sid = (SELECT min(twilio_account_sid) FROM twilio_accounts)
             RETURNING twilio_account_key)
         INSERT INTO twilio_tokens (twilio_account_key, sealed, key_id, set_at)
         SELECT new.twilio_account_key, sealed, key_id, now() + interval '1 hour'
         FROM new, twilio_tokens",
    )
    .execute(&mut sql)
    .await
    .expect("they are stored");
    let nameless = events("", "[]");
    assert_eq!(nameless.send(&api, ACME_TOKEN).await.status, 204);
    // They were sealed for another account: none can be opened, and one of them may have signed
    // this.
    assert_eq!(nameless.send(&api, NEXT_TOKEN).await.problem(503), "not_configured");
}
