//! Stripe's books against the ledger, and what customers have in their wallets all together.

use super::{World, text};
use crate::harness::command::{Ran, finish};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use chrono::{DateTime, Days, SecondsFormat, TimeDelta, Utc};
use reqwest::Client;
use serde_json::{Value, json};

/// The settings with which a process finds a Stripe.
fn settings(stripe: &Stripe) -> Vec<(&'static str, String)> {
    stripe.settings()
}

fn run(world: &World, stripe: &Stripe, arguments: &[&str]) -> Ran {
    let mut command = world.system.command(arguments);
    command.envs(settings(stripe));
    finish(command)
}

/// Days that contain all of a test, also around midnight.
fn days() -> [String; 2] {
    let now = DateTime::from_timestamp_micros(crate::harness::samples::now());
    let today = now.expect("an instant").date_naive();
    [(today - Days::new(2)).to_string(), (today + Days::new(1)).to_string()]
}

/// Compares the books of these days; the exit code says whether they agree.
fn compare_with(world: &World, stripe: &Stripe, code: i32) -> Value {
    let [from, to] = days();
    let arguments = ["reconcile", "stripe", "--from", &from, "--to", &to, "--json"];
    let ran = run(world, stripe, &arguments);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn compare(world: &World, code: i32) -> Value {
    compare_with(world, &world.stripe, code)
}

/// Payment, reason, ours and Stripe's sum of each difference.
fn told(report: &Value) -> Vec<(String, String, String, String)> {
    let differences = report["differences"].as_array().expect("differences");
    let row = |it: &Value| {
        (text(it, "payment_intent"), text(it, "reason"), text(it, "ours"), text(it, "stripe"))
    };
    differences.iter().map(row).collect()
}

fn difference(
    payment: &str,
    reason: &str,
    ours: &str,
    stripe: &str,
) -> (String, String, String, String) {
    (payment.to_owned(), reason.to_owned(), ours.to_owned(), stripe.to_owned())
}

async fn ledger_id(world: &World) -> String {
    let mut sql = world.system.sql().await;
    let id = sqlx::query_scalar("SELECT ledger_id::text FROM ledger_identity");
    id.fetch_one(&mut sql).await.expect("an id")
}

/// Pays at Stripe past the service, with the metadata of a ledger; returns the payment intent.
async fn pay(world: &World, ledger: &str, card: &str, cents: &str) -> String {
    let customers = world.stripe.local.objects("customer");
    let form = [
        ("amount", cents),
        ("currency", "usd"),
        ("customer", customers[0]["id"].as_str().expect("an id")),
        ("payment_method", card),
        ("payment_method_types[]", "card"),
        ("confirm", "true"),
        ("metadata[callmeter_ledger]", ledger),
    ];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let client: Client = callmeter::http_client::client(|it| it).expect("a client");
    let sent = client
        .post(format!("{}/v1/payment_intents", world.stripe.url))
        .bearer_auth(&world.stripe.keys.secret)
        .header("Stripe-Version", "2025-09-30.clover")
        .header("Idempotency-Key", format!("past-{ledger}-{cents}"))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body);
    let answer = sent.send().await.expect("an answer").text().await.expect("text");
    let payment: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(payment["status"], "succeeded", "{payment}");
    text(&payment, "id")
}

/// Makes everything in the ledger older.
async fn age(world: &World, by: &str) {
    let sql = format!(
        "ALTER TABLE transactions DISABLE TRIGGER USER;
         UPDATE transactions SET at = at - interval '{by}';
         ALTER TABLE transactions ENABLE TRIGGER USER;
         UPDATE refills SET created_at = created_at - interval '{by}'"
    );
    sqlx::raw_sql(&sql).execute(&mut world.system.sql().await).await.expect("it is aged");
}

async fn rows<T>(world: &World, sql: &'static str) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    sqlx::query_as(sql).fetch_all(&mut world.system.sql().await).await.expect("rows")
}

/// A system whose Stripe lives an hour ago, with a card.
async fn hour_old(role: &str) -> (World, String) {
    let world = World::start(Stripe::start(Behaviour::default()), role, false).await;
    world.stripe.local.move_clock(TimeDelta::hours(-1));
    let card = world.save(Card::default()).await;
    (world, card)
}

