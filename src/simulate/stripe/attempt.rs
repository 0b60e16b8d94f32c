//! An attempt to pay a payment intent: authentication, then the bank's decision.
//!
//! Place in the flow: `payment_intents` confirms, the hosted page and the control continue. Statuses
//! follow <https://docs.stripe.com/payments/paymentintents/lifecycle>.

use serde_json::{Value, json};

use super::answer::Complaint;
use super::card::{Authentication, Card, advice_code};
use super::charges;
use super::disputes;
use super::payment_methods::{attach_to, card_error};
use super::world::World;

type Answer = Result<Value, Complaint>;

const KIND: &str = "payment_intent";

/// How an intent is confirmed.
pub(super) struct Manner<'a> {
    pub is_off_session: bool,
    pub refuses_action: bool,
    pub return_url: Option<&'a str>,
}

/// Confirms an intent that has a payment method.
pub(super) fn start(world: &mut World, id: &str, manner: &Manner<'_>) -> Answer {
    let (_, card) = method(world, id);
    let asks = match card.authentication {
        Authentication::Never => false,
        Authentication::Always => true,
        Authentication::UntilSetUp => !card.is_set_up,
    };
    if asks && (manner.is_off_session || manner.refuses_action) {
        return Err(decline(world, id, "authentication_required"));
    }
    if asks {
        let action = next_action(world, id, manner.return_url);
        let members = json!({ "status": "requires_action", "next_action": action, "last_payment_error": null });
        let intent = world.set(KIND, id, &members);
        world.emit("payment_intent.requires_action", &intent);
        return Ok(intent);
    }
    ask_bank(world, id)
}

/// Ends the authentication of an intent in `requires_action`: the bank decides, or it failed.
pub(super) fn authenticate(world: &mut World, id: &str, is_complete: bool) -> Answer {
    let intent = world.find(KIND, id, "intent").map_err(Complaint::not_found)?;
    if intent["status"] != "requires_action" {
        let message = "This payment does not wait for an authentication.";
        return Err(Complaint::invalid("payment_intent_unexpected_state", message));
    }
    if is_complete {
        // A decline is recorded in the intent.
        drop(ask_bank(world, id));
        return Ok(world.row(KIND, id));
    }
    let (method, _) = method(world, id);
    let message = "The provided PaymentMethod has failed authentication. You can provide \
                   payment_method_data or a new PaymentMethod to attempt to fulfill this \
                   PaymentIntent again.";
    let error = Complaint::invalid("payment_intent_authentication_failure", message);
    let intent = fail_with(world, id, &error.with("payment_method", method));
    Ok(intent)
}

/// Ends a payment that was `processing`.
pub(super) fn finish(world: &mut World, id: &str, decline_code: Option<&str>) -> Answer {
    let intent = world.find(KIND, id, "intent").map_err(Complaint::not_found)?;
    if intent["status"] != "processing" {
        let message = "This payment is not being processed.";
        return Err(Complaint::invalid("payment_intent_unexpected_state", message));
    }
    match decline_code {
        None => Ok(succeed(world, id)),
        Some(reason) => {
            decline(world, id, reason);
            Ok(world.row(KIND, id))
        }
    }
}

fn ask_bank(world: &mut World, id: &str) -> Answer {
    let (_, card) = method(world, id);
    if let Some(reason) = &card.decline {
        return Err(decline(world, id, reason));
    }
    if card.is_slow {
        let members = json!({
            "status": "processing", "next_action": null, "last_payment_error": null,
        });
        let intent = world.set(KIND, id, &members);
        world.emit("payment_intent.processing", &intent);
        return Ok(intent);
    }
    Ok(succeed(world, id))
}

fn succeed(world: &mut World, id: &str) -> Value {
    let (method, card) = method(world, id);
    let intent = world.row(KIND, id);
    let charge = charges::succeed(world, &intent, &method, &card);
    let members = json!({
        "amount_received": intent["amount"],
        "last_payment_error": null,
        "latest_charge": charge,
        "next_action": null,
        "status": "succeeded",
    });
    let paid = world.set(KIND, id, &members);
    world.emit("payment_intent.succeeded", &paid);
    save_card(world, &intent, &method);
    if let Some(reason) = &card.dispute {
        disputes::open(world, &charge, reason, None);
    }
    paid
}

/// Attaches the card to the customer if the intent asked for it.
fn save_card(world: &mut World, intent: &Value, method: &Value) {
    let usage = intent["setup_future_usage"].as_str();
    let (Some(usage), Some(customer), Some(method_id)) =
        (usage, intent["customer"].as_str(), method["id"].as_str())
    else {
        return;
    };
    if let Some(card) = world.cards.get_mut(method_id) {
        card.is_set_up |= usage == "off_session";
    }
    if method["customer"].is_null() {
        attach_to(world, method_id, customer);
    }
}

/// Records a decline; returns the error with the intent inside.
fn decline(world: &mut World, id: &str, reason: &str) -> Complaint {
    let (method, card) = method(world, id);
    let intent = world.row(KIND, id);
    let charge = charges::fail(world, &intent, &method, &card, reason);
    world.set(KIND, id, &json!({ "latest_charge": charge }));
    let error = card_error(reason)
        .with("advice_code", json!(advice_code(reason)))
        .with("charge", json!(charge))
        .with("payment_method", method);
    let intent = fail_with(world, id, &error);
    error.with("payment_intent", intent)
}

fn fail_with(world: &mut World, id: &str, error: &Complaint) -> Value {
    let members = json!({
        "last_payment_error": error.error,
        "next_action": null,
        "payment_method": null,
        "status": "requires_payment_method",
    });
    let intent = world.set(KIND, id, &members);
    world.emit("payment_intent.payment_failed", &intent);
    intent
}

fn method(world: &World, intent: &str) -> (Value, Card) {
    let id = world.row(KIND, intent)["payment_method"].as_str().unwrap_or_default().to_owned();
    (world.row("payment_method", &id), world.cards.get(&id).cloned().unwrap_or_default())
}

/// What the browser must do: open the hosted page, or let Stripe.js open it.
pub(super) fn next_action(world: &mut World, id: &str, return_url: Option<&str>) -> Value {
    let page = format!("{}/simulated/3d_secure/{id}", world.base_url);
    match return_url {
        Some(return_url) => json!({
            "redirect_to_url": { "return_url": return_url, "url": page },
            "type": "redirect_to_url",
        }),
        None => json!({
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {
                "source": world.id("src"),
                "stripe_js": page,
                "type": "three_d_secure_redirect",
            },
        }),
    }
}
