//! Payment intents (<https://docs.stripe.com/api/payment_intents>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::attempt::{self, Manner};
use super::customers::known;
use super::form::Parameters;
use super::listing;
use super::payment_methods::resolve;
use super::world::World;

type Answer = Result<Value, Complaint>;

const KIND: &str = "payment_intent";

/// Cents: Stripe's least and most for a payment in US dollars.
const AMOUNT_MIN: i64 = 50;
const AMOUNT_MAX: i64 = 99_999_999;
const CURRENCIES: &[&str] = &["usd", "eur", "gbp", "cad", "aud"];

/// Parameters of `POST /v1/payment_intents`.
pub(super) const CREATE: &[&str] = &[
    "amount",
    "automatic_payment_methods[enabled]",
    "automatic_payment_methods[allow_redirects]",
    "capture_method",
    "confirm",
    "confirmation_method",
    "currency",
    "customer",
    "description",
    "error_on_requires_action",
    "metadata[*]",
    "off_session",
    "payment_method",
    "payment_method_data[*]",
    "payment_method_options[*]",
    "payment_method_types[]",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
    "use_stripe_sdk",
];

/// Parameters of `POST /v1/payment_intents/{id}`.
pub(super) const UPDATE: &[&str] = &[
    "amount",
    "currency",
    "customer",
    "description",
    "metadata[*]",
    "payment_method",
    "payment_method_data[*]",
    "payment_method_options[*]",
    "payment_method_types[]",
    "receipt_email",
    "setup_future_usage",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
];

/// Parameters of `POST /v1/payment_intents/{id}/confirm`.
pub(super) const CONFIRM: &[&str] = &[
    "error_on_requires_action",
    "mandate_data[*]",
    "off_session",
    "payment_method",
    "payment_method_data[*]",
    "payment_method_options[*]",
    "payment_method_types[]",
    "receipt_email",
    "return_url",
    "setup_future_usage",
    "use_stripe_sdk",
];

/// Parameters of `POST /v1/payment_intents/{id}/cancel`.
pub(super) const CANCEL: &[&str] = &["cancellation_reason"];

/// Parameters of `GET /v1/payment_intents`.
pub(super) const LIST: &[&str] = &["customer"];

pub(super) fn create(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let amount = form.required("amount").and_then(|_| form.integer("amount"))?;
    let currency = form.required("currency")?.to_lowercase();
    let confirms = form.boolean("confirm")?.unwrap_or(false);
    form.word("capture_method", &["automatic", "automatic_async"])?;
    form.word("confirmation_method", &["automatic"])?;
    for name in ["off_session", "return_url", "error_on_requires_action"] {
        if form.has(name) && !confirms {
            let message = format!(
                "The parameter `{name}` cannot be passed when creating a PaymentIntent unless \
                 `confirm` is set to true."
            );
            return Err(Complaint::refused(&message).about(name));
        }
    }
    check_amount(amount.unwrap_or_default())?;
    if !CURRENCIES.contains(&currency.as_str()) {
        let message = format!("Invalid currency: {currency}. Stripe supports usd and others.");
        return Err(Complaint::refused(&message).about("currency"));
    }
    let types = payment_method_types(form)?;
    let is_automatic = types.is_none();
    let redirects =
        form.word("automatic_payment_methods[allow_redirects]", &["always", "never"])?;
    let automatic = json!({ "allow_redirects": redirects.unwrap_or("always"), "enabled": true });
    let automatic = if is_automatic { automatic } else { Value::Null };
    if confirms && needs_return_url(&automatic, form) {
        return Err(no_return_url());
    }
    let secret = world.word(25);
    let row = json!({
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": { "tip": {} },
        "amount_received": 0,
        "application": null,
        "application_fee_amount": null,
        "automatic_payment_methods": automatic,
        "canceled_at": null,
        "cancellation_reason": null,
        "capture_method": form.raw("capture_method").unwrap_or("automatic_async"),
        "confirmation_method": "automatic",
        "currency": currency,
        "customer": null,
        "description": null,
        "excluded_payment_method_types": null,
        "last_payment_error": null,
        "latest_charge": null,
        "metadata": {},
        "next_action": null,
        "on_behalf_of": null,
        "payment_method": null,
        "payment_method_configuration_details": null,
        "payment_method_options": { "card": {
            "installments": null,
            "mandate_options": null,
            "network": null,
            "request_three_d_secure": "automatic",
        } },
        "payment_method_types": types.unwrap_or_else(|| json!(["card"])),
        "processing": null,
        "receipt_email": null,
        "review": null,
        "setup_future_usage": null,
        "shipping": null,
        "source": null,
        "statement_descriptor": null,
        "statement_descriptor_suffix": null,
        "status": "requires_payment_method",
        "transfer_data": null,
        "transfer_group": null,
    });
    let members = members(world, &row, form)?;
    if confirms && members["payment_method"].is_null() {
        return Err(no_method());
    }
    let id = world.add(KIND, "pi", row);
    world.set(KIND, &id, &members);
    let intent = world.set(KIND, &id, &json!({ "client_secret": format!("{id}_secret_{secret}") }));
    world.emit("payment_intent.created", &intent);
    if !confirms {
        return Ok(intent);
    }
    attempt::start(world, &id, &manner(form)?)
}

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find(KIND, id, "intent").cloned().map_err(Complaint::not_found)
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    if let Some(customer) = form.text("customer")? {
        known(world, customer, "customer")?;
    }
    let matches = listing::equals(form, LIST)?;
    listing::page(world, KIND, "/v1/payment_intents", form, matches)
}

