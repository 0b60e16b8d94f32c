//! Limits against those who test stolen cards, and what a redaction takes away at Stripe.

use super::{World, declined, text};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Behaviour, Card};
use reqwest::Method;
use serde_json::{Value, json};

const SETUP: &str = "/v1/accounts/acme/payment-methods/setup";

impl World {
    async fn set_up_as(&self, key: &str) -> crate::harness::api::Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        let body = Some(b"{}".to_vec());
        self.own.send(Method::POST, SETUP, &headers, body).await.expect("an answer")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setups_of_cards_have_a_limit_and_a_repeated_one_counts_once() {
    let limit = [("CALLMETER__REFILL__SETUPS_PER_HOUR", "3")];
    let world = World::start_with(Stripe::start(Behaviour::default()), "api", true, &limit).await;
    let all = futures::future::join_all((0..20).map(|_| world.set_up_as("first"))).await;
    let first = text(&all[0].expect(201), "setup_intent");
    assert!(all.iter().all(|answer| text(&answer.expect(201), "setup_intent") == first));
    let keys: Vec<String> = (0..10).map(|number| format!("next-{number}")).collect();
    let answers = futures::future::join_all(keys.iter().map(|key| world.set_up_as(key))).await;
    let begun = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(begun, 2, "{answers:?}");
    let refused = answers.iter().find(|answer| answer.status != 201).expect("one");
    assert_eq!(refused.problem(429), "too_many_setups");
    assert!(refused.retry_after.is_some());
    assert_eq!(world.stripe.local.objects("setup_intent").len(), 3);
    world.set_up_as("first").await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_declines_stop_refills_and_setups_and_cancel_what_is_open() {
    let limit = [("CALLMETER__REFILL__DECLINES_PER_HOUR", "3")];
    let stripe = Stripe::start(Behaviour::default());
    let world = World::start_with(stripe, "api,jobs", true, &limit).await;
    world.save(declined("do_not_honor")).await;
    let body = json!({"amount": "20.00", "payment_method": "new"});
    let open = world.refill(&body).await.expect(201);
    assert_eq!(open["status"], "requires_payment_method", "{open}");
    let setup = world.set_up_as("open").await.expect(201);
    for _ in 0..2 {
        let refill = world.refill(&json!({"amount": "20.00"})).await.expect(201);
        assert_eq!(refill["status"], "failed", "{refill}");
    }
    // A setup counts as well: this is the third decline.
    let setup = text(&setup, "setup_intent");
    let object = world.stripe.local.object(&setup).expect("it");
    world.stripe.local.announce("setup_intent.setup_failed", &object);
    world.until(&open, "failed").await;
    until("the setup is canceled", SOON, async || {
        let object = world.stripe.local.object(&setup).expect("it");
        (object["status"] == "canceled").then_some(())
    })
    .await;
    let refused = world.refill(&json!({"amount": "20.00"})).await;
    assert_eq!(refused.problem(429), "too_many_declines");
    assert!(refused.retry_after.is_some());
    assert_eq!(world.set_up_as("another").await.problem(429), "too_many_declines");
    world.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redaction_waits_for_open_payments_and_deletes_the_customer_at_stripe() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let card = world.save(Card { last4: "9995".to_owned(), ..Card::default() }).await;
    let auto = json!({"enabled": true, "threshold": "1.00", "amount": "10.00"});
    world.own.put("/v1/accounts/acme/auto-refill", &auto).await.expect(200);
    let paid = world.refill(&json!({"amount": "50.00"})).await.expect(201);
    assert_eq!(paid["status"], "completed", "{paid}");
    let open = world.refill(&json!({"amount": "20.00", "payment_method": "new"})).await.expect(201);
    let redact = |days: &str, with_stripe: bool| {
        let arguments = ["account", "redact", "acme", "--reason", "she asked for it"];
        let mut command = world.system.command(&arguments);
        if with_stripe {
            let settings = world.stripe.settings();
            command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        }
        command.env("CALLMETER__PRIVACY__REDACT_AFTER_DAYS", days);
        let ran = command.output().expect("it runs");
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (code, told) = redact("0", true);
    assert!(code == Some(1) && told.contains("is open"), "{told}");
    let intent = text(&open, "payment_intent");
    let path = format!("/v1/payment_intents/{intent}/cancel");
    let canceled = reqwest::Client::new()
        .post(format!("{}{path}", world.stripe.url))
        .basic_auth(&world.stripe.keys.secret, None::<&str>)
        .send();
    assert!(canceled.await.expect("an answer").status().is_success());
    let shown = format!("/v1/accounts/acme/refills/{}", text(&open, "id"));
    until("the refill failed", SOON, async || {
        let now = world.own.get(&shown).await.expect(200);
        (now["status"] == "failed").then_some(())
    })
    .await;
    let (code, told) = redact("120", true);
    assert!(code == Some(1) && told.contains("may still be disputed"), "{told}");
    let (code, told) = redact("0", false);
    assert!(code == Some(1) && told.contains("STRIPE_API_KEY"), "{told}");
    let customer = text(&world.stripe.local.objects("customer")[0], "id");
    assert_eq!(redact("0", true), (Some(0), String::new()));
    let gone = world.stripe.local.object(&customer).expect("it answers");
    assert_eq!(gone["deleted"], true, "{gone}");
    let mut sql = world.system.sql().await;
    let kept = "SELECT concat(
        (SELECT string_agg(o::text, ' ') FROM outbox AS o),
        (SELECT string_agg(c::text, ' ') FROM auto_refill_consents AS c),
        (SELECT string_agg(r::text, ' ') FROM refills AS r),
        (SELECT string_agg(p::text, ' ') FROM payment_methods AS p))";
    let kept: String = sqlx::query_scalar(kept).fetch_one(&mut sql).await.expect("a row");
    assert!(!kept.contains("9995") && !kept.contains("127.0.0.1"), "{kept}");
    assert!(kept.contains(&card), "the payment still names its card's id");
    assert_eq!(world.balance().await, "50.000000");
    // Once more: the customer is gone already, and nothing else happens.
    assert_eq!(redact("0", true).0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_endpoint_at_stripe_is_made_checked_and_its_faults_are_told() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let run = |arguments: &[&str]| {
        let settings = world.stripe.settings();
        let mut command = world.system.command(arguments);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        command.env("CALLMETER__HTTP__PUBLIC_URL", "https://callmeter.example/");
        let ran = command.output().expect("it runs");
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned() + &told)
    };
    let check = ["stripe", "endpoint", "check", "--json"];
    let (code, told) = run(&check);
    assert!(code == Some(1) && told.contains("there is none"), "{told}");
    let (code, made) = run(&["stripe", "endpoint", "create", "--json"]);
    assert_eq!(code, Some(0), "{made}");
    let made: Value = serde_json::from_str(&made).expect("JSON");
    assert_eq!(made["url"], "https://callmeter.example/webhooks/stripe");
    assert!(text(&made, "secret").starts_with("whsec_"), "{made}");
    let (code, told) = run(&check);
    assert!(code == Some(0) && told.contains("\"faults\":[]"), "{told}");
    assert_eq!(run(&["stripe", "endpoint", "create"]).0, Some(1), "there is one");
    let url = format!("{}/v1/webhook_endpoints/{}", world.stripe.url, text(&made, "id"));
    let worse = reqwest::Client::new()
        .post(url)
        .basic_auth(&world.stripe.keys.secret, None::<&str>)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("disabled=true&enabled_events[]=charge.refunded")
        .send();
    assert!(worse.await.expect("an answer").status().is_success());
    let (code, told) = run(&check);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("it is disabled; it lacks the events payment_intent."), "{told}");
}
