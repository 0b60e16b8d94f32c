//! Payment methods: cards only (<https://docs.stripe.com/api/payment_methods>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::card::{Authentication, Card, error_code, sentence};
use super::customers::known;
use super::form::Parameters;
use super::listing;
use super::world::World;

type Answer = Result<Value, Complaint>;

/// Parameters of `POST /v1/payment_methods`.
pub(super) const CREATE: &[&str] = &[
    "type",
    "card[number]",
    "card[exp_month]",
    "card[exp_year]",
    "card[cvc]",
    "card[token]",
    "billing_details[*]",
    "allow_redisplay",
    "metadata[*]",
];

/// Parameters of `POST /v1/payment_methods/{id}`.
pub(super) const UPDATE: &[&str] =
    &["card[exp_month]", "card[exp_year]", "billing_details[*]", "allow_redisplay", "metadata[*]"];

/// Parameters of `GET /v1/payment_methods`.
pub(super) const LIST: &[&str] = &["customer", "type", "allow_redisplay"];

pub(super) fn create(world: &mut World, _: &str, form: &Parameters) -> Answer {
    form.required("type")?;
    let card = read_card(form, "")?;
    let metadata = form.metadata(&json!({}))?;
    let id = make(world, card, &billing(form, "billing_details"));
    Ok(world.set("payment_method", &id, &json!({ "metadata": metadata })))
}

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    let found = world.find("payment_method", id, "payment_method");
    found.cloned().map_err(Complaint::not_found)
}

pub(super) fn update(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = show(world, id, form)?;
    if row["customer"].is_null() {
        let message = "You must save this PaymentMethod to a customer before you can update it.";
        return Err(Complaint::refused(message));
    }
    let mut card = row["card"].clone();
    for (name, most) in [("exp_month", 12), ("exp_year", 9_999)] {
        if let Some(number) = form.integer(&format!("card[{name}]"))? {
            if !(1..=most).contains(&number) {
                let code = format!("invalid_{}", name.replace("exp", "expiry"));
                let complaint = Complaint::new(402, "card_error", Some(&code), sentence(&code));
                return Err(complaint.about(&format!("card[{name}]")));
            }
            card[name] = json!(number);
        }
    }
    let mut members = json!({ "card": card, "metadata": form.metadata(&row["metadata"])? });
    if form.has("billing_details") {
        members["billing_details"] = billing(form, "billing_details");
    }
    let row = world.set("payment_method", id, &members);
    world.emit("payment_method.updated", &row);
    Ok(row)
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    if let Some(customer) = form.text("customer")? {
        known(world, customer, "customer")?;
    }
    let matches = listing::equals(form, LIST)?;
    // Without a customer Stripe lists nothing that was not attached.
    let is_attached = |row: &Value| !row["customer"].is_null() && matches(row);
    listing::page(world, "payment_method", "/v1/payment_methods", form, is_attached)
}

pub(super) fn list_of_customer(world: &mut World, id: &str, form: &Parameters) -> Answer {
    known(world, id, "customer").map_err(Complaint::not_found)?;
    let matches = listing::equals(form, &LIST[1..])?;
    let url = format!("/v1/customers/{id}/payment_methods");
    listing::page(world, "payment_method", &url, form, |row| row["customer"] == id && matches(row))
}

pub(super) fn attach(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let customer = form.required("customer")?;
    known(world, customer, "customer")?;
    let id = match Card::of_token(id) {
        Some(card) => make(world, card, &no_billing()),
        None => show(world, id, form)?["id"].as_str().unwrap_or_default().to_owned(),
    };
    let card = world.cards.get(&id).cloned().unwrap_or_default();
    if card.declines_setup
        && let Some(reason) = &card.decline
    {
        return Err(card_error(reason));
    }
    let row = world.row("payment_method", &id);
    if row["customer"] == customer {
        return Ok(row);
    }
    if !row["customer"].is_null() {
        let message = "The payment method you provided has already been attached to a customer.";
        return Err(Complaint::invalid("payment_method_already_attached", message));
    }
    Ok(attach_to(world, &id, customer))
}

pub(super) fn detach(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = show(world, id, form)?;
    if row["customer"].is_null() {
        let message = "The payment method you provided is not attached to a customer so \
                       detachment is impossible.";
        return Err(Complaint::invalid("payment_method_not_attached", message));
    }
    let members = json!({ "customer": null, "allow_redisplay": row["allow_redisplay"] });
    let row = world.set("payment_method", id, &members);
    if let Some(card) = world.cards.get_mut(id) {
        card.is_set_up = false;
    }
    world.detached.insert(id.to_owned());
    world.emit("payment_method.detached", &row);
    Ok(row)
}

/// Attaches a payment method that is known to be free.
pub(super) fn attach_to(world: &mut World, id: &str, customer: &str) -> Value {
    let row = world.set("payment_method", id, &json!({ "customer": customer }));
    world.detached.remove(id);
    world.emit("payment_method.attached", &row);
    row
}