pub(super) fn update(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = show(world, id, form)?;
    let status = row["status"].as_str().unwrap_or_default();
    let is_final = matches!(status, "succeeded" | "canceled" | "processing");
    if is_final && ["amount", "payment_method", "customer"].iter().any(|name| form.has(name)) {
        return Err(unexpected(&row, "update", "requires_payment_method, requires_confirmation"));
    }
    let mut members = members(world, &row, form)?;
    if let Some(amount) = form.integer("amount")? {
        check_amount(amount)?;
        members["amount"] = json!(amount);
    }
    Ok(world.set(KIND, id, &members))
}

pub(super) fn confirm(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let manner = manner(form)?;
    let row = show(world, id, form)?;
    match row["status"].as_str() {
        Some("succeeded") => {
            let message = "You cannot confirm this PaymentIntent because it has already succeeded \
                           after being previously confirmed.";
            let error = Complaint::invalid("payment_intent_unexpected_state", message);
            return Err(error.with("payment_intent", row));
        }
        Some("requires_payment_method" | "requires_confirmation" | "requires_action") => {}
        _ => return Err(unexpected(&row, "confirm", "requires_confirmation, requires_action")),
    }
    if needs_return_url(&row["automatic_payment_methods"], form) {
        return Err(no_return_url());
    }
    let members = members(world, &row, form)?;
    let intent = world.set(KIND, id, &members);
    if intent["payment_method"].is_null() {
        return Err(no_method().with("payment_intent", intent));
    }
    attempt::start(world, id, &manner)
}

pub(super) fn cancel(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let known = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];
    let reason = form.word("cancellation_reason", &known)?;
    let row = show(world, id, form)?;
    let status = row["status"].as_str().unwrap_or_default();
    if !matches!(status, "requires_payment_method" | "requires_confirmation" | "requires_action") {
        let may = "requires_payment_method, requires_capture, requires_confirmation, \
                   requires_action, processing";
        return Err(unexpected(&row, "cancel", may));
    }
    let members = json!({
        "canceled_at": world.second(),
        "cancellation_reason": reason,
        "next_action": null,
        "status": "canceled",
    });
    let intent = world.set(KIND, id, &members);
    world.emit("payment_intent.canceled", &intent);
    Ok(intent)
}

