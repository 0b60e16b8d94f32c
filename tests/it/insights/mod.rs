//! Insights: figures of a history that can be computed by hand, and of random ones; who may ask.

mod sums;

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{
    account, call_sid, catalog, completed, now, on_calls, on_rentals, rental, subscribed,
};
use crate::harness::system::System;
use crate::keys::make;
use crate::model::account::Account;
use crate::model::money::show;
use crate::model::time::{At, HOUR, rfc3339};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

const PATH: &str = "/v1/accounts/acme/insights";
const DAY: At = 24 * HOUR;

fn today() -> NaiveDate {
    DateTime::from_timestamp_micros(now()).expect("an instant").date_naive()
}

/// An account whose first cycle is over, with three calls in it: one takes the whole allowance, one
/// of 61 seconds and one to Britain of 30 seconds come after it. A fourth is without a cost.
fn history() -> (Account, Vec<Value>) {
    let acme = subscribed(account("acme", 20_000_000), "starter", now() - 40 * DAY);
    let end = now() - 35 * DAY;
    let mut calls: Vec<Value> = [5_990, 61, 30]
        .iter()
        .zip(1..)
        .map(|(seconds, number)| completed(&acme, &call_sid(number), *seconds, end))
        .collect();
    calls[2]["To"] = json!("+442079460101");
    calls.push(completed(&acme, &call_sid(4), 59, now()));
    (acme, calls)
}

/// The insights, as soon as so many calls are in them.
async fn until_calls(api: &Api, path: &str, calls: i64) -> Value {
    until("the calls are in the insights", SOON, async || {
        let insights = api.get(path).await.expect(200);
        (insights["calls"] == calls).then_some(insights)
    })
    .await
}

/// The start of each cycle, by the charges themselves, as JSON has it.
async fn cycle_starts(api: &Api) -> Vec<At> {
    let mut starts: Vec<At> = api
        .charges("acme")
        .await
        .expect("the charges")
        .iter()
        .filter_map(|charge| charge.cycle_start)
        .collect();
    starts.sort_unstable();
    starts.dedup();
    starts
}

