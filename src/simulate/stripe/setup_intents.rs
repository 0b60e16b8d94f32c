//! Setup intents: cards that are saved without a payment
//! (<https://docs.stripe.com/api/setup_intents>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::attempt::next_action;
use super::card::Authentication;
use super::customers::known;
use super::form::Parameters;
use super::listing;
use super::payment_intents::payment_method_types;
use super::payment_methods::{attach_to, card_error, resolve};
use super::world::World;

type Answer = Result<Value, Complaint>;

const KIND: &str = "setup_intent";

/// Parameters of `POST /v1/setup_intents`.
pub(super) const CREATE: &[&str] = &[
    "automatic_payment_methods[enabled]",
    "automatic_payment_methods[allow_redirects]",
    "confirm",
    "customer",
    "description",
    "metadata[*]",
    "payment_method",
    "payment_method_data[*]",
    "payment_method_options[*]",
    "payment_method_types[]",
    "return_url",
    "usage",
    "use_stripe_sdk",
];

/// Parameters of `POST /v1/setup_intents/{id}`.
pub(super) const UPDATE: &[&str] =
    &["customer", "description", "metadata[*]", "payment_method", "payment_method_types[]"];

/// Parameters of `POST /v1/setup_intents/{id}/confirm`.
pub(super) const CONFIRM: &[&str] = &[
    "mandate_data[*]",
    "payment_method",
    "payment_method_data[*]",
    "payment_method_options[*]",
    "return_url",
    "use_stripe_sdk",
];

/// Parameters of `POST /v1/setup_intents/{id}/cancel`.
pub(super) const CANCEL: &[&str] = &["cancellation_reason"];

/// Parameters of `GET /v1/setup_intents`.
pub(super) const LIST: &[&str] = &["customer", "payment_method"];

pub(super) fn create(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let confirms = form.boolean("confirm")?.unwrap_or(false);
    let usage = form.word("usage", &["off_session", "on_session"])?.unwrap_or("off_session");
    let types = payment_method_types(form)?;
    let automatic = json!({ "allow_redirects": "always", "enabled": true });
    let secret = world.word(25);
    let row = json!({
        "application": null,
        "automatic_payment_methods": if types.is_none() { automatic } else { Value::Null },
        "cancellation_reason": null,
        "customer": null,
        "description": null,
        "flow_directions": null,
        "last_setup_error": null,
        "latest_attempt": null,
        "mandate": null,
        "metadata": {},
        "next_action": null,
        "on_behalf_of": null,
        "payment_method": null,
        "payment_method_configuration_details": null,
        "payment_method_options": {},
        "payment_method_types": types.unwrap_or_else(|| json!(["card"])),
        "single_use_mandate": null,
        "status": "requires_payment_method",
        "usage": usage,
    });
    let members = members(world, &row, form)?;
    if confirms && members["payment_method"].is_null() {
        return Err(no_method());
    }
    let id = world.add(KIND, "seti", row);
    world.set(KIND, &id, &members);
    let intent = world.set(KIND, &id, &json!({ "client_secret": format!("{id}_secret_{secret}") }));
    world.emit("setup_intent.created", &intent);
    if confirms { start(world, &id, form) } else { Ok(intent) }
}

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find(KIND, id, "intent").cloned().map_err(Complaint::not_found)
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let matches = listing::equals(form, LIST)?;
    listing::page(world, KIND, "/v1/setup_intents", form, matches)
}

pub(super) fn update(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = show(world, id, form)?;
    let members = members(world, &row, form)?;
    Ok(world.set(KIND, id, &members))
}

pub(super) fn confirm(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = open(world, id, "confirm")?;
    let members = members(world, &row, form)?;
    let intent = world.set(KIND, id, &members);
    if intent["payment_method"].is_null() {
        return Err(no_method().with("setup_intent", intent));
    }
    start(world, id, form)
}

pub(super) fn cancel(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let known = ["abandoned", "requested_by_customer", "duplicate"];
    let reason = form.word("cancellation_reason", &known)?;
    open(world, id, "cancel")?;
    let members = json!({
        "cancellation_reason": reason,
        "next_action": null,
        "status": "canceled",
    });
    let intent = world.set(KIND, id, &members);
    world.emit("setup_intent.canceled", &intent);
    Ok(intent)
}

