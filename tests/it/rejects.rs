//! Rejects over HTTP and by command: listed, closed, still replayed; and a metric of the service
//! shows the debits of replays.

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls, on_rentals, rental};
use crate::harness::system::System;
use crate::model::account::Account;
use crate::model::read::Topic;
use crate::model::time::{DAY, rfc3339};
use crate::traffic::Outgoing;
use reqwest::Method;
use serde_json::{Value, json};

/// The rows of `rejects list --json`.
fn listed(system: &System, more: &[&str]) -> Vec<Value> {
    let ran = system.run(&[&["rejects", "list", "--json"], more].concat()).expect_success();
    let parse = |line: &str| serde_json::from_str(line).expect("one object per line");
    ran.stdout.lines().map(parse).collect()
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().expect("a number")).collect()
}

fn told(account: &Account, number: usize, seconds: i64) -> Outgoing {
    on_calls(0, &completed(account, &call_sid(number), seconds, now()))
}

fn hopeless() -> Outgoing {
    let payload = Some(b"hopeless".to_vec());
    Outgoing { topic: Topic::Calls, partition: 1, key: None, timestamp_ms: now() / 1_000, payload }
}

/// The audit entries of this action, oldest first.
async fn noted(api: &Api, action: &str) -> Vec<Value> {
    let path = format!("/v1/audit?action={action}");
    let mut rows = api.items(&path, 7).await.expect("the audit");
    rows.reverse();
    rows
}

async fn open_conflicts(api: &Api) -> Option<i64> {
    api.metric("callmeter_rejected_records", &[("reason", "conflict")]).await
}

/// The number of conflicts that `status` reports.
fn conflicts_of_status(system: &System) -> Option<i64> {
    let ran = system.run(&["status", "--json"]).expect_success();
    let status: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let rejects = status["rejects"].as_array().expect("rejects").clone();
    rejects.iter().find(|row| row["reason"] == "conflict")?["records"].as_i64()
}

#[tokio::test]
async fn a_closed_conflict_is_no_longer_open_and_stays_closed_when_it_comes_again() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    system.produce(&[told(&acme, 1, 61), told(&acme, 1, 62), hopeless()]).await;
    system.settle(&api).await;
    let kept = listed(&system, &[]);
    let conflict = kept.iter().find(|row| row["reason"] == "conflict").expect("a conflict");
    let id = conflict["id"].to_string();
    until("it is counted", SOON, async || (open_conflicts(&api).await? == 1).then_some(())).await;
    assert_eq!(conflicts_of_status(&system), Some(1));

    let reason = "credited by hand, call +15005550001";
    let ran = system.run(&["rejects", "close", &id, "--reason", reason, "--json"]);
    let closed: Value = serde_json::from_str(&ran.expect_success().stdout).expect("JSON");
    assert_eq!((&closed["changed"], &closed["count"]), (&json!(true), &json!(1)), "{closed}");
    let why = closed["closed_reason"].as_str().expect("a reason");
    assert!(why.starts_with("credited by hand") && !why.contains("5005550001"), "{why}");
    assert_eq!(listed(&system, &[]).len(), 1, "the other one is open");
    let all = listed(&system, &["--all"]);
    assert_eq!(ids(&all), ids(&kept));
    let shown = all.iter().find(|row| row["id"] == conflict["id"]).expect("it is listed");
    assert_eq!(shown["closed_at"], closed["closed_at"]);
    until("it is not counted", SOON, async || (open_conflicts(&api).await? == 0).then_some(()))
        .await;
    assert_eq!(conflicts_of_status(&system), None);
    let rows = noted(&api, "reject_closed").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["subject"], format!("reject {id}"));
    assert_eq!((&rows[0]["why"], &rows[0]["before"]["closed_at"]), (&json!(why), &Value::Null));
    assert!(rows[0]["who"].as_str().is_some_and(|who| who.starts_with("cli:")), "{rows:?}");

    let again = system.run(&["rejects", "close", &id, "--reason", "another"]).expect_success();
    assert!(again.stdout.contains("nothing was changed") && again.stdout.contains(why));
    assert_eq!(noted(&api, "reject_closed").await.len(), 1);

    system.produce(&[told(&acme, 1, 62), told(&acme, 1, 62)]).await;
    system.settle(&api).await;
    let all = listed(&system, &["--all", "--reason", "conflict"]);
    assert_eq!((all.len(), &all[0]["count"]), (1, &json!(3)), "{all:?}");
    assert_eq!(
        (&all[0]["closed_at"], &all[0]["closed_reason"]),
        (&closed["closed_at"], &closed["closed_reason"])
    );
    assert_eq!(listed(&system, &["--reason", "conflict"]), [] as [Value; 0]);
    assert_eq!(conflicts_of_status(&system), None);

    let replayed = system.run(&["rejects", "replay", "--reason", "conflict"]).expect_success();
    assert_eq!(replayed.stdout.trim(), "no reject is open", "closed ones are left alone");
    for (arguments, code, word) in [
        (&["rejects", "close", "999999", "--reason", "x"][..], 1, "no reject 999999"),
        (&["rejects", "close", &id], 2, "--reason"),
        (&["rejects", "close", &id, "--reason", " "], 2, "--reason"),
        (&["rejects", "close", "--reason", "x"], 2, "ID"),
    ] {
        let ran = system.run(arguments);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let one_line = ran.stderr.trim().lines().count() == 1;
        assert!(one_line && ran.stderr.contains(word), "{arguments:?}: {ran:?}");
    }
    assert_eq!(noted(&api, "reject_closed").await.len(), 1);
}

