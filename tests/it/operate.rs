//! What an operator does and sees: settings that change charging, the status, the limits.

use crate::harness::leaks::metrics_at;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{
    account, account_sid, call_sid, completed, now, on_calls, on_rentals, rental, subscribed,
};
use crate::harness::service::free_port;
use crate::harness::system::{Setup, System};
use crate::model::read::Topic;
use crate::model::time::{DAY, MINUTE};
use serde_json::{Value, json};

fn status(system: &System) -> Value {
    let ran = system.run(&["status", "--json"]).expect_success();
    serde_json::from_str(&ran.stdout).expect("one JSON object")
}

#[tokio::test]
async fn the_status_shows_how_far_each_partition_is_and_what_helps() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    let call = |n: usize| on_calls(2, &completed(&acme, &call_sid(n), 61, now()));
    system.produce(&[call(1), call(2)]).await;
    system.produce(&[on_rentals(0, &rental(&acme, "PN1", "2026-11-01", None))]).await;
    system.settle(&api).await;
    system.services[0].terminate();
    system.produce(&[call(3), call(4), call(5)]).await;

    let shown = status(&system);
    let topic = system.topic(Topic::Calls);
    let partitions = shown["partitions"].as_array().expect("partitions");
    assert_eq!(partitions.len(), 8, "{shown}");
    let of_calls = partitions.iter().filter(|it| it["topic"] == topic.as_str());
    let lags: Vec<_> = of_calls.map(|it| (it["partition"].as_i64(), it["lag"].as_i64())).collect();
    let expected =
        [0, 0, 3, 0].iter().zip(0..).map(|(lag, partition)| (Some(partition), Some(*lag)));
    assert_eq!(lags, expected.collect::<Vec<_>>());
    assert_eq!(shown["rentals"]["failed"], 1);
    let text = system.run(&["status"]).expect_success().stdout;
    assert!(text.contains(&topic), "{text}");

    // Every problem names the command that helps.
    let stranger = account("stranger", 0);
    system.start("meter,api", &[]);
    let api = system.ready(1).await;
    system.produce(&[on_calls(0, &completed(&stranger, &call_sid(9), 61, now()))]).await;
    system.settle(&api).await;
    system.services[1].terminate();
    system.kafka.delete_records_before(&topic, 2, 6).await;
    let shown = status(&system);
    assert_eq!(shown["rejects"][0]["reason"], "unknown_account", "{shown}");
    let problems = shown["problems"].to_string();
    assert!(problems.contains("callmeter rejects"), "{problems}");
}

#[tokio::test]
async fn beyond_the_cap_rejected_records_stay_in_kafka_and_are_replayed_from_there() {
    let mut system = System::new().await;
    let index = system.start("meter,api", &[("CALLMETER__REJECTS__BYTES_MAX", "2000")]);
    let api = system.ready(index).await;
    system.open(&api, []).await;
    let late = account("late", 0);
    let end = now() - DAY;
    let mut n = 0;
    until("a record is left in Kafka", SOON, async || {
        n += 1;
        system.produce(&[on_calls(0, &completed(&late, &call_sid(n), 61, end))]).await;
        system.settle(&api).await;
        let list = system.run(&["rejects", "list", "--json"]).expect_success().stdout;
        assert_eq!(list.lines().count(), n, "each one is listed");
        let newest: Value = serde_json::from_str(list.lines().last()?).ok()?;
        let shown = system.run(&["rejects", "show", &newest["id"].to_string()]).expect_success();
        assert!(newest["bytes"].as_i64() > Some(100), "its size is known: {newest}");
        shown.stdout.contains("left in Kafka").then_some(())
    })
    .await;
    assert!(system.services[index].log_text().contains("cap"), "an alarm is raised");
    let create = ["account", "create", "late", "--name", "Late", "--twilio-account-sid"];
    system.run(&[&create[..], &[&late.sid]].concat()).expect_success();
    system.run(&["rejects", "replay"]).expect_success();
    assert_eq!(api.charges("late").await.expect("a list").len(), n);
}

#[tokio::test]
async fn a_closed_account_is_still_charged_for_late_calls() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 50_000_000);
    system.open(&api, [&acme]).await;
    api.post("/v1/accounts/acme/close", &json!({})).await.expect(200);
    assert_eq!(api.get("/v1/accounts/acme/wallet").await.expect(200)["state"], "closed");
    system.produce(&[on_calls(0, &completed(&acme, &call_sid(1), 61, now() - MINUTE))]).await;
    system.settle(&api).await;
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!((&wallet["balance"], &wallet["state"]), (&json!("49.960000"), &json!("closed")));
    api.post("/v1/accounts/acme/reopen", &json!({})).await.expect(200);
    assert_eq!(api.get("/v1/accounts/acme/wallet").await.expect(200)["state"], "active");
    api.post("/v1/accounts/nobody/close", &json!({})).await.problem(404);
}

