//! What customers have in their wallets, all together, and what moved it.

use super::books::{age, days, hour_old, refill, rows};
use crate::harness::samples::account;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_liability_is_that_of_the_instant_and_its_movements_add_up() {
    let (world, _) = hour_old("api").await;
    world.system.open(&world.admin, [&account("debtor", 0)]).await;
    let adjust = async |account: &str, direction: &str, amount: &str| {
        let body = json!({"type": direction, "amount": amount, "description": "by hand",
            "reason": "goodwill"});
        let path = format!("/v1/accounts/{account}/adjustments");
        world.admin.post(&path, &body).await.expect(201);
    };
    adjust("debtor", "debit", "4.00").await;
    refill(&world, "50.00").await;
    let newest: Vec<(DateTime<Utc>,)> = rows(&world, "SELECT max(at) FROM transactions").await;
    // The instant of a row: it counts.
    let between = newest[0].0.to_rfc3339_opts(SecondsFormat::Micros, true);
    refill(&world, "20.00").await;
    adjust("acme", "credit", "1.50").await;
    let report = |arguments: &[&str]| -> Value {
        let mut all = vec!["report", "liability", "--json"];
        all.extend(arguments);
        let ran = world.system.run(&all).expect_success();
        serde_json::from_str(&ran.stdout).expect("JSON")
    };
    // The watchman has 1,000.
    let then = report(&["--as-of", &between]);
    assert_eq!(then["positive"], json!({"wallets": 2, "amount": "1050.000000"}));
    assert_eq!(then["negative"], json!({"wallets": 1, "amount": "-4.000000"}));
    assert_eq!(then["total"], "1046.000000");
    let [from, to] = days();
    let after = report(&["--as-of", &to]);
    assert_eq!(after["total"], "1067.500000");
    let before = report(&["--as-of", &from]);
    assert_eq!(before["total"], "0.000000");
    let whole = report(&["--from", &from, "--to", &to]);
    assert_eq!(whole["opening"]["total"], "0.000000");
    assert_eq!(
        whole["closing"],
        json!({
            "positive": {"wallets": 2, "amount": "1071.500000"},
            "negative": {"wallets": 1, "amount": "-4.000000"},
            "total": "1067.500000",
        })
    );
    assert_eq!(whole["difference"], "0.000000");
    let movement = |kind: &str| &whole["movements"][kind];
    let expected = json!({"type": "credit", "transactions": 2, "amount": "70.000000"});
    assert_eq!(movement("refill_manual"), &expected, "pending rows move nothing");
    assert_eq!(movement("adjustment_credit")["amount"], "1001.500000");
    assert_eq!(movement("adjustment_debit")["amount"], "4.000000");
    let goodwill = json!({"goodwill": {"transactions": 1, "amount": "1.500000"}});
    assert_eq!(
        movement("adjustment_credit")["by_reason"],
        goodwill,
        "the opening balance has none"
    );
    let body = json!({"type": "credit", "amount": "1", "description": "x", "reason": "whim"});
    let refused = world.admin.post("/v1/accounts/acme/adjustments", &body).await;
    assert_eq!(refused.problem(400), "invalid_request");
    assert_eq!(movement("call")["transactions"], 0);
    assert_eq!(whole["movements"].as_object().map(serde_json::Map::len), Some(13));
    // A later period opens with all of it.
    age(&world, "4 days").await;
    let later = report(&["--from", &from, "--to", &to]);
    assert_eq!(later["opening"]["total"], "1067.500000");
    assert_eq!((&later["closing"], &later["opening"]), (&whole["closing"], &whole["closing"]));
    let usage = world.system.run(&["report", "liability", "--from", &from]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
    let shown = world.system.run(&["report", "liability", "--from", &from, "--to", &to]);
    assert!(shown.expect_success().stdout.contains("refill_manual"));
}
