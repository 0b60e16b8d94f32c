//! Customers (<https://docs.stripe.com/api/customers>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::form::Parameters;
use super::listing;
use super::world::World;

type Answer = Result<Value, Complaint>;

/// Parameters of `POST /v1/customers`.
pub(super) const CREATE: &[&str] =
    &["email", "name", "description", "phone", "metadata[*]", "address[*]", "preferred_locales[]"];

/// Parameters of `GET /v1/customers`.
pub(super) const LIST: &[&str] = &["email"];

pub(super) fn create(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let prefix = world.word(8).to_uppercase();
    let row = json!({
        "address": null,
        "balance": 0,
        "currency": null,
        "default_source": null,
        "delinquent": false,
        "description": null,
        "discount": null,
        "email": null,
        "invoice_prefix": prefix,
        "invoice_settings": {
            "custom_fields": null,
            "default_payment_method": null,
            "footer": null,
            "rendering_options": null,
        },
        "metadata": {},
        "name": null,
        "next_invoice_sequence": 1,
        "phone": null,
        "preferred_locales": form.all("preferred_locales[]"),
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    });
    let members = members(&row, form)?;
    let id = world.add("customer", "cus", row);
    let customer = world.set("customer", &id, &members);
    world.emit("customer.created", &customer);
    Ok(customer)
}

pub(super) fn update(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = present(world, id)?;
    let members = members(&row, form)?;
    let customer = world.set("customer", id, &members);
    world.emit("customer.updated", &customer);
    Ok(customer)
}

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find("customer", id, "id").cloned().map_err(Complaint::not_found)
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let matches = listing::equals(form, LIST)?;
    let is_there = |row: &Value| row["deleted"].is_null() && matches(row);
    listing::page(world, "customer", "/v1/customers", form, is_there)
}

/// Deletes a customer with its cards; the id still answers that it was deleted.
pub(super) fn delete(world: &mut World, id: &str, _: &Parameters) -> Answer {
    let customer = present(world, id)?;
    let cards: Vec<String> = world
        .all("payment_method")
        .filter(|row| row["customer"] == id)
        .filter_map(|row| row["id"].as_str().map(str::to_owned))
        .collect();
    for card in cards {
        world.set("payment_method", &card, &json!({ "customer": null }));
    }
    world.emit("customer.deleted", &customer);
    Ok(world.replace("customer", id, json!({ "id": id, "object": "customer", "deleted": true })))
}

/// A customer that a path names and that was not deleted.
fn present(world: &World, id: &str) -> Answer {
    known(world, id, "id").map_err(Complaint::not_found)
}

/// A customer that was not deleted, or Stripe's error about the parameter that names it.
pub(super) fn known(world: &World, id: &str, name: &str) -> Answer {
    let customer = world.find("customer", id, name)?;
    if customer["deleted"] == true {
        return Err(Complaint::missing("customer", id, name));
    }
    Ok(customer.clone())
}

fn members(row: &Value, form: &Parameters) -> Answer {
    let mut members = json!({ "metadata": form.metadata(&row["metadata"])? });
    for name in ["email", "name", "description", "phone"] {
        if let Some(text) = form.raw(name) {
            members[name] = if text.is_empty() { Value::Null } else { json!(text) };
        }
    }
    if let Some(email) = members["email"].as_str()
        && !email.contains('@')
    {
        let message = format!("Invalid email address: {email}");
        return Err(Complaint::invalid("email_invalid", &message).about("email"));
    }
    if form.has("address") {
        let given = form.below("address");
        let part = |name: &str| given.get(name).copied();
        members["address"] = json!({
            "city": part("city"), "country": part("country"), "line1": part("line1"),
            "line2": part("line2"), "postal_code": part("postal_code"), "state": part("state"),
        });
    }
    Ok(members)
}
