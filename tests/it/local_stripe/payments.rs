//! Payment and setup intents: paid, declined, authenticated, canceled.

use super::{Shop, id, text};
use callmeter::simulate::stripe::Card;

#[tokio::test]
async fn a_payment_is_created_then_confirmed_and_has_a_charge_with_its_fee() {
    let shop = Shop::open();
    let customer = shop.customer().await;
    let card = shop.stripe.local.add_card(&customer, Card::default()).expect("a card");
    let form = [
        ("amount", "2500"),
        ("currency", "usd"),
        ("customer", customer.as_str()),
        ("payment_method", &card),
        ("payment_method_types[]", "card"),
        ("metadata[callmeter_refill]", "rf_1"),
    ];
    let created = shop.post("/v1/payment_intents", &form).await.expect(200);
    assert_eq!(created["status"], "requires_confirmation");
    let path = format!("/v1/payment_intents/{}", id(&created));
    let confirm = format!("{path}/confirm");
    let paid = shop.post(&confirm, &[("off_session", "true")]).await.expect(200);
    assert_eq!((&paid["status"], &paid["amount_received"]), (&"succeeded".into(), &2500.into()));
    let query = [("expand[]", "latest_charge.balance_transaction")];
    let read = shop.get(&path, &query).await.expect(200);
    let movement = &read["latest_charge"]["balance_transaction"];
    // 2.9 % of 25.00 are 72.5 cents.
    assert_eq!((&movement["fee"], &movement["net"]), (&103.into(), &2397.into()), "{read:#}");
    assert_eq!(read["latest_charge"]["metadata"]["callmeter_refill"], "rf_1");
    let again = shop.post(&confirm, &[]).await;
    assert_eq!(again.complaint(400).1, "payment_intent_unexpected_state");
    let canceled = shop.post(&format!("{path}/cancel"), &[]).await;
    assert_eq!(canceled.complaint(400).1, "payment_intent_unexpected_state");
    let totals = shop.stripe.local.totals();
    assert_eq!((totals[&customer].payments, totals[&customer].captured), (1, 2500));
}

#[tokio::test]
async fn a_decline_is_a_402_with_the_intent_inside_which_can_be_paid_with_another_card() {
    let shop = Shop::open();
    let customer = shop.customer().await;
    let more = [("customer", customer.as_str())];
    let token = "pm_card_visa_chargeDeclinedInsufficientFunds";
    let declined = shop.pay("1700", token, &more).await;
    assert_eq!(declined.complaint(402), ("card_error", "card_declined"));
    let error = &declined.body["error"];
    assert_eq!(error["decline_code"], "insufficient_funds");
    let intent = &error["payment_intent"];
    assert_eq!(intent["status"], "requires_payment_method");
    assert_eq!(intent["payment_method"], serde_json::Value::Null);
    assert_eq!(intent["last_payment_error"]["decline_code"], "insufficient_funds");
    assert_eq!(intent["latest_charge"], error["charge"]);
    let charge = shop.get(&format!("/v1/charges/{}", text(error, "charge")), &[]).await.expect(200);
    assert_eq!((&charge["status"], &charge["paid"]), (&"failed".into(), &false.into()));
    let confirm = format!("/v1/payment_intents/{}/confirm", id(intent));
    let paid = shop.post(&confirm, &[("payment_method", "pm_card_mastercard")]).await.expect(200);
    assert_eq!(paid["status"], "succeeded");
    assert_eq!(
        shop.events(),
        [
            "customer.created",
            "payment_intent.created",
            "charge.failed",
            "payment_intent.payment_failed",
            "charge.succeeded",
            "charge.updated",
            "payment_intent.succeeded",
        ]
    );
    for (token, code, reason) in [
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_declined_do_not_honor", "card_declined", "do_not_honor"),
    ] {
        let declined = shop.pay("900", token, &more).await;
        assert_eq!(declined.complaint(402).1, code);
        assert_eq!(declined.body["error"]["decline_code"], reason);
    }
}

#[tokio::test]
async fn a_card_with_3_d_secure_is_confirmed_on_the_hosted_page_and_refused_off_session() {
    let shop = Shop::open();
    let customer = shop.customer().await;
    let more = [("customer", customer.as_str()), ("return_url", "https://shop.example/back?x=1")];
    let token = "pm_card_threeDSecure2Required";
    for (outcome, status, redirect) in
        [("complete", "succeeded", "succeeded"), ("fail", "requires_payment_method", "failed")]
    {
        let intent = shop.pay("4100", token, &more).await.expect(200);
        assert_eq!(intent["status"], "requires_action");
        let page = text(&intent["next_action"]["redirect_to_url"], "url");
        let html = shop.client.get(&page).send().await.expect("a page").text().await;
        assert!(html.expect("a page").contains("A payment of $41.00"));
        let answered = shop.client.post(&page).body(format!("outcome={outcome}")).send().await;
        let answered = answered.expect("an answer");
        let location = answered.headers()["location"].to_str().expect("text").to_owned();
        assert!(location.starts_with("https://shop.example/back?x=1&payment_intent=pi_"));
        assert!(location.ends_with(&format!("redirect_status={redirect}")), "{location}");
        let path = format!("/v1/payment_intents/{}", id(&intent));
        let intent = shop.get(&path, &[]).await.expect(200);
        assert_eq!(intent["status"], status);
        let code = intent["last_payment_error"]["code"].as_str();
        let failed = (outcome == "fail").then_some("payment_intent_authentication_failure");
        assert_eq!(code, failed);
    }
    let declined = shop.pay("700", token, &[("off_session", "true")]).await;
    assert_eq!(declined.complaint(402), ("card_error", "authentication_required"));
    assert_eq!(declined.body["error"]["payment_intent"]["status"], "requires_payment_method");
}

