//! Budgets: what a month may cost, what is told of it, and the stop of new calls.

use crate::alerts::until_published;
use crate::authorizations::{allowed, ask};
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls, on_rentals, rental};
use crate::harness::system::System;
use crate::keys::make;
use crate::live::{Events, PATH as STREAM};
use chrono::{DateTime, Datelike as _, Months, NaiveTime, Utc};
use futures::future::join_all;
use serde_json::{Value, json};

const PATH: &str = "/v1/accounts/acme/budget";

async fn budget(api: &Api) -> Value {
    api.get(PATH).await.expect(200)
}

/// The budget once so much is spent.
async fn until_spent(api: &Api, spent: &str) -> Value {
    until(&format!("{spent} is spent"), SOON, async || {
        let budget = budget(api).await;
        (budget["spent"] == spent).then_some(budget)
    })
    .await
}

fn utc_now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(now()).expect("an instant")
}

/// The first instant of the next UTC month.
fn next_month() -> DateTime<Utc> {
    let first = utc_now().date_naive().with_day(1).expect("a day");
    (first + Months::new(1)).and_time(NaiveTime::MIN).and_utc()
}

/// Reason and shortfall of a denied call.
fn denied(answer: &Value) -> (&str, &str) {
    assert_eq!(answer["decision"], "deny", "{answer}");
    let text = |name: &str| answer[name].as_str().expect("a text");
    (text("reason"), text("shortfall"))
}

