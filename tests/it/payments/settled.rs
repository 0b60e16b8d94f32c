//! A Stripe account that settles in another currency than the refills': amounts are compared by
//! the dollars that were paid; fees and payouts have the currency of the balance.

use super::books::{compare, days, refill, rows, run};
use super::{World, text};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use chrono::TimeDelta;
use serde_json::{Value, json};

/// A system whose Stripe lives an hour ago and settles in a currency, at 0.92 of it for a dollar.
async fn settles_in(currency: &str) -> World {
    let behaviour = Behaviour {
        settlement_currency: currency.to_owned(),
        settlement_rate_millionths: 920_000,
        ..Behaviour::default()
    };
    let world = World::start(Stripe::start(behaviour), "api", true).await;
    world.stripe.local.move_clock(TimeDelta::hours(-1));
    world.save(Card::default()).await;
    world
}

async fn until_balance(world: &World, balance: &str) {
    until(&format!("a balance of {balance}"), SOON, async || {
        (world.balance().await == balance).then_some(())
    })
    .await;
}

fn settled(currency: &str, [paid, gross, fees, net]: [&str; 4]) -> Value {
    json!({"currency": currency, "paid": paid, "gross": gross, "fees": fees, "net": net})
}

fn text_of(world: &World) -> String {
    let [from, to] = days();
    run(world, &world.stripe, &["reconcile", "stripe", "--from", &from, "--to", &to]).stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_settled_in_euros_is_compared_by_its_dollars() {
    let world = settles_in("eur").await;
    let local = &world.stripe.local;
    let first = refill(&world, "50.00").await;
    let second = refill(&world, "20.00").await;
    let row = &local.objects("balance_transaction")[0];
    assert_eq!((&row["amount"], &row["currency"]), (&json!(4_600), &json!("eur")), "{row}");
    assert_eq!(row["exchange_rate"].to_string(), "0.92", "{row}");
    assert_eq!((&row["fee"], &row["net"]), (&json!(163), &json!(4_437)), "{row}");
    assert_eq!(row["fee_details"][0]["currency"], "eur");
    assert_eq!(local.objects("charge")[0]["currency"], "usd", "the customer paid dollars");
    let report = compare(&world, 0);
    assert_eq!((&report["differences"], &report["drift"]), (&json!([]), &json!("0.000000")));
    assert_eq!(report["payments"], "70.000000");
    let sums = ["70.000000", "64.400000", "2.460000", "61.940000"];
    assert_eq!(report["settled"], json!([settled("eur", sums)]));
    assert_eq!((&report["fees"], &report["net"]), (&json!("0.000000"), &json!("0.000000")));

    // What goes back is converted at the rate of its day, and is booked in dollars.
    local.change_behaviour(|behaviour| behaviour.settlement_rate_millionths = 900_000);
    local.refund(&first, Some(1_000)).expect("a refund");
    until_balance(&world, "60.000000").await;
    let dispute = local.open_dispute(&second, "fraudulent", None).expect("a dispute");
    until_balance(&world, "40.000000").await;
    let report = compare(&world, 0);
    assert_eq!(report["differences"], json!([]), "{report}");
    let returned = (&report["refunds"], &report["disputes"]);
    assert_eq!(returned, (&json!("10.000000"), &json!("20.000000")));
    // 64.40 - 9.00 - 18.00, less the fees with the dispute's 15.00.
    let sums = ["70.000000", "64.400000", "17.460000", "19.940000"];
    assert_eq!(report["settled"], json!([settled("eur", sums)]));

    let payout = local.pay_out().expect("a payout");
    let report = compare(&world, 0);
    let row = &report["payouts"][0];
    assert_eq!((&row["currency"], &row["amount"]), (&json!("eur"), &json!("19.940000")), "{row}");
    let ours = json!({"gross": "64.400000", "fees": "17.460000", "refunds": "9.000000",
        "disputes": "18.000000", "other": "0.000000", "net": "19.940000"});
    assert_eq!(row["ours"], ours);
    assert_eq!(report["not_paid_out"], json!({"payments": 0, "amount": "0.000000"}));
    let kept: Vec<(String, i64, i64, String, Option<String>)> = rows(
        &world,
        "SELECT payment_intent, fee_cents, net_cents, currency, payout FROM stripe_settlements
         ORDER BY fee_cents",
    )
    .await;
    let (eur, po) = (|| "eur".to_owned(), || Some(text(&payout, "id")));
    let expected = [(second, 83, 1_757, eur(), po()), (first, 163, 4_437, eur(), po())];
    assert_eq!(kept, expected);

    // A won dispute comes back at another rate: no drift.
    local.change_behaviour(|behaviour| behaviour.settlement_rate_millionths = 950_000);
    local.close_dispute(&text(&dispute, "id"), true).expect("it is won");
    until_balance(&world, "60.000000").await;
    let report = compare(&world, 0);
    assert_eq!((&report["differences"], &report["disputes"]), (&json!([]), &json!("0.000000")));
    assert_eq!(report["settled"][0]["net"], "38.940000", "19.94 + 19.00: {report}");
    let shown = text_of(&world);
    assert!(
        shown.contains("settled in eur: 70.000000 USD as 64.400000, fees 17.460000, net 38.940000"),
        "{shown}"
    );
    let is_dollars = |line: &str| line.starts_with("fees") || line.starts_with("net");
    assert!(!shown.lines().any(is_dollars), "nothing was settled in dollars: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_changes_its_settlement_has_sums_and_payouts_in_each_currency() {
    let world = settles_in("").await;
    let local = &world.stripe.local;
    refill(&world, "50.00").await;
    local.pay_out().expect("a payout in dollars");
    local.change_behaviour(|behaviour| behaviour.settlement_currency = "eur".to_owned());
    refill(&world, "20.00").await;
    local.pay_out().expect("a payout in euros");
    let report = compare(&world, 0);
    assert_eq!((&report["fees"], &report["net"]), (&json!("1.750000"), &json!("48.250000")));
    let expected = [
        settled("eur", ["20.000000", "18.400000", "0.830000", "17.570000"]),
        settled("usd", ["50.000000", "50.000000", "1.750000", "48.250000"]),
    ];
    assert_eq!(report["settled"], json!(expected));
    let of = |index: usize, name: &str| text(&report["payouts"][index], name);
    assert_eq!((of(0, "currency"), of(0, "amount")), ("usd".into(), "48.250000".into()));
    assert_eq!((of(1, "currency"), of(1, "amount")), ("eur".into(), "17.570000".into()));
    let shown = text_of(&world);
    let fees = shown.lines().find(|line| line.starts_with("fees")).expect("those in dollars");
    assert!(fees.contains("1.750000"), "{shown}");
    assert!(shown.contains("settled in eur: 20.000000 USD as 18.400000"), "{shown}");
}
