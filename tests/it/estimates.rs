//! Estimates: what calls will cost, against what they cost really.

use crate::harness::api::Api;
use crate::harness::samples::{account, call_sid, catalog, completed, now, on_calls, subscribed};
use crate::harness::system::{Setup, System};
use crate::keys::make;
use crate::model::account::Account;
use crate::model::catalog::Plan;
use crate::model::time::DAY;
use crate::traffic::Outgoing;
use serde_json::{Value, json};

fn path(account: &str) -> String {
    format!("/v1/accounts/{account}/estimates")
}

async fn estimate(api: &Api, account: &str, body: &Value) -> Value {
    api.post(&path(account), body).await.expect(200)
}

/// Micro-dollars of an amount in an answer.
fn micros(amount: &Value) -> i64 {
    let text = amount.as_str().expect("an amount");
    assert_eq!(text.split_once('.').map(|(_, places)| places.len()), Some(6), "{text}");
    text.replace('.', "").parse().expect("digits")
}

/// Lengths in seconds, most of them short and some long, the same in every run.
fn lengths(count: usize, seed: u64) -> Vec<i64> {
    let mut state = seed;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((state >> 33) % below).expect("a small number")
    };
    (0..count)
        .map(|_| match draw(10) {
            0 => 0,
            1..=5 => draw(50),
            6..=8 => 40 + draw(240),
            _ => 300 + draw(1_200),
        })
        .collect()
}

/// The calls of a month that begins so many days ago, every seventh of them to London.
fn month(account: &Account, first: usize, lengths: &[i64], days_ago: i64) -> Vec<Outgoing> {
    let begin = now() - days_ago * DAY;
    let calls = lengths.iter().enumerate().map(|(place, seconds)| {
        let step = 24 * DAY / i64::try_from(lengths.len()).expect("a small number");
        let end = begin + i64::try_from(place).expect("a small number") * step;
        let mut call = completed(account, &call_sid(first + place), *seconds, end);
        if account.id == "mixed" && place % 7 == 0 {
            call["To"] = json!("+442071838750");
        }
        on_calls(0, &call)
    });
    calls.collect()
}

/// What the account was charged for all its calls, in micro-dollars, and the billed minutes.
async fn charged(api: &Api, account: &str) -> (i64, i64) {
    let calls = api.items(&format!("/v1/accounts/{account}/calls"), 1_000).await.expect("calls");
    let billed = calls.iter().map(|call| call["billed_seconds"].as_i64().expect("seconds"));
    (calls.iter().map(|call| micros(&call["amount"])).sum(), (billed.sum::<i64>() + 59) / 60)
}

