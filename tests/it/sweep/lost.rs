//! One call of a hundred is lost, and all are charged once after a sweep.

use super::{reconcile, run, sweep};
use crate::harness::api::Api;
use crate::harness::samples::{account, call_sid, now};
use crate::harness::system::System;
use crate::harness::twilio::{Twilio, callback, record, token};
use crate::model::account::Account;
use crate::model::time::{At, HOUR, MINUTE, SECOND, rfc3339};
use callmeter::simulate::twilio::Behaviour;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Completed calls of each account; other calls come between them.
const COMPLETED: usize = 600;

/// The required charges: seconds and start by sid.
type Expected = BTreeMap<String, (i64, At)>;

struct World {
    expected: BTreeMap<String, Expected>,
    lost: BTreeSet<String>,
}

/// Calls of the last day and a half with every end, all known to Twilio; Kafka receives all but one
/// of a hundred, always the same ones.
async fn traffic(system: &System, twilio: &Twilio, accounts: &[&Account]) -> World {
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut world = World { expected: BTreeMap::new(), lost: BTreeSet::new() };
    let mut records = Vec::new();
    for (index, account) in accounts.iter().enumerate() {
        let expected = world.expected.entry(account.id.clone()).or_default();
        for number in 0..COMPLETED {
            let sid = call_sid(index * 10_000 + number);
            let seconds = i64::try_from(number).expect("a small number") + 1;
            let age = i64::from(random.next_u32() % (36 * 3_600));
            let end = now() - MINUTE - age * SECOND;
            let mut call = callback(account, &sid, "completed", end);
            call["CallDuration"] = json!(seconds.to_string());
            call["Direction"] = json!(["outbound-api", "inbound", "outbound-dial"][number % 3]);
            if number % 10 == 0 {
                call["To"] = json!(["client:anna", "sip:anna@example.com"][number / 10 % 2]);
            }
            if number % 3 == 2 {
                call["ParentCallSid"] = json!(call_sid(index * 10_000 + number - 2));
            }
            twilio.learn(&call);
            expected.insert(sid.clone(), (seconds, end - seconds * SECOND));
            if random.next_u32().is_multiple_of(100) {
                world.lost.insert(sid);
            } else {
                records.push(record(number, &call));
            }
        }
        for (place, status) in
            ["busy", "no-answer", "failed", "canceled", "in-progress"].iter().enumerate()
        {
            let sid = call_sid(index * 10_000 + 9_000 + place);
            twilio.learn(&callback(account, &sid, status, now() - HOUR));
        }
    }
    system.produce(&records).await;
    world
}

