//! What the outbox publishes: each fact once, in order for each account, with an id that stays.

use super::{World, declined, text};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Authentication, Behaviour, Card};
use serde_json::{Value, json};
use std::collections::BTreeMap;

impl World {
    /// The published events of the account, in order.
    fn events(&self) -> Vec<Value> {
        let topic = self.system.events_topic();
        let records = self.system.kafka.records(&topic);
        let events = records.into_iter().map(|(key, value)| {
            let event: Value = serde_json::from_slice(&value).expect("JSON");
            assert_eq!(event["subject"].as_str(), key.as_deref(), "{event}");
            event
        });
        events.filter(|event| event["subject"] == "acme").collect()
    }

    /// The published events once there are as many.
    async fn until_events(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} events"), SOON, async || {
            let events = self.events();
            (events.len() >= count).then_some(events)
        })
        .await
    }
}

fn types(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(event, "type").replace("callmeter.", "")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_and_each_end_of_a_refill_is_published_in_order() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(Card::default()).await;
    world.refill(&json!({"amount": "50.00"})).await.expect(201);
    let stolen = world.save(declined("stolen_card")).await;
    let body = json!({"amount": "20.00", "payment_method": stolen});
    let failed = world.refill(&body).await.expect(201);
    assert_eq!(failed["status"], "failed");
    let debit = json!({"type": "debit", "amount": "51.00", "description": "Correction"});
    let path = "/v1/accounts/acme/adjustments";
    let debit = world.admin.post(path, &debit).await.expect(201);
    let events = world.until_events(11).await;
    let expected = [
        "payment_method.added",
        "transaction.created",
        "transaction.created",
        "refill.completed",
        "payment_method.added",
        "transaction.created",
        "transaction.created",
        "refill.failed",
        "transaction.created",
        "alert.balance_below",
        "alert.empty",
    ];
    assert_eq!(types(&events), expected, "{events:#?}");
    for event in &events {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], "callmeter");
        assert_eq!(event["data"]["account"], "acme");
        assert!(!event.to_string().contains("secret"), "{event}");
        assert!(!event.to_string().contains("stolen"), "{event}");
    }
    assert_eq!(events[3]["data"]["status"], "completed");
    assert_eq!(events[3]["data"]["amount"], "50.000000");
    assert_eq!(events[7]["data"]["decline"]["code"], "generic_decline");
    assert_eq!(events[8]["data"]["id"], debit["id"]);
    assert_eq!(events[9]["data"]["threshold"], "20.000000", "the default of the settings");
    let empty = &events[10]["data"];
    assert_eq!(
        (text(empty, "balance_before"), text(empty, "balance_after")),
        ("50.000000".to_owned(), "-1.000000".to_owned())
    );
    assert_eq!(empty["transaction_id"], debit["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_is_asked_for_once_and_a_lost_cursor_repeats_the_same_ids() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", true).await;
    let card = Card { authentication: Authentication::Always, ..Card::default() };
    world.save(card).await;
    let refill = world.refill(&json!({"amount": "25.00"})).await.expect(201);
    for _ in 0..3 {
        world.until(&refill, "requires_action").await;
    }
    let intent = text(&refill, "payment_intent");
    world.stripe.local.authenticate(&intent, true).expect("it waits");
    world.until(&refill, "completed").await;
    let events = world.until_events(5).await;
    let expected = [
        "payment_method.added",
        "transaction.created",
        "refill.action_required",
        "transaction.created",
        "refill.completed",
    ];
    assert_eq!(types(&events), expected, "{events:#?}");
    assert_eq!(events[2]["data"]["status"], "requires_action");
    assert_eq!(events[2]["data"]["client_secret"], json!(null));
    // As after a process that died between Kafka's answer and the cursor's move.
    let mut sql = world.system.sql().await;
    let back = sqlx::query("UPDATE outbox_consumers SET position = 0");
    back.execute(&mut sql).await.expect("it is moved");
    world.refill(&json!({"amount": "26.00"})).await.expect(201);
    let events = world.until_events(12).await;
    let mut contents: BTreeMap<String, &Value> = BTreeMap::new();
    for event in &events {
        let first = contents.entry(text(event, "id")).or_insert(event);
        assert_eq!(*first, event);
    }
    assert_eq!(contents.len(), 7, "{events:#?}");
}
