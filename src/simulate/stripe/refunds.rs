//! Refunds (<https://docs.stripe.com/api/refunds>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::balance::{self, Fee, Movement};
use super::card::RefundOutcome;
use super::form::Parameters;
use super::listing;
use super::world::World;

type Answer = Result<Value, Complaint>;

const KIND: &str = "refund";

/// Parameters of `POST /v1/refunds`.
pub(super) const CREATE: &[&str] =
    &["amount", "charge", "currency", "metadata[*]", "payment_intent", "reason"];

/// Parameters of `POST /v1/refunds/{id}`.
pub(super) const UPDATE: &[&str] = &["metadata[*]"];

/// Parameters of `GET /v1/refunds`.
pub(super) const LIST: &[&str] = &["charge", "payment_intent"];

pub(super) fn create(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let reasons = ["duplicate", "fraudulent", "requested_by_customer"];
    let reason = form.word("reason", &reasons)?;
    let amount = form.integer("amount")?;
    let charge = charge_of(world, form)?;
    let charge_id = charge["id"].as_str().unwrap_or_default();
    let cents = |member: &str| charge[member].as_i64().unwrap_or_default();
    let left = cents("amount_captured") - cents("amount_refunded");
    if charge["disputed"] == true && !is_refundable(world, charge_id) {
        let message = format!("Charge {charge_id} has been charged back; cannot issue a refund.");
        return Err(Complaint::invalid("charge_disputed", &message));
    }
    if left == 0 {
        let message = format!("Charge {charge_id} has already been refunded.");
        return Err(Complaint::invalid("charge_already_refunded", &message));
    }
    let amount = amount.unwrap_or(left);
    if amount < 1 {
        let message = "This value must be greater than or equal to 1.";
        return Err(Complaint::invalid("parameter_invalid_integer", message).about("amount"));
    }
    if amount > left {
        let message = format!(
            "Refund amount (${}) is greater than unrefunded amount on charge (${})",
            dollars(amount),
            dollars(left)
        );
        return Err(Complaint::refused(&message).about("amount"));
    }
    let metadata = form.metadata(&json!({}))?;
    Ok(make(world, &charge, amount, reason, &metadata))
}

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find(KIND, id, "id").cloned().map_err(Complaint::not_found)
}

pub(super) fn update(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = show(world, id, form)?;
    let metadata = form.metadata(&row["metadata"])?;
    let refund = world.set(KIND, id, &json!({ "metadata": metadata }));
    world.emit("refund.updated", &refund);
    Ok(refund)
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let matches = listing::equals(form, LIST)?;
    listing::page(world, KIND, "/v1/refunds", form, matches)
}

/// Refunds a part of a charge. The caller checked that as much is left.
fn make(
    world: &mut World,
    charge: &Value,
    amount: i64,
    reason: Option<&str>,
    metadata: &Value,
) -> Value {
    let charge_id = charge["id"].as_str().unwrap_or_default();
    let method = charge["payment_method"].as_str().unwrap_or_default();
    let outcome = world.cards.get(method).map(|card| card.refunds).unwrap_or_default();
    let is_pending = outcome == RefundOutcome::Pending;
    let row = json!({
        "amount": amount,
        "balance_transaction": null,
        "charge": charge_id,
        "currency": charge["currency"],
        "destination_details": { "card": {
            "reference_status": "pending",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        }, "type": "card" },
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": null,
        "source_transfer_reversal": null,
        "status": if is_pending { "pending" } else { "succeeded" },
        "transfer_reversal": null,
    });
    let id = world.add(KIND, "re", row);
    let movement = Movement {
        kind: "refund",
        category: "refund",
        amount: -amount,
        currency: charge["currency"].as_str().unwrap_or_default(),
        fee: Fee::None,
        source: &id,
        description: "REFUND FOR CHARGE",
    };
    let transaction = balance::record(world, &movement);
    let refund = world.set(KIND, &id, &json!({ "balance_transaction": transaction }));
    let charge = count(world, charge_id, amount);
    world.emit("refund.created", &refund);
    world.emit("charge.refunded", &charge);
    if outcome == RefundOutcome::Fails {
        drop(fail(world, &id));
        return refund;
    }
    if !is_pending {
        world.emit("refund.updated", &refund);
        world.emit("charge.refund.updated", &refund);
    }
    refund
}

