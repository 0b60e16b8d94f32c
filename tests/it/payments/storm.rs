//! A thousand web hooks at once, in any order, with all that does not belong among them.

use super::webhooks::{deliver, now};
use super::{World, text};
use crate::harness::stripe::{Stripe, WEBHOOK_SECRET};
use callmeter::simulate::stripe::{Behaviour, Card, Fault, FaultRule};
use futures::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// Refills whose outcome only web hooks report.
const REFILLS: usize = 250;
/// Events to deliver, at least.
const EVENTS: usize = 1_000;
/// Deliveries at once.
const AT_ONCE: usize = 32;

/// A delivery, and what it is answered.
struct Delivery {
    body: Value,
    secret: &'static str,
    /// Seconds since it was signed.
    age: i64,
    answer: (u16, &'static str),
}

fn genuine(body: &Value) -> Delivery {
    Delivery { body: body.clone(), secret: WEBHOOK_SECRET, age: 0, answer: (204, "") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_web_hooks_doubled_shuffled_and_forged_credit_each_payment_once() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    let lost = FaultRule::always(Fault::ResetAfterEffect, "POST /v1/payment_intents/*/confirm");
    world.stripe.local.fault(lost);
    let asked = stream::iter(0..REFILLS).map(async |_| {
        let refill = world.refill(&json!({"amount": "10.00"})).await.expect(201);
        assert_eq!(refill["status"], "pending", "{refill}");
        text(&refill, "payment_intent")
    });
    let intents: Vec<String> = asked.buffer_unordered(8).collect().await;
    assert_eq!(intents.len(), REFILLS);

    let mut random = StdRng::seed_from_u64(12);
    let events = world.stripe.local.objects("event");
    let mut deliveries = Vec::new();
    // What Stripe sent, and the same again under other ids, as after a fault of Stripe's.
    for (number, event) in events.iter().cycle().take(events.len().max(EVENTS)).enumerate() {
        let mut event = event.clone();
        if number >= events.len() {
            event["id"] = json!(format!("evt_again{number}"));
        }
        for _ in 0..random.random_range(1..=4) {
            deliveries.push(genuine(&event));
        }
        let forged = (403, "bad_signature");
        match number % 10 {
            0 => {
                let secret = "whsec_wrong";
                deliveries.push(Delivery { secret, answer: forged, ..genuine(&event) });
            }
            1 => deliveries.push(Delivery { age: 301, answer: forged, ..genuine(&event) }),
            2 => {
                let mut live = event.clone();
                live["livemode"] = json!(true);
                let answer = (400, "livemode_mismatch");
                deliveries.push(Delivery { answer, ..genuine(&live) });
            }
            3 => {
                // Of another ledger at the same Stripe account.
                let mut other = event.clone();
                other["id"] = json!(format!("evt_other{number}"));
                other["data"]["object"]["id"] = json!(format!("pi_other{number}"));
                other["data"]["object"]["metadata"]["callmeter_ledger"] = json!("another");
                deliveries.push(genuine(&other));
            }
            _ => {}
        }
    }
    deliveries.shuffle(&mut random);
    let forged = deliveries.iter().filter(|delivery| delivery.answer.0 == 403).count();
    let (hooked, at) = (&world, now());
    let answered = stream::iter(deliveries).map(async |delivery| {
        let Delivery { body, secret, age, answer: (status, code) } = delivery;
        let answer = deliver(hooked, &body, secret, at - age).await;
        assert_eq!(answer, (status, code.to_owned()), "{body}");
    });
    answered.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;

    let credited = i64::try_from(REFILLS).expect("small") * 10;
    assert_eq!(world.balance().await, format!("{credited}.000000"));
    let refills = world.own.items("/v1/accounts/acme/refills", 1_000).await.expect("a list");
    assert_eq!(refills.len(), REFILLS);
    assert!(refills.iter().all(|refill| refill["status"] == "completed"), "{refills:?}");
    let rows = world.own.items("/v1/accounts/acme/transactions", 1_000).await.expect("a list");
    let completed = rows.iter().filter(|row| row["status"] == "completed").count();
    assert_eq!((rows.len(), completed), (2 * REFILLS, REFILLS), "a pending and a final row each");
    let labels = [("type", "other"), ("outcome", "forged")];
    let counted = world.admin.metric("callmeter_stripe_events_total", &labels).await;
    assert_eq!(counted, i64::try_from(forged).ok(), "each forgery is counted");
    let labels = [("type", "payment_intent.succeeded"), ("outcome", "mismatch")];
    let mismatches = world.admin.metric("callmeter_stripe_events_total", &labels).await;
    assert_eq!(mismatches.unwrap_or_default(), 0, "nothing else was taken for ours");
}
