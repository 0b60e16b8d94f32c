//! Disputes and inquiries (<https://docs.stripe.com/disputes/how-disputes-work>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::balance::{self, Fee, Movement};
use super::form::Parameters;
use super::listing;
use super::world::World;

type Answer = Result<Value, Complaint>;

const KIND: &str = "dispute";

/// What Stripe takes for a dispute, won or lost.
const FEE: Fee = Fee::Fixed(1_500);
const DUE_AFTER_SECONDS: i64 = 9 * 86_400;

/// Parameters of `GET /v1/disputes`.
pub(super) const LIST: &[&str] = &["charge", "payment_intent"];

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find(KIND, id, "dispute").cloned().map_err(Complaint::not_found)
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let matches = listing::equals(form, LIST)?;
    listing::page(world, KIND, "/v1/disputes", form, matches)
}

/// Opens a dispute of a charge; the reason `inquiry` opens an inquiry, which takes no money. Without
/// an amount it is about what was not refunded. Returns the dispute.
pub(super) fn open(world: &mut World, charge: &str, reason: &str, amount: Option<i64>) -> Value {
    let row = world.row("charge", charge);
    let cents = |member: &str| row[member].as_i64().unwrap_or_default();
    let amount = amount.unwrap_or_else(|| cents("amount") - cents("amount_refunded"));
    let is_inquiry = reason == "inquiry";
    let brand = &row["payment_method_details"]["card"]["brand"];
    let dispute = json!({
        "amount": amount,
        "balance_transactions": [],
        "charge": charge,
        "currency": row["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": world.second() + DUE_AFTER_SECONDS,
            "enhanced_eligibility": {},
            "has_evidence": false,
            "past_due": false,
            "submission_count": 0,
        },
        "is_charge_refundable": is_inquiry,
        "metadata": {},
        "payment_intent": row["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": brand,
                "case_type": if is_inquiry { "inquiry" } else { "chargeback" },
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": if is_inquiry { "general" } else { reason },
        "status": if is_inquiry { "warning_needs_response" } else { "needs_response" },
    });
    let id = world.add(KIND, "du", dispute);
    world.set("charge", charge, &json!({ "disputed": true }));
    let charge = world.row("charge", charge);
    if is_inquiry {
        let dispute = world.row(KIND, &id);
        world.emit("charge.dispute.created", &dispute);
    } else {
        let dispute = move_money(world, &id, -amount, FEE);
        world.emit("charge.dispute.created", &dispute);
        world.emit("charge.dispute.funds_withdrawn", &dispute);
    }
    world.emit("charge.updated", &charge);
    world.row(KIND, &id)
}

/// Makes a dispute of an inquiry.
pub(super) fn escalate(world: &mut World, id: &str) -> Answer {
    let amount = open_amount(world, id, true)?;
    let members = json!({ "status": "needs_response", "is_charge_refundable": false });
    world.set(KIND, id, &members);
    let dispute = move_money(world, id, -amount, FEE);
    world.emit("charge.dispute.updated", &dispute);
    world.emit("charge.dispute.funds_withdrawn", &dispute);
    Ok(dispute)
}

/// Closes a dispute as won, so that the money comes back without the fee, or as lost.
pub(super) fn close(world: &mut World, id: &str, is_won: bool) -> Answer {
    let amount = open_amount(world, id, false)?;
    world.set(KIND, id, &json!({ "status": if is_won { "won" } else { "lost" } }));
    if !is_won {
        let dispute = world.row(KIND, id);
        world.emit("charge.dispute.closed", &dispute);
        return Ok(dispute);
    }
    let dispute = move_money(world, id, amount, Fee::None);
    world.emit("charge.dispute.funds_reinstated", &dispute);
    world.emit("charge.dispute.closed", &dispute);
    Ok(dispute)
}

/// Closes an inquiry without a dispute.
pub(super) fn close_inquiry(world: &mut World, id: &str) -> Answer {
    open_amount(world, id, true)?;
    let dispute = world.set(KIND, id, &json!({ "status": "warning_closed" }));
    world.emit("charge.dispute.closed", &dispute);
    Ok(dispute)
}

/// The amount of a dispute or inquiry that is open.
fn open_amount(world: &World, id: &str, is_inquiry: bool) -> Result<i64, Complaint> {
    let dispute = world.find(KIND, id, "dispute").map_err(Complaint::not_found)?;
    let open: &[&str] = if is_inquiry {
        &["warning_needs_response", "warning_under_review"]
    } else {
        &["needs_response", "under_review"]
    };
    let status = dispute["status"].as_str().unwrap_or_default();
    if !open.contains(&status) {
        let message = format!("This dispute has a status of {status}.");
        return Err(Complaint::refused(&message));
    }
    Ok(dispute["amount"].as_i64().unwrap_or_default())
}

/// Moves a dispute's money; its balance transactions stand in it, as whole objects.
fn move_money(world: &mut World, id: &str, amount: i64, fee: Fee) -> Value {
    let is_back = amount > 0;
    let currency = world.row(KIND, id)["currency"].clone();
    let movement = Movement {
        kind: "adjustment",
        category: if is_back { "dispute_reversal" } else { "dispute" },
        amount,
        currency: currency.as_str().unwrap_or_default(),
        fee,
        source: id,
        description: if is_back { "Chargeback reversal" } else { "Chargeback withdrawal" },
    };
    let transaction = balance::record(world, &movement);
    let transaction = world.row("balance_transaction", &transaction);
    let mut all = world.row(KIND, id)["balance_transactions"].take();
    if let Some(all) = all.as_array_mut() {
        all.push(transaction);
    }
    world.set(KIND, id, &json!({ "balance_transactions": all }))
}