/// Asserts that the charges are exactly `expected` without `lost`.
async fn assert_charged(api: &Api, expected: &BTreeMap<String, Expected>, lost: &BTreeSet<String>) {
    for (account, calls) in expected {
        let charges = api.charges(account).await.expect("charges");
        let mut found = Expected::new();
        for charge in &charges {
            let before = found.insert(charge.call_sid.clone(), (charge.seconds, charge.started_at));
            assert!(before.is_none(), "{account}: {} is charged twice", charge.call_sid);
        }
        let mut due = calls.clone();
        due.retain(|sid, _| !lost.contains(sid));
        assert_eq!(found, due, "{account}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_whose_callback_was_lost_is_charged_once_after_a_sweep() {
    let behaviour = Behaviour {
        page_max: 100,
        repeated: 7,
        busy_every: 5,
        broken_every: 8,
        ..Behaviour::default()
    };
    let twilio = Twilio::start(behaviour);
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let [parent, sub, own, bare, wrong] =
        ["parent", "sub", "own", "bare", "wrong"].map(|id| account(id, 1_000_000_000));
    system.open(&api, [&parent, &sub, &own, &bare, &wrong]).await;
    twilio.subscribe(&parent, None);
    twilio.subscribe(&sub, Some(&parent));
    twilio.subscribe(&own, None);
    twilio.subscribe(&wrong, None);
    for (account, token) in [(&own, token(&own)), (&wrong, "another-token".to_owned())] {
        let path = format!("/v1/accounts/{}", account.id);
        api.patch(&path, &json!({ "twilio_auth_token": token })).await.expect(200);
    }
    let world = traffic(&system, &twilio, &[&parent, &sub, &own]).await;
    assert!(world.lost.len() > 5, "the seed loses some: {:?}", world.lost);
    system.settle(&api).await;
    assert_charged(&api, &world.expected, &world.lost).await;

    let mut settings = twilio.settings(&parent);
    // Requests of several accounts would share Twilio's faults at random: five in a row for one
    // request are too many.
    settings.push(("CALLMETER__SWEEP__ACCOUNTS_AT_ONCE", "1".to_owned()));
    let from = rfc3339(now() - 48 * HOUR);
    let days = [&from[..10], &rfc3339(now())[..10]].map(str::to_owned);
    let days = [days[0].as_str(), days[1].as_str()];
    let (before, _) = reconcile(&system, &settings, days, 1);
    let missing: BTreeSet<String> = before["differences"]
        .as_array()
        .expect("differences")
        .iter()
        .flat_map(|row| {
            assert_eq!(row["reason"], "missing_here", "{row}");
            row["call_sids"].as_array().expect("sids").clone()
        })
        .map(|sid| sid.as_str().expect("a sid").to_owned())
        .collect();
    assert_eq!(missing, world.lost, "it finds those that were lost and no others");

    let ran = run(&system, &settings, &["sweep", "--json", "--from", &from]);
    assert_eq!(ran.code, Some(1), "two accounts cannot be swept: {ran:?}");
    let swept: Value = serde_json::from_str(&ran.stdout).expect("a report");
    let failed: Vec<&str> = swept["failed"]
        .as_array()
        .expect("failures")
        .iter()
        .map(|failure| failure["twilio_account_sid"].as_str().expect("a sid"))
        .collect();
    let refused = [&bare, system.watchman(), &wrong].map(|account| account.sid.as_str());
    assert_eq!(failed.iter().collect::<BTreeSet<_>>(), refused.iter().collect(), "{swept}");
    assert!(!ran.stdout.contains("token-of") && !ran.stderr.contains("token-of"), "{ran:?}");
    assert_eq!(swept["accounts"], 3);
    assert_eq!(swept["published"], world.lost.len());
    system.settle(&api).await;
    assert_charged(&api, &world.expected, &BTreeSet::new()).await;
    let (after, _) = reconcile(&system, &settings, days, 1);
    assert_eq!(after["differences"], json!([]), "{after}");
    let failed = after["failed"].as_array().expect("failures").len();
    assert_eq!(failed, 3, "for these it ends with 1: {after}");

    let again: Value = {
        let ran = run(&system, &settings, &["sweep", "--json", "--from", &from]);
        serde_json::from_str(&ran.stdout).expect("a report")
    };
    assert_eq!(again["published"], 0, "{again}");
    assert!(again["calls"].as_u64() >= Some(1_800), "{again}");
}

#[tokio::test]
async fn without_any_token_a_sweep_says_that_it_is_not_configured() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let ran = system.run(&["sweep"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("not_configured"), "{ran:?}");
    assert!(ran.stdout.contains(&account("acme", 0).sid), "{ran:?}");
    for (arguments, word) in [
        (["sweep", "--from", "yesterday"], "yesterday"),
        (["sweep", "--to", "1970-01-01T00:00:00"], "1970"),
        (["sweep", "--from", "2999-01-01"], "--from"),
    ] {
        let ran = system.run(&arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(word) && ran.stderr.trim().lines().count() == 1, "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_looks_at_calls_that_started_in_its_period_and_at_no_others() {
    let twilio = Twilio::start(Behaviour::default());
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    let noon = now() - now() % (24 * HOUR) - 36 * HOUR;
    for (number, start) in
        [noon - SECOND, noon, noon + HOUR - SECOND, noon + HOUR].iter().enumerate()
    {
        let mut call = callback(&acme, &call_sid(number), "completed", start + 90 * SECOND);
        call["CallDuration"] = json!("90");
        twilio.learn(&call);
    }
    let (from, to) = (rfc3339(noon), rfc3339(noon + HOUR));
    let mut settings = twilio.settings(&acme);
    // Nor does it need settings that only HTTPS needs.
    settings.push(("SSL_CERT_FILE", "/nonexistent".to_owned()));
    settings.push(("SSL_CERT_DIR", "/nonexistent".to_owned()));
    let swept = sweep(&system, &settings, &["--from", &from, "--to", &to]);
    assert_eq!(swept["published"], 2, "{swept}");
    system.settle(&api).await;
    let charged = api.charges("acme").await.expect("charges");
    let mut sids: Vec<&str> = charged.iter().map(|charge| charge.call_sid.as_str()).collect();
    sids.sort_unstable();
    assert_eq!(sids, [call_sid(1), call_sid(2)]);
    let day = rfc3339(noon)[..10].to_owned();
    let swept = sweep(&system, &settings, &["--from", &day, "--to", &day]);
    assert_eq!(swept["published"], 2, "a day is swept whole: {swept}");
}

/// The rejects: reason and detail.
fn rejects(system: &System) -> Vec<(String, String)> {
    let listed = system.run(&["rejects", "list", "--json"]).expect_success();
    let told = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        (text("reason"), text("detail"))
    };
    listed.stdout.lines().map(told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_holds_up_no_other() {
    let twilio = Twilio::start(Behaviour { page_max: 3, repeated: 0, ..Behaviour::default() });
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    for number in 0..8 {
        let age = i64::try_from(number).expect("a small number") * SECOND;
        let mut call = callback(&acme, &call_sid(number), "completed", now() - MINUTE - age);
        call["CallDuration"] = json!((number + 1).to_string());
        twilio.learn(&call);
    }
    for (number, odd) in [
        (1, json!({"duration": "abc"})),
        (2, json!({"end_time": "garbage"})),
        (4, json!({"sid": null})),
        (6, json!({"from": {"a": []}, "status": 7})),
    ] {
        twilio.local.garble(&call_sid(number), odd);
    }
    let settings = twilio.settings(&acme);
    let ran = run(&system, &settings, &["sweep", "--json"]);
    assert_eq!(ran.code, Some(1), "not all of it was swept: {ran:?}");
    assert!(ran.stderr.contains("cannot be used: 4"), "{ran:?}");
    let swept: Value = serde_json::from_str(&ran.stdout).expect("a report");
    assert_eq!((&swept["published"], &swept["unusable"]), (&json!(4), &json!(4)), "{swept}");
    assert_eq!((&swept["failed"], &swept["accounts"]), (&json!([]), &json!(2)), "{swept}");
    system.settle(&api).await;
    let charged = api.charges("acme").await.expect("charges");
    let mut sids: Vec<&str> = charged.iter().map(|charge| charge.call_sid.as_str()).collect();
    sids.sort_unstable();
    assert_eq!(sids, [0, 3, 5, 7].map(call_sid));
    let text = run(&system, &settings, &["sweep"]).stdout;
    assert!(text.contains("4 rows of Twilio's cannot be used"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_call_that_cannot_be_charged_is_kept_once() {
    let twilio = Twilio::start(Behaviour { page_max: 2, repeated: 2, ..Behaviour::default() });
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    let call = |number: usize, seconds: u32| {
        let mut call = callback(&acme, &call_sid(number), "completed", now() - MINUTE);
        call["CallDuration"] = json!(seconds.to_string());
        call
    };
    // The last call's callback was not lost: it is already kept.
    let told = call(3, 100_000);
    for call in [&call(0, 61), &call(1, 90_000), &call(2, 86_400), &told] {
        twilio.learn(call);
    }
    system.produce(&[record(0, &told)]).await;
    system.settle(&api).await;
    let mut settings = twilio.settings(&acme);
    for published in [3, 0] {
        let swept = sweep(&system, &settings, &[]);
        assert_eq!(swept["published"], published, "{swept}");
        assert_eq!((&swept["rejected"], &swept["unusable"]), (&json!(2), &json!(0)), "{swept}");
        system.settle(&api).await;
        let kept = rejects(&system);
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept[0].1.contains("100000") && kept[1].1.contains("90000"), "{kept:?}");
    }
    let text = run(&system, &settings, &["sweep"]).stdout;
    assert!(text.contains("2 cannot be charged and are kept"), "{text}");
    // If longer calls are charged, it is a call like any other.
    settings.push(("CALLMETER__CHARGING__CALL_SECONDS_MAX", "90000".to_owned()));
    assert_eq!(sweep(&system, &settings, &[])["published"], 1);
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("charges").len(), 2);
}
