//! Alerts of the balance: set by the customer, found where a row crosses a threshold, told once.

use crate::authorizations::ask;
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use crate::keys::make;
use crate::live::{Events, PATH as STREAM};
use serde_json::{Value, json};

const PATH: &str = "/v1/accounts/acme/alerts";
const HOUR: i64 = 3_600;

/// The published events of an account whose type begins like this, in order: the rest of the type,
/// and the data.
pub(crate) fn published(system: &System, account: &str, prefix: &str) -> Vec<(String, Value)> {
    let records = system.kafka.records(&system.events_topic());
    let events = records.into_iter().filter(|(key, _)| key.as_deref() == Some(account));
    let events = events.filter_map(|(_, value)| {
        let event: Value = serde_json::from_slice(&value).expect("JSON");
        let kind = event["type"].as_str()?.strip_prefix("callmeter.")?.strip_prefix(prefix)?;
        assert_eq!(event["data"]["account"], account, "{event}");
        Some((kind.to_owned(), event["data"].clone()))
    });
    events.collect()
}

/// The same once there are as many.
pub(crate) async fn until_published(
    system: &System,
    account: &str,
    prefix: &str,
    count: usize,
) -> Vec<(String, Value)> {
    until(&format!("{count} events {prefix}"), SOON, async || {
        let events = published(system, account, prefix);
        (events.len() >= count).then_some(events)
    })
    .await
}

pub(crate) async fn adjust(api: &Api, direction: &str, amount: &str) -> Value {
    let body = json!({"type": direction, "amount": amount, "description": "A correction"});
    api.post("/v1/accounts/acme/adjustments", &body).await.expect(201)
}

