//! May this call go ahead? Authorizing, extending and voiding over HTTP.

use crate::harness::api::{Answer, Api};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{self, account, call_sid, completed, now, on_calls, subscribed};
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::model::catalog::{Catalog, Deck, Plan};
use crate::model::time::{DAY, MINUTE, rfc2822, rfc3339};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// The samples' catalog with a plan that refuses calls beyond its 2 minutes.
fn catalog() -> Catalog {
    let mut catalog = samples::catalog();
    catalog.plans.push(Plan {
        id: "fixed",
        included_minutes: 2,
        deck: Deck { per_minute: 14_000, prefixes: vec![] },
        increments: (60, 60),
        blocks_overage: true,
        parent_legs_only: false,
    });
    catalog
}

async fn system() -> System {
    System::with(Setup { catalog: catalog(), ..Setup::default() }).await
}

fn body(account: &str, call_sid: &str, seconds: u32) -> Value {
    json!({
        "account": account, "call_sid": call_sid, "seconds": seconds,
        "from": "+15005550001", "to": "+12125550123", "direction": "outbound-api",
    })
}

pub(crate) async fn ask(api: &Api, account: &str, call_sid: &str, seconds: u32) -> Answer {
    api.post("/v1/authorizations", &body(account, call_sid, seconds)).await
}

/// The answer to an allowed call.
#[track_caller]
pub(crate) fn allowed(answer: &Answer) -> Value {
    let answer = answer.expect(200);
    assert_eq!(answer["decision"], "allow", "{answer}");
    answer
}

/// Granted seconds, and whether the grant is final.
fn grant(answer: &Value) -> (u64, bool) {
    let seconds = answer["granted_seconds"].as_u64();
    let is_final = answer["final"].as_bool();
    (seconds.expect("seconds"), is_final.expect("final"))
}

/// Reason and shortfall of a denied call.
fn denied(answer: &Answer) -> (String, String) {
    let answer = answer.expect(200);
    assert_eq!(answer["decision"], "deny", "{answer}");
    let text = |key: &str| answer[key].as_str().expect("a text").to_owned();
    (text("reason"), text("shortfall"))
}

/// The held and the available money.
async fn wallet(api: &Api, account: &str) -> (String, String) {
    let wallet = api.get(&format!("/v1/accounts/{account}/wallet")).await.expect(200);
    let text = |key: &str| wallet[key].as_str().expect("an amount").to_owned();
    (text("held"), text("available"))
}

async fn extend(api: &Api, account: &str, call_sid: &str, seconds: u32) -> Answer {
    let path = format!("/v1/authorizations/{call_sid}/extend?account={account}");
    api.post(&path, &json!({ "seconds": seconds })).await
}

pub(crate) async fn void(api: &Api, account: &str, call_sid: &str) -> u16 {
    let path = format!("/v1/authorizations/{call_sid}?account={account}");
    api.send(Method::DELETE, &path, &[], None).await.expect("an answer").status
}

/// A status event of a call to New York.
pub(crate) fn status(account: &Account, call_sid: &str, status: &str) -> Value {
    let mut event = completed(account, call_sid, 0, now());
    event["CallStatus"] = json!(status);
    event["CallDuration"] = Value::Null;
    event["Timestamp"] = json!(rfc2822(now(), 0));
    event.as_object_mut().expect("an object").remove("CallDuration");
    event
}

fn amounts(held: &str, available: &str) -> (String, String) {
    (held.to_owned(), available.to_owned())
}

#[tokio::test]
async fn an_allowed_call_holds_what_it_may_cost_and_asking_again_answers_the_same() {
    let mut system = system().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let before = now();
    let first = allowed(&ask(&api, "acme", "CA1", 150).await);
    assert_eq!(grant(&first), (150, false));
    assert_eq!(first["rate_per_minute"], "0.020000");
    assert_eq!(first["call_sid"], "CA1");
    let valid_until = first["valid_until"].as_str().expect("an instant").to_owned();
    assert!(valid_until >= rfc3339(before + 4 * MINUTE), "ring time and grant: {valid_until}");
    assert!(valid_until < rfc3339(before + 6 * MINUTE), "{valid_until}");
    assert_eq!(wallet(&api, "acme").await, amounts("0.060000", "0.940000"));
    assert_eq!(allowed(&ask(&api, "acme", "CA1", 3_000).await), first, "never enlarged");
    let by_sid = json!({ "twilio_account_sid": account("acme", 0).sid, "call_sid": "CA2",
        "from": "+15005550001", "to": "+441632960000", "tag": "spring" });
    let other = allowed(&api.post("/v1/authorizations", &by_sid).await);
    assert_eq!(grant(&other), (300, false), "five minutes where it does not say");
    assert_eq!(other["rate_per_minute"], "0.030000", "the longest prefix");
    assert_eq!(wallet(&api, "acme").await, amounts("0.210000", "0.790000"));
    let last = allowed(&ask(&api, "acme", "CA3", 86_400).await);
    assert_eq!(grant(&last), (2_340, true), "39 minutes at 0.02 are what is left");
    assert_eq!(wallet(&api, "acme").await, amounts("0.990000", "0.010000"));
}

