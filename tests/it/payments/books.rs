//! Stripe's books against the ledger: each difference is found, and the sums add up.

use super::{World, text};
use crate::harness::command::{Ran, finish};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use chrono::{DateTime, Days, TimeDelta};
use reqwest::Client;
use serde_json::{Value, json};

/// The settings with which a process finds a Stripe.
fn settings(stripe: &Stripe) -> Vec<(&'static str, String)> {
    stripe.settings()
}

pub(super) fn run(world: &World, stripe: &Stripe, arguments: &[&str]) -> Ran {
    let mut command = world.system.command(arguments);
    command.envs(settings(stripe));
    finish(command)
}

/// Days that contain all of a test, also around midnight.
pub(super) fn days() -> [String; 2] {
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

pub(super) fn compare(world: &World, code: i32) -> Value {
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
pub(super) async fn age(world: &World, by: &str) {
    let sql = format!(
        "ALTER TABLE transactions DISABLE TRIGGER USER;
         UPDATE transactions SET at = at - interval '{by}';
         ALTER TABLE transactions ENABLE TRIGGER USER;
         UPDATE refills SET created_at = created_at - interval '{by}'"
    );
    sqlx::raw_sql(&sql).execute(&mut world.system.sql().await).await.expect("it is aged");
}

pub(super) async fn rows<T>(world: &World, sql: &'static str) -> Vec<T>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    sqlx::query_as(sql).fetch_all(&mut world.system.sql().await).await.expect("rows")
}

/// A system whose Stripe lives an hour ago, with a card.
pub(super) async fn hour_old(role: &str) -> (World, String) {
    let world = World::start(Stripe::start(Behaviour::default()), role, false).await;
    world.stripe.local.move_clock(TimeDelta::hours(-1));
    let card = world.save(Card::default()).await;
    (world, card)
}

/// Books a debit past the service, as the refund or dispute of a payment; returns its sequence.
async fn book(world: &World, payment: &str, kind: &str, micros: i64) -> i64 {
    let sql = "WITH head AS (
             UPDATE wallets SET sequence = sequence + 1, balance_micros = balance_micros - $3,
                 version = version + 1
             WHERE account_key = (SELECT account_key FROM accounts WHERE id = 'acme')
             RETURNING *)
         INSERT INTO transactions (account_key, sequence, at, amount_micros, balance_before_micros,
             balance_after_micros, refers_to, type, kind, status, payment_intent_id)
         SELECT head.account_key, head.sequence, last_at, $3, balance_micros + $3, balance_micros,
             outcome_sequence, 'debit', $2::transaction_kind, 'completed', $1
         FROM head JOIN refills ON payment_intent = $1 RETURNING sequence";
    let booked = sqlx::query_scalar(sql).bind(payment).bind(kind).bind(micros);
    booked.fetch_one(&mut world.system.sql().await).await.expect("it is booked")
}

pub(super) async fn refill(world: &World, amount: &str) -> String {
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
    assert!(
        status.contains("1 differences from Stripe's books, 12.340000 USD together"),
        "{status}"
    );
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
    assert_eq!(
        (&report["refunds"], &report["disputes"]),
        (&json!("9.000000"), &json!("40.000000"))
    );
    // 1.17, 1.46 and 0.74 for the payments, 15.00 for the dispute.
    assert_eq!(report["fees"], "18.370000");
    assert_eq!(report["net"], "17.630000", "85 - 9 - 40 - 18.37");
    assert_eq!(report["counts"]["refunds"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_and_disputes_that_are_booked_agree_until_stripe_says_otherwise() {
    let (world, _) = hour_old("api").await;
    let refunded = refill(&world, "30.00").await;
    let disputed = refill(&world, "40.00").await;
    let refund = world.stripe.local.refund(&refunded, Some(700)).expect("a refund");
    let dispute = world.stripe.local.open_dispute(&disputed, "fraudulent", None).expect("one");
    let debit = book(&world, &refunded, "refill_refund", 7_000_000).await;
    let withdrawn = book(&world, &disputed, "chargeback", 39_000_000).await;
    let sql = "INSERT INTO refunds (refund, refill, account_key, amount_micros, status, is_ours,
             is_checked, stripe_refund, debit_sequence, created_at, claimed_until, finished_at)
         SELECT 'rr_1', refill, account_key, 7000000, 'completed', false, true, $2, $3, now(), now(),
             now()
         FROM refills WHERE payment_intent = $1";
    let kept = sqlx::query(sql).bind(&refunded).bind(text(&refund, "id")).bind(debit);
    kept.execute(&mut world.system.sql().await).await.expect("a refund");
    let sql = "INSERT INTO disputes (dispute, refill, account_key, amount_cents, currency, status,
             reason, withdrawn_sequence, opened_at)
         SELECT $2, refill, account_key, 4000, 'usd', 'needs_response', 'fraudulent', $3, now()
         FROM refills WHERE payment_intent = $1";
    let kept = sqlx::query(sql).bind(&disputed).bind(text(&dispute, "id")).bind(withdrawn);
    kept.execute(&mut world.system.sql().await).await.expect("a dispute");
    let amount = difference(&disputed, "chargeback_amount", "39.000000", "40.000000");
    assert_eq!(told(&compare(&world, 1)), std::slice::from_ref(&amount));
    age(&world, "1 hour").await;
    world.stripe.local.fail_refund(&text(&refund, "id")).expect("it fails");
    world.stripe.local.close_dispute(&text(&dispute, "id"), true).expect("it is won");
    let mut found = told(&compare(&world, 1));
    found.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        amount,
        difference(&refunded, "refund_not_at_stripe", "7.000000", "0.000000"),
        difference(&disputed, "reversal_not_booked", "0.000000", "40.000000"),
    ];
    assert_eq!(found, expected);
    let totals = compare(&world, 1);
    assert_eq!((&totals["refunds"], &totals["disputes"]), (&json!("0.000000"), &json!("0.000000")));
    // Redis learns of the rows that were written past the service.
    let body = json!({"type": "credit", "amount": "1.00", "description": "by hand"});
    world.admin.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
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
    changed.push(("CALLMETER__STRIPE__RECONCILE_SECONDS", "3600"));
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
    // The command looks again, long before the job does.
    world.stripe.local.refund(&lost, None).expect("a refund");
    compare(&world, 0);
    drift(0).await;
}
