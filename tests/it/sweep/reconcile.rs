//! Minutes and money compared with Twilio's usage, and a reason for each difference.

use super::{differences, reconcile, run};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, now, on_calls, subscribed};
use crate::harness::system::System;
use crate::harness::twilio::{Twilio, callback};
use crate::model::account::Account;
use crate::model::time::{At, DAY, HOUR, SECOND, rfc3339};
use callmeter::simulate::twilio::Behaviour;
use serde_json::{Value, json};

/// A completed call to New York.
fn call(account: &Account, number: usize, seconds: i64, end: At) -> Value {
    let mut call = callback(account, &call_sid(number), "completed", end);
    call["CallDuration"] = json!(seconds.to_string());
    call
}

/// Noon of the UTC day three days ago, whose usage is final.
fn noon() -> At {
    now() - now() % DAY - 3 * DAY + 12 * HOUR
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_difference_from_twilio_is_a_row_with_its_reason() {
    let twilio = Twilio::start(Behaviour::default());
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    // One account has a plan with free child legs: Twilio bills them anyway.
    let acme = account("acme", 1_000_000_000);
    let team = subscribed(account("team", 1_000_000_000), "team", now() - 60 * DAY);
    system.open(&api, [&acme, &team]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(&team, Some(&acme));
    twilio.subscribe(system.watchman(), Some(&acme));
    let settings = twilio.settings(&acme);
    let (midday, midnight) = (noon(), noon() + 12 * HOUR);
    let day = rfc3339(midday)[..10].to_owned();
    let days = [day.as_str(), day.as_str()];
    let mut child = call(&team, 50, 61, midday);
    child["ParentCallSid"] = json!(call_sid(49));
    let agreed = [
        call(&acme, 1, 1, midday),
        call(&acme, 2, 59, midday + 60 * SECOND),
        call(&acme, 3, 61, midday + 200 * SECOND),
        call(&team, 49, 200, midday),
        child,
    ];
    let mut records = Vec::new();
    for call in &agreed {
        twilio.learn(call);
        records.push(on_calls(0, call));
    }
    system.produce(&records).await;
    system.settle(&api).await;
    let (same, _) = reconcile(&system, &settings, days, 0);
    assert_eq!(same["differences"], json!([]));
    // Four minutes at 0.02 and at Twilio's 0.014; six in the plan.
    let row = |account: &str, report: &Value| {
        let rows = report["days"].as_array().expect("days").clone();
        rows.into_iter().find(|row| row["account"] == account).expect("a row")
    };
    let ours = row("acme", &same);
    assert_eq!((&ours["minutes"], &ours["twilio_minutes"]), (&json!(4), &json!(4)));
    assert_eq!(ours["price"], "0.080000");
    assert_eq!((&ours["twilio_cost"], &ours["margin"]), (&json!("0.056000"), &json!("0.024000")));
    let theirs = row("team", &same);
    assert_eq!((&theirs["minutes"], &theirs["margin"]), (&json!(6), &json!("-0.084000")));

    // Lost here, unknown there, reported with another duration, and on the other side of midnight.
    twilio.learn(&call(&acme, 10, 130, midday));
    let gone = call(&acme, 11, 121, midday);
    let (told, longer) = (call(&acme, 12, 60, midday), call(&acme, 12, 90, midday));
    twilio.learn(&longer);
    let early = call(&acme, 13, 30, midnight + 29 * SECOND);
    let mut late = early.clone();
    late["Timestamp"] = call(&acme, 13, 30, midnight + 31 * SECOND)["Timestamp"].clone();
    twilio.learn(&late);
    system.produce(&[on_calls(1, &gone), on_calls(1, &told), on_calls(1, &early)]).await;
    system.settle(&api).await;
    let (found, ran) = reconcile(&system, &settings, days, 1);
    let expected = [
        ("acme", "missing_here", -1, -3),
        ("acme", "missing_at_twilio", 1, 3),
        ("acme", "minutes_differ", 1, -1),
        ("acme", "other_day", 1, 1),
    ];
    assert_eq!(differences(&found), expected);
    assert_eq!(found["differences"][0]["call_sids"], json!([call_sid(10)]));
    assert!(ran.stderr.contains("differences from Twilio: 4"), "{ran:?}");
    let shown = run(&system, &settings, &["reconcile", "twilio", "--from", &day, "--to", &day]);
    assert!(
        shown.stdout.contains(&format!("callmeter sweep --from {day} --to {day}")),
        "{shown:?}"
    );
    let mut sql = system.sql().await;
    let kept = "SELECT reason, minutes FROM twilio_differences ORDER BY minutes, reason";
    let kept: Vec<(String, i64)> = sqlx::query_as(kept).fetch_all(&mut sql).await.expect("rows");
    let minutes: Vec<i64> = kept.iter().map(|(_, minutes)| *minutes).collect();
    assert_eq!(minutes, [-3, -1, 1, 3], "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_that_is_not_final_yet_is_shown_and_is_no_fault() {
    let behaviour = Behaviour { usage_delay_seconds: 36 * 3_600, ..Behaviour::default() };
    let twilio = Twilio::start(behaviour);
    let mut system = System::new().await;
    let acme = account("acme", 1_000_000_000);
    let mut settings = twilio.settings(&acme);
    settings.push(("CALLMETER__RECONCILE__EVERY_SECONDS", "1".to_owned()));
    let changed: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let index = system.start("meter,api,jobs", &changed);
    let api = system.ready(index).await;
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    let ends = [noon(), now() - now() % DAY - SECOND];
    let mut records = Vec::new();
    for (number, end) in ends.into_iter().enumerate() {
        let call = call(&acme, number, 100, end);
        twilio.learn(&call);
        records.push(on_calls(0, &call));
    }
    system.produce(&records).await;
    system.settle(&api).await;
    let days = ends.map(|end| rfc3339(end)[..10].to_owned());
    let (found, _) = reconcile(&system, &settings, [&days[0], &days[1]], 0);
    assert_eq!(differences(&found), [("acme", "usage_not_final", 1, 2)]);
    let name = "callmeter_twilio_drift_minutes";
    until("the job measures it", SOON, async || {
        let open = api.metric(name, &[("reason", "usage_not_final")]).await?;
        let fault = api.metric(name, &[("reason", "usage_differs")]).await?;
        ((open, fault) == (2, 0)).then_some(())
    })
    .await;
    twilio.local.change_habits(|behaviour| behaviour.usage_delay_seconds = 0);
    let (found, _) = reconcile(&system, &settings, [&days[0], &days[1]], 0);
    assert_eq!(differences(&found), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minutes_that_twilio_bills_in_a_category_that_is_not_asked_for_stay_unexplained() {
    let twilio = Twilio::start(Behaviour::default());
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000_000);
    system.open(&api, [&acme]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(system.watchman(), Some(&acme));
    let mut to_client = call(&acme, 1, 150, noon());
    to_client["To"] = json!("client:anna");
    twilio.learn(&to_client);
    system.produce(&[on_calls(0, &to_client)]).await;
    system.settle(&api).await;
    let day = rfc3339(noon())[..10].to_owned();
    let mut settings = twilio.settings(&acme);
    let (found, _) = reconcile(&system, &settings, [&day, &day], 0);
    assert_eq!(differences(&found), []);
    settings.push(("CALLMETER__RECONCILE__USAGE_CATEGORIES", "calls".to_owned()));
    let (found, _) = reconcile(&system, &settings, [&day, &day], 1);
    assert_eq!(differences(&found), [("acme", "usage_differs", 1, 3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_of_one_day_hides_no_other() {
    let twilio = Twilio::start(Behaviour::default());
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let (acme, globex) = (account("acme", 1_000_000_000), account("globex", 1_000_000_000));
    system.open(&api, [&acme, &globex]).await;
    twilio.subscribe(&acme, None);
    twilio.subscribe(&globex, Some(&acme));
    twilio.subscribe(system.watchman(), Some(&acme));
    let settings = twilio.settings(&acme);
    // On the first day usage is unreadable; on the second, one row of two calls; on the third, a
    // call was lost.
    let noons = [noon() - 2 * DAY, noon() - DAY, noon()];
    let mut records = Vec::new();
    for (number, end) in [(0, noons[0]), (1, noons[1]), (2, noons[1]), (3, noons[2])] {
        let call = call(&acme, number, 61 + i64::try_from(number).expect("small"), end);
        twilio.learn(&call);
        records.push(on_calls(0, &call));
    }
    twilio.learn(&call(&acme, 4, 200, noons[2]));
    twilio.learn(&call(&acme, 5, 300, noons[1]));
    let mut foreign = call(&globex, 6, 400, noons[2]);
    twilio.learn(&foreign);
    foreign["CallSid"] = json!(call_sid(7));
    twilio.learn(&foreign);
    records.push(on_calls(0, &foreign));
    system.produce(&records).await;
    system.settle(&api).await;
    let days = noons.map(|noon| rfc3339(noon)[..10].to_owned());
    twilio.local.garble(&format!("{} calls", days[0]), json!({"count": null, "usage": null}));
    twilio.local.garble(&call_sid(1), json!({"duration": "abc"}));
    let (found, ran) = reconcile(&system, &settings, [&days[0], &days[2]], 1);
    let expected = [
        ("acme", "not_compared", 1, 2),
        // One of the readable calls is missing; the unreadable one is not reported as missing.
        ("acme", "missing_here", -1, -5),
        ("acme", "missing_here", -1, -4),
        ("globex", "not_compared", 0, 0),
        ("globex", "missing_here", -1, -7),
        ("watchman", "not_compared", 0, 0),
    ];
    assert_eq!(differences(&found), expected, "{ran:?}");
    assert_eq!(found["days"][0]["margin"], Value::Null, "{found}");
    // A usage record for each of three accounts, and the row of a call that touches two days.
    assert_eq!((&found["unreadable"], &found["failed"]), (&json!(5), &json!([])), "{found}");
    let text = run(&system, &settings, &["reconcile", "twilio", "--from", &days[0]]).stdout;
    assert!(text.contains("rows of Twilio's cannot be read"), "{text}");
    twilio.local.garble(&call_sid(1), json!({}));
    // A row that Twilio lists under another account proves nothing about this one.
    twilio.local.garble(&call_sid(4), json!({"account_sid": globex.sid}));
    let (found, _) = reconcile(&system, &settings, [&days[2], &days[2]], 1);
    let expected = [("acme", "usage_differs", -1, -4), ("globex", "missing_here", -1, -7)];
    assert_eq!(differences(&found), expected);
}
