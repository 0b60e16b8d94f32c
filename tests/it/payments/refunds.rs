//! Money that goes back: refunds to the card, and disputes at the bank.

use super::{World, text};
use crate::harness::api::Answer;
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card, Fault, FaultRule};
use chrono::TimeDelta;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

impl World {
    /// A refill of 50 dollars; returns its path.
    async fn refilled(&self) -> (String, Value) {
        let refill = self.refill(&json!({"amount": "50.00"})).await.expect(201);
        assert_eq!(refill["status"], "completed", "{refill}");
        (format!("/v1/accounts/acme/refills/{}", text(&refill, "id")), refill)
    }

    async fn refund(&self, refill: &str, body: &Value) -> Answer {
        self.admin.post(&format!("{refill}/refunds"), body).await
    }

    async fn until_refund(&self, refill: &str, status: &str) -> Value {
        until(&format!("a refund that is {status}"), SOON, async || {
            let listed = self.own.get(&format!("{refill}/refunds")).await.expect(200);
            let newest = listed["items"][0].clone();
            (newest["status"] == status).then_some(newest)
        })
        .await
    }

    async fn until_balance(&self, balance: &str) {
        until(&format!("a balance of {balance}"), SOON, async || {
            (self.balance().await == balance).then_some(())
        })
        .await;
    }

    fn refunded_at_stripe(&self) -> i64 {
        self.stripe.local.totals().values().map(|totals| totals.refunded).sum()
    }
}