#[tokio::test]
async fn a_reject_is_closed_over_http_once_and_audited_with_the_reason_of_the_body() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    system.produce(&[told(&acme, 1, 61), told(&acme, 1, 62), hopeless(), hopeless()]).await;
    system.settle(&api).await;
    let id = ids(&listed(&system, &["--reason", "conflict"]))[0];
    let path = format!("/v1/rejects/{id}/close");
    for body in [json!({}), json!({"reason": ""}), json!({"reason": 1}), json!({"reason": "a\nb"})]
    {
        api.post(&path, &body).await.problem(400);
    }
    for unknown in ["999999", "0", "-1", "x", "99999999999999999999"] {
        let path = format!("/v1/rejects/{unknown}/close");
        let code = api.post(&path, &json!({"reason": "x"})).await.problem(404);
        assert_eq!(code, "unknown_reject", "{unknown}");
    }
    assert_eq!(listed(&system, &[]).len(), 3, "nothing was closed");
    let headers = [("idempotency-key", "once"), ("x-reason", "not this one")];
    let body = Some(json!({"reason": "seen"}).to_string().into_bytes());
    let first = api.send(Method::POST, &path, &headers, body.clone()).await.expect("an answer");
    let closed = first.expect(200);
    assert_eq!((&closed["id"], &closed["changed"]), (&json!(id), &json!(true)));
    assert_eq!((&closed["closed_reason"], &closed["replayed_at"]), (&json!("seen"), &Value::Null));
    let again = api.send(Method::POST, &path, &headers, body).await.expect("an answer");
    assert!(again.replayed);
    assert_eq!(again.expect(200), closed);
    let another = api.post(&path, &json!({"reason": "another"})).await.expect(200);
    assert_eq!((&another["changed"], &another["closed_reason"]), (&json!(false), &json!("seen")));
    assert_eq!(another["closed_at"], closed["closed_at"]);
    let rows = noted(&api, "reject_closed").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["who"], &rows[0]["why"]), (&json!("admin"), &json!("seen")));
    assert_eq!(rows[0]["after"]["rejected_as"], "conflict");
}

#[tokio::test]
async fn rejects_are_listed_over_http_by_reason_account_and_time_page_by_page() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let (acme, beta) = (account("acme", 1_000_000), account("beta", 1_000_000));
    let stranger = account("stranger", 0);
    system.open(&api, [&acme, &beta]).await;
    let sent = [
        told(&acme, 1, 61),
        told(&acme, 1, 62),
        told(&acme, 1, 63),
        told(&beta, 2, 61),
        told(&beta, 2, 62),
        told(&stranger, 3, 61),
        hopeless(),
    ];
    system.produce(&sent).await;
    system.settle(&api).await;
    let by_command = listed(&system, &[]);
    assert_eq!(by_command.len(), 5);
    let items = async |query: &str| {
        let mut items = api.items(&format!("/v1/rejects?{query}"), 2).await.expect("a list");
        items.reverse();
        items
    };
    assert_eq!(items("").await, by_command, "the same, newest first");
    let sid = by_command.iter().find(|row| row["reason"] == "unknown_account").expect("one");
    assert_eq!(sid["twilio_account_sid"], json!(stranger.sid));
    assert_eq!(sid["call_sid"], json!(call_sid(3)));
    let close = format!("/v1/rejects/{}/close", ids(&items("account=beta").await)[0]);
    api.post(&close, &json!({"reason": "seen"})).await.expect(200);
    let (later, of_stranger) =
        (rfc3339(now() + DAY), format!("twilio_account_sid={}", stranger.sid));
    for (query, count) in [
        ("reason=conflict", 2),
        ("reason=conflict&all=true", 3),
        ("reason=conflict&all=false", 2),
        ("account=acme", 2),
        ("account=beta", 0),
        ("account=beta&all=true", 1),
        ("account=nobody", 0),
        (&of_stranger, 1),
        ("all=true", 5),
        (&format!("from={later}"), 0),
        (&format!("all=true&to={later}"), 5),
    ] {
        assert_eq!(items(query).await.len(), count, "{query}");
    }
    for query in ["reason=boredom", "account=a%20b", "all=yes", "twilio_account_sid=", "limit=0"] {
        api.get(&format!("/v1/rejects?{query}")).await.problem(400);
    }
}

