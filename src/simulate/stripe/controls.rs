//! The control over HTTP: `/simulated/…`, with JSON.

use chrono::TimeDelta;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{Complaint, unknown_path};
use super::behaviour::FaultRule;
use super::card::Card;
use super::world::LocalStripe;

type Answer = Result<Value, Complaint>;

/// Runs a request of the control.
pub(super) fn run(stripe: &LocalStripe, method: &str, path: &str, body: &[u8]) -> Answer {
    let given: Value = match body {
        [] => json!({}),
        body => serde_json::from_slice(body).map_err(|error| unreadable(&error))?,
    };
    let parts: Vec<&str> = path.split('/').skip(2).collect();
    match (method, parts.as_slice()) {
        ("GET", ["behaviour"]) => Ok(json!(stripe.behaviour())),
        ("PATCH", ["behaviour"]) => change_behaviour(stripe, given),
        ("POST", ["faults"]) => {
            stripe.fault(read::<FaultRule>(given)?);
            Ok(json!({}))
        }
        ("DELETE", ["faults"]) => {
            stripe.clear_faults();
            Ok(json!({}))
        }
        ("POST", ["customers", customer, "cards"]) => {
            let id = stripe.add_card(customer, read::<Card>(given)?)?;
            Ok(json!({ "id": id }))
        }
        ("PUT", ["cards", method]) => {
            let card = read::<Card>(given)?;
            stripe.set_card(method, |present| {
                let fingerprint = present.fingerprint.clone();
                *present = card;
                if present.fingerprint.is_empty() {
                    present.fingerprint = fingerprint;
                }
            })
        }
        ("POST", ["cards", method, "detach"]) => stripe.detach(method),
        ("POST", ["payments", id, "complete"]) => stripe.authenticate(id, true),
        ("POST", ["payments", id, "fail"]) => stripe.authenticate(id, false),
        ("POST", ["payments", id, "finish"]) => stripe.finish_payment(id, text(&given, "decline")),
        ("POST", ["payments", id, "dispute"]) => {
            let reason = text(&given, "reason").unwrap_or("fraudulent");
            stripe.open_dispute(id, reason, given["amount"].as_i64())
        }
        ("POST", ["payments", id, "refund"]) => stripe.refund(id, given["amount"].as_i64()),
        ("POST", ["disputes", id, "win"]) => stripe.close_dispute(id, true),
        ("POST", ["disputes", id, "lose"]) => stripe.close_dispute(id, false),
        ("POST", ["disputes", id, "close"]) => stripe.close_inquiry(id),
        ("POST", ["disputes", id, "escalate"]) => stripe.escalate_inquiry(id),
        ("POST", ["refunds", id, "fail"]) => stripe.fail_refund(id),
        ("POST", ["refunds", id, "finish"]) => stripe.finish_refund(id),
        ("POST", ["payouts"]) => stripe.pay_out(),
        ("POST", ["clock"]) => {
            let seconds = given["advance_seconds"].as_i64().unwrap_or_default();
            stripe.move_clock(TimeDelta::seconds(seconds));
            Ok(json!({}))
        }
        ("DELETE", ["keys"]) => {
            stripe.forget_keys();
            Ok(json!({}))
        }
        ("POST", ["events", id, "resend"]) => {
            stripe.resend(id)?;
            Ok(json!({}))
        }
        ("POST", ["events"]) => {
            let Some(kind) = text(&given, "type") else {
                return Err(Complaint::refused("type is needed"));
            };
            Ok(json!({ "id": stripe.announce(kind, &given["object"]) }))
        }
        ("POST", ["webhooks"]) => {
            let (url, secret) = (text(&given, "url"), text(&given, "secret"));
            let (Some(url), Some(secret)) = (url, secret) else {
                return Err(Complaint::refused("url and secret are needed"));
            };
            Ok(json!({ "id": stripe.register_webhook(url, secret) }))
        }
        ("GET", ["totals"]) => Ok(json!(stripe.totals())),
        ("GET", ["deliveries"]) => Ok(json!(stripe.attempts())),
        ("GET", ["requests"]) => Ok(json!(stripe.requests())),
        ("GET", ["objects", kind]) => Ok(json!(stripe.objects(kind))),
        _ => Err(unknown_path(method, path)),
    }
}

/// Sets the members that are given.
fn change_behaviour(stripe: &LocalStripe, given: Value) -> Answer {
    let mut wanted = json!(stripe.behaviour());
    if let Value::Object(given) = given {
        for (name, value) in given {
            wanted[name] = value;
        }
    }
    let wanted = read(wanted)?;
    stripe.change_behaviour(|behaviour| *behaviour = wanted);
    Ok(json!(stripe.behaviour()))
}

fn text<'a>(given: &'a Value, name: &str) -> Option<&'a str> {
    given[name].as_str()
}

fn read<T: DeserializeOwned>(given: Value) -> Result<T, Complaint> {
    serde_json::from_value(given).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Complaint {
    Complaint::refused(&format!("the body cannot be read: {error}"))
}
