//! Status events of calls: none is lost, whichever server is down or process dies, and each finds
//! the account that pays at that time.

use crate::authorizations::{allowed, ask, status};
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, on_calls};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::keys::make;
use crate::model::account::Account;
use crate::model::read::Topic;
use serde_json::{Value, json};

async fn system(breakable: &Breakable) -> System {
    System::with(Setup { servers: breakable.servers.clone(), ..Setup::default() }).await
}

async fn held(api: &Api, account: &str) -> String {
    let wallet = api.get(&format!("/v1/accounts/{account}/wallet")).await.expect(200);
    wallet["held"].as_str().expect("an amount").to_owned()
}

/// Waits until each account has this much held.
async fn until_held(api: &Api, expected: &[(&str, &str)]) {
    for (account, amount) in expected {
        let what = format!("{account} has {amount} held");
        until(&what, SOON, async || (held(api, account).await == *amount).then_some(())).await;
    }
}

async fn redis_is(api: &Api, up: bool) {
    until("readyz tells of redis", SOON, async || {
        let answer = api.get("/readyz").await;
        ((answer.status == 200) == up && (up || answer.text.contains("redis"))).then_some(())
    })
    .await;
}

/// Waits until the status events of all charged records are applied, as noted in Postgres.
async fn all_applied(system: &System) {
    let mut sql = system.sql().await;
    until("all status events are applied", SOON, async || {
        let behind = "SELECT count(*) FROM partition_offsets WHERE signals_offset < next_offset";
        let behind: i64 = sqlx::query_scalar(behind).fetch_one(&mut sql).await.expect("a count");
        (behind == 0).then_some(())
    })
    .await;
}

