//! The requests themselves: heads, paths, pages, and what is never sent.

use callmeter_core::domain::{PaymentMethodId, StripeCustomerId};

use super::*;

#[tokio::test]
async fn a_post_has_version_key_and_form() {
    let (created, counterpart) = create(&[answer("200 OK", "", INTENT)], LONG).await;
    created.expect("an answer");
    let request = &counterpart.requests()[0];
    assert!(request.starts_with("POST /v1/payment_intents HTTP/1.1\r\n"), "{request}");
    let bearer = format!("Bearer {KEY}");
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("stripe-version", "2025-09-30.clover"),
        ("idempotency-key", IDEMPOTENCY_KEY),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        assert_eq!(header_of(request, name), Some(value), "{request}");
    }
    assert_eq!(body_of(request), form().encode());
}

#[tokio::test]
async fn a_get_has_a_query_and_no_key() {
    let counterpart = Counterpart::start(&[answer("200 OK", "", INTENT)]).await;
    let client = client(&format!("{}/below/", counterpart.base));
    let id = callmeter_core::domain::PaymentIntentId::parse("pi_1").unwrap();
    client.payment_intent(&id, Deadline::after(LONG)).await.expect("an answer");
    let query = [("created[gte]", "7"), ("customer", "a b&c")];
    let path = ["payment_intents", "a/../b?c"];
    let read = client.get::<PaymentIntent>(&path, &query, Deadline::after(LONG)).await;
    read.expect("an answer");
    let requests = counterpart.requests();
    let line = |at: usize| requests[at].lines().next().unwrap_or_default();
    assert_eq!(line(0), "GET /below/v1/payment_intents/pi_1 HTTP/1.1");
    assert_eq!(
        line(1),
        "GET /below/v1/payment_intents/a%2F..%2Fb%3Fc?created%5Bgte%5D=7&customer=a+b%26c HTTP/1.1"
    );
    assert_eq!(header_of(&requests[0], "stripe-version"), Some(API_VERSION));
    assert_eq!(header_of(&requests[0], "idempotency-key"), None);
}