#[tokio::test]
async fn completed_calls_of_no_length_cost_the_minimum_or_nothing_as_set() {
    for (setting, balance) in [("minimum", "0.980000"), ("free", "1.000000")] {
        let mut system = System::new().await;
        let name = "CALLMETER__CHARGING__ZERO_DURATION_COMPLETED";
        let index = system.start("meter,api", &[(name, setting)]);
        let api = system.ready(index).await;
        let acme = account("acme", 1_000_000);
        system.open(&api, [&acme]).await;
        system.produce(&[on_calls(0, &completed(&acme, &call_sid(1), 0, now()))]).await;
        system.settle(&api).await;
        let charges = api.charges("acme").await.expect("a list");
        assert_eq!(charges.len(), 1, "{setting}: its evidence is kept");
        assert_eq!(charges[0].transaction_id.is_some(), setting == "minimum");
        let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
        assert_eq!(wallet["balance"], balance, "{setting}");
    }
}

#[tokio::test]
async fn limits_of_length_and_of_future_ends_follow_the_settings() {
    let mut system = System::new().await;
    let limits = [
        ("CALLMETER__CHARGING__CALL_SECONDS_MAX", "600"),
        ("CALLMETER__CHARGING__END_AHEAD_SECONDS_MAX", "60"),
    ];
    let index = system.start("meter,api", &limits);
    let api = system.ready(index).await;
    let acme = subscribed(account("acme", 0), "starter", now() - DAY);
    system.open(&api, [&acme]).await;
    let told = |n, seconds, end| on_calls(0, &completed(&acme, &call_sid(n), seconds, end));
    let at = now();
    let mut sent =
        [told(1, 600, at), told(2, 601, at), told(3, 1, at + MINUTE), told(4, 1, at + 2 * MINUTE)];
    for record in &mut sent {
        record.timestamp_ms = at / 1_000;
    }
    system.produce(&sent).await;
    system.settle(&api).await;
    let mut charged: Vec<_> =
        api.charges("acme").await.expect("a list").into_iter().map(|it| it.call_sid).collect();
    charged.sort_unstable();
    assert_eq!(charged, [call_sid(1), call_sid(3)]);
    let kept = system.run(&["rejects", "list", "--json"]).expect_success().stdout;
    assert_eq!(kept.matches("\"invalid\"").count(), 2, "{kept}");
}

#[tokio::test]
async fn an_internal_address_alone_serves_metrics_and_admin_paths() {
    let mut system = System::with(Setup { verified: false, ..Setup::default() }).await;
    let internal = free_port();
    let address = format!("127.0.0.1:{internal}");
    let index = system.start("api", &[("CALLMETER__HTTP__INTERNAL_LISTEN", &address)]);
    let public = system.ready(index).await;
    let inside = crate::harness::api::Api::new(format!("http://{address}"));
    let body = json!({"id": "acme", "name": "Acme", "twilio_account_sid": account_sid(1)});
    assert_eq!(public.get("/metrics").await.status, 404);
    assert_eq!(inside.get("/metrics").await.status, 200);
    assert!(matches!(public.post("/v1/accounts", &body).await.status, 404 | 405));
    inside.post("/v1/accounts", &body).await.expect(201);
    for api in [&public, &inside] {
        assert_eq!(api.get("/livez").await.status, 200);
        assert_eq!(api.get("/readyz").await.status, 200);
        api.get("/v1/accounts/acme/wallet").await.expect(200);
    }
}

#[tokio::test]
async fn calls_that_are_months_late_are_counted_and_leave_the_lag_alone() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let ended = [now(), now() - DAY + MINUTE, now() - DAY - MINUTE, now() - 70 * DAY];
    let calls = ended.into_iter().enumerate();
    let calls = calls.map(|(n, end)| on_calls(0, &completed(&acme, &call_sid(n), 61, end)));
    system.produce(&calls.collect::<Vec<_>>()).await;
    system.settle(&api).await;
    let metrics = metrics_at(system.services[0].port).expect("metrics");
    let figure = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let whole = line.and_then(|figure| figure.split('.').next()?.parse::<i64>().ok());
        whole.unwrap_or_else(|| panic!("{name} in {metrics}"))
    };
    assert_eq!(figure("callmeter_events_late_total"), 2);
    // Including those of the watchman.
    let events = figure("callmeter_event_lag_seconds_count");
    let sum = figure("callmeter_event_lag_seconds_sum");
    assert!(events >= 2 && sum < 86_400 + 60 * events, "{sum} s of {events} events");
}
