//! Endpoints of web hooks, and events (<https://docs.stripe.com/api/webhook_endpoints>).

use serde_json::{Value, json};

use super::answer::Complaint;
use super::form::Parameters;
use super::listing;
use super::world::{API_VERSION, World};

type Answer = Result<Value, Complaint>;

const KIND: &str = "webhook_endpoint";

/// Parameters of `POST /v1/webhook_endpoints`.
pub(super) const CREATE: &[&str] =
    &["url", "enabled_events[]", "api_version", "description", "metadata[*]", "connect"];

/// Parameters of `POST /v1/webhook_endpoints/{id}`.
pub(super) const UPDATE: &[&str] =
    &["url", "enabled_events[]", "description", "disabled", "metadata[*]"];

/// Parameters of `GET /v1/events`.
pub(super) const EVENT_LIST: &[&str] = &["type", "types[]", "delivery_success"];

/// The secret stands in this answer only.
pub(super) fn create(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let url = form.required("url")?;
    let events = form.all("enabled_events[]");
    if events.is_empty() {
        let message = "Missing required param: enabled_events.";
        return Err(Complaint::parameter("parameter_missing", "enabled_events", message));
    }
    let secret = format!("whsec_{}", world.word(32));
    let row = json!({
        "api_version": form.raw("api_version").unwrap_or(API_VERSION),
        "application": null,
        "description": form.raw("description"),
        "enabled_events": events,
        "metadata": form.metadata(&json!({}))?,
        "status": "enabled",
        "url": url,
    });
    let id = add(world, row, &secret);
    let mut endpoint = world.row(KIND, &id);
    endpoint["secret"] = json!(secret);
    Ok(endpoint)
}

/// Adds an endpoint for all events with a given secret.
pub(super) fn register(world: &mut World, url: &str, secret: &str) -> String {
    let row = json!({
        "api_version": API_VERSION,
        "application": null,
        "description": null,
        "enabled_events": ["*"],
        "metadata": {},
        "status": "enabled",
        "url": url,
    });
    add(world, row, secret)
}

fn add(world: &mut World, row: Value, secret: &str) -> String {
    let id = world.add(KIND, "we", row);
    world.secrets.insert(id.clone(), secret.to_owned());
    id
}

pub(super) fn show(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find(KIND, id, "webhook_endpoint").cloned().map_err(Complaint::not_found)
}

pub(super) fn update(world: &mut World, id: &str, form: &Parameters) -> Answer {
    let row = show(world, id, form)?;
    let mut members = json!({ "metadata": form.metadata(&row["metadata"])? });
    for name in ["url", "description"] {
        if let Some(text) = form.text(name)? {
            members[name] = json!(text);
        }
    }
    if form.has("enabled_events") {
        members["enabled_events"] = json!(form.all("enabled_events[]"));
    }
    if let Some(is_disabled) = form.boolean("disabled")? {
        members["status"] = json!(if is_disabled { "disabled" } else { "enabled" });
    }
    Ok(world.set(KIND, id, &members))
}

pub(super) fn list(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let is_there = |row: &Value| row["deleted"].is_null();
    listing::page(world, KIND, "/v1/webhook_endpoints", form, is_there)
}

pub(super) fn delete(world: &mut World, id: &str, form: &Parameters) -> Answer {
    show(world, id, form)?;
    world.secrets.remove(id);
    Ok(world.replace(KIND, id, json!({ "id": id, "object": KIND, "deleted": true })))
}

pub(super) fn show_event(world: &mut World, id: &str, _: &Parameters) -> Answer {
    world.find("event", id, "id").cloned().map_err(Complaint::not_found)
}

pub(super) fn list_events(world: &mut World, _: &str, form: &Parameters) -> Answer {
    let types = form.all("types[]");
    let kind = form.text("type")?;
    let matches = |row: &Value| {
        let of = row["type"].as_str().unwrap_or_default();
        let is_one = |pattern: &str| match pattern.strip_suffix('*') {
            Some(stem) => of.starts_with(stem),
            None => of == pattern,
        };
        kind.is_none_or(is_one) && (types.is_empty() || types.iter().any(|kind| is_one(kind)))
    };
    listing::page(world, "event", "/v1/events", form, matches)
}