/// Produces status events of many calls, over all partitions.
async fn tell(system: &System, account: &Account, word: &str, numbers: std::ops::Range<usize>) {
    let event = |number: usize| {
        let partition = i32::try_from(number % 4).expect("small");
        on_calls(partition, &status(account, &call_sid(number), word))
    };
    system.produce(&numbers.map(event).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_events_that_came_while_redis_was_away_are_applied_when_it_is_back() {
    let breakable = Breakable::take();
    let mut system = system(&breakable).await;
    let api = system.serve("meter,api").await;
    let (acme, other) = (account("acme", 10_000_000), account("other", 1_000_000));
    system.open(&api, [&acme, &other]).await;
    let faults = [("stop", "start"), ("kill", "start"), ("pause", "resume")];
    for (round, (away, back)) in faults.into_iter().enumerate() {
        let (asked, seen) = (call_sid(10 * round + 1), call_sid(10 * round + 2));
        allowed(&ask(&api, "acme", &asked, 14_400).await);
        until_held(&api, &[("acme", "4.800000")]).await;
        breakable.server("redis", away).await;
        system.produce(&[on_calls(0, &status(&acme, &asked, "busy"))]).await;
        system.produce(&[on_calls(1, &status(&other, &seen, "in-progress"))]).await;
        system.settle(&api).await;
        redis_is(&api, false).await;
        breakable.server("redis", back).await;
        redis_is(&api, true).await;
        let more = format!("0.{}00000", round + 1);
        until_held(&api, &[("acme", "0.000000"), ("other", &more)]).await;
    }
    all_applied(&system).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_events_that_a_killed_process_had_charged_and_not_applied_are_applied_by_its_heir() {
    const CALLS: usize = 200;
    let breakable = Breakable::take();
    let mut system = system(&breakable).await;
    let api = system.serve("api").await;
    let meter = system.start("meter", &[]);
    system.ready(meter).await;
    let (acme, other) = (account("acme", 100_000_000), account("other", 1_000_000));
    system.open(&api, [&acme, &other]).await;
    for number in 0..CALLS {
        allowed(&ask(&api, "acme", &call_sid(number), 600).await);
    }
    until_held(&api, &[("acme", "40.000000")]).await;
    // Committed but not applied, as if the process had died in between.
    breakable.server("redis", "stop").await;
    tell(&system, &acme, "busy", 0..CALLS).await;
    tell(&system, &other, "ringing", CALLS..CALLS + 3).await;
    system.settle(&api).await;
    system.services[meter].kill();
    let told = system.run(&["status", "--json"]).expect_success().stdout;
    let told: Value = serde_json::from_str(&told).expect("one JSON object");
    let behind = told["partitions"].as_array().expect("partitions").iter();
    let behind: i64 = behind.filter_map(|it| it["signals_lag"].as_i64()).sum();
    assert!(behind >= i64::try_from(CALLS).expect("small") + 3, "the status tells: {told}");
    breakable.server("redis", "start").await;
    let heir = system.start("meter", &[]);
    until_held(&api, &[("acme", "0.000000"), ("other", "0.300000")]).await;
    all_applied(&system).await;
    let topic = system.topic(Topic::Calls);
    let labels = [("topic", topic.as_str()), ("partition", "0")];
    let lag = system.api(heir).metric("callmeter_signals_lag_records", &labels).await;
    assert_eq!(lag, Some(0), "nothing waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kafka_deleted_before_it_was_applied_does_not_keep_the_rest_from_it() {
    let breakable = Breakable::take();
    let mut system = system(&breakable).await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    breakable.server("redis", "stop").await;
    tell(&system, &acme, "ringing", 0..40).await;
    system.settle(&api).await;
    redis_is(&api, false).await;
    // Ten calls of each partition; in the first, six are deleted.
    system.kafka.delete_records_before(&system.topic(Topic::Calls), 0, 6).await;
    breakable.server("redis", "start").await;
    until_held(&api, &[("acme", "3.400000")]).await;
    all_applied(&system).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_events_go_to_the_account_that_pays_since_the_account_sid_was_moved() {
    let mut system = System::new().await;
    let meter = system.serve("meter,api").await;
    let second = system.serve("api").await;
    system.open(&meter, &[account("before", 1_000_000), account("after", 1_000_000)]).await;
    let moved = account("moved", 0);
    let link = |id: &str, sid: &str| {
        system.run(&["account", "link", id, sid]).expect_success();
    };
    link("before", &moved.sid);
    let before = second.with_key(Some(&make(&meter, "account", Some("before")).await.1));
    let after = second.with_key(Some(&make(&meter, "account", Some("after")).await.1));
    let by_sid = |call: usize| {
        json!({ "twilio_account_sid": moved.sid, "call_sid": call_sid(call), "seconds": 60,
                "from": "+15005550001", "to": "+12125550123" })
    };
    // Both processes have cached the name by now.
    allowed(&before.post("/v1/authorizations", &by_sid(1)).await);
    after.post("/v1/authorizations", &by_sid(2)).await.problem(404);
    system.produce(&[on_calls(0, &status(&moved, &call_sid(1), "busy"))]).await;
    system.produce(&[on_calls(0, &status(&moved, &call_sid(3), "ringing"))]).await;
    until_held(&meter, &[("before", "0.100000")]).await;

    link("after", &moved.sid);
    let refused = before.post("/v1/authorizations", &by_sid(4)).await;
    assert_eq!(refused.problem(404), "unknown_account", "by a key of the account before");
    allowed(&after.post("/v1/authorizations", &by_sid(5)).await);
    assert_eq!(held(&meter, "after").await, "0.020000");
    system.produce(&[on_calls(0, &status(&moved, &call_sid(5), "busy"))]).await;
    until_held(&meter, &[("after", "0.000000")]).await;
    system.produce(&[on_calls(0, &status(&moved, &call_sid(6), "in-progress"))]).await;
    until_held(&meter, &[("after", "0.100000"), ("before", "0.100000")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_seen_as_soon_as_somebody_pays_for_it() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    system.open(&api, [&account("acme", 1_000_000)]).await;
    let late = account("late", 0);
    // Without an account: looked up together, and not cached.
    tell(&system, &late, "ringing", 0..400).await;
    system.settle(&api).await;
    all_applied(&system).await;
    assert_eq!(held(&api, "acme").await, "0.000000");
    system.run(&["account", "link", "acme", &late.sid]).expect_success();
    tell(&system, &late, "ringing", 400..402).await;
    until_held(&api, &[("acme", "0.200000")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_that_is_set_by_hand_sets_where_status_events_are_applied_from() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    tell(&system, &acme, "ringing", 0..4).await;
    system.settle(&api).await;
    all_applied(&system).await;
    system.services[0].terminate();
    let topic = system.topic(Topic::Calls);
    let set = ["offsets", "set", "--topic", &topic, "--partition", "0", "--offset", "0"];
    system.run(&[&set[..], &["--reason", "again"]].concat()).expect_success();
    let mut sql = system.sql().await;
    let offsets = "SELECT next_offset, signals_offset FROM partition_offsets
                   WHERE topic = $1 AND partition = 0";
    let offsets = sqlx::query_as(offsets).bind(&topic).fetch_one(&mut sql);
    let offsets: (i64, i64) = offsets.await.expect("a row");
    assert_eq!(offsets, (0, 0));
    system.start("meter,api", &[]);
    let api = system.ready(1).await;
    system.settle(&api).await;
    all_applied(&system).await;
    assert_eq!(held(&api, "acme").await, "0.400000", "applied again, and the same");
}
