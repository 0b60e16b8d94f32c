//! Stripe that hangs, fails and disappears; processes that die; requests that are repeated.

use super::{World, declined, text};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card, Fault, FaultRule};
use serde_json::json;

const CREATE: &str = "POST /v1/payment_intents";
const CONFIRM: &str = "POST /v1/payment_intents/*/confirm";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_outcome_is_looked_up_until_it_is_known() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(Card::default()).await;
    let faults = [
        Fault::ResetBeforeEffect,
        Fault::ResetAfterEffect,
        Fault::ServerErrorBeforeEffect,
        Fault::ServerErrorAfterEffect,
        Fault::UnreadableAfterEffect,
        Fault::Unavailable,
    ];
    let mut refills = Vec::new();
    for fault in faults {
        for request in [CREATE, CONFIRM] {
            world.stripe.local.fault(FaultRule::once(fault, request));
            refills.push(world.refill(&json!({"amount": "10.00"})).await.expect(201));
        }
    }
    for refill in &refills {
        world.until(refill, "completed").await;
    }
    world.assert_books_agree().await;
    let intents = world.stripe.local.objects("payment_intent");
    let paid = intents.iter().filter(|intent| intent["status"] == "succeeded").count();
    assert_eq!(paid, refills.len(), "one payment each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stripe_that_hangs_leaves_the_refill_pending_and_is_asked_again() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    world.save(Card::default()).await;
    for (number, fault) in [Fault::HangBeforeEffect, Fault::HangAfterEffect].into_iter().enumerate()
    {
        world.stripe.local.fault(FaultRule::always(fault, CONFIRM));
        let key = format!("hangs-{number}");
        let body = json!({"amount": "10.00"});
        let refill = world.refill_as(&key, &body).await.expect(201);
        assert_eq!(refill["status"], "pending", "{refill}");
        world.stripe.local.clear_faults();
        world.until(&refill, "completed").await;
        let again = world.refill_as(&key, &body).await;
        assert!(again.replayed, "{again:?}");
        assert_eq!(again.expect(201)["id"], refill["id"]);
    }
    assert_eq!(world.balance().await, "20.000000");
    world.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_requests_with_one_key_are_one_refill_also_after_a_restart() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    world.stripe.local.change_behaviour(|behaviour| behaviour.latency_milliseconds = 100);
    let body = json!({"amount": "10.00"});
    let all = (0..20).map(|_| world.refill_as("one", &body));
    let answers = futures::future::join_all(all).await;
    let id = text(&answers[0].expect(201), "id");
    assert!(answers.iter().all(|answer| text(&answer.expect(201), "id") == id), "{answers:?}");
    let other = world.refill_as("one", &json!({"amount": "11.00"})).await;
    assert_eq!(other.problem(422), "idempotency_key_reused");
    world.system.restart(0, "api");
    world.admin = world.system.ready(0).await;
    world.own = world.own.at(world.system.services[0].url());
    let again = world.refill_as("one", &body).await;
    assert_eq!(text(&again.expect(201), "id"), id);
    // Without a key, the same request twice is two refills.
    for _ in 0..2 {
        world.refill(&body).await.expect(201);
    }
    assert_eq!(world.balance().await, "30.000000");
    world.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_stripe_account_moves_no_money() {
    let mut world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card::default()).await;
    let mut sql = world.system.sql().await;
    let other = sqlx::query("UPDATE stripe_account SET account = 'acct_another'");
    other.execute(&mut sql).await.expect("it is changed");
    world.system.services[0].kill();
    world.system.restart(0, "api");
    world.admin = world.system.ready(0).await;
    world.own = world.own.at(world.system.services[0].url());
    let body = json!({"amount": "10.00"});
    // The first one finds out, and asks for nothing; the others are refused before they begin.
    let first = world.refill(&body).await.expect(201);
    assert_eq!(first["status"], "pending", "{first}");
    assert_eq!(world.refill(&body).await.problem(503), "recovery_needed");
    let cards = world.own.get("/v1/accounts/acme/payment-methods").await;
    assert_eq!(cards.problem(503), "recovery_needed");
    assert!(world.stripe.local.objects("payment_intent").is_empty());
    assert_eq!(world.rows().await.len(), 1);
}

/// Stripe keeps a 5xx under its key for a day: the next request must have another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_stripe_keeps_for_a_key_holds_nothing_up() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    let fail = |request: &str| {
        world.stripe.local.fault(FaultRule::once(Fault::ServerErrorBeforeEffect, request));
    };
    for request in ["POST /v1/customers", "POST /v1/setup_intents"] {
        fail(request);
    }
    let card = world.save(declined("do_not_honor")).await;
    fail("POST /v1/payment_intents/*/cancel");
    let refill = world.refill(&json!({"amount": "10.00"})).await.expect(201);
    world.until(&refill, "failed").await;
    fail("POST /v1/payment_methods/*/detach");
    let path = format!("/v1/accounts/acme/payment-methods/{card}");
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let removed = world.own.send(reqwest::Method::DELETE, &path, &[], None).await;
        statuses.push(removed.expect("an answer").status);
    }
    assert_eq!(statuses, [503, 204]);
}