#[tokio::test]
async fn the_tag_of_an_authorization_is_kept_on_the_charge_unless_the_event_brings_one() {
    let mut system = system().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let tagged = |sid: &str, tag: &str| {
        let mut body = body("acme", sid, 60);
        body["tag"] = json!(tag);
        body
    };
    for (number, tag) in [(1, "spring"), (1, "later"), (2, "summer")] {
        allowed(&api.post("/v1/authorizations", &tagged(&call_sid(number), tag)).await);
    }
    allowed(&ask(&api, "acme", &call_sid(3), 60).await);
    // A change that is journaled together with the hold loses no tag.
    allowed(&extend(&api, "acme", &call_sid(2), 120).await);
    let mut sql = system.sql().await;
    until("the tags are written", SOON, async || {
        let count = sqlx::query_scalar("SELECT count(*) FROM call_tags").fetch_one(&mut sql).await;
        let count: i64 = count.expect("a count");
        (count == 2).then_some(())
    })
    .await;
    let ended = (1..4).map(|number| completed(&acme, &call_sid(number), 60, now()));
    let records: Vec<_> = ended.map(|event| on_calls(0, &event)).collect();
    system.produce(&records).await;
    system.settle(&api).await;
    let calls = api.get("/v1/accounts/acme/calls").await.expect(200);
    let calls = calls["items"].as_array().expect("a list").iter();
    let tags: Vec<_> = calls.map(|call| call["tag"].as_str().unwrap_or("none")).collect();
    assert_eq!(tags, ["none", "summer", "spring"], "newest first");
    let only = api.get("/v1/accounts/acme/calls?tag=spring").await.expect(200);
    assert_eq!(only["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_call_is_denied_for_a_reason_and_with_what_is_missing() {
    let mut system = system().await;
    let api = system.serve("api").await;
    let accounts = [
        account("poor", 13_000),
        account("rich", 5_000_000),
        account("shut", 5_000_000),
        account("busy", 5_000_000),
        subscribed(account("fixed", 5_000_000), "fixed", now() - DAY),
        subscribed(account("planned", 0), "starter", now() - DAY),
    ];
    system.open(&api, &accounts).await;
    let reason = |reason: &str, shortfall: &str| (reason.to_owned(), shortfall.to_owned());
    let poor = denied(&ask(&api, "poor", "CA1", 60).await);
    assert_eq!(poor, reason("insufficient_funds", "0.007000"));
    let body = json!({"type": "credit", "amount": "0.007", "description": "just enough"});
    api.post("/v1/accounts/poor/adjustments", &body).await.expect(201);
    allowed(&ask(&api, "poor", "CA1", 60).await);

    api.post("/v1/accounts/shut/close", &json!({})).await.expect(200);
    let shut = denied(&ask(&api, "shut", "CA1", 60).await);
    assert_eq!(shut, reason("account_closed", "0.000000"));
    api.post("/v1/accounts/shut/reopen", &json!({})).await.expect(200);
    allowed(&ask(&api, "shut", "CA1", 60).await);

    let mut satellite = self::body("rich", "CA1", 60);
    satellite["to"] = json!("+8816225550000");
    let blocked = denied(&api.post("/v1/authorizations", &satellite).await);
    assert_eq!(blocked, reason("destination_blocked", "0.000000"));

    let limit = json!({"calls_in_progress_max": 1});
    api.patch("/v1/accounts/busy", &limit).await.expect(200);
    allowed(&ask(&api, "busy", "CA1", 60).await);
    let busy = denied(&ask(&api, "busy", "CA2", 60).await);
    assert_eq!(busy, reason("too_many_calls", "0.000000"));
    allowed(&ask(&api, "busy", "CA1", 60).await);

    let fixed = allowed(&ask(&api, "fixed", "CA1", 600).await);
    assert_eq!(grant(&fixed), (120, true), "the plan blocks what is beyond 2 minutes");
    assert_eq!(wallet(&api, "fixed").await, amounts("0.000000", "5.000000"));
    let exhausted = denied(&ask(&api, "fixed", "CA2", 60).await);
    assert_eq!(exhausted, reason("allowance_exhausted", "0.000000"));

    let planned = allowed(&ask(&api, "planned", "CA1", 600).await);
    assert_eq!(grant(&planned), (600, false), "an allowance without money");
    let shown = api.get("/v1/accounts/planned/wallet").await.expect(200);
    assert_eq!(shown["allowance"]["held_seconds"], 600);
    assert_eq!(shown["allowance"]["remaining_seconds"], 5_400);

    assert_eq!(void(&api, "rich", "CA9").await, 204);
    let settled = denied(&ask(&api, "rich", "CA9", 60).await);
    assert_eq!(settled, reason("call_already_settled", "0.000000"));
    assert_eq!(ask(&api, "nobody", "CA1", 60).await.problem(404), "unknown_account");
    for (label, count) in [("insufficient_funds", 1), ("too_many_calls", 1)] {
        let labels = [("decision", "deny"), ("reason", label)];
        let counted = api.metric("callmeter_authorizations_total", &labels).await;
        assert_eq!(counted, Some(count), "{label}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_names_its_fields() {
    let mut system = system().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let cases = [
        ("account", Value::Null),
        ("account", json!("no such id!")),
        ("call_sid", Value::Null),
        ("call_sid", json!("")),
        ("from", json!(7)),
        ("to", Value::Null),
        ("seconds", json!(0)),
        ("seconds", json!(86_401)),
        ("seconds", json!("60")),
        ("direction", json!(1)),
        ("tag", json!("")),
        ("twilio_account_sid", json!("AC1")),
        ("colour", json!("red")),
    ];
    for (field, value) in cases {
        let mut body = body("acme", "CA1", 60);
        body[field] = value;
        let answer = api.post("/v1/authorizations", &body).await;
        assert_eq!(answer.problem(400), "invalid_request");
        assert!(answer.text.contains(field), "{field} of {body} is not named: {}", answer.text);
    }
    let nameless = api.post("/v1/authorizations/CA1/extend", &json!({"seconds": 60})).await;
    assert!(nameless.text.contains("account"), "{}", nameless.text);
    nameless.problem(400);
    extend(&api, "acme", "CA1", 0).await.problem(400);
    extend(&api, "acme", "CA1", 60).await.problem(404);
    extend(&api, "nobody", "CA1", 60).await.problem(404);
    let keyless = api.with_key(None);
    assert_eq!(ask(&keyless, "acme", "CA1", 60).await.status, 401);
    assert_eq!(extend(&keyless, "acme", "CA1", 60).await.status, 401);
    assert_eq!(void(&keyless, "acme", "CA1").await, 401);
    assert_eq!(wallet(&api, "acme").await, amounts("0.000000", "1.000000"));
}

#[tokio::test]
async fn a_call_is_extended_as_far_as_the_pool_allows_and_a_voided_one_frees_it() {
    let mut system = system().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 200_000)]).await;
    allowed(&ask(&api, "acme", "CA1", 60).await);
    allowed(&ask(&api, "acme", "CA2", 60).await);
    let more = allowed(&extend(&api, "acme", "CA1", 180).await);
    assert_eq!(grant(&more), (180, false));
    assert_eq!(wallet(&api, "acme").await, amounts("0.080000", "0.120000"));
    let same = allowed(&extend(&api, "acme", "CA1", 120).await);
    assert_eq!(grant(&same).0, 180, "nothing is taken back");
    let most = allowed(&extend(&api, "acme", "CA1", 7_200).await);
    assert_eq!(grant(&most), (540, true), "0.18 of it: the other call has its minute");
    assert_eq!(wallet(&api, "acme").await, amounts("0.200000", "0.000000"));
    assert_eq!(denied(&ask(&api, "acme", "CA3", 60).await).0, "insufficient_funds");
    assert_eq!(void(&api, "acme", "CA1").await, 204);
    assert_eq!(void(&api, "acme", "CA1").await, 204);
    assert_eq!(wallet(&api, "acme").await, amounts("0.020000", "0.180000"));
    assert_eq!(denied(&extend(&api, "acme", "CA1", 60).await).0, "call_already_settled");
    allowed(&ask(&api, "acme", "CA3", 60).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_own_event_settles_its_hold() {
    let mut system = system().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    allowed(&ask(&api, "acme", &call_sid(1), 600).await);
    assert_eq!(wallet(&api, "acme").await, amounts("0.200000", "0.800000"));
    let in_progress = on_calls(0, &status(&acme, &call_sid(1), "in-progress"));
    let end = on_calls(0, &completed(&acme, &call_sid(1), 61, now()));
    system.produce(&[in_progress.clone(), end]).await;
    system.settle(&api).await;
    assert_eq!(wallet(&api, "acme").await, amounts("0.000000", "0.960000"));
    // Requests and events after the end place no hold.
    system.produce(&[in_progress]).await;
    system.settle(&api).await;
    assert_eq!(denied(&ask(&api, "acme", &call_sid(1), 60).await).0, "call_already_settled");
    assert_eq!(wallet(&api, "acme").await, amounts("0.000000", "0.960000"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_nobody_authorized_count_against_the_pool_while_they_last() {
    let mut system = system().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 120_000);
    system.open(&api, [&acme]).await;
    allowed(&ask(&api, "acme", "CA-warm", 60).await);
    let seen = |sid: &str, word: &str| on_calls(1, &status(&acme, sid, word));
    system.produce(&[seen("CA1", "ringing"), seen("CA1", "in-progress")]).await;
    until("the call is held for", SOON, async || {
        (wallet(&api, "acme").await == amounts("0.120000", "0.000000")).then_some(())
    })
    .await;
    assert_eq!(denied(&ask(&api, "acme", "CA3", 60).await).0, "insufficient_funds");
    system.produce(&[seen("CA1", "busy"), seen("CA1", "ringing")]).await;
    until("the call is over", SOON, async || {
        (wallet(&api, "acme").await == amounts("0.020000", "0.100000")).then_some(())
    })
    .await;
    system.settle(&api).await;
    assert_eq!(wallet(&api, "acme").await, amounts("0.020000", "0.100000"));
    allowed(&ask(&api, "acme", "CA3", 60).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_callers_at_two_processes_are_never_granted_more_than_the_pool() {
    let mut system = system().await;
    let first = system.serve("api").await;
    let second = system.serve("api").await;
    // 0.62 pays for 31 minutes: 15 calls of two, and one of one.
    system.open(&first, &[account("acme", 620_000)]).await;
    let sids: Vec<String> = (0..50).map(call_sid).collect();
    let asked = sids.iter().enumerate().map(|(number, sid)| {
        let api = if number % 2 == 0 { &first } else { &second };
        ask(api, "acme", sid, 120)
    });
    let answers = join_all(asked).await;
    let granted: Vec<u64> = answers
        .iter()
        .map(|answer| answer.expect(200))
        .filter(|answer| answer["decision"] == "allow")
        .map(|answer| grant(&answer).0)
        .collect();
    assert_eq!(granted.iter().sum::<u64>(), 31 * 60, "{granted:?}");
    assert_eq!(granted.len(), 16, "{granted:?}");
    for api in [&first, &second] {
        assert_eq!(wallet(api, "acme").await, amounts("0.620000", "0.000000"));
    }
    // The next request at the other process sees a change by this one.
    let limit = json!({"credit_limit": "0.02"});
    first.patch("/v1/accounts/acme", &limit).await.expect(200);
    allowed(&ask(&second, "acme", "CA-more", 60).await);
    assert_eq!(denied(&ask(&second, "acme", "CA-too-many", 60).await).1, "0.020000");
    let plan = json!({"plan": "starter", "starts_at": rfc3339(now() - MINUTE)});
    second.put("/v1/accounts/acme/subscription", &plan).await.expect(200);
    let planned = allowed(&ask(&first, "acme", "CA-planned", 600).await);
    assert_eq!(grant(&planned), (600, false));
    assert_eq!(planned["rate_per_minute"], "0.014000");
}