/// The lines of a metric in `/metrics`.
async fn lines(api: &Api, name: &str) -> Vec<String> {
    let text = api.with_key(None).get("/metrics").await.text;
    let of_metric = text.lines().filter(|line| line.starts_with(name)).map(str::to_owned);
    let mut lines: Vec<String> = of_metric.collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn what_replays_debit_is_in_a_metric_and_a_closed_reject_may_be_replayed() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    system.open(&api, []).await;
    let late = account("late", 50_000_000);
    system.produce(&[told(&late, 1, 61), told(&late, 2, 61), told(&late, 3, 61)]).await;
    system.produce(&[on_rentals(0, &rental(&late, "PN1", "2026-11-01", None))]).await;
    system.settle(&api).await;
    let name = "callmeter_replayed_dollars_total";
    let sums = |[call, overage, rental]: [&str; 3]| {
        let line = |kind, amount| format!("{name}{{kind=\"{kind}\"}} {amount}");
        vec![line("call", call), line("number_rental", rental), line("overage", overage)]
    };
    until("every kind is there from the start", SOON, async || {
        (lines(&api, name).await == sums(["0.000000"; 3])).then_some(())
    })
    .await;
    let of_calls = listed(&system, &[]).into_iter().filter(|row| !row["call_sid"].is_null());
    let [id, settled, _] = ids(&of_calls.collect::<Vec<_>>())[..] else { panic!("three calls") };
    let id = id.to_string();
    system.run(&["rejects", "close", &id, "--reason", "never mind"]).expect_success();
    let all = listed(&system, &["--all"]);
    let closed_at = all.iter().find_map(|row| row["closed_at"].as_str()).expect("one is closed");
    system.open(&api, [&late]).await;

    let ran = system.run(&["rejects", "replay", &id, "--why", "it minds"]).expect_success();
    let text = "1 charged; 0.040000 dollars debited; 1 of them had been closed";
    assert_eq!(ran.stdout.trim(), text);
    let rows = noted(&api, "reject_replayed").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["why"], "it minds");
    let before = rows[0]["before"]["closed_at"].as_str().expect("an instant");
    let instant = |text| chrono::DateTime::parse_from_rfc3339(text).expect("an instant");
    assert_eq!(instant(before), instant(closed_at));
    let after = json!({"outcome": "charged", "debited": "0.040000", "kind": "call"});
    assert_eq!(rows[0]["after"], after);
    until("the service counts it", SOON, async || {
        let expected = sums(["0.040000", "0.000000", "0.000000"]);
        (lines(&api, name).await == expected).then_some(())
    })
    .await;

    let ran = system.run(&["rejects", "replay", "--json"]).expect_success();
    let sum: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&sum["charged"], &sum["closed_before"]), (&json!(3), &json!(0)), "{sum}");
    let rent = sum["debited"].as_str().expect("dollars").parse::<callmeter_core::domain::Money>();
    let rent = rent.expect("an amount").micros() - 80_000;
    assert!(rent > 0, "{sum}");
    let expected =
        sums(["0.120000", "0.000000", &format!("{}.{:06}", rent / 1_000_000, rent % 1_000_000)]);
    until("the service counts the others", SOON, async || {
        (lines(&api, name).await == expected).then_some(())
    })
    .await;
    system.run(&["rejects", "replay", &id]).expect_success();
    let other = system.serve("meter,api").await;
    until("another process tells the same sum", SOON, async || {
        (lines(&other, name).await == expected).then_some(())
    })
    .await;
    // Replayed rejects need no closing, and earlier closings stay.
    let path = format!("/v1/rejects/{settled}/close");
    let code = api.post(&path, &json!({"reason": "seen"})).await.problem(409);
    assert_eq!(code, "reject_replayed");
    let ran = system.run(&["rejects", "close", &settled.to_string(), "--reason", "seen"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("a replay settled"), "{ran:?}");
    let ran = system.run(&["rejects", "close", &id, "--reason", "seen"]).expect_success();
    assert!(ran.stdout.contains("never mind"), "{ran:?}");
}
