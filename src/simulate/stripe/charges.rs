//! Charges: one for each attempt that reached the card's bank (<https://docs.stripe.com/api/charges>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::balance::{self, Fee, Movement};
use super::card::{Card, advice_code, error_code, sentence};
use super::form::Parameters;
use super::listing;
use super::world::World;

type Answer = Result<Value, Complaint>;

/// Parameters of `GET /v1/charges`.
pub(super) const LIST: &[&str] = &["customer", "payment_intent", "transfer_group"];

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find("charge", id, "charge").cloned().map_err(Complaint::not_found)
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let matches = listing::equals(form, LIST)?;
    listing::page(world, "charge", "/v1/charges", form, matches)
}

/// Records a payment that succeeded, with its balance transaction; returns the charge's id.
pub(super) fn succeed(world: &mut World, intent: &Value, method: &Value, card: &Card) -> String {
    let amount = intent["amount"].as_i64().unwrap_or_default();
    let mut row = common(intent, method, card);
    row["amount_captured"] = json!(amount);
    row["captured"] = json!(true);
    row["paid"] = json!(true);
    row["status"] = json!("succeeded");
    row["outcome"] = json!({
        "advice_code": null,
        "network_advice_code": null,
        "network_decline_code": null,
        "network_status": "approved_by_network",
        "reason": null,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "Payment complete.",
        "type": "authorized",
    });
    let url = format!("{}/simulated/receipts", world.base_url);
    row["receipt_url"] = json!(url);
    let id = world.add("charge", "ch", row);
    let charge = world.row("charge", &id);
    world.emit("charge.succeeded", &charge);
    let movement = Movement {
        kind: "charge",
        category: "charge",
        amount,
        currency: intent["currency"].as_str().unwrap_or_default(),
        fee: Fee::Payment,
        source: &id,
        description: "",
    };
    // With the capture method `automatic_async` the balance transaction comes afterwards.
    let transaction = balance::record(world, &movement);
    let charge = world.set("charge", &id, &json!({ "balance_transaction": transaction }));
    world.emit("charge.updated", &charge);
    id
}

/// Records a payment that the bank declined; returns the charge's id.
pub(super) fn fail(
    world: &mut World,
    intent: &Value,
    method: &Value,
    card: &Card,
    reason: &str,
) -> String {
    let mut row = common(intent, method, card);
    row["failure_code"] = json!(error_code(reason));
    row["failure_message"] = json!(sentence(reason));
    row["paid"] = json!(false);
    row["status"] = json!("failed");
    row["outcome"] = json!({
        "advice_code": advice_code(reason),
        "network_advice_code": null,
        "network_decline_code": "05",
        "network_status": "declined_by_network",
        "reason": reason,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    });
    let id = world.add("charge", "ch", row);
    let charge = world.row("charge", &id);
    world.emit("charge.failed", &charge);
    id
}

fn common(intent: &Value, method: &Value, card: &Card) -> Value {
    let currency = &intent["currency"];
    json!({
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": null,
        "application_fee": null,
        "application_fee_amount": null,
        "balance_transaction": null,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "CALLMETER",
        "captured": false,
        "currency": currency,
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": false,
        "failure_balance_transaction": null,
        "failure_code": null,
        "failure_message": null,
        "fraud_details": {},
        "metadata": intent["metadata"],
        "on_behalf_of": null,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": { "card": details(intent, card), "type": "card" },
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": null,
        "receipt_url": null,
        "refunded": false,
        "review": null,
        "shipping": null,
        "source": null,
        "source_transfer": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "transfer_data": null,
        "transfer_group": null,
    })
}

fn details(intent: &Value, card: &Card) -> Value {
    let unavailable = json!({ "status": "unavailable" });
    json!({
        "amount_authorized": intent["amount"],
        "authorization_code": "123456",
        "brand": card.brand,
        "checks": {
            "address_line1_check": null,
            "address_postal_code_check": null,
            "cvc_check": "pass",
        },
        "country": "US",
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "extended_authorization": { "status": "disabled" },
        "fingerprint": card.fingerprint,
        "funding": "credit",
        "incremental_authorization": unavailable,
        "installments": null,
        "last4": card.last4,
        "mandate": null,
        "multicapture": unavailable,
        "network": card.brand,
        "network_token": { "used": false },
        "network_transaction_id": "000000000000001",
        "overcapture": { "maximum_amount_capturable": intent["amount"], "status": "unavailable" },
        "regulated_status": "unregulated",
        "three_d_secure": null,
        "wallet": null,
    })
}