fn at(value: &Value) -> At {
    let text = value.as_str().expect("a time");
    text.parse::<DateTime<Utc>>().expect("a time").timestamp_micros()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_of_a_known_history_are_exact_before_and_after_the_job() {
    let mut system = System::new().await;
    let twice = catalog().to_toml();
    system.write_catalog_text(&twice.replacen("\"29.00\"", "\"28.50\"", 1));
    let index = system.start("api,meter", &[]);
    let api = system.ready(index).await;
    let (acme, calls) = history();
    system.open(&api, [&acme]).await;
    let (_, key) = make(&api, "account", Some("acme")).await;
    let own = api.with_key(Some(&key));
    let records: Vec<_> = calls.iter().map(|call| on_calls(0, call)).collect();
    system.produce(&records).await;
    system.produce(&[on_rentals(0, &rental(&acme, "PN1", "2026-11-01", Some("1.15")))]).await;
    until("the rent is paid", SOON, async || {
        let rows = api.transactions("acme").await.ok()?;
        rows.iter().any(|row| row.kind == "number_rental").then_some(())
    })
    .await;
    let first = until_calls(&own, PATH, 4).await;
    let starts = cycle_starts(&api).await;
    assert_eq!(starts.len(), 2, "{starts:?}");
    // Midnight may have passed since the charges.
    let dates: Vec<&Value> =
        first["by_day"].as_array().expect("days").iter().map(|of| &of["date"]).collect();
    let rows: Vec<(&Value, &Value)> = first["by_day"]
        .as_array()
        .expect("days")
        .iter()
        .map(|of| (&of["kind"], &of["amount"]))
        .collect();
    assert_eq!(
        rows,
        [(&json!("overage"), &json!("0.059000")), (&json!("number_rental"), &json!("1.150000"))],
        "{dates:?}"
    );
    // 5990 + 61 + 30 + 59 over 4.
    assert_eq!(first["average_seconds"], 1_535, "{first}");
    // Talked beyond billed: 10 s by the allowance, 59 s at 0.014, 30 s at 0.031; 1 s by the allowance.
    let rounding = json!({"talked_seconds": 6_140, "billed_seconds": 6_240, "cost": "0.029267"});
    assert_eq!(first["rounding"], rounding);
    let cycles = first["overage_by_cycle"].as_array().expect("cycles");
    let figures: Vec<(At, &Value, &Value)> =
        cycles.iter().map(|of| (at(&of["cycle_start"]), &of["minutes"], &of["amount"])).collect();
    assert_eq!(
        figures,
        [(starts[0], &json!(3), &json!("0.059000")), (starts[1], &json!(0), &json!("0.000000"))]
    );
    assert_eq!(at(&cycles[0]["cycle_end"]), starts[1], "{first}");
    assert_eq!(
        (&first["plans"], &first["plans_as_of"], &first["plans_for"]),
        (&json!([]), &json!(null), &json!(null))
    );
    assert_eq!((&first["refused"], &first["runway_days"]), (&json!([]), &json!(null)));
    assert_eq!(
        (&first["from"], &first["to"]),
        (&json!(today() - TimeDelta::days(29)), &json!(today()))
    );
    // The job changes nothing, and compares the plans: team bills 5,400 + 120 s at 0.009, and 60 s at
    // 0.031 beyond its 10 minutes; a fee of 28.50 and an overage of 0.059 were paid.
    system.run(&["insights", "update"]).expect_success();
    let mut second = own.get(PATH).await.expect(200);
    assert_eq!(second["plans_as_of"], json!(today()), "{second}");
    let costs = json!([
        {"plan": "starter", "name": "Plan starter", "monthly_fee": "28.500000", "included_minutes": 100, "overage_minutes": 3, "overage": "0.059000",
            "total": "28.559000", "saving": "0.000000", "refuses_overage": false},
        {"plan": "team", "name": "Plan team", "monthly_fee": "29.000000", "included_minutes": 10, "overage_minutes": 93, "overage": "0.859000",
            "total": "29.859000", "saving": "-1.300000", "refuses_overage": false},
    ]);
    assert_eq!(second["plans"], costs);
    let of = second["plans_for"].clone();
    assert_eq!(
        (&of["plan"], &of["calls"], &of["paid"]),
        (&json!("starter"), &json!(3), &json!("28.559000")),
        "{of}"
    );
    assert_eq!((at(&of["begins_at"]), at(&of["ends_at"])), (starts[0], starts[1]));
    for name in ["plans", "plans_as_of", "plans_for"] {
        second[name] = first[name].clone();
    }
    assert_eq!(second, first);
    // Rows that come after it count at once, and no row twice.
    system.produce(&[on_calls(0, &completed(&acme, &call_sid(5), 6_001, now()))]).await;
    let third = until_calls(&own, PATH, 5).await;
    let spent = |of: &Value| of["by_day"][0]["amount"].clone();
    assert_eq!(spent(&third), "0.087000", "{third}");
    system.run(&["insights", "update", "--rebuild"]).expect_success();
    let rebuilt = own.get(PATH).await.expect(200);
    assert_eq!(rebuilt, third);
    // Two days later the pace is that of a day of 1.237 dollars in seven.
    let set = [
        ("CALLMETER__CLOCK__OFFSET_SECONDS", "172800"),
        ("CALLMETER__TWILIO__API_BASE", "http://127.0.0.1:9"),
    ];
    let index = system.start("api", &set);
    let later = system.ready(index).await.with_key(Some(&key)).get(PATH).await.expect(200);
    // 20.00 - 1.237 = 18.763 left; 18.763 × 7 / 1.237 = 106.17.
    assert_eq!(later["runway_days"], 106, "{later}");
}

#[tokio::test]
async fn only_whole_days_of_the_own_account_are_answered() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 5_000_000), account("other", 0)]).await;
    let (_, key) = make(&api, "account", Some("acme")).await;
    let own = api.with_key(Some(&key));
    let empty = own.get(PATH).await.expect(200);
    let nothing = json!({"talked_seconds": 0, "billed_seconds": 0, "cost": "0.000000"});
    assert_eq!(empty["rounding"], nothing, "{empty}");
    for name in ["by_day", "overage_by_cycle", "plans", "refused"] {
        assert_eq!(empty[name], json!([]), "{name}");
    }
    for name in ["runway_days", "average_seconds", "plans_as_of", "plans_for"] {
        assert_eq!(empty[name], json!(null), "{name}");
    }
    let foreign = own.get("/v1/accounts/other/insights").await;
    assert_eq!(foreign.problem(404), "unknown_account");
    assert_eq!(api.get("/v1/accounts/nobody/insights").await.problem(404), "unknown_account");
    let (first, last) = (today() - TimeDelta::days(399), today());
    own.get(&format!("{PATH}?from={first}&to={last}")).await.expect(200);
    let one = own.get(&format!("{PATH}?from={last}")).await.expect(200);
    assert_eq!((&one["from"], &one["to"]), (&json!(last), &json!(last)));
    let too_early = first - TimeDelta::days(1);
    for (query, field) in [
        (format!("from={too_early}"), "from"),
        ("from=2026-02-02&to=2026-02-01".to_owned(), "from"),
        ("from=2999-01-01".to_owned(), "from"),
        ("from=yesterday".to_owned(), "from"),
        ("to=2026-02-30".to_owned(), "to"),
        ("to=2026-02-01T00:00:00Z".to_owned(), "to"),
        ("to=".to_owned(), "to"),
        ("day=2026-02-01".to_owned(), "day"),
    ] {
        let answer = own.get(&format!("{PATH}?{query}")).await;
        assert_eq!(answer.problem(400), "invalid_request", "{query}");
        assert_eq!(answer.json()["errors"][0]["field"], field, "{}", answer.text);
    }
    // By the command as by the API; wrong days are a wrong usage.
    let ran = system.run(&["account", "insights", "acme", "--json"]).expect_success();
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told, empty);
    let ran = system.run(&["account", "insights", "acme"]).expect_success();
    assert!(ran.stdout.contains("lasts for           -"), "{}", ran.stdout);
    assert_eq!(system.run(&["account", "insights", "acme", "--from", "2999-01-01"]).code, Some(2));
    assert_eq!(system.run(&["account", "insights", "nobody"]).code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_add_up_and_compare_by_themselves_with_and_without_a_plan() {
    let mut system = System::new().await;
    let api = system.serve("api,meter").await;
    // Without a plan: 100 calls of 61 s cost 4.00; the plans' fees are 29.00 each.
    let solo = account("solo", 50_000_000);
    // In the middle of its first cycle there is nothing to compare.
    let fresh = subscribed(account("fresh", 50_000_000), "team", now() - 2 * DAY);
    let (acme, calls) = history();
    system.open(&api, &[solo.clone(), fresh.clone(), acme]).await;
    let of = |payer: &Account, first: usize, count: usize, end: At| -> Vec<_> {
        let numbers = first..first + count;
        numbers.map(|number| on_calls(1, &completed(payer, &call_sid(number), 61, end))).collect()
    };
    system.produce(&of(&solo, 1_000, 100, now() - 3 * DAY)).await;
    // Of today, and before the thirty days: not compared.
    system.produce(&of(&solo, 2_000, 1, now())).await;
    system.produce(&of(&solo, 3_000, 1, now() - 40 * DAY)).await;
    system.produce(&of(&fresh, 4_000, 20, now() - HOUR)).await;
    system.produce(&calls.iter().map(|call| on_calls(0, call)).collect::<Vec<_>>()).await;
    system.settle(&api).await;
    let index = system.start("jobs", &[("CALLMETER__INSIGHTS__EVERY_SECONDS", "1")]);
    system.ready(index).await;
    let insights = until("the plans are compared", SOON, async || {
        let insights = api.get("/v1/accounts/solo/insights").await.expect(200);
        (!insights["plans_as_of"].is_null()).then_some(insights)
    })
    .await;
    // 100 calls of 120 s: 12,000 s, of which starter includes 6,000 and team 600.
    let costs: Vec<(&Value, &Value, &Value)> = insights["plans"]
        .as_array()
        .expect("plans")
        .iter()
        .map(|plan| (&plan["plan"], &plan["total"], &plan["saving"]))
        .collect();
    assert_eq!(
        costs,
        [
            (&json!("starter"), &json!("30.400000"), &json!("-26.400000")),
            (&json!("team"), &json!("30.710000"), &json!("-26.710000")),
        ]
    );
    let compared = &insights["plans_for"];
    assert_eq!(
        (&compared["plan"], &compared["calls"], &compared["paid"]),
        (&json!(null), &json!(100), &json!("4.000000"))
    );
    until("acme's cycle is compared", SOON, async || {
        (api.get(PATH).await.expect(200)["plans_for"]["calls"] == 3).then_some(())
    })
    .await;
    let fresh = api.get("/v1/accounts/fresh/insights").await.expect(200);
    assert_eq!((&fresh["plans"], &fresh["plans_as_of"]), (&json!([]), &json!(null)), "{fresh}");
    // The sums follow, every second.
    let mut sql = system.sql().await;
    until("every row is added up", SOON, async || {
        let behind = "SELECT count(*) FROM wallets JOIN insight_progress AS p USING (account_key)
            WHERE sequence <> p.transaction_sequence OR wallets.charge_sequence <> p.charge_sequence";
        let behind: i64 = sqlx::query_scalar(behind).fetch_one(&mut sql).await.ok()?;
        (behind == 0).then_some(())
    })
    .await;
    let status = system.run(&["status", "--json"]);
    assert!(
        status.stdout.contains("\"insights\"") && status.stdout.contains("\"plans\""),
        "{status:?}"
    );
    // A plan that ended is none.
    let body = json!({"plan": null, "starts_at": rfc3339(now())});
    api.put("/v1/accounts/acme/subscription", &body).await.expect(200);
    system.run(&["insights", "update"]).expect_success();
    let ended = api.get(PATH).await.expect(200);
    assert_eq!((&ended["plans"], &ended["plans_as_of"]), (&json!([]), &json!(null)), "{ended}");
    assert_eq!(ended["overage_by_cycle"][0]["amount"], show(59_000));
}