fn rule(fault: Fault) -> FaultRule {
    FaultRule { fault, request: "POST /v1/refunds".to_owned(), skip: 0, times: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refill_is_refunded_in_parts_and_never_beyond_it() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    let (refill, made) = world.refilled().await;
    let refused = world.own.post(&format!("{refill}/refunds"), &json!({})).await;
    assert_eq!(refused.status, 403, "only an administrator refunds: {}", refused.text);
    let too_much = world.refund(&refill, &json!({"amount": "50.01"})).await;
    assert_eq!(too_much.problem(422), "refund_exceeds_refill");
    let first = world.refund(&refill, &json!({"amount": "20.00"})).await.expect(201);
    assert_eq!(first["status"], "completed", "{first}");
    assert_eq!(first["amount"], "20.000000");
    assert_eq!(world.balance().await, "30.000000");
    let too_much = world.refund(&refill, &json!({"amount": "30.01"})).await;
    assert_eq!(too_much.problem(422), "refund_exceeds_refill");
    // The rest, by a key that is repeated at once and later.
    let headers = [("content-type", "application/json"), ("idempotency-key", "the-rest")];
    let path = format!("{refill}/refunds");
    let send = || world.admin.send(Method::POST, &path, &headers, Some(b"{}".to_vec()));
    let answers = join_all((0..20).map(|_| send())).await;
    let mut ids: Vec<String> =
        answers.into_iter().map(|answer| text(&answer.expect("one").expect(201), "id")).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    world.until_refund(&refill, "completed").await;
    assert_eq!(world.balance().await, "0.000000");
    assert_eq!(world.refunded_at_stripe(), 5_000);
    let shown = world.own.get(&refill).await.expect(200);
    assert_eq!(shown["refunded"], "50.000000");
    let rows = world.own.get("/v1/accounts/acme/transactions?kind=refill_refund").await.expect(200);
    let rows = rows["items"].as_array().expect("rows").clone();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["refers_to"], made["transaction_id"], "{row}");
        assert_eq!(row["payment_intent_id"], made["payment_intent"], "{row}");
    }
    let nothing_left = world.refund(&refill, &json!({})).await;
    assert_eq!(nothing_left.problem(422), "refund_exceeds_refill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_takes_only_what_calls_have_not_and_calls_only_what_is_left() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    let (refill, _) = world.refilled().await;
    let call = json!({"account": "acme", "call_sid": "CA1", "from": "+12125550101",
        "to": "+12125550102", "seconds": 3_600});
    let held = world.own.post("/v1/authorizations", &call).await.expect(200);
    assert_eq!(held["decision"], "allow", "{held}");
    // An hour at 0.02 a minute is 1.20.
    let refused = world.refund(&refill, &json!({})).await;
    assert_eq!(refused.problem(422), "insufficient_balance");
    assert!(refused.text.contains("1.200000"), "{}", refused.text);
    let wallet = world.own.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!((&wallet["held"], &wallet["available"]), (&json!("1.200000"), &json!("48.800000")));
    // While Stripe hangs, what is set aside cannot be granted.
    world.stripe.local.fault(rule(Fault::HangBeforeEffect));
    let part = world.refund(&refill, &json!({"amount": "48.80"})).await.expect(201);
    assert_eq!(part["status"], "pending", "{part}");
    let wallet = world.own.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!((&wallet["held"], &wallet["available"]), (&json!("50.000000"), &json!("0.000000")));
    let other = json!({"account": "acme", "call_sid": "CA2", "from": "+12125550101",
        "to": "+12125550102"});
    let denied = world.own.post("/v1/authorizations", &other).await.expect(200);
    assert_eq!(denied["decision"], "deny", "{denied}");
    world.stripe.local.clear_faults();
    world.until_refund(&refill, "completed").await;
    assert_eq!(world.balance().await, "1.200000");
    assert_eq!(world.refunded_at_stripe(), 4_880);
    let below = world.refund(&refill, &json!({"allow_negative": true})).await.expect(201);
    assert_eq!(below["amount"], "1.200000");
    assert_eq!(world.balance().await, "0.000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_with_an_unknown_outcome_is_made_once() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(Card::default()).await;
    let mut expected = 0;
    for fault in [
        Fault::HangAfterEffect,
        Fault::ResetAfterEffect,
        Fault::ServerErrorAfterEffect,
        Fault::ServerErrorBeforeEffect,
        Fault::ResetBeforeEffect,
    ] {
        let (refill, _) = world.refilled().await;
        world.stripe.local.fault(rule(fault));
        world.refund(&refill, &json!({"amount": "10.00"})).await.expect(201);
        world.stripe.local.clear_faults();
        world.until_refund(&refill, "completed").await;
        expected += 1_000;
        assert_eq!(world.refunded_at_stripe(), expected, "{fault:?}");
    }
    // The process dies while Stripe has made it and not answered.
    let (refill, _) = world.refilled().await;
    world.stripe.local.fault(rule(Fault::HangAfterEffect));
    let (admin, path) = (world.admin.clone(), format!("{refill}/refunds"));
    let asked =
        tokio::spawn(async move { admin.send(Method::POST, &path, &[], None).await.is_ok() });
    until("the refund at Stripe", SOON, async || {
        (world.refunded_at_stripe() == expected + 5_000).then_some(())
    })
    .await;
    world.system.services[0].kill();
    asked.await.expect("it ends");
    world.stripe.local.clear_faults();
    world.system.restart(0, "api,jobs");
    world.system.ready(0).await;
    world.until_refund(&refill, "completed").await;
    assert_eq!(world.refunded_at_stripe(), expected + 5_000);
    assert_eq!(world.balance().await, "200.000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_made_at_stripe_are_booked_and_failed_ones_given_back() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    let (refill, made) = world.refilled().await;
    let refund = world.stripe.local.refund(&text(&made, "payment_intent"), Some(1_500));
    let refund = text(&refund.expect("it is made"), "id");
    world.until_balance("35.000000").await;
    let listed = world.until_refund(&refill, "completed").await;
    assert_eq!(listed["amount"], "15.000000");
    world.stripe.local.fail_refund(&refund).expect("it fails");
    world.until_balance("50.000000").await;
    let listed = world.until_refund(&refill, "failed").await;
    let path = "/v1/accounts/acme/transactions?kind=refill_refund_reversal";
    let rows = world.own.get(path).await.expect(200);
    assert_eq!(rows["items"][0]["refers_to"], listed["transaction_id"], "{rows}");
    assert_eq!(world.own.get(&refill).await.expect(200)["refunded"], "0.000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispute_takes_the_money_and_gives_it_back_when_it_is_won() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    world.save(Card::default()).await;
    let (refill, made) = world.refilled().await;
    world
        .own
        .put(
            "/v1/accounts/acme/auto-refill",
            &json!({"enabled": true, "threshold": "20.00", "amount": "50.00"}),
        )
        .await
        .expect(200);
    let spent = json!({"type": "debit", "amount": "30.00", "description": "Spent"});
    world.admin.post("/v1/accounts/acme/adjustments", &spent).await.expect(201);
    let intent = text(&made, "payment_intent");
    let dispute = world.stripe.local.open_dispute(&intent, "fraudulent", None);
    let dispute = text(&dispute.expect("it is opened"), "id");
    // Below zero, and no card is charged for it.
    world.until_balance("-30.000000").await;
    let state = world.own.get("/v1/accounts/acme/auto-refill").await.expect(200);
    assert_eq!((&state["enabled"], &state["reason"]), (&json!(false), &json!("chargeback")));
    let call = json!({"account": "acme", "call_sid": "CA1", "from": "+12125550101",
        "to": "+12125550102"});
    let denied = world.own.post("/v1/authorizations", &call).await.expect(200);
    assert_eq!(denied["decision"], "deny", "{denied}");
    let refused = world.refund(&refill, &json!({"amount": "1.00"})).await;
    assert_eq!(refused.problem(409), "refill_disputed");
    world.stripe.local.close_dispute(&dispute, true).expect("it is won");
    world.until_balance("20.000000").await;
    let rows = world.own.get("/v1/accounts/acme/transactions").await.expect(200);
    let (back, taken) = (&rows["items"][0], &rows["items"][1]);
    assert_eq!(back["kind"], "chargeback_reversal", "{back}");
    assert_eq!(back["refers_to"], taken["id"], "{back}");
    assert_eq!(taken["kind"], "chargeback", "{taken}");
    assert_eq!(taken["refers_to"], made["transaction_id"], "{taken}");
    let mut sql = world.system.sql().await;
    until("both events", SOON, async || {
        let told = "SELECT count(*) FROM outbox WHERE type IN ('dispute.opened', 'dispute.closed')";
        let told: i64 = sqlx::query_scalar(told).fetch_one(&mut sql).await.expect("a row");
        (told == 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inquiry_moves_nothing_and_lost_web_hooks_are_made_up_for() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(Card::default()).await;
    let (_, inquired) = world.refilled().await;
    let (_, disputed) = world.refilled().await;
    let (refunded, made) = world.refilled().await;
    let local = &world.stripe.local;
    let intent = text(&inquired, "payment_intent");
    local.open_dispute(&intent, "inquiry", None).expect("an inquiry");
    let intent = text(&disputed, "payment_intent");
    let dispute = local.open_dispute(&intent, "fraudulent", None).expect("a dispute");
    local.close_dispute(&text(&dispute, "id"), true).expect("it is won");
    local.refund(&text(&made, "payment_intent"), Some(500)).expect("a refund");
    assert_eq!(world.balance().await, "150.000000", "no web hook told it");
    let settings = world.stripe.settings();
    let mut command = world.system.command(&["recover", "--since", "2020-01-01", "--json"]);
    command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let ran = command.output().expect("it runs");
    let recovered: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert!(recovered["moved_back"].as_u64().is_some_and(|count| count >= 2), "{recovered}");
    assert_eq!(world.balance().await, "145.000000");
    assert_eq!(world.own.get(&refunded).await.expect(200)["refunded"], "5.000000");
    let path = "/v1/accounts/acme/transactions?kind=chargeback_reversal";
    let rows = world.own.get(path).await.expect(200);
    assert_eq!(rows["items"].as_array().map(Vec::len), Some(1), "withdrawn, then reinstated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_old_dispute_is_booked_though_its_web_hook_was_lost() {
    let stripe = Stripe::start(Behaviour::default());
    let often = [("CALLMETER__STRIPE__RECONCILE_SECONDS", "1")];
    let world = World::start_with(stripe, "api,jobs", true, &often).await;
    // A dispute takes months; the comparison looks at the payments of some days.
    world.stripe.local.move_clock(TimeDelta::days(-70));
    world.save(Card::default()).await;
    let (_, disputed) = world.refilled().await;
    let intent = text(&disputed, "payment_intent");
    let dispute = world.stripe.local.open_dispute(&intent, "fraudulent", None).expect("one");
    world.until_balance("0.000000").await;
    world.stripe.local.change_behaviour(|behaviour| behaviour.lost_percent = 100);
    world.stripe.local.close_dispute(&text(&dispute, "id"), true).expect("it is won");
    world.until_balance("50.000000").await;
}