#[tokio::test]
async fn a_browser_saves_a_card_with_the_publishable_key_and_the_card_can_be_detached() {
    let shop = Shop::open();
    let customer = shop.customer().await;
    let form = [("customer", customer.as_str()), ("payment_method_types[]", "card")];
    let setup = shop.post("/v1/setup_intents", &form).await.expect(200);
    let url = format!("{}/v1/setup_intents/{}/confirm", shop.stripe.url, id(&setup));
    let by_browser = async |secret: &str| {
        let form = format!("payment_method=pm_card_visa&client_secret={secret}");
        let request = shop.client.post(&url).bearer_auth(&shop.stripe.keys.publishable).body(form);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(by_browser("of_another").await, 400);
    assert_eq!(by_browser(&text(&setup, "client_secret")).await, 200);
    let list = format!("/v1/customers/{customer}/payment_methods");
    let cards = shop.get(&list, &[("type", "card")]).await.expect(200);
    let card = id(&cards["data"][0]);
    assert_eq!(cards["data"][0]["card"]["last4"], "4242");
    let detach = format!("/v1/payment_methods/{card}/detach");
    assert!(shop.post(&detach, &[]).await.expect(200)["customer"].is_null());
    assert_eq!(shop.get(&list, &[]).await.expect(200)["data"], serde_json::json!([]));
    let more = [("customer", customer.as_str())];
    assert_eq!(shop.pay("800", &card, &more).await.complaint(400).0, "invalid_request_error");
    assert_eq!(shop.post(&detach, &[]).await.complaint(400).1, "payment_method_not_attached");
    let refused = shop.post("/v1/payment_methods/pm_card_chargeDeclined/attach", &more).await;
    assert_eq!(refused.complaint(402), ("card_error", "card_declined"));
}

#[tokio::test]
async fn a_request_that_stripe_would_refuse_is_refused() {
    let shop = Shop::open();
    let usd = ("currency", "usd");
    for (form, code) in [
        (vec![("amount", "49"), usd], "amount_too_small"),
        (vec![("amount", "100000000"), usd], "amount_too_large"),
        (vec![usd], "parameter_missing"),
        (vec![("amount", "1.5"), usd], "parameter_invalid_integer"),
        (vec![("amount", "500"), usd, ("customer", "")], ""),
        (vec![("amount", "500"), usd, ("customer", "cus_no")], "resource_missing"),
        (vec![("amount", "500"), usd, ("colour", "red")], "parameter_unknown"),
    ] {
        let answer = shop.post("/v1/payment_intents", &form).await;
        if code.is_empty() {
            answer.expect(200);
        } else {
            assert_eq!(answer.complaint(400), ("invalid_request_error", code), "{form:?}");
        }
    }
    let missing = shop.get("/v1/payment_intents/pi_no", &[]).await;
    assert_eq!(missing.complaint(404).1, "resource_missing");
    let url = format!("{}/v1/customers", shop.stripe.url);
    let status = async |key: &str| {
        let answer = shop.client.get(&url).basic_auth(key, None::<&str>).send().await;
        answer.expect("an answer").status().as_u16()
    };
    assert_eq!(status(&shop.stripe.keys.secret).await, 200);
    assert_eq!(status(&shop.stripe.keys.publishable).await, 401);
    assert_eq!(status("sk_test_other").await, 401);
}

#[tokio::test]
async fn lists_are_newest_first_and_cursors_reach_every_object_once() {
    let shop = Shop::open();
    let customer = shop.customer().await;
    let mut made = Vec::new();
    for cents in ["501", "502", "503", "504", "505"] {
        let form = [("amount", cents), ("currency", "usd"), ("customer", customer.as_str())];
        made.push(id(&shop.post("/v1/payment_intents", &form).await.expect(200)));
    }
    shop.pay("600", "pm_card_visa", &[]).await.expect(200);
    let (mut seen, mut after) = (Vec::<String>::new(), None::<String>);
    loop {
        let mut query =
            vec![("customer", customer.as_str()), ("limit", "2"), ("created[gte]", "1")];
        if let Some(after) = &after {
            query.push(("starting_after", after.as_str()));
        }
        let page = shop.get("/v1/payment_intents", &query).await.expect(200);
        seen.extend(page["data"].as_array().expect("rows").iter().map(id));
        after = seen.last().cloned();
        if page["has_more"] == false {
            break;
        }
    }
    made.reverse();
    assert_eq!(seen, made);
    let query = [("customer", customer.as_str()), ("limit", "2"), ("ending_before", &made[3])];
    let page = shop.get("/v1/payment_intents", &query).await.expect(200);
    let before: Vec<String> = page["data"].as_array().expect("rows").iter().map(id).collect();
    assert_eq!((&before[..], &page["has_more"]), (&made[1..3], &true.into()));
}
