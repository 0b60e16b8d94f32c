//! Stripe's web hooks: forged, repeated, out of order, of others.

use super::{World, text};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::{Stripe, WEBHOOK_SECRET};
use callmeter::simulate::stripe::{Authentication, Behaviour, Card, Fault, FaultRule};
use ring::hmac;
use serde_json::{Value, json};

/// The header of a delivery, as Stripe's SDKs write it.
fn signature(secret: &str, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(tag.as_ref()))
}

pub(super) fn now() -> i64 {
    crate::harness::samples::now() / crate::model::time::SECOND
}

pub(super) async fn deliver(world: &World, body: &Value, secret: &str, at: i64) -> (u16, String) {
    let body = body.to_string();
    let header = signature(secret, at, &body);
    let headers = [("stripe-signature", header.as_str())];
    let path = "/webhooks/stripe";
    let answer = world.own.post_as(path, "application/json", &headers, body.into_bytes()).await;
    let answer = answer.expect("an answer");
    let problem: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    (answer.status, problem["code"].as_str().unwrap_or_default().to_owned())
}

/// The event that reports a payment.
fn succeeded(world: &World, intent: &str) -> Value {
    let events = world.stripe.local.objects("event");
    let found = events.into_iter().find(|event| {
        event["type"] == "payment_intent.succeeded" && event["data"]["object"]["id"] == intent
    });
    found.expect("an event")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_stale_or_of_the_other_mode_is_refused() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let event = json!({"id": "evt_1", "object": "event", "type": "payment_intent.succeeded",
        "livemode": false, "created": 1, "api_version": "2025-09-30.clover",
        "data": {"object": {"id": "pi_1", "object": "payment_intent", "status": "succeeded",
            "amount": 5000, "currency": "usd", "livemode": false, "created": 1}}});
    let bad = (403, "bad_signature".to_owned());
    assert_eq!(deliver(&world, &event, "whsec_wrong", now()).await, bad);
    assert_eq!(deliver(&world, &event, WEBHOOK_SECRET, now() - 301).await, bad);
    assert_eq!(deliver(&world, &event, WEBHOOK_SECRET, now() + 302).await, bad);
    // Of another ledger at the same Stripe account: of no concern.
    assert_eq!(deliver(&world, &event, WEBHOOK_SECRET, now()).await, (204, String::new()));
    let mut live = event.clone();
    live["livemode"] = json!(true);
    let mode = (400, "livemode_mismatch".to_owned());
    assert_eq!(deliver(&world, &live, WEBHOOK_SECRET, now()).await, mode);
    let unparsable = (400, "invalid_request".to_owned());
    assert_eq!(deliver(&world, &json!([]), WEBHOOK_SECRET, now()).await, unparsable);
    let metric = async |outcome| {
        let labels = [("type", "other"), ("outcome", outcome)];
        world.admin.metric("callmeter_stripe_events_total", &labels).await
    };
    assert_eq!(metric("forged").await, Some(3));
    assert!(world.rows().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_only_the_web_hook_reports_is_credited_once_however_often_it_comes() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    // The answer is lost, and so is every later one: only the web hook tells of the payment.
    let confirm = "POST /v1/payment_intents/*/confirm";
    world.stripe.local.fault(FaultRule::always(Fault::ResetAfterEffect, confirm));
    let refill = world.refill(&json!({"amount": "50.00"})).await.expect(201);
    assert_eq!(refill["status"], "pending", "{refill}");
    let event = succeeded(&world, &text(&refill, "payment_intent"));
    for _ in 0..4 {
        assert_eq!(deliver(&world, &event, WEBHOOK_SECRET, now()).await.0, 204);
    }
    let mut again = event.clone();
    again["id"] = json!("evt_another");
    assert_eq!(deliver(&world, &again, WEBHOOK_SECRET, now()).await.0, 204);
    assert_eq!(world.balance().await, "50.000000");
    assert_eq!(world.rows().await.len(), 2);
    world.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_does_not_fit_is_kept_and_never_credited() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    let hang = FaultRule::always(Fault::ResetAfterEffect, "POST /v1/payment_intents/*/confirm");
    world.stripe.local.fault(hang);
    let refill = world.refill(&json!({"amount": "50.00"})).await.expect(201);
    let event = succeeded(&world, &text(&refill, "payment_intent"));
    let wrong = |field: &str, value: Value| {
        let mut event = event.clone();
        event["data"]["object"][field] = value;
        event["id"] = json!(format!("evt_{field}"));
        event
    };
    for event in [
        wrong("amount_received", json!(500_000)),
        wrong("currency", json!("eur")),
        wrong("customer", json!("cus_another")),
    ] {
        assert_eq!(deliver(&world, &event, WEBHOOK_SECRET, now()).await.0, 204);
    }
    assert_eq!(world.balance().await, "0.000000");
    let labels = [("type", "payment_intent.succeeded"), ("outcome", "mismatch")];
    let counted = world.admin.metric("callmeter_stripe_events_total", &labels).await;
    assert_eq!(counted, Some(3));
    assert_eq!(deliver(&world, &event, WEBHOOK_SECRET, now()).await.0, 204);
    assert_eq!(world.balance().await, "50.000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_are_doubled_lost_and_out_of_order_end_each_refill_once() {
    let behaviour = Behaviour {
        doubled_percent: 40,
        reordered_percent: 30,
        lost_percent: 20,
        forged_percent: 20,
        ..Behaviour::default()
    };
    let world = World::start(Stripe::start(behaviour), "api,jobs", true).await;
    world.save(Card::default()).await;
    for number in 0..20 {
        let fault = match number % 4 {
            0 => Some(Fault::ResetAfterEffect),
            1 => Some(Fault::ServerErrorAfterEffect),
            2 => Some(Fault::ServerErrorBeforeEffect),
            _ => None,
        };
        if let Some(fault) = fault {
            let request = ["POST /v1/payment_intents", "POST /v1/payment_intents/*/confirm"];
            world.stripe.local.fault(FaultRule::once(fault, request[number / 4 % 2]));
        }
        world.refill(&json!({"amount": "10.00"})).await.expect(201);
    }
    until("all refills ended", SOON, async || {
        let open = world.own.get("/v1/accounts/acme/refills?status=pending").await.expect(200);
        open["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    world.assert_books_agree().await;
    assert_eq!(world.balance().await, "200.000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_does_not_fit_is_noted_once_however_often_it_is_looked_up() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card { authentication: Authentication::Always, ..Card::default() }).await;
    let refill = world.refill(&json!({"amount": "50.00"})).await.expect(201);
    let intent = text(&refill, "payment_intent");
    // The ledger lost the customer that paid, as after a restored backup.
    let mut sql = world.system.sql().await;
    let other = sqlx::query("UPDATE stripe_customers SET customer = 'cus_another'");
    other.execute(&mut sql).await.expect("it is changed");
    world.stripe.local.authenticate(&intent, true).expect("it waits");
    for _ in 0..3 {
        let path = format!("/v1/refills?payment_intent={intent}");
        let shown = world.admin.get(&path).await.expect(200);
        assert_ne!(shown["items"][0]["status"], "completed", "{shown}");
    }
    let audit = world.admin.get("/v1/audit?action=payment_unmatched").await.expect(200);
    assert_eq!(audit["items"].as_array().map(Vec::len), Some(1), "{audit}");
    assert_eq!(world.balance().await, "0.000000");
}
