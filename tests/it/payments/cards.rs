//! Saved cards.

use super::{World, text};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use reqwest::Method;
use serde_json::json;

const CARDS: &str = "/v1/accounts/acme/payment-methods";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cards_are_saved_chosen_renewed_and_removed() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", true).await;
    let empty = world.own.get(CARDS).await.expect(200);
    assert_eq!(empty, json!({"items": []}));
    let first = world.save(Card::default()).await;
    let second = world.save(Card { last4: "4444".to_owned(), ..Card::default() }).await;
    let default = async || {
        let listed = world.own.get(CARDS).await.expect(200);
        let items = listed["items"].as_array().expect("cards").clone();
        let defaults: Vec<String> = items
            .iter()
            .filter(|card| card["default"] == true)
            .map(|card| text(card, "id"))
            .collect();
        (items.len(), defaults)
    };
    assert_eq!(default().await, (2, vec![first.clone()]), "the first is the default");
    let path = format!("{CARDS}/{second}/default");
    assert_eq!(world.own.put(&path, &json!({})).await.status, 204);
    assert_eq!(default().await, (2, vec![second.clone()]));
    let body = json!({"exp_month": 7, "exp_year": 2041});
    let renewed = world.own.patch(&format!("{CARDS}/{second}"), &body).await.expect(200);
    assert_eq!(
        (renewed["exp_month"].as_i64(), renewed["exp_year"].as_i64()),
        (Some(7), Some(2041))
    );
    let remove = async |card: &str| {
        let path = format!("{CARDS}/{card}");
        world.own.send(Method::DELETE, &path, &[], None).await.expect("an answer")
    };
    assert_eq!(remove(&second).await.status, 204);
    assert_eq!(default().await, (1, vec![first.clone()]), "the newest other one");
    let detached = world.stripe.local.object(&second).expect("it");
    assert_eq!(detached["customer"], json!(null));
    assert_eq!(remove(&second).await.problem(404), "unknown_payment_method");
    assert_eq!(remove("pm_nobodys").await.problem(404), "unknown_payment_method");
    // A card that Stripe detached disappears by its web hook, before anybody lists the cards.
    world.stripe.local.detach(&first).expect("it is attached");
    until("no card pays any more", SOON, async || {
        let answer = world.refill(&json!({"amount": "50.00"})).await;
        (answer.status == 422).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_customers_own_keys_reach_cards_and_nothing_works_without_stripe() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    assert_eq!(world.admin.get(CARDS).await.problem(403), "forbidden");
    world.save(Card::default()).await;
    world.stripe.local.change_behaviour(|behaviour| behaviour.refuses_connections = true);
    for answer in
        [world.own.get(CARDS).await, world.own.post(&format!("{CARDS}/setup"), &json!({})).await]
    {
        assert_eq!(answer.problem(503), "stripe_unavailable");
        assert!(answer.retry_after.is_some());
    }
    let refill = world.refill(&json!({"amount": "50.00"})).await.expect(201);
    assert_eq!(refill["status"], "pending", "{refill}");
}
