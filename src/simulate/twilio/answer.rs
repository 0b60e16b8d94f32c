//! Answers in Twilio's format: errors, and one call.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::world::{Leg, World};

/// An error in the format of Twilio's API.
pub(super) fn complaint(status: StatusCode, code: u32, message: &str) -> Response {
    let body = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status.as_u16(),
    });
    (status, Json(body)).into_response()
}

pub(super) fn unauthorized() -> Response {
    complaint(StatusCode::UNAUTHORIZED, 20003, "Authenticate")
}

pub(super) fn not_found(path: &str) -> Response {
    let message = format!("The requested resource {path} was not found");
    complaint(StatusCode::NOT_FOUND, 20404, &message)
}

pub(super) fn busy() -> Response {
    let mut response = complaint(StatusCode::TOO_MANY_REQUESTS, 20429, "Too Many Requests");
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("0"));
    response
}

pub(super) fn instant(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::Null, |at| json!(at.format("%a, %d %b %Y %H:%M:%S +0000").to_string()))
}

/// Dollars with five decimal places, as call prices have; smaller amounts do not occur.
pub(super) fn dollars(micros: i64) -> String {
    let (sign, magnitude) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs() / 10);
    format!("{sign}{}.{:05}", magnitude / 100_000, magnitude % 100_000)
}

/// A call in the format of the Calls resource.
pub(super) fn call(leg: &Leg, world: &World, now: DateTime<Utc>) -> Value {
    let delay = TimeDelta::seconds(world.behaviour.price_delay_seconds.into());
    let is_priced = leg.end.is_some_and(|end| end + delay <= now) && leg.status == "completed";
    let account = &leg.account_sid;
    let resource = format!("/2010-04-01/Accounts/{account}/Calls/{}", leg.sid);
    let row = json!({
        "sid": leg.sid,
        "account_sid": account,
        "parent_call_sid": leg.parent_call_sid,
        "api_version": "2010-04-01",
        "answered_by": null,
        "caller_name": "",
        "date_created": instant(leg.start),
        "date_updated": instant(Some(leg.changed_at)),
        "direction": leg.direction,
        "duration": leg.seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
        "end_time": instant(leg.end),
        "forwarded_from": "",
        "from": leg.from,
        "from_formatted": leg.from,
        "group_sid": null,
        "phone_number_sid": "",
        "price": is_priced.then(|| dollars(-leg.cost_micros())),
        "price_unit": "USD",
        "queue_time": "0",
        "start_time": instant(leg.start),
        "status": leg.status,
        "subresource_uris": { "events": format!("{resource}/Events.json") },
        "to": leg.to,
        "to_formatted": leg.to,
        "trunk_sid": "",
        "uri": format!("{resource}.json"),
    });
    world.answered(&leg.sid, row)
}
