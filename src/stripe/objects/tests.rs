//! Objects as Stripe documents them, with more fields than are read.

use super::*;

const INTENT: &str = r#"{
    "id": "pi_3MtwBwLkdIwHu7ix28a3tqPa", "object": "payment_intent", "amount": 2000,
    "amount_capturable": 0, "amount_details": {"tip": {}}, "amount_received": 0,
    "automatic_payment_methods": null, "canceled_at": null, "cancellation_reason": null,
    "capture_method": "automatic_async", "client_secret": "pi_3Mtw_secret_YrKJUKribcBjcG8HVhfZ",
    "created": 1680800504, "currency": "usd", "customer": "cus_NffrFeUfNV2Hib",
    "last_payment_error": null, "latest_charge": "ch_3MtwBw", "livemode": false,
    "metadata": {"callmeter_refill": "rf_1"}, "next_action": {"type": "redirect_to_url",
    "redirect_to_url": {"return_url": null, "url": "https://hooks.stripe.com/3d_secure_2/x?y"}},
    "payment_method": "pm_1", "receipt_email": "anna@example.com", "status": "requires_action"}"#;

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_payment_reads_as_stripe_documents_it() {
    let intent: PaymentIntent = read(INTENT);
    assert_eq!((intent.id(), intent.status.as_str()), (intent.id.as_str(), "requires_action"));
    assert_eq!((intent.amount, intent.amount_received), (2000, 0));
    assert_eq!(intent.customer.as_deref(), Some("cus_NffrFeUfNV2Hib"));
    assert_eq!(intent.latest_charge.as_deref(), Some("ch_3MtwBw"));
    assert_eq!(intent.payment_method.as_ref().map(Expandable::id), Some("pm_1"));
    assert_eq!(intent.metadata["callmeter_refill"], "rf_1");
    let secret = intent.client_secret.as_ref().map(crate::config::Secret::expose);
    assert_eq!(secret, Some("pi_3Mtw_secret_YrKJUKribcBjcG8HVhfZ"));
    let url = intent.next_action.as_ref().and_then(|it| it.redirect_to_url.as_ref()?.url.clone());
    assert_eq!(url.as_deref(), Some("https://hooks.stripe.com/3d_secure_2/x?y"));
    let shown = format!("{intent:?} {intent:#?}");
    for secret in ["_secret_", "3d_secure_2", "example.com"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_reference_reads_expanded_or_not() {
    let method = r#"{"id": "pm_1", "object": "payment_method", "type": "card", "livemode": false,
        "created": 1680800504, "customer": {"id": "cus_1", "object": "customer"},
        "billing_details": {"name": "Anna"}, "card": {"brand": "visa", "last4": "4242",
        "exp_month": 8, "exp_year": 2031, "fingerprint": "mToisGZ01V71BCos", "funding": "credit"}}"#;
    let expanded = INTENT
        .replace(r#""payment_method": "pm_1""#, &format!(r#""payment_method": {method}"#))
        .replace(r#""ch_3MtwBw""#, r#"{"id": "ch_3MtwBw", "object": "charge"}"#);
    let intent: PaymentIntent = read(&expanded);
    assert_eq!(intent.latest_charge.as_deref(), Some("ch_3MtwBw"));
    let method = intent.payment_method.as_ref().and_then(Expandable::object).unwrap();
    assert_eq!((method.id(), method.customer.as_deref()), ("pm_1", Some("cus_1")));
    let card = method.card.as_ref().unwrap();
    assert_eq!(
        (&*card.brand, &*card.last4, card.exp_month, card.exp_year),
        ("visa", "4242", 8, 2031)
    );
    let shown = format!("{intent:?}");
    assert!(!shown.contains("4242") && !shown.contains("mToisGZ01V71BCos"), "{shown}");
}

#[test]
fn a_payment_without_what_must_be_compared_is_none() {
    for field in [r#""amount": 2000,"#, r#""currency": "usd","#, r#""livemode": false,"#] {
        assert!(INTENT.contains(field));
        let without = INTENT.replace(field, "");
        assert!(serde_json::from_str::<PaymentIntent>(&without).is_err(), "{field}");
    }
    let other = INTENT.replace("pi_3MtwBwLkdIwHu7ix28a3tqPa", "ch_1");
    assert!(serde_json::from_str::<PaymentIntent>(&other).is_err(), "a charge is no payment");
}

#[test]
fn a_complaint_reads_even_if_a_part_of_it_does_not() {
    let declined = format!(
        r#"{{"code": "card_declined", "decline_code": "stolen_card", "type": "card_error",
            "doc_url": "https://stripe.com/docs", "message": "Your card was declined, Anna.",
            "charge": "ch_1", "payment_method": {{"id": "pm_1"}}, "payment_intent": {INTENT}}}"#
    );
    let complaint: Complaint = read(&declined);
    assert_eq!(complaint.reason(), "card_declined");
    assert!(complaint.payment_method.is_none(), "the part is unreadable");
    assert_eq!(complaint.payment_intent.as_ref().map(|it| it.amount), Some(2000));
    let decline = complaint.decline();
    assert_eq!((&*decline.code, decline.is_hidden), ("generic_decline", true));
    assert!(!format!("{complaint:?}").contains("Anna"), "{complaint:?}");
    let broken: Complaint = read(r#"{"type": "card_error", "payment_intent": {"id": 7}}"#);
    assert!(broken.payment_intent.is_none());
}

#[test]
fn money_that_goes_back_reads_as_stripe_documents_it() {
    let refund: Refund = read(
        r#"{"id": "re_1", "object": "refund", "amount": 1000, "balance_transaction": "txn_1",
            "charge": "ch_1", "created": 1692942318, "currency": "usd", "metadata": {},
            "destination_details": {"card": {"type": "pending"}}, "payment_intent": "pi_1",
            "reason": null, "receipt_number": null, "status": "succeeded"}"#,
    );
    assert_eq!((refund.amount, refund.status.as_deref()), (1000, Some("succeeded")));
    assert_eq!(refund.balance_transaction.as_ref().map(Expandable::id), Some("txn_1"));
    assert_eq!(refund.failure_balance_transaction, None);
    let dispute: Dispute = read(
        r#"{"id": "du_1", "object": "dispute", "amount": 1000, "charge": "ch_1", "currency": "usd",
            "balance_transactions": [{"id": "txn_2", "amount": -1000, "currency": "usd",
            "fee": 1500, "net": -2500, "type": "adjustment", "reporting_category": "dispute",
            "created": 1680651738, "source": "du_1", "exchange_rate": 1.5}],
            "created": 1680651737, "evidence": {"customer_name": null}, "livemode": false,
            "metadata": {}, "payment_intent": null, "reason": "general", "status": "lost"}"#,
    );
    let row = &dispute.balance_transactions[0];
    assert_eq!((row.amount, row.fee, row.net), (-1000, 1500, -2500));
    assert_eq!((row.kind.as_str(), row.source.as_deref()), ("adjustment", Some("du_1")));
    assert!(!dispute.is_inquiry());
    let charge: Charge = read(
        r#"{"id": "ch_1", "object": "charge", "amount": 1099, "amount_refunded": 99, "paid": true,
            "balance_transaction": {"id": "txn_3", "amount": 1099, "currency": "usd", "fee": 61,
            "net": 1038, "type": "charge", "created": 1679090539, "source": "ch_1"},
            "billing_details": {}, "created": 1679090539, "currency": "usd", "livemode": false,
            "status": "succeeded", "payment_intent": "pi_1", "disputed": false}"#,
    );
    let row = charge.balance_transaction.as_ref().and_then(Expandable::object).unwrap();
    assert_eq!((charge.amount, charge.amount_refunded, row.fee), (1099, 99, 61));
}