/// Makes a refund fail, whatever it was before: the money comes back to the account.
pub(super) fn fail(world: &mut World, id: &str) -> Answer {
    let refund = world.find(KIND, id, "id").map_err(Complaint::not_found)?.clone();
    if refund["status"] == "failed" {
        return Err(Complaint::refused("This refund has failed already."));
    }
    let amount = refund["amount"].as_i64().unwrap_or_default();
    let movement = Movement {
        kind: "refund_failure",
        category: "refund_failure",
        amount,
        currency: refund["currency"].as_str().unwrap_or_default(),
        fee: Fee::None,
        source: id,
        description: "REFUND FAILURE",
    };
    let transaction = balance::record(world, &movement);
    let members = json!({
        "failure_balance_transaction": transaction,
        "failure_reason": "lost_or_stolen_card",
        "status": "failed",
    });
    let failed = world.set(KIND, id, &members);
    let charge = count(world, refund["charge"].as_str().unwrap_or_default(), -amount);
    world.emit("refund.failed", &failed);
    world.emit("refund.updated", &failed);
    world.emit("charge.refund.updated", &failed);
    world.emit("charge.updated", &charge);
    Ok(failed)
}

/// Ends a refund that was pending.
pub(super) fn finish(world: &mut World, id: &str) -> Answer {
    let refund = world.find(KIND, id, "id").map_err(Complaint::not_found)?;
    if refund["status"] != "pending" {
        return Err(Complaint::refused("This refund is not pending."));
    }
    let refund = world.set(KIND, id, &json!({ "status": "succeeded" }));
    world.emit("refund.updated", &refund);
    world.emit("charge.refund.updated", &refund);
    Ok(refund)
}

fn count(world: &mut World, charge: &str, amount: i64) -> Value {
    let row = world.row("charge", charge);
    let refunded = row["amount_refunded"].as_i64().unwrap_or_default() + amount;
    let members = json!({
        "amount_refunded": refunded,
        "refunded": row["amount_captured"] == refunded,
    });
    world.set("charge", charge, &members)
}

/// The charge that a request names, itself or by its payment intent.
fn charge_of(world: &World, form: &Parameters) -> Answer {
    let (charge, intent) = (form.text("charge")?, form.text("payment_intent")?);
    let charge = match (charge, intent) {
        (Some(charge), _) => charge,
        (None, Some(intent)) => {
            let row = world.find("payment_intent", intent, "payment_intent")?;
            row["latest_charge"].as_str().unwrap_or_default()
        }
        (None, None) => {
            let message = "One of the following params should be provided for this request: \
                           payment_intent or charge.";
            return Err(Complaint::parameter("parameter_missing", "charge", message));
        }
    };
    let paid = world.find("charge", charge, "charge").ok().filter(|row| row["paid"] == true);
    match (paid, intent) {
        (Some(row), None) => Ok(row.clone()),
        (Some(row), Some(intent)) if row["payment_intent"] == intent => Ok(row.clone()),
        (None, Some(intent)) => {
            let message = format!(
                "This PaymentIntent ({intent}) does not have a successful charge to refund."
            );
            Err(Complaint::refused(&message).about("payment_intent"))
        }
        _ => Err(Complaint::missing("charge", charge, "charge")),
    }
}

/// True if the charge's disputes allow a refund: those that are inquiries or were won.
fn is_refundable(world: &World, charge: &str) -> bool {
    world.all("dispute").filter(|row| row["charge"] == charge).all(|row| {
        row["is_charge_refundable"] == true
            || row["status"] == "won"
            || row["status"] == "warning_closed"
    })
}

fn dollars(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