/// Ends the authentication of an intent in `requires_action`.
pub(super) fn authenticate(world: &mut World, id: &str, is_complete: bool) -> Answer {
    let intent = world.find(KIND, id, "intent").map_err(Complaint::not_found)?;
    if intent["status"] != "requires_action" {
        let message = "This setup does not wait for an authentication.";
        return Err(Complaint::invalid("setup_intent_unexpected_state", message));
    }
    if is_complete {
        drop(ask_bank(world, id));
        return Ok(world.row(KIND, id));
    }
    let message = "The latest attempt to set up the payment method has failed because \
                   authentication failed.";
    let error = Complaint::invalid("setup_intent_authentication_failure", message);
    let method = intent["payment_method"].as_str().unwrap_or_default().to_owned();
    let error = error.with("payment_method", world.row("payment_method", &method));
    Ok(fail_with(world, id, &error))
}

fn start(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let method = world.row(KIND, id)["payment_method"].as_str().unwrap_or_default().to_owned();
    let card = world.cards.get(&method).cloned().unwrap_or_default();
    if card.authentication == Authentication::Never || card.is_set_up {
        return ask_bank(world, id);
    }
    let by_script = form.raw("use_stripe_sdk") == Some("true");
    let action = next_action(world, id, form.raw("return_url").filter(|_| !by_script));
    let members =
        json!({ "last_setup_error": null, "next_action": action, "status": "requires_action" });
    let intent = world.set(KIND, id, &members);
    world.emit("setup_intent.requires_action", &intent);
    Ok(intent)
}

fn ask_bank(world: &mut World, id: &str) -> Answer {
    let intent = world.row(KIND, id);
    let method = intent["payment_method"].as_str().unwrap_or_default().to_owned();
    let row = world.row("payment_method", &method);
    let card = world.cards.get(&method).cloned().unwrap_or_default();
    if card.declines_setup
        && let Some(reason) = &card.decline
    {
        let error = card_error(reason).with("payment_method", row);
        let intent = fail_with(world, id, &error);
        return Err(error.with("setup_intent", intent));
    }
    if let Some(card) = world.cards.get_mut(&method) {
        card.is_set_up |= intent["usage"] == "off_session";
    }
    let members = json!({ "last_setup_error": null, "next_action": null, "status": "succeeded" });
    let done = world.set(KIND, id, &members);
    if let (Some(customer), true) = (intent["customer"].as_str(), row["customer"].is_null()) {
        attach_to(world, &method, customer);
    }
    world.emit("setup_intent.succeeded", &done);
    Ok(done)
}

fn fail_with(world: &mut World, id: &str, error: &Complaint) -> Value {
    let members = json!({
        "last_setup_error": error.error,
        "next_action": null,
        "payment_method": null,
        "status": "requires_payment_method",
    });
    let intent = world.set(KIND, id, &members);
    world.emit("setup_intent.setup_failed", &intent);
    intent
}

fn members(world: &mut World, row: &Value, form: &Parameters) -> Answer {
    let mut members = json!({ "metadata": form.metadata(&row["metadata"])? });
    for name in ["description", "customer"] {
        if let Some(text) = form.text(name)? {
            members[name] = json!(text);
        }
    }
    let customer = members["customer"].as_str().or(row["customer"].as_str()).map(str::to_owned);
    if let Some(customer) = &customer {
        known(world, customer, "customer")?;
    }
    if let Some(method) = resolve(world, form, customer.as_deref())? {
        members["payment_method"] = json!(method);
        members["status"] = json!("requires_confirmation");
        members["next_action"] = Value::Null;
    }
    Ok(members)
}

/// An intent that is neither succeeded nor canceled.
fn open(world: &World, id: &str, verb: &str) -> Answer {
    let row = world.find(KIND, id, "intent").map_err(Complaint::not_found)?;
    let status = row["status"].as_str().unwrap_or_default();
    if matches!(status, "succeeded" | "canceled") {
        let message = format!(
            "You cannot {verb} this SetupIntent because it has a status of {status}. Only a \
             SetupIntent with one of the following statuses may be {verb}ed: \
             requires_payment_method, requires_confirmation, requires_action."
        );
        let error = Complaint::invalid("setup_intent_unexpected_state", &message);
        return Err(error.with("setup_intent", row.clone()));
    }
    Ok(row.clone())
}

fn no_method() -> Complaint {
    let message = "You cannot confirm this SetupIntent because it's missing a payment method. \
                   Update the SetupIntent with a payment method and then confirm it again.";
    Complaint::invalid("setup_intent_unexpected_state", message)
}