/// The members that parameters change, with the status that follows from them.
fn members(world: &mut World, row: &Value, form: &Parameters) -> Answer {
    let mut members = json!({ "metadata": form.metadata(&row["metadata"])? });
    for name in
        ["description", "receipt_email", "statement_descriptor", "transfer_group", "customer"]
    {
        if let Some(text) = form.raw(name) {
            members[name] = if text.is_empty() { Value::Null } else { json!(text) };
        }
    }
    if let Some(email) = members["receipt_email"].as_str()
        && !email.contains('@')
    {
        let message = format!("Invalid email address: {email}");
        return Err(Complaint::invalid("email_invalid", &message).about("receipt_email"));
    }
    if let Some(usage) = form.word("setup_future_usage", &["off_session", "on_session"])? {
        members["setup_future_usage"] = json!(usage);
    }
    if let Some(types) = payment_method_types(form)? {
        members["payment_method_types"] = types;
    }
    let customer = if form.has("customer") { &members["customer"] } else { &row["customer"] };
    let customer = customer.as_str().map(str::to_owned);
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

fn manner(form: &Parameters) -> Result<Manner<'_>, Complaint> {
    // `off_session` may also be `one_off` or `recurring`.
    let off_session = form.text("off_session")?;
    let by_script = form.boolean("use_stripe_sdk")? == Some(true);
    let return_url = form.text("return_url")?;
    Ok(Manner {
        is_off_session: off_session.is_some_and(|text| text != "false"),
        refuses_action: form.boolean("error_on_requires_action")?.unwrap_or(false),
        return_url: return_url.filter(|_| !by_script),
    })
}

/// The types that are asked for; none where Stripe chooses.
pub(super) fn payment_method_types(form: &Parameters) -> Result<Option<Value>, Complaint> {
    let types = form.all("payment_method_types[]");
    if types.is_empty() {
        return Ok(None);
    }
    if form.boolean("automatic_payment_methods[enabled]")? == Some(true) {
        let message = "You may only specify one of these parameters: automatic_payment_methods, \
                       payment_method_types.";
        return Err(Complaint::refused(message));
    }
    if let Some(other) = types.iter().find(|kind| **kind != "card") {
        let message = format!(
            "The payment method type provided: {other} is invalid. Please ensure the provided type \
             is activated in your dashboard."
        );
        let code = "payment_intent_invalid_parameter";
        return Err(Complaint::invalid(code, &message).about("payment_method_types"));
    }
    Ok(Some(json!(types)))
}

fn needs_return_url(automatic: &Value, form: &Parameters) -> bool {
    let may_redirect = automatic["allow_redirects"] == "always";
    may_redirect && !form.has("return_url") && !form.has("use_stripe_sdk")
}

fn check_amount(amount: i64) -> Result<(), Complaint> {
    let (code, message) = if amount < 1 {
        ("parameter_invalid_integer", "This value must be greater than or equal to 1.")
    } else if amount < AMOUNT_MIN {
        ("amount_too_small", "Amount must be at least $0.50 usd")
    } else if amount > AMOUNT_MAX {
        ("amount_too_large", "Amount must be no more than $999,999.99")
    } else {
        return Ok(());
    };
    Err(Complaint::invalid(code, message).about("amount"))
}

fn unexpected(row: &Value, verb: &str, may: &str) -> Complaint {
    let status = row["status"].as_str().unwrap_or_default();
    let done = format!("{}ed", verb.trim_end_matches('e'));
    let message = format!(
        "You cannot {verb} this PaymentIntent because it has a status of {status}. Only a \
         PaymentIntent with one of the following statuses may be {done}: {may}."
    );
    let error = Complaint::invalid("payment_intent_unexpected_state", &message);
    error.with("payment_intent", row.clone())
}

fn no_method() -> Complaint {
    let message = "You cannot confirm this PaymentIntent because it's missing a payment method. \
                   You can either update the PaymentIntent with a payment method and then confirm \
                   it again, or confirm it again directly with a payment method or \
                   ConfirmationToken.";
    Complaint::invalid("payment_intent_unexpected_state", message)
}

fn no_return_url() -> Complaint {
    let message = "This PaymentIntent is configured to accept payment methods enabled in your \
                   Dashboard. Because some of these payment methods might redirect your customer \
                   off of your page, you must provide a `return_url`. If you don't want to accept \
                   redirect-based payment methods, set `automatic_payment_methods[enabled]` to \
                   `true` and `automatic_payment_methods[allow_redirects]` to `never`.";
    Complaint::refused(message).about("return_url")
}
