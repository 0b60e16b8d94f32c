//! `GET …/Usage/Records/Daily.json`: billed minutes by UTC day of the calls' start.

use std::collections::HashMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use super::answer::complaint;
use super::world::{Leg, World};

/// The supported categories.
const CATEGORIES: [&str; 5] =
    ["calls", "calls-client", "calls-inbound", "calls-outbound", "calls-sip"];
/// Most days of one answer.
const DAYS_MAX: usize = 400;

/// Answers the usage of an account, with its sub-accounts unless the request excludes them.
pub(super) fn daily(
    world: &World,
    account_sid: &str,
    query: &HashMap<String, String>,
    now: DateTime<Utc>,
) -> Response {
    let today = now.date_naive();
    let day = |name: &str, default: NaiveDate| match query.get(name) {
        Some(text) if !text.is_empty() => text.parse::<NaiveDate>().map_err(|_| name.to_owned()),
        _ => Ok(default),
    };
    let days = day("StartDate", today).and_then(|first| Ok((first, day("EndDate", today)?)));
    let (first, last) = match days {
        Ok(days) => days,
        Err(name) => {
            let message = format!("Invalid parameter: {name}");
            return complaint(StatusCode::BAD_REQUEST, 20001, &message);
        }
    };
    let wanted = query.get("Category").map(String::as_str);
    let categories = CATEGORIES.iter().filter(|name| wanted.is_none_or(|wanted| wanted == **name));
    let categories: Vec<&str> = categories.copied().collect();
    let with_subs = query.get("IncludeSubaccounts").is_none_or(|value| value != "false");
    let counted = now - TimeDelta::seconds(world.behaviour.usage_delay_seconds.into());
    let is_counted = |leg: &&Leg| {
        let is_sub = || {
            let owner = world.subscribers.get(&leg.account_sid);
            owner.and_then(|owner| owner.parent.as_deref()) == Some(account_sid)
        };
        (leg.account_sid == account_sid || with_subs && is_sub())
            && leg.status == "completed"
            && leg.end.is_some_and(|end| end <= counted)
    };
    let legs: Vec<&Leg> = world.legs.values().filter(is_counted).collect();
    let mut records = Vec::new();
    for day in first.iter_days().take_while(|day| *day <= last).take(DAYS_MAX) {
        for category in &categories {
            let record = record(account_sid, category, day, &legs, counted);
            records.push(world.answered(&format!("{day} {category}"), record));
        }
    }
    // Newest first.
    records.reverse();
    let uri = format!("/2010-04-01/Accounts/{account_sid}/Usage/Records/Daily.json");
    Json(json!({
        "end": records.len().saturating_sub(1),
        "first_page_uri": uri,
        "next_page_uri": null,
        "page": 0,
        "page_size": records.len().max(50),
        "previous_page_uri": null,
        "start": 0,
        "uri": uri,
        "usage_records": records,
    }))
    .into_response()
}

fn record(
    account_sid: &str,
    category: &str,
    day: NaiveDate,
    legs: &[&Leg],
    as_of: DateTime<Utc>,
) -> Value {
    let counts = legs.iter().filter(|leg| {
        leg.start.is_some_and(|start| start.date_naive() == day) && is_of(leg, category)
    });
    let (mut calls, mut minutes, mut micros) = (0_u64, 0_u64, 0_i64);
    for leg in counts {
        calls += 1;
        minutes += u64::from(leg.billed_minutes());
        micros += leg.cost_micros();
    }
    json!({
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "as_of": as_of.format("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        "category": category,
        "count": calls.to_string(),
        "count_unit": "calls",
        "description": "Voice Minutes",
        "end_date": day.to_string(),
        "price": super::answer::dollars(micros),
        "price_unit": "usd",
        "start_date": day.to_string(),
        "usage": minutes.to_string(),
        "usage_unit": "minutes",
    })
}

fn is_of(leg: &Leg, category: &str) -> bool {
    match category {
        "calls-inbound" => leg.category() == "calls" && leg.is_inbound(),
        "calls-outbound" => leg.category() == "calls" && !leg.is_inbound(),
        other => leg.category() == other,
    }
}