const STOPPED: (&str, &str) = ("budget_exceeded", "0.000000");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_set_and_shown_with_what_is_spent_and_each_percent_is_told_once() {
    let mut system = System::new().await;
    let api = system.serve("api,meter,jobs").await;
    let acme = account("acme", 100_000_000);
    system.open(&api, &[acme.clone(), account("other", 0)]).await;
    let (_, key) = make(&api, "account", Some("acme")).await;
    let own = api.with_key(Some(&key));
    let month = utc_now().format("%Y-%m").to_string();
    let none = budget(&own).await;
    assert_eq!((&none["monthly"], &none["warn_at_percent"]), (&json!(null), &json!([])), "{none}");
    assert_eq!((&none["spent"], &none["month"]), (&json!("0.000000"), &json!(month)), "{none}");
    let resets_at = none["resets_at"].as_str().expect("a time").parse::<DateTime<Utc>>();
    assert_eq!(resets_at, Ok(next_month()), "{none}");
    for (wrong, field) in [
        (json!({}), "monthly"),
        (json!({"monthly": "0"}), "monthly"),
        (json!({"monthly": "-1"}), "monthly"),
        (json!({"monthly": 5}), "monthly"),
        (json!({"monthly": "5", "warn_at_percent": [80, 50]}), "warn_at_percent"),
        (json!({"monthly": "5", "warn_at_percent": [50, 50]}), "warn_at_percent"),
        (json!({"monthly": "5", "warn_at_percent": [0]}), "warn_at_percent"),
        (json!({"monthly": "5", "warn_at_percent": [1001]}), "warn_at_percent"),
        (json!({"monthly": "5", "warn_at_percent": [1.5]}), "warn_at_percent"),
        (json!({"monthly": "5", "warn_at_percent": null}), "warn_at_percent"),
        (json!({"monthly": "5", "stop": "yes"}), "stop"),
        (json!({"monthly": "5", "currency": "usd"}), "currency"),
    ] {
        let answer = own.put(PATH, &wrong).await;
        assert_eq!(answer.problem(400), "invalid_request", "{wrong}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{}", answer.text);
    }
    let foreign = own.put("/v1/accounts/other/budget", &json!({"monthly": null})).await;
    assert_eq!(foreign.problem(404), "unknown_account");
    let set = json!({"monthly": "5.00", "warn_at_percent": [50, 80, 120], "stop": false});
    let shown = own.put(PATH, &set).await.expect(200);
    assert_eq!(shown["monthly"], "5.000000");
    assert_eq!((&shown["warn_at_percent"], &shown["stop"]), (&json!([50, 80, 120]), &json!(false)));
    // A call of 2.40, a rent of 1.15, one of 0.02; then 1.43, which reaches 100 % exactly.
    let call = |number: usize, minutes: i64| {
        on_calls(0, &completed(&acme, &call_sid(number), 60 * minutes, now()))
    };
    system.produce(&[call(1, 120)]).await;
    until_spent(&api, "2.400000").await;
    system.produce(&[on_rentals(0, &rental(&acme, "PN1", "2026-11-01", None))]).await;
    until_spent(&api, "3.550000").await;
    system.produce(&[on_rentals(0, &rental(&acme, "PN2", "2026-11-01", Some("1.45")))]).await;
    let spent = until_spent(&api, "5.000000").await;
    if utc_now().day() > 1 {
        let forecast = spent["forecast"].as_str().expect("an amount").replace('.', "");
        assert!(forecast.parse::<i64>().expect("micro-dollars") >= 5_000_000, "{spent}");
    }
    // What buys nothing is no spending.
    for direction in ["debit", "credit"] {
        let body = json!({"type": direction, "amount": "3", "description": "A correction"});
        api.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    }
    assert_eq!(budget(&api).await["spent"], "5.000000");
    let events = until_published(&system, "acme", "budget.", 3).await;
    let percents: Vec<&Value> = events.iter().map(|(_, data)| &data["percent"]).collect();
    assert_eq!(percents, [&json!(50), &json!(80), &json!(null)], "{events:?}");
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["warning", "warning", "exceeded"]);
    assert_eq!(
        (&events[0].1["spent"], &events[0].1["monthly"], &events[0].1["month"]),
        (&json!("3.550000"), &json!("5.000000"), &json!(month))
    );
    assert_eq!(events[2].1["spent"], "5.000000");
    // A lowered budget makes 120 % true at once; what was told is not told again, nor after a raise.
    let mut stream = Events::of(api.stream(STREAM).await);
    stream.next_of("wallet").await.expect("how it stands");
    let more = json!({"type": "credit", "amount": "1", "description": "More"});
    api.post("/v1/accounts/acme/adjustments", &more).await.expect(201);
    stream.until("96.000000", "0.000000").await;
    for monthly in ["50.00", "4.00"] {
        let lowered = json!({"monthly": monthly, "warn_at_percent": [50, 80, 120]});
        own.put(PATH, &lowered).await.expect(200);
    }
    let live = stream.next_of("budget").await.expect("it is told");
    assert_eq!((&live["percent"], &live["monthly"]), (&json!(120), &json!("4.000000")), "{live}");
    let run = |arguments: &[&str]| {
        let ran = system.run(&[&["account", "budget", "acme"], arguments].concat());
        ran.expect_success().stdout
    };
    let set = run(&["--monthly", "2.50", "--warn-at", "50,190", "--stop", "--json"]);
    let set: Value = serde_json::from_str(&set).expect("JSON");
    assert_eq!((&set["stop"], &set["spent"]), (&json!(true), &json!("5.000000")), "{set}");
    let text = run(&[]);
    assert!(text.contains("5.000000 in ") && text.contains("new calls are denied"), "{text}");
    let events = until_published(&system, "acme", "budget.", 5).await;
    assert_eq!(events[4].1["percent"], 190, "{events:?}");
    let stopped = ask(&api, "acme", "CA1", 60).await.expect(200);
    assert_eq!(denied(&stopped), STOPPED);
    run(&["--remove", "--reason", "no longer needed"]);
    allowed(&ask(&api, "acme", "CA1", 60).await);
    assert_eq!(budget(&api).await["monthly"], json!(null));
    let audit = api.get("/v1/audit?account=acme&action=budget_changed").await.expect(200);
    assert_eq!(audit["items"][0]["before"]["monthly"], "2.500000", "{audit}");
    assert_eq!(system.run(&["account", "budget", "acme", "--stop"]).code, Some(2));
    assert_eq!(until_published(&system, "acme", "budget.", 5).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_at_two_processes_spend_no_more_than_the_budget() {
    let mut system = System::new().await;
    let first = system.serve("api,meter").await;
    let second = system.serve("api").await;
    let acme = account("acme", 100_000_000);
    system.open(&first, [&acme]).await;
    let monthly = json!({"monthly": "2.00", "stop": true});
    first.put(PATH, &monthly).await.expect(200);
    let ask_all = async |from: usize| {
        let sids: Vec<String> = (from..from + 200).map(call_sid).collect();
        let asked = sids.iter().enumerate().map(|(number, sid)| {
            let api = if number % 2 == 0 { &first } else { &second };
            async move { (sid.clone(), ask(api, "acme", sid, 180).await.expect(200)) }
        });
        join_all(asked).await
    };
    let minutes = |answers: &[(String, Value)]| -> Vec<(String, i64)> {
        let allowed = answers.iter().filter(|(_, answer)| answer["decision"] == "allow");
        let seconds = |answer: &Value| answer["granted_seconds"].as_i64().expect("seconds");
        allowed.map(|(sid, answer)| (sid.clone(), seconds(answer) / 60)).collect()
    };
    // 2.00 pay for 100 minutes: 33 calls of three, and one of one.
    let answers = ask_all(1).await;
    let mut granted = minutes(&answers);
    assert_eq!(granted.iter().map(|(_, minutes)| minutes).sum::<i64>(), 100, "{granted:?}");
    let refused = answers.iter().filter(|(_, answer)| answer["decision"] == "deny");
    assert!(refused.clone().count() == 166, "{granted:?}");
    assert!(refused.clone().all(|(_, answer)| denied(answer) == STOPPED), "{answers:?}");
    // Half of them end after a minute while 200 more ask: what they leave is granted again, once.
    let ended = granted.split_off(17);
    let call = |sid: &str, minutes: i64| on_calls(0, &completed(&acme, sid, 60 * minutes, now()));
    let ends: Vec<_> = ended.iter().map(|(sid, _)| call(sid, 1)).collect();
    let (_, more) = tokio::join!(system.produce(&ends), ask_all(201));
    granted.extend(minutes(&more));
    until_spent(&first, "0.340000").await;
    granted.extend(minutes(&ask_all(401).await));
    let all: i64 = granted.iter().map(|(_, minutes)| minutes).sum();
    assert_eq!(all, 100 - 17, "{granted:?}");
    // Redis loses everything: the stop holds. Then every call lasts as long as it was granted.
    let client = redis::Client::open(system.redis_url()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let mut sql = system.sql().await;
    until("all holds are journaled", SOON, async || {
        let open = "SELECT count(*) FROM open_holds";
        let open: i64 = sqlx::query_scalar(open).fetch_one(&mut sql).await.expect("a count");
        (open == i64::try_from(granted.len()).expect("few")).then_some(())
    })
    .await;
    redis::cmd("FLUSHDB").exec_async(&mut connection).await.expect("emptied");
    assert!(minutes(&ask_all(601).await).is_empty());
    let ends: Vec<_> = granted.iter().map(|(sid, minutes)| call(sid, *minutes)).collect();
    system.produce(&ends).await;
    until_spent(&second, "2.000000").await;
    for (number, api) in [(901, &first), (902, &second)] {
        assert_eq!(denied(&ask(api, "acme", &call_sid(number), 60).await.expect(200)), STOPPED);
    }
    // A call that was made all the same is charged.
    system.produce(&[call(&call_sid(903), 1)]).await;
    until_spent(&second, "2.020000").await;
    system.settle(&first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_turn_of_the_month_opens_the_budget_and_its_percents_count_anew() {
    let mut system = System::new().await;
    let api = system.serve("api,meter,jobs").await;
    let acme = account("acme", 100_000_000);
    system.open(&api, [&acme]).await;
    let monthly = json!({"monthly": "2.00", "warn_at_percent": [50], "stop": true});
    api.put(PATH, &monthly).await.expect(200);
    let call = |number: usize, minutes: i64| {
        on_calls(0, &completed(&acme, &call_sid(number), 60 * minutes, now()))
    };
    system.produce(&[call(1, 105)]).await;
    until_spent(&api, "2.100000").await;
    until("the stop", SOON, async || {
        let answer = ask(&api, "acme", &call_sid(2), 60).await.expect(200);
        (answer["decision"] == "deny").then_some(())
    })
    .await;
    until_published(&system, "acme", "budget.", 2).await;
    system.services[0].kill();
    let offset = (next_month() - utc_now()).num_seconds() + 60;
    let settings = [
        ("CALLMETER__TWILIO__API_BASE", "http://127.0.0.1:9"),
        ("CALLMETER__CLOCK__OFFSET_SECONDS", &offset.to_string()),
    ];
    let index = system.start("api,meter,jobs", &settings);
    let later = system.ready(index).await;
    let turned = budget(&later).await;
    assert_eq!((&turned["spent"], &turned["forecast"]), (&json!("0.000000"), &json!(null)));
    assert_eq!(turned["month"], next_month().format("%Y-%m").to_string(), "{turned}");
    // No row was written in this month, and the whole budget is open again.
    let answer = allowed(&ask(&later, "acme", &call_sid(3), 7_200).await);
    assert_eq!((&answer["granted_seconds"], &answer["final"]), (&json!(6_000), &json!(true)));
    assert_eq!(denied(&ask(&later, "acme", &call_sid(4), 60).await.expect(200)), STOPPED);
    system.produce(&[call(3, 60)]).await;
    until_spent(&later, "1.200000").await;
    let events = until_published(&system, "acme", "budget.", 3).await;
    assert_eq!(events[2].1["percent"], 50, "{events:?}");
    assert_eq!(events[2].1["month"], turned["month"], "{events:?}");
    let mut sql = system.sql().await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM budget_marks")
        .fetch_one(&mut sql)
        .await
        .expect("a count");
    assert_eq!(kept, 1, "marks of the month before are gone");
}