#[tokio::test]
async fn a_listing_is_read_to_its_last_page() {
    let card = |id: &str| format!(r#"{{"id": "{id}", "livemode": false, "created": 1}}"#);
    let page = |cards: &[String], has_more: bool| {
        let body = format!(r#"{{"data": [{}], "has_more": {has_more}}}"#, cards.join(","));
        answer("200 OK", "", &body)
    };
    let script = [
        page(&[card("pm_3"), card("pm_2")], true),
        page(&[card("card_1")], false),
        page(&[], true),
    ];
    let counterpart = Counterpart::start(&script).await;
    let client = client(&counterpart.base);
    let customer = StripeCustomerId::parse("cus_1").unwrap();
    let cards = client.payment_methods(&customer, Deadline::after(LONG)).await.expect("cards");
    let ids: Vec<&str> = cards.iter().map(|card| card.id.as_str()).collect();
    assert_eq!(ids, ["pm_3", "pm_2", "card_1"]);
    let endless = client.payment_methods(&customer, Deadline::after(LONG)).await;
    assert!(matches!(endless, Err(StripeError::Unknown { .. })), "{endless:?}");
    let requests = counterpart.requests();
    let paths: Vec<&str> = requests.iter().filter_map(|it| it.split(' ').nth(1)).collect();
    let first = "/v1/customers/cus_1/payment_methods?type=card&limit=100";
    assert_eq!(paths, [first, &format!("{first}&starting_after=pm_2"), first]);
}

#[tokio::test]
async fn each_call_goes_to_its_path() {
    let (refused, deadline) =
        (answer("401 Unauthorized", "", "{\"error\": {}}"), Deadline::after(LONG));
    let counterpart = Counterpart::start(&[refused]).await;
    let client = client(&counterpart.base);
    let intent = callmeter_core::domain::PaymentIntentId::parse("pi_1").unwrap();
    let card = PaymentMethodId::parse("pm_1").unwrap();
    let customer = StripeCustomerId::parse("cus_1").unwrap();
    let since = chrono::DateTime::from_timestamp(1_764_000_000, 999).unwrap();
    let (form, key) = (Form::new().with("a", "b"), "k-1");
    let errors = [
        client.create_customer(&form, key, deadline).await.err(),
        client.customer(&customer, deadline).await.err(),
        client.create_setup_intent(&form, key, deadline).await.err(),
        client.setup_intent("seti_1", deadline).await.err(),
        client.cancel_setup_intent("seti_1", key, deadline).await.err(),
        client.account(deadline).await.err(),
        client.payment_method(&card, deadline).await.err(),
        client.update_card(&card, 7, 2031, key, deadline).await.err(),
        client.detach(&card, key, deadline).await.err(),
        client.confirm(&intent, &form, key, deadline).await.err(),
        client.cancel(&intent, key, deadline).await.err(),
        client.payment_intents_of(&customer, since, deadline).await.err(),
        client.charge("ch_1", deadline).await.err(),
        client.create_refund(&form, key, deadline).await.err(),
        client.refunds_of("ch_1", deadline).await.err(),
        client.refunds_of_payment(&intent, deadline).await.err(),
        client.refund("re_1", deadline).await.err(),
        client.dispute("du_1", deadline).await.err(),
        client.event("evt_1", deadline).await.err(),
    ];
    for error in &errors {
        assert!(matches!(error, Some(StripeError::Unauthorized)), "{error:?}");
    }
    let sent = counterpart.requests();
    let sent: Vec<String> = sent
        .iter()
        .map(|it| {
            let line = it.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
            format!("{line} {}", body_of(it)).trim_end().to_owned()
        })
        .collect();
    let expected = "POST /v1/customers a=b\n\
        GET /v1/customers/cus_1\n\
        POST /v1/setup_intents a=b\n\
        GET /v1/setup_intents/seti_1\n\
        POST /v1/setup_intents/seti_1/cancel\n\
        GET /v1/account\n\
        GET /v1/payment_methods/pm_1\n\
        POST /v1/payment_methods/pm_1 card%5Bexp_month%5D=7&card%5Bexp_year%5D=2031\n\
        POST /v1/payment_methods/pm_1/detach\n\
        POST /v1/payment_intents/pi_1/confirm a=b\n\
        POST /v1/payment_intents/pi_1/cancel\n\
        GET /v1/payment_intents?customer=cus_1&created%5Bgte%5D=1764000000&limit=100\n\
        GET /v1/charges/ch_1\n\
        POST /v1/refunds a=b\n\
        GET /v1/refunds?charge=ch_1&limit=100\n\
        GET /v1/refunds?payment_intent=pi_1&limit=100\n\
        GET /v1/refunds/re_1\n\
        GET /v1/disputes/du_1\n\
        GET /v1/events/evt_1";
    assert_eq!(sent.join("\n"), expected);
}

#[tokio::test]
async fn what_is_no_id_or_no_key_is_never_sent() {
    let counterpart = Counterpart::start(&[answer("200 OK", "", INTENT)]).await;
    let (client, deadline) = (client(&counterpart.base), Deadline::after(LONG));
    for id in ["", "..", "ch_1/refund", "ch_1?expand[]=x", "ch_1\n", "évt"] {
        let read = client.charge(id, deadline).await;
        assert!(matches!(read, Err(StripeError::NotFound { .. })), "{id:?}: {read:?}");
        let canceled = client.cancel_setup_intent(id, IDEMPOTENCY_KEY, deadline).await;
        assert!(matches!(canceled, Err(StripeError::NotFound { .. })), "{id:?}: {canceled:?}");
    }
    let long = "k".repeat(256);
    for key in ["", "a b", "a\r\nX: y", "é", long.as_str()] {
        let created = client.create_payment_intent(&form(), key, deadline).await;
        assert!(matches!(created, Err(StripeError::Client { .. })), "{key:?}: {created:?}");
    }
    assert_eq!(counterpart.requests().len(), 0);
}

#[test]
fn a_client_is_opened_only_with_an_address_and_a_key() {
    let open = |base: &str, key: &str| StripeClient::open(base, &Secret::from(key.to_owned()));
    for base in ["", "api.stripe.com", "file:///etc/passwd", "ftp://x", "https://a:b@x", "http://"]
    {
        assert!(matches!(open(base, KEY), Err(StripeError::Client { .. })), "{base}");
    }
    for key in ["", " ", "sk_test_NeverShow me", "sk_test_NeverShow\n", "sk_test_NeverShowé"] {
        let error = open("https://api.stripe.com", key).expect_err("no key");
        assert!(matches!(error, StripeError::Client { .. }), "{error:?}");
        assert_tells_nothing(&format!("{error} {error:?}"));
    }
    for (key, is_live) in [
        ("sk_test_1", false),
        ("rk_test_1", false),
        ("sk_live_NeverShow", true),
        ("rk_live_NeverShow", true),
    ] {
        let client = open("https://api.stripe.com", key).expect("a client");
        assert_eq!(client.is_live(), is_live, "{key}");
        assert_tells_nothing(&format!("{client:?} {client:#?} {:?}", client.http));
    }
}
