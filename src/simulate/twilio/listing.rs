//! `GET …/Calls.json`: filtered, newest first, in pages that overlap.

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::answer::{call, complaint};
use super::world::{Leg, World};

/// Default number of calls of a page.
const PAGE_SIZE: usize = 50;

/// A date filter: at, from, or before a time.
struct Bound {
    name: &'static str,
    is_start: bool,
    holds: fn(DateTime<Utc>, DateTime<Utc>, bool) -> bool,
}

/// A bare date stands for its midnight; equality with it, for its whole day.
const BOUNDS: [Bound; 6] = [
    Bound { name: "StartTime", is_start: true, holds: is_at },
    Bound { name: "StartTime>", is_start: true, holds: |at, bound, _| at >= bound },
    Bound { name: "StartTime<", is_start: true, holds: |at, bound, _| at < bound },
    Bound { name: "EndTime", is_start: false, holds: is_at },
    Bound { name: "EndTime>", is_start: false, holds: |at, bound, _| at >= bound },
    Bound { name: "EndTime<", is_start: false, holds: |at, bound, _| at < bound },
];

fn is_at(at: DateTime<Utc>, bound: DateTime<Utc>, is_day: bool) -> bool {
    if is_day { at.date_naive() == bound.date_naive() } else { at == bound }
}

/// Answers a page of an account's calls.
pub(super) fn page(
    world: &World,
    account_sid: &str,
    query: &HashMap<String, String>,
    now: DateTime<Utc>,
) -> Response {
    let filters = match Filters::read(query) {
        Ok(filters) => filters,
        Err(name) => {
            let message = format!("Invalid parameter: {name}");
            return complaint(StatusCode::BAD_REQUEST, 20001, &message);
        }
    };
    let shown_from = now - TimeDelta::seconds(world.behaviour.listing_delay_seconds.into());
    let mut legs: Vec<&Leg> = world
        .legs
        .values()
        .filter(|leg| leg.account_sid == account_sid && leg.changed_at <= shown_from)
        .filter(|leg| filters.hold(leg))
        .collect();
    legs.sort_by(|a, b| (b.start, &b.sid).cmp(&(a.start, &a.sid)));
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("PageSize").unwrap_or(PAGE_SIZE).clamp(1, world.behaviour.page_max.max(1));
    let page = number("Page").unwrap_or(0);
    let first = page.saturating_mul(size).min(legs.len());
    let end = (first + size).min(legs.len());
    // Repeats the last calls of the page before.
    let repeated = &legs[first.saturating_sub(world.behaviour.repeated.min(size))..first];
    let calls: Vec<Value> =
        repeated.iter().chain(&legs[first..end]).map(|leg| call(leg, world, now)).collect();
    let uri = |page: usize| {
        let mut query: Vec<(&str, String)> = query
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "Page" | "PageToken" | "PageSize"))
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        query.extend([("PageSize", size.to_string()), ("Page", page.to_string())]);
        if page > 0 {
            let last = legs.get(page * size - 1).map_or("", |leg| leg.sid.as_str());
            query.push(("PageToken", format!("PA{last}")));
        }
        let mut url = reqwest::Url::parse("http://x").expect("an address");
        url.query_pairs_mut().extend_pairs(query);
        let query = url.query().unwrap_or_default();
        format!("/2010-04-01/Accounts/{account_sid}/Calls.json?{query}")
    };
    Json(json!({
        "calls": calls,
        "end": end.saturating_sub(1),
        "first_page_uri": uri(0),
        "next_page_uri": (end < legs.len()).then(|| uri(page + 1)),
        "page": page,
        "page_size": size,
        "previous_page_uri": page.checked_sub(1).map(uri),
        "start": first,
        "uri": uri(page),
    }))
    .into_response()
}

struct Filters<'a> {
    equal: Vec<(&'static str, &'a str)>,
    bounds: Vec<(&'static Bound, DateTime<Utc>, bool)>,
}

impl<'a> Filters<'a> {
    fn read(query: &'a HashMap<String, String>) -> Result<Self, &'static str> {
        let given = |name: &'static str| {
            let value = query.get(name).filter(|value| !value.is_empty());
            value.map(|value| (name, value.as_str()))
        };
        let equal = ["Status", "To", "From", "ParentCallSid"].into_iter().filter_map(given);
        let mut filters = Self { equal: equal.collect(), bounds: Vec::new() };
        for bound in &BOUNDS {
            let Some((_, text)) = given(bound.name) else { continue };
            let (at, is_day) = instant(text).ok_or(bound.name)?;
            filters.bounds.push((bound, at, is_day));
        }
        Ok(filters)
    }

    fn hold(&self, leg: &Leg) -> bool {
        let parent = leg.parent_call_sid.as_deref().unwrap_or_default();
        let equal = self.equal.iter().all(|(name, value)| match *name {
            "Status" => leg.status == *value,
            "To" => leg.to == *value,
            "From" => leg.from == *value,
            _ => parent == *value,
        });
        equal
            && self.bounds.iter().all(|(bound, at, is_day)| {
                let of_leg = if bound.is_start { leg.start } else { leg.end };
                of_leg.is_some_and(|of_leg| (bound.holds)(of_leg, *at, *is_day))
            })
    }
}

/// A date, or a time as the SDKs write it.
fn instant(text: &str) -> Option<(DateTime<Utc>, bool)> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Some((day.and_time(NaiveTime::MIN).and_utc(), true));
    }
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    Some((instant.with_timezone(&Utc), false))
}