async fn refill(world: &World, amount: &str) -> String {
    let refill = world.refill(&json!({"amount": amount})).await.expect(201);
    assert_eq!(refill["status"], "completed", "{refill}");
    text(&refill, "payment_intent")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_agree_after_refills_and_fees_and_net_add_up() {
    let (world, card) = hour_old("api").await;
    let first = refill(&world, "50.00").await;
    let second = refill(&world, "20.00").await;
    pay(&world, "00000000-0000-0000-0000-000000000001", &card, "7700").await;
    let report = compare(&world, 0);
    assert_eq!(report["differences"], json!([]));
    assert_eq!(report["counts"]["payments"], 2, "another ledger's are not looked at: {report}");
    assert_eq!(report["payments"], "70.000000");
    assert_eq!((&report["refunds"], &report["disputes"]), (&json!("0.000000"), &json!("0.000000")));
    // 2.9 % and 30 cents of each: 1.75 and 0.88.
    assert_eq!((&report["fees"], &report["net"]), (&json!("2.630000"), &json!("67.370000")));
    assert_eq!(report["not_paid_out"], json!({"payments": 2, "amount": "70.000000"}));
    assert_eq!(report["payouts"], json!([]));
    // A payout contains both, and the other ledger's.
    let payout = world.stripe.local.pay_out().expect("a payout");
    let paid_out = compare(&world, 0);
    assert_eq!(paid_out["not_paid_out"]["payments"], 0, "{paid_out}");
    let row = &paid_out["payouts"][0];
    assert_eq!((&row["payout"], &row["currency"]), (&payout["id"], &json!("usd")));
    let sums = |gross: &str, fees: &str, net: &str| {
        let none = "0.000000";
        json!({"gross": gross, "fees": fees, "refunds": none, "disputes": none, "other": none,
            "net": net})
    };
    assert_eq!(row["ours"], sums("70.000000", "2.630000", "67.370000"));
    assert_eq!(row["others"], sums("77.000000", "2.530000", "74.470000"));
    assert_eq!(row["amount"], "141.840000");
    let kept: Vec<(String, i64, i64, String, Option<String>)> = rows(
        &world,
        "SELECT payment_intent, fee_cents, net_cents, currency, payout FROM stripe_settlements
         ORDER BY fee_cents",
    )
    .await;
    let po = payout["id"].as_str().map(str::to_owned);
    let usd = || "usd".to_owned();
    let expected = [(second, 88, 1912, usd(), po.clone()), (first, 175, 4825, usd(), po)];
    assert_eq!(kept, expected);
    let [from, to] = days();
    let shown = run(&world, &world.stripe, &["reconcile", "stripe", "--from", &from, "--to", &to]);
    assert!(shown.stdout.contains("no difference"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_without_a_credit_is_a_difference_until_it_is_refunded() {
    let (world, card) = hour_old("api").await;
    refill(&world, "50.00").await;
    let ledger = ledger_id(&world).await;
    let lost = pay(&world, &ledger, &card, "1234").await;
    let report = compare(&world, 1);
    let expected = [difference(&lost, "not_in_ledger", "0.000000", "12.340000")];
    assert_eq!(told(&report), expected);
    assert_eq!(report["drift"], "12.340000");
    // One that was made just now may be credited soon.
    world.stripe.local.move_clock(TimeDelta::hours(1));
    pay(&world, &ledger, &card, "5600").await;
    let report = compare(&world, 1);
    assert_eq!(told(&report), expected);
    assert_eq!(report["counts"]["under_way"], 1);
    let status = world.system.run(&["status"]).stdout;
    assert!(status.contains("1 payments differ from Stripe's books, by 12.340000 USD"), "{status}");
    assert!(status.contains("*Money differs from Stripe's*"), "{status}");
    world.stripe.local.refund(&lost, None).expect("a refund");
    assert_eq!(compare(&world, 0)["differences"], json!([]));
    let kept: Vec<(String, String, i64, i64, bool)> = rows(
        &world,
        "SELECT payment_intent, reason, ours, theirs, gone_at IS NOT NULL FROM stripe_differences",
    )
    .await;
    assert_eq!(kept, [(lost, "not_in_ledger".to_owned(), 0, 12_340_000, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_and_disputes_that_are_not_booked_are_differences() {
    let (world, _) = hour_old("api").await;
    let refunded = refill(&world, "30.00").await;
    let disputed = refill(&world, "40.00").await;
    let asked_about = refill(&world, "15.00").await;
    world.stripe.local.refund(&refunded, Some(700)).expect("a refund");
    world.stripe.local.refund(&refunded, Some(200)).expect("a refund");
    world.stripe.local.open_dispute(&disputed, "fraudulent", None).expect("a dispute");
    world.stripe.local.open_dispute(&asked_about, "inquiry", None).expect("an inquiry");
    let report = compare(&world, 1);
    let mut found = told(&report);
    found.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        difference(&disputed, "chargeback_not_booked", "0.000000", "40.000000"),
        difference(&refunded, "refund_not_booked", "0.000000", "9.000000"),
    ];
    assert_eq!(found, expected);
    assert_eq!(report["payments"], "85.000000");
    assert_eq!((&report["refunds"], &report["disputes"]), (&json!("9.000000"), &json!("40.000000")));
    // 1.17, 1.46 and 0.74 for the payments, 15.00 for the dispute.
    assert_eq!(report["fees"], "18.370000");
    assert_eq!(report["net"], "17.630000", "85 - 9 - 40 - 18.37");
    assert_eq!(report["counts"]["refunds"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_without_a_payment_and_a_key_of_another_account_are_found() {
    let (world, _) = hour_old("api").await;
    let payment = refill(&world, "25.00").await;
    age(&world, "1 hour").await;
    assert_eq!(compare(&world, 0)["differences"], json!([]));
    // The same account, and nothing in it.
    let empty = Stripe::start(Behaviour::default());
    let report = compare_with(&world, &empty, 1);
    let expected = [difference(&payment, "not_at_stripe", "25.000000", "0.000000")];
    assert_eq!(told(&report), expected);
    let other = Stripe::start(Behaviour { seed: 2, ..Behaviour::default() });
    let [from, to] = days();
    let refused = run(&world, &other, &["reconcile", "stripe", "--from", &from, "--to", &to]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("another Stripe account"), "{refused:?}");
    let unset = world.system.run(&["reconcile", "stripe"]);
    assert_eq!(unset.code, Some(1), "{unset:?}");
    assert!(unset.stderr.contains("not_configured"), "{unset:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daily_job_shows_the_drift_until_it_is_gone() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    // The job compares the days before today.
    world.stripe.local.move_clock(TimeDelta::days(-1));
    let card = world.save(Card::default()).await;
    refill(&world, "50.00").await;
    let lost = pay(&world, &ledger_id(&world).await, &card, "1900").await;
    let settings = settings(&world.stripe);
    let mut changed: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    changed.push(("CALLMETER__STRIPE__RECONCILE_SECONDS", "1"));
    let index = world.system.start("jobs", &changed);
    let jobs = world.system.ready(index).await;
    let drift = async |dollars: i64| {
        until(&format!("a drift of {dollars}"), SOON, async || {
            let drift = jobs.metric("callmeter_stripe_drift_dollars", &[]).await?;
            (drift == dollars).then_some(())
        })
        .await;
    };
    drift(19).await;
    world.stripe.local.refund(&lost, None).expect("a refund");
    drift(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_liability_is_that_of_the_instant_and_its_movements_add_up() {
    let (world, _) = hour_old("api").await;
    world.system.open(&world.admin, [&account("debtor", 0)]).await;
    let adjust = async |account: &str, direction: &str, amount: &str| {
        let body = json!({"type": direction, "amount": amount, "description": "by hand"});
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
    assert_eq!(whole["closing"], json!({
        "positive": {"wallets": 2, "amount": "1071.500000"},
        "negative": {"wallets": 1, "amount": "-4.000000"},
        "total": "1067.500000",
    }));
    assert_eq!(whole["difference"], "0.000000");
    let movement = |kind: &str| &whole["movements"][kind];
    let expected = json!({"type": "credit", "transactions": 2, "amount": "70.000000"});
    assert_eq!(movement("refill_manual"), &expected, "pending rows move nothing");
    assert_eq!(movement("adjustment_credit")["amount"], "1001.500000");
    assert_eq!(movement("adjustment_debit")["amount"], "4.000000");
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