#[test]
fn a_deleted_customer_and_a_setup_read() {
    let deleted: Customer = read(r#"{"id": "cus_1", "object": "customer", "deleted": true}"#);
    assert!(deleted.deleted && deleted.livemode.is_none());
    let setup: SetupIntent = read(
        r#"{"id": "seti_1", "object": "setup_intent", "status": "requires_payment_method",
            "client_secret": "seti_1_secret_x", "customer": "cus_1", "livemode": false,
            "payment_method": null, "metadata": {}, "last_setup_error": null, "created": 1}"#,
    );
    assert!(setup.payment_method.is_none());
    assert!(!format!("{setup:?}").contains("_secret_"), "{setup:?}");
}

#[test]
fn an_event_keeps_its_object_unread_and_unshown() {
    let body = format!(
        r#"{{"id": "evt_1", "object": "event", "api_version": "2025-09-30.clover", "created": 1,
            "data": {{"object": {INTENT}, "previous_attributes": {{}}}}, "livemode": false,
            "pending_webhooks": 1, "request": {{"id": null, "idempotency_key": null}},
            "type": "payment_intent.requires_action"}}"#
    );
    let event = Event::parse(body.as_bytes()).unwrap();
    assert_eq!((event.id(), &*event.kind), ("evt_1", "payment_intent.requires_action"));
    assert_eq!((event.account.as_deref(), event.object_text()), (None, INTENT));
    assert_eq!(event.object::<PaymentIntent>().unwrap().amount, 2000);
    let other = event.object::<Dispute>().expect_err("its fields are those of a dispute too");
    assert_eq!(other.to_string(), "it is no dispute");
    let shown = format!("{event:?}");
    assert!(!shown.contains("_secret_") && !shown.contains("example.com"), "{shown}");
    for wrong in ["", "[]", "null", "{\"id\": \"evt_1\"}", "anna@example.com", "\u{0}"] {
        let error = Event::parse(wrong.as_bytes()).expect_err(wrong).to_string();
        assert!(error.starts_with("it cannot be read (line "), "{error}");
        assert!(!error.contains("anna"), "{error}");
    }
}
