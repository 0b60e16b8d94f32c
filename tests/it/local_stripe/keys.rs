//! Idempotency keys and faults: what a client may rely on after an unknown outcome.

use super::Shop;
use callmeter::simulate::stripe::{Fault, FaultRule};
use chrono::TimeDelta;
use reqwest::Method;

const FORM: [(&str, &str); 2] = [("amount", "1300"), ("currency", "usd")];
const PATH: &str = "/v1/payment_intents";
const CREATE: &str = "POST /v1/payment_intents";

#[tokio::test]
async fn a_key_replays_its_first_answer_and_refuses_other_parameters() {
    let shop = Shop::open();
    let first = shop.post_with("k1", PATH, &FORM).await;
    assert!(!first.is_replayed);
    let again = shop.post_with("k1", PATH, &FORM).await;
    assert!(again.is_replayed);
    assert_eq!(first.expect(200), again.expect(200));
    let other = shop.post_with("k1", PATH, &[("amount", "1301"), ("currency", "usd")]).await;
    assert_eq!(other.complaint(400).0, "idempotency_error");
    let elsewhere = shop.post_with("k1", "/v1/customers", &[]).await;
    assert_eq!(elsewhere.complaint(400).0, "idempotency_error");
    // What is not well-formed does not begin, so that its key stays free; a decline is kept.
    shop.post_with("k2", PATH, &[("amount", "x"), ("currency", "usd")]).await.complaint(400);
    shop.post_with("k2", PATH, &FORM).await.expect(200);
    let declined = [
        ("amount", "900"),
        ("currency", "usd"),
        ("confirm", "true"),
        ("payment_method_types[]", "card"),
        ("payment_method", "pm_card_visa_chargeDeclined"),
    ];
    for _ in 0..2 {
        shop.post_with("k3", PATH, &declined).await.complaint(402);
    }
    assert_eq!(shop.stripe.local.objects("payment_intent").len(), 3);
    shop.stripe.local.move_clock(TimeDelta::hours(25));
    assert!(!shop.post_with("k1", PATH, &FORM).await.is_replayed);
}

#[tokio::test]
async fn a_key_whose_request_is_in_progress_answers_409_until_its_effect() {
    let shop = Shop::open();
    let local = &shop.stripe.local;
    local.fault(FaultRule::once(Fault::HangThenEffect, CREATE));
    let waiting = shop.post_with("k1", PATH, &FORM);
    let meanwhile = async {
        let hangs = async || local.requests().first().map(|_| ());
        crate::harness::poll::until("a request hangs", crate::harness::poll::SOON, hangs).await;
        let second = shop.post_with("k1", PATH, &FORM).await;
        assert_eq!(second.complaint(409).1, "idempotency_key_in_use");
        assert_eq!(second.should_retry.as_deref(), Some("true"));
        assert_eq!(local.objects("payment_intent").len(), 0);
        local.clear_faults();
    };
    let (first, ()) = tokio::join!(waiting, meanwhile);
    assert_eq!(first.expect(200), shop.post_with("k1", PATH, &FORM).await.expect(200));
}

#[tokio::test]
async fn a_500_is_kept_with_or_without_its_effect_and_a_429_is_not() {
    let shop = Shop::open();
    let local = &shop.stripe.local;
    for (key, fault, status, effects, kept) in [
        ("k1", Fault::ServerErrorAfterEffect, 500, 1, true),
        ("k2", Fault::ServerErrorBeforeEffect, 500, 1, true),
        ("k3", Fault::Busy, 429, 1, false),
        ("k4", Fault::LockTimeout, 429, 2, false),
        ("k5", Fault::Unavailable, 503, 3, false),
    ] {
        local.fault(FaultRule::once(fault, CREATE));
        assert_eq!(shop.post_with(key, PATH, &FORM).await.status, status, "{key}");
        assert_eq!(local.objects("payment_intent").len(), effects, "{key}");
        let again = shop.post_with(key, PATH, &FORM).await;
        assert_eq!(
            (again.status, again.is_replayed),
            (if kept { 500 } else { 200 }, kept),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_breaks_tells_nothing_and_the_key_answers_afterwards() {
    let shop = Shop::open();
    let local = &shop.stripe.local;
    for (key, fault, is_kept) in
        [("k1", Fault::ResetAfterEffect, true), ("k2", Fault::ResetBeforeEffect, false)]
    {
        local.fault(FaultRule::once(fault, CREATE));
        let broken = shop.send(Method::POST, PATH, &FORM, Some(key)).await;
        assert!(broken.is_err_and(|error| !error.is_connect()), "{key}");
        assert_eq!(shop.post_with(key, PATH, &FORM).await.is_replayed, is_kept, "{key}");
    }
    local.change_behaviour(|behaviour| behaviour.refuses_connections = true);
    crate::harness::poll::until("it refuses", crate::harness::poll::SOON, async || {
        let refused = shop.send(Method::POST, PATH, &FORM, None).await;
        refused.is_err_and(|error| error.is_connect()).then_some(())
    })
    .await;
    local.change_behaviour(|behaviour| behaviour.refuses_connections = false);
    crate::harness::poll::until("it listens again", crate::harness::poll::SOON, async || {
        shop.send(Method::GET, "/v1/account", &[], None).await.ok().map(|answer| answer.expect(200))
    })
    .await;
}