fn assert_holds(estimate: &Value, charged: i64) {
    let cost = &estimate["cost"];
    let (low, high) = (micros(&cost["low"]), micros(&cost["high"]));
    assert!((low..=high).contains(&charged), "{charged}: {estimate}");
    let expected = micros(&cost["expected"]);
    assert!((low..=high).contains(&expected), "{estimate}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_estimate_answers_every_figure_changes_no_money_and_names_each_fault() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    let planned = subscribed(account("planned", 5_000_000), "starter", now() - DAY);
    system.open(&api, &[account("acme", 100_000_000), account("other", 0), planned]).await;
    let (_, key) = make(&api, "account", Some("acme")).await;
    let own = api.with_key(Some(&key));
    let before = own.get("/v1/accounts/acme/wallet").await.expect(200);
    for (wrong, field) in [
        (json!({}), "calls"),
        (json!({"calls": 0}), "calls"),
        (json!({"calls": -1}), "calls"),
        (json!({"calls": 1.5}), "calls"),
        (json!({"calls": "10"}), "calls"),
        (json!({"calls": null}), "calls"),
        (json!({"calls": 10_000_001}), "calls"),
        (json!({"calls": 10}), "average_seconds"),
        (json!({"calls": 10, "average_seconds": 0}), "average_seconds"),
        (json!({"calls": 10, "average_seconds": -5}), "average_seconds"),
        (json!({"calls": 10, "average_seconds": "60"}), "average_seconds"),
        (json!({"calls": 10, "average_seconds": 86_401}), "average_seconds"),
        (json!({"calls": 10, "average_seconds": null}), "average_seconds"),
        (json!({"calls": 10, "average_seconds": 60, "answer_rate": 1.1}), "answer_rate"),
        (json!({"calls": 10, "average_seconds": 60, "answer_rate": -0.1}), "answer_rate"),
        (json!({"calls": 10, "average_seconds": 60, "answer_rate": "half"}), "answer_rate"),
        (json!({"calls": 10, "average_seconds": 60, "answer_rate": null}), "answer_rate"),
        (json!({"calls": 10, "average_seconds": 60, "to": "London"}), "to"),
        (json!({"calls": 10, "average_seconds": 60, "to": "+12125550123456789"}), "to"),
        (json!({"calls": 10, "average_seconds": 60, "to": 44}), "to"),
        (json!({"calls": 10, "average_seconds": 60, "tag": ""}), "tag"),
        (json!({"calls": 10, "average_seconds": 60, "tag": "x".repeat(257)}), "tag"),
        (json!({"calls": 10, "average_seconds": 60, "tag": "a\u{0}b"}), "tag"),
        (json!({"calls": 10, "average_seconds": 60, "seconds": 60}), "seconds"),
    ] {
        let answer = own.post(&path("acme"), &wrong).await;
        assert_eq!(answer.problem(400), "invalid_request", "{wrong}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{}", answer.text);
    }
    let asked = json!({"calls": 1_000, "average_seconds": 112});
    assert_eq!(own.post(&path("other"), &asked).await.problem(404), "unknown_account");
    assert_eq!(own.post(&path("nobody"), &asked).await.problem(404), "unknown_account");
    let (_, dialer) = make(&api, "authorize", None).await;
    let dialer = api.with_key(Some(&dialer));
    assert_eq!(dialer.post(&path("acme"), &asked).await.problem(403), "forbidden");
    let blocked = json!({"calls": 10, "average_seconds": 60, "to": "+88161234567"});
    assert_eq!(own.post(&path("acme"), &blocked).await.problem(422), "destination_blocked");
    // 144 seconds are billed on average where only the average is known: 2.4 minutes at $0.02.
    let given = estimate(&own, "acme", &asked).await;
    assert_eq!(given["basis"], "given", "{given}");
    assert_eq!((&given["minutes"], &given["allowance_minutes"]), (&json!(2_400), &json!(0)));
    assert_eq!(given["cost"]["expected"], "48.000000", "{given}");
    assert_eq!(given["balance_after"], "52.000000", "{given}");
    assert_eq!(given["rate_per_minute"], "0.020000", "{given}");
    assert_eq!(
        (&given["shortfall"], &given["suggested_refill"]),
        (&json!("0.000000"), &json!("0.00"))
    );
    // No spread of lengths with this average costs less than 112 s, or more than 172 s a call.
    let (low, high) = (micros(&given["cost"]["low"]), micros(&given["cost"]["high"]));
    assert!((30_000_000..37_333_334).contains(&low), "{given}");
    assert!((57_333_333..65_000_000).contains(&high), "{given}");
    for rate in [json!(0.38), json!("0.38")] {
        let body =
            json!({"calls": 1_000, "average_seconds": 112.0, "answer_rate": rate, "to": "+44"});
        let abroad = estimate(&own, "acme", &body).await;
        assert_eq!(abroad["answered_calls"], 380, "{abroad}");
        assert_eq!(abroad["rate_per_minute"], "0.030000", "{abroad}");
        // 380 × 2.4 minutes × $0.03
        assert_eq!(abroad["cost"]["expected"], "27.360000", "{abroad}");
    }
    let many = estimate(&own, "acme", &json!({"calls": 4_000, "average_seconds": 112})).await;
    let (short, high) = (micros(&many["shortfall"]), micros(&many["cost"]["high"]));
    assert_eq!(short, high - 100_000_000, "{many}");
    let refill = many["suggested_refill"].as_str().expect("an amount").strip_suffix(".00");
    let refill: i64 = refill.expect("whole dollars").parse().expect("dollars");
    assert_eq!((refill % 5, (refill * 1_000_000 - short) / 5_000_000), (0, 0), "{many}");
    let few = estimate(&api, "other", &json!({"calls": 1, "average_seconds": 30})).await;
    assert_eq!(few["suggested_refill"], "10.00", "the minimum of a refill: {few}");
    let planned = estimate(&api, "planned", &json!({"calls": 10, "average_seconds": 60})).await;
    assert_eq!((&planned["minutes"], &planned["allowance_minutes"]), (&json!(16), &json!(16)));
    assert_eq!(planned["cost"]["high"], "0.000000", "{planned}");
    // Nothing was changed, and the command says the same.
    let after = own.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!((&before["balance"], &before["held"]), (&after["balance"], &after["held"]));
    let arguments = ["account", "estimate", "acme", "--calls", "1000", "--average-seconds", "112"];
    let ran = system.run(&[&arguments[..], &["--json"]].concat()).expect_success();
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).expect("JSON"), given);
    let ran = system.run(&arguments).expect_success();
    assert!(ran.stdout.contains("cost          48.000000"), "{}", ran.stdout);
    let ran = system.run(&["account", "estimate", "acme", "--calls", "10"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!(system.run(&["account", "estimate", "acme", "--calls", "0"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_months_real_calls_cost_what_lies_within_their_estimate() {
    let mut catalog = catalog();
    let plan = catalog.plan("starter").clone();
    catalog.plans.push(Plan { id: "tenths", increments: (6, 6), included_minutes: 30, ..plan });
    let mut system = System::with(Setup { catalog, ..Setup::default() }).await;
    let api = system.serve("api,meter").await;
    // The month of the subscribers' calls is their last cycle, so that the next one is as full.
    let began = now() - 45 * DAY;
    let accounts = [
        account("plain", 50_000_000),
        account("mixed", 50_000_000),
        subscribed(account("starter", 50_000_000), "starter", began),
        subscribed(account("tenths", 50_000_000), "tenths", began),
    ];
    system.open(&api, &accounts).await;
    for (place, account) in accounts.iter().enumerate() {
        let lengths = lengths(160 + 20 * place, 7 + u64::try_from(place).expect("small"));
        let (total, count) = (lengths.iter().sum::<i64>(), lengths.len());
        let average = total / i64::try_from(count).expect("small");
        // Before the first call only the average is known.
        let blind = json!({"calls": count, "average_seconds": average});
        let blind = estimate(&api, &account.id, &blind).await;
        let too_early = api.post(&path(&account.id), &json!({"calls": count})).await;
        assert_eq!(too_early.problem(400), "invalid_request");
        system.produce(&month(account, 1_000 * (place + 1), &lengths, 44)).await;
        system.settle(&api).await;
        let (paid, minutes) = charged(&api, &account.id).await;
        assert!(paid > 1_000_000, "{paid}");
        if account.id != "mixed" {
            assert_holds(&blind, paid);
        }
        let own = estimate(&api, &account.id, &json!({"calls": count, "answer_rate": 1})).await;
        assert_eq!((&own["basis"], &own["own_calls"]), (&json!("own_calls"), &json!(count)));
        assert_eq!(own["minutes"], minutes, "{own}");
        assert_holds(&own, paid);
        let expected = micros(&own["cost"]["expected"]);
        if account.changes.is_empty() {
            assert_eq!(expected, paid, "{own}");
        } else {
            let included = if account.id == "starter" { 100 } else { 30 };
            assert_eq!(own["allowance_minutes"], included, "{own}");
            assert!((expected - paid).abs() <= 2, "{paid}: {own}");
        }
        // A given average that is theirs says the same; a longer one costs more.
        let given = json!({"calls": count, "average_seconds": average});
        let given = estimate(&api, &account.id, &given).await;
        assert_eq!((&given["basis"], &given["cost"]), (&json!("given"), &own["cost"]), "{given}");
        let longer = json!({"calls": count, "average_seconds": average * 2});
        let longer = estimate(&api, &account.id, &longer).await;
        assert!(micros(&longer["cost"]["low"]) > paid, "{longer}");
        // Twice the calls of which half are answered: the same on average, and a wider range.
        let half = json!({"calls": 2 * count, "answer_rate": "0.5"});
        let half = estimate(&api, &account.id, &half).await;
        assert_eq!(half["cost"]["expected"], own["cost"]["expected"], "{half}");
        assert!(micros(&half["cost"]["high"]) > micros(&own["cost"]["high"]), "{half}");
        assert_holds(&half, paid);
    }
    // Of enough calls to one destination, its own lengths and rate count.
    let london = estimate(&api, "mixed", &json!({"calls": 100, "to": "+442071838750"})).await;
    assert_eq!(london["rate_per_minute"], "0.030000", "{london}");
    let home = estimate(&api, "mixed", &json!({"calls": 100, "to": "+12125550123"})).await;
    assert_eq!(home["rate_per_minute"], "0.020000", "{home}");
    assert!(home["own_calls"].as_u64() < Some(180), "{home}");
}