/// The error for a card that its bank declines.
pub(super) fn card_error(reason: &str) -> Complaint {
    let complaint = Complaint::new(402, "card_error", Some(error_code(reason)), sentence(reason));
    let complaint = complaint.with("decline_code", json!(reason));
    match error_code(reason) {
        "incorrect_cvc" | "invalid_cvc" => complaint.about("cvc"),
        "expired_card" | "invalid_expiry_month" => complaint.about("exp_month"),
        "invalid_expiry_year" => complaint.about("exp_year"),
        "incorrect_number" | "invalid_number" => complaint.about("number"),
        _ => complaint,
    }
}

/// The payment method that `payment_method` or `payment_method_data` gives, for an intent of a
/// customer. A test token becomes a fresh payment method.
pub(super) fn resolve(
    world: &mut World,
    form: &Parameters,
    customer: Option<&str>,
) -> Result<Option<String>, Complaint> {
    if form.has("payment_method_data") {
        form.required("payment_method_data[type]")?;
        let card = read_card(form, "payment_method_data")?;
        return Ok(Some(make(world, card, &billing(form, "payment_method_data[billing_details]"))));
    }
    let Some(id) = form.text("payment_method")? else { return Ok(None) };
    if let Some(card) = Card::of_token(id) {
        return Ok(Some(make(world, card, &no_billing())));
    }
    let row = world.find("payment_method", id, "payment_method")?;
    match (row["customer"].as_str(), customer) {
        (Some(owner), Some(customer)) if owner != customer => {
            let message = format!(
                "The customer does not have a payment method with the ID {id}. The payment method \
                 must be attached to the customer."
            );
            Err(Complaint::invalid("resource_missing", &message).about("payment_method"))
        }
        (Some(_), None) => {
            let message = format!(
                "The provided PaymentMethod ({id}) is attached to a Customer. You must provide \
                 that Customer to use it."
            );
            Err(Complaint::refused(&message).about("payment_method"))
        }
        (None, _) if world.detached.contains(id) => {
            let message = "The provided PaymentMethod was previously used with a PaymentIntent \
                           without Customer attachment, shared with a connected account without \
                           Customer attachment, or was detached from a Customer. It may not be \
                           used again. To use a PaymentMethod multiple times, you must attach it \
                           to a Customer first.";
            Err(Complaint::refused(message).about("payment_method"))
        }
        _ => Ok(Some(id.to_owned())),
    }
}

/// Makes a payment method of a card, attached to nobody; returns its id.
pub(super) fn make(world: &mut World, mut card: Card, billing: &Value) -> String {
    if card.fingerprint.is_empty() {
        card.fingerprint = world.word(16);
    }
    let row = json!({
        "allow_redisplay": "unspecified",
        "billing_details": billing,
        "card": members(&card),
        "customer": null,
        "metadata": {},
        "type": "card",
    });
    let id = world.add("payment_method", "pm", row);
    world.cards.insert(id.clone(), card);
    id
}

/// A card as Stripe shows it.
pub(super) fn members(card: &Card) -> Value {
    json!({
        "brand": card.brand,
        "checks": {
            "address_line1_check": null,
            "address_postal_code_check": null,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": card.brand,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "fingerprint": card.fingerprint,
        "funding": "credit",
        "generated_from": null,
        "last4": card.last4,
        "networks": { "available": [card.brand], "preferred": null },
        "regulated_status": "unregulated",
        "three_d_secure_usage": { "supported": card.authentication != Authentication::Never },
        "wallet": null,
    })
}

fn read_card(form: &Parameters, stem: &str) -> Result<Card, Complaint> {
    let name = |member: &str| match stem {
        "" => format!("card[{member}]"),
        _ => format!("{stem}[card][{member}]"),
    };
    if let Some(token) = form.text(&name("token"))? {
        let found = token.strip_prefix("tok_").map(|rest| format!("pm_card_{rest}"));
        let found = found.and_then(|token| Card::of_token(&token));
        return found.ok_or_else(|| Complaint::missing("token", token, &name("token")));
    }
    let number = form.required(&name("number"))?;
    let mut card = Card::of_number(number).ok_or_else(|| {
        Complaint::new(402, "card_error", Some("incorrect_number"), sentence("incorrect_number"))
            .about("number")
    })?;
    card.exp_month = form.integer(&name("exp_month"))?.unwrap_or(card.exp_month);
    card.exp_year = form.integer(&name("exp_year"))?.unwrap_or(card.exp_year);
    if card.exp_year < 100 {
        card.exp_year += 2_000;
    }
    Ok(card)
}

/// Billing details without any.
pub(super) fn no_billing() -> Value {
    billing(&Parameters::default(), "billing_details")
}

fn billing(form: &Parameters, stem: &str) -> Value {
    let given = form.below(stem);
    let address = form.below(&format!("{stem}[address]"));
    let (part, place) = (|name| given.get(name).copied(), |name| address.get(name).copied());
    json!({
        "address": {
            "city": place("city"),
            "country": place("country"),
            "line1": place("line1"),
            "line2": place("line2"),
            "postal_code": place("postal_code"),
            "state": place("state"),
        },
        "email": part("email"),
        "name": part("name"),
        "phone": part("phone"),
        "tax_id": null,
    })
}
