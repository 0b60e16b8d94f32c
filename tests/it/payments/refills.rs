//! Refills: the answer, the rows, the balance, and what the customer is told.

use super::{World, declined, text};
use crate::harness::stripe::Stripe;
use callmeter::simulate::stripe::{Authentication, Behaviour, Card};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_card_refills_the_wallet_at_once_and_the_next_call_is_allowed() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let card = world.save(Card::default()).await;
    let call = json!({"account": "acme", "call_sid": "CA1", "from": "+12125550101",
        "to": "+12125550102"});
    let before = world.own.post("/v1/authorizations", &call).await.expect(200);
    assert_eq!(before["decision"], "deny", "{before}");
    let refill = world.refill(&json!({"amount": "50.00"})).await.expect(201);
    assert_eq!(refill["status"], "completed", "{refill}");
    assert_eq!(refill["amount"], "50.000000");
    assert_eq!(refill["payment_method"]["id"], card.as_str());
    assert_eq!(refill["payment_method"]["last4"], "4242");
    assert_eq!(refill["client_secret"], json!(null));
    let after = world.own.post("/v1/authorizations", &call).await.expect(200);
    assert_eq!(after["decision"], "allow", "{after}");
    assert_eq!(world.balance().await, "50.000000");
    let listed = world.own.get("/v1/accounts/acme/transactions").await.expect(200);
    let (completed, pending) = (&listed["items"][0], &listed["items"][1]);
    assert_eq!(pending["status"], "pending");
    assert_eq!(pending["payment_intent_id"], json!(null));
    assert_eq!(completed["status"], "completed");
    assert_eq!(completed["payment_intent_id"], refill["payment_intent"]);
    assert_eq!(completed["refers_to"], pending["id"]);
    assert_eq!(completed["id"], refill["transaction_id"]);
    // An administrator sees the payment, not the card.
    let path = format!("/v1/accounts/acme/refills/{}", text(&refill, "id"));
    let seen = world.admin.get(&path).await.expect(200);
    assert_eq!(seen["payment_method"], json!(null));
    let all = world.own.get("/v1/accounts/acme/refills?status=completed").await.expect(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
    world.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_card_is_told_with_advice_and_its_payment_is_canceled() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let table = [
        ("insufficient_funds", "insufficient_funds", "later"),
        ("expired_card", "expired_card", "fix_card"),
        ("incorrect_cvc", "incorrect_cvc", "fix_input"),
        ("processing_error", "processing_error", "retry"),
        ("card_velocity_exceeded", "card_velocity_exceeded", "later"),
        ("stolen_card", "generic_decline", "bank"),
        ("fraudulent", "generic_decline", "bank"),
    ];
    let mut advices = std::collections::BTreeSet::new();
    for (decline, code, class) in table {
        let card = world.save(declined(decline)).await;
        let body = json!({"amount": "10.00", "payment_method": card});
        let refill = world.refill(&body).await.expect(201);
        assert_eq!(refill["status"], "failed", "{refill}");
        assert_eq!(refill["decline"]["code"], code, "{refill}");
        assert_eq!(refill["decline"]["class"], class, "{refill}");
        assert!(!refill.to_string().contains("stolen"), "{refill}");
        advices.insert(text(&refill["decline"], "advice"));
        let intent = world.stripe.local.object(&text(&refill, "payment_intent")).expect("it");
        assert_eq!(intent["status"], "canceled", "{intent}");
        let path = format!("/v1/accounts/acme/refills/{}", text(&refill, "id"));
        let seen = world.admin.get(&path).await.expect(200);
        assert_eq!(seen["decline"]["stripe_code"], decline, "{seen}");
        let path = format!("/v1/accounts/acme/payment-methods/{card}");
        let removed = world.own.send(reqwest::Method::DELETE, &path, &[], None).await;
        assert_eq!(removed.expect("an answer").status, 204);
    }
    assert_eq!(advices.len(), 6, "{advices:?}");
    assert_eq!(world.balance().await, "0.000000");
    let rows = world.rows().await;
    assert_eq!(rows.len(), 14, "a pending and a failed row each: {rows:?}");
    world.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_by_the_customer_completes_or_fails_the_refill() {
    let world = World::start(Stripe::start(Behaviour::default()), "api,jobs", false).await;
    let card = Card { authentication: Authentication::Always, ..Card::default() };
    world.save(card).await;
    for (confirms, status) in [(true, "completed"), (false, "failed")] {
        let back = "http://127.0.0.1/wallet";
        let body = json!({"amount": "25.50", "return_url": back});
        let refill = world.refill(&body).await.expect(201);
        assert_eq!(refill["status"], "requires_action", "{refill}");
        assert!(text(&refill, "redirect_url").starts_with(&world.stripe.url), "{refill}");
        assert!(text(&refill, "client_secret").contains("_secret"), "{refill}");
        assert_eq!(refill["publishable_key"], "pk_test_of_the_tests");
        let intent = text(&refill, "payment_intent");
        world.stripe.local.authenticate(&intent, confirms).expect("it waits");
        let ended = world.until(&refill, status).await;
        assert_eq!(ended["client_secret"], json!(null));
        assert_eq!(ended["redirect_url"], json!(null));
        if !confirms {
            assert_eq!(ended["decline"]["class"], "on_session", "{ended}");
        }
    }
    assert_eq!(world.balance().await, "25.500000");
    world.assert_books_agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_amounts_and_cards_are_refused_before_stripe_is_asked() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    let none = world.refill(&json!({"amount": "50.00"})).await;
    assert_eq!(none.problem(422), "no_payment_method");
    let foreign = world.refill(&json!({"amount": "50.00", "payment_method": "pm_other"})).await;
    assert_eq!(foreign.problem(422), "unknown_payment_method");
    let amounts = [
        json!(50),
        json!("-5"),
        json!(""),
        json!("1e3"),
        json!("50.001"),
        json!("9.99"),
        json!("1000000.00"),
        json!(" 50"),
        json!("50."),
        json!(".5"),
        json!(null),
    ];
    for amount in amounts {
        let refused = world.refill(&json!({"amount": amount, "payment_method": "new"})).await;
        assert_eq!(refused.problem(400), "invalid_request", "{amount}");
    }
    let currency = json!({"amount": "50.00", "currency": "eur"});
    assert_eq!(world.refill(&currency).await.problem(400), "invalid_request");
    assert!(world.stripe.local.requests().is_empty());
    assert!(world.rows().await.is_empty());
    world.admin.post("/v1/accounts/acme/close", &json!({})).await.expect(200);
    let closed = world.refill(&json!({"amount": "50.00", "payment_method": "new"})).await;
    assert_eq!(closed.problem(409), "account_closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn support_finds_a_refill_by_its_payment_and_settles_it() {
    let world = World::start(Stripe::start(Behaviour::default()), "api", false).await;
    world.save(Card { authentication: Authentication::Always, ..Card::default() }).await;
    let refill = world.refill(&json!({"amount": "10.00"})).await.expect(201);
    let intent = text(&refill, "payment_intent");
    let path = format!("/v1/refills?payment_intent={intent}");
    let shown = world.admin.get(&path).await.expect(200);
    assert_eq!(shown["items"][0]["status"], "requires_action", "{shown}");
    let settings = world.stripe.settings();
    let show = || {
        let mut command = world.system.command(&["refill", "show", &intent, "--json"]);
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
        let shown = crate::harness::command::finish(command).expect_success().stdout;
        serde_json::from_str::<serde_json::Value>(&shown).expect("JSON")
    };
    assert_eq!(show()["status"], "requires_action");
    // The web hook was lost, and no job runs: support's look settles it.
    world.stripe.local.authenticate(&intent, true).expect("it waits");
    assert_eq!(show()["status"], "completed");
    assert_eq!(world.balance().await, "10.000000");
    let shown = world.admin.get(&path).await.expect(200);
    assert_eq!(shown["items"][0]["status"], "completed");
    let none = world.admin.get("/v1/refills?payment_intent=pi_none").await.expect(200);
    assert_eq!(none, json!({"items": [], "unmatched": null}));
    assert_eq!(world.admin.get("/v1/refills").await.problem(400), "invalid_request");
}