/// Threshold or type, and the balance before and after.
fn told(events: &[(String, Value)]) -> Vec<[&str; 3]> {
    let text = |data: &'_ Value, name: &str| data[name].as_str().map(str::len);
    let words = events.iter().map(|(kind, data)| {
        assert!(text(data, "transaction_id").is_some(), "{data}");
        let level = if kind == "empty" { "empty" } else { data["threshold"].as_str().expect("it") };
        let amount = |name: &str| data[name].as_str().expect("an amount");
        [level, amount("balance_before"), amount("balance_after")]
    });
    words.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thresholds_are_set_by_the_customer_and_decide_when_a_wallet_is_low() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 19_990_000), account("other", 0)]).await;
    let (_, key) = make(&api, "account", Some("acme")).await;
    let own = api.with_key(Some(&key));
    let state = async || own.get("/v1/accounts/acme/wallet").await.expect(200)["state"].clone();
    let never_set = own.get(PATH).await.expect(200);
    assert_eq!(never_set, json!({"thresholds": ["20.000000"]}), "the default of the settings");
    assert_eq!(state().await, "low");
    let set = own.put(PATH, &json!({"thresholds": ["5.00", "19.99", "0"]})).await.expect(200);
    assert_eq!(set, json!({"thresholds": ["5.000000", "19.990000", "0.000000"]}));
    assert_eq!(own.get(PATH).await.expect(200), set);
    assert_eq!(state().await, "active", "not below the highest");
    own.put(PATH, &json!({"thresholds": []})).await.expect(200);
    assert_eq!(own.get(PATH).await.expect(200), json!({"thresholds": []}));
    assert_eq!(state().await, "low", "by wallet.low_balance_threshold");
    let many: Vec<String> = (0..21).map(|dollars| dollars.to_string()).collect();
    for wrong in [
        json!({}),
        json!({"thresholds": null}),
        json!({"thresholds": "5.00"}),
        json!({"thresholds": [5]}),
        json!({"thresholds": ["-1"]}),
        json!({"thresholds": ["1.001"]}),
        json!({"thresholds": ["5", "5.00"]}),
        json!({"thresholds": many}),
    ] {
        let answer = own.put(PATH, &wrong).await;
        assert_eq!(answer.problem(400), "invalid_request", "{wrong}");
        assert_eq!(answer.json()["errors"][0]["field"], "thresholds", "{}", answer.text);
    }
    assert_eq!(own.get(PATH).await.expect(200), json!({"thresholds": []}), "nothing is changed");
    let foreign = own.put("/v1/accounts/other/alerts", &json!({"thresholds": []})).await;
    assert_eq!(foreign.problem(404), "unknown_account");
    // The command does the same.
    let run = |arguments: &[&str]| {
        let ran = system.run(&[&["account", "alerts", "acme"], arguments].concat());
        ran.expect_success().stdout.trim().to_owned()
    };
    let reason = "as she asked";
    assert_eq!(
        run(&["--set", "7.50,1", "--reason", reason, "--json"]),
        json!({"thresholds": ["7.500000", "1.000000"]}).to_string()
    );
    assert_eq!(run(&[]), "acme is told below: 7.500000, 1.000000");
    assert_eq!(run(&["--clear"]), "acme is told below: no threshold");
    let audit = api.get("/v1/audit?account=acme&action=alerts_changed").await.expect(200);
    let second = &audit["items"][1];
    assert_eq!((&second["why"], &second["before"]["thresholds"]), (&json!(reason), &json!([])));
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(4), "{audit}");
    for wrong in [&["--set", "5,5"][..], &["--set", "1", "--clear"], &["--set", "1.001"]] {
        let ran = system.run(&[&["account", "alerts", "acme"], wrong].concat());
        assert_eq!(ran.code, Some(2), "{wrong:?}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_threshold_is_told_once_by_the_row_that_crosses_it_and_again_once_it_is_armed() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    let set = async |thresholds: &[&str]| {
        api.put(PATH, &json!({ "thresholds": thresholds })).await.expect(200);
    };
    set(&["3.00", "8.00", "5.00", "0", "40.00"]).await;
    // One batch: the meter starts when all calls wait. 0.02 dollars a minute.
    let call = |number: usize, minutes: i64| {
        on_calls(0, &completed(&acme, &call_sid(number), 60 * minutes, now()))
    };
    system.produce(&[call(1, 100), call(2, 300), call(3, 1), call(4, 120), call(5, 3)]).await;
    let meter = system.serve("meter,jobs").await;
    let events = until_published(&system, "acme", "alert.", 5).await;
    assert_eq!(
        told(&events),
        [
            ["8.000000", "8.000000", "2.000000"],
            ["5.000000", "8.000000", "2.000000"],
            ["3.000000", "8.000000", "2.000000"],
            ["0.000000", "1.980000", "-0.420000"],
            ["empty", "1.980000", "-0.420000"],
        ]
    );
    // The row that ended at 8 did not cross 8, and 40 was always above.
    let rows = api.get("/v1/accounts/acme/transactions").await.expect(200);
    let ids = ["3", "3", "3", "5", "5"].map(|n| format!("txn_1_{n}"));
    let of_events: Vec<&str> =
        events.iter().map(|(_, data)| data["transaction_id"].as_str().expect("an id")).collect();
    let last = |id: &str| id.rsplit_once('_').map(|(_, n)| n.to_owned());
    assert!(of_events.iter().zip(&ids).all(|(one, other)| last(one) == last(other)), "{events:?}");
    assert!(rows.to_string().contains(of_events[0]), "{rows}");
    // Single postings go the same way: armed by a credit, crossed by a debit.
    adjust(&api, "credit", "4.48").await;
    adjust(&api, "debit", "0.01").await;
    adjust(&api, "debit", "1.00").await;
    adjust(&api, "debit", "1.00").await;
    let events = until_published(&system, "acme", "alert.", 6).await;
    assert_eq!(told(&events[5..]), [["3.000000", "3.990000", "2.990000"]]);
    // A threshold that is set above the balance is not crossed; a refill to it arms it.
    let mut stream = Events::of(api.stream(STREAM).await);
    stream.next_of("wallet").await.expect("how it stands");
    set(&["2.50", "9.00"]).await;
    adjust(&api, "debit", "0.10").await;
    // From then on the stream is read in rounds; events before may be missing.
    stream.until("1.890000", "0.000000").await;
    adjust(&api, "credit", "7.11").await;
    adjust(&api, "debit", "0.01").await;
    let alert = stream.next_of("alert").await.expect("it is told");
    assert_eq!((&alert["threshold"], &alert["account"]), (&json!("9.000000"), &json!("acme")));
    let events = until_published(&system, "acme", "alert.", 7).await;
    assert_eq!(told(&events[6..]), [["9.000000", "9.000000", "8.990000"]]);
    until("the metric", SOON, async || {
        let told = [("type", "alert.balance_below")];
        (meter.metric("callmeter_alerts_total", &told).await == Some(6)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_calls_are_told_at_once_and_then_once_an_hour_with_their_number() {
    let mut system = System::new().await;
    let api = system.serve("api,jobs").await;
    system.open(&api, &[account("acme", 0)]).await;
    let deny = async |api: &Api, number: usize| {
        let answer = ask(api, "acme", &call_sid(number), 60).await.expect(200);
        assert_eq!(answer["reason"], "insufficient_funds", "{answer}");
    };
    deny(&api, 1).await;
    let events = until_published(&system, "acme", "authorization.", 1).await;
    let (kind, first) = &events[0];
    assert_eq!((kind.as_str(), &first["reason"]), ("denied", &json!("insufficient_funds")));
    assert_eq!(first["count"], 1, "{first}");
    for number in 2..7 {
        deny(&api, number).await;
    }
    let mut sql = system.sql().await;
    let first_at: String = until("they wait", SOON, async || {
        let waiting = "SELECT to_char(first_at, 'YYYY-MM-DD HH24:MI:SS') FROM denial_notices
            WHERE denials = 5";
        sqlx::query_scalar(waiting).fetch_optional(&mut sql).await.expect("a row")
    })
    .await;
    assert_eq!(published(&system, "acme", "authorization.").len(), 1, "not within the hour");
    // An hour later the job tells them, though no further call was refused.
    system.services[0].kill();
    let offset = (HOUR + 10).to_string();
    let settings = [
        ("CALLMETER__TWILIO__API_BASE", "http://127.0.0.1:9"),
        ("CALLMETER__CLOCK__OFFSET_SECONDS", offset.as_str()),
    ];
    let index = system.start("api,jobs", &settings);
    let later = system.ready(index).await;
    let events = until_published(&system, "acme", "authorization.", 2).await;
    let second = &events[1].1;
    assert_eq!((&second["count"], &second["reason"]), (&json!(5), &json!("insufficient_funds")));
    let told_at = second["first_at"].as_str().expect("a time");
    assert!(told_at.replace('T', " ").starts_with(&first_at), "{second}, {first_at}");
    // Another reason has an hour of its own.
    later.post("/v1/accounts/acme/close", &json!({})).await.expect(200);
    let closed = ask(&later, "acme", &call_sid(9), 60).await.expect(200);
    assert_eq!(closed["reason"], "account_closed");
    let events = until_published(&system, "acme", "authorization.", 3).await;
    assert_eq!(events[2].1["reason"], "account_closed");
}
