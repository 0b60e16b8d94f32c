//! A small catalog, accounts and events for tests that follow a few calls.

use crate::model::account::{Account, PlanChange};
use crate::model::catalog::{Catalog, Deck, NumberPrice, Plan};
use crate::model::money::Micros;
use crate::model::read::Topic;
use crate::model::time::{At, SECOND, rfc2822};
use crate::traffic::Outgoing;
use serde_json::{Value, json};
use std::time::SystemTime;

/// The present by the real clock, in whole seconds.
#[expect(clippy::disallowed_methods, reason = "a test lives at the time of the servers")]
pub(crate) fn now() -> At {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the year 10000") * SECOND
}

/// Two plans, a standard rate and a number.
pub(crate) fn catalog() -> Catalog {
    let plan = |id, included_minutes, per_minute, parent_legs_only| Plan {
        id,
        included_minutes,
        deck: Deck { per_minute, prefixes: vec![("+44".to_owned(), Some(31_000))] },
        increments: (60, 60),
        blocks_overage: false,
        parent_legs_only,
    };
    Catalog {
        effective_at: None,
        standard: Deck {
            per_minute: 20_000,
            prefixes: vec![("+44".to_owned(), Some(30_000)), ("+881".to_owned(), None)],
        },
        standard_increments: (60, 60),
        plans: vec![plan("starter", 100, 14_000, false), plan("team", 10, 9_000, true)],
        numbers: vec![NumberPrice { country: "US", kind: "local", monthly: 1_150_000 }],
    }
}

/// An account without a plan.
pub(crate) fn account(id: &str, opening_balance: Micros) -> Account {
    let digits = id.bytes().fold(0_u128, |digits, byte| (digits << 8) | u128::from(byte));
    Account {
        id: id.to_owned(),
        sid: account_sid(digits),
        opening_balance,
        credit_limit: 0,
        changes: vec![],
        adjustments: vec![],
    }
}

/// The same account with a plan from a given time.
pub(crate) fn subscribed(mut account: Account, plan: &'static str, starts_at: At) -> Account {
    account.changes.push(PlanChange { starts_at, plan: Some(plan) });
    account
}

/// The parameters of a completed call to New York that ends at `end`.
pub(crate) fn completed(account: &Account, call_sid: &str, seconds: i64, end: At) -> Value {
    json!({
        "AccountSid": account.sid,
        "CallSid": call_sid,
        "CallStatus": "completed",
        "CallDuration": seconds.to_string(),
        "Direction": "outbound-api",
        "From": "+15005550001",
        "To": "+12125550123",
        "Timestamp": rfc2822(end, 0),
    })
}

/// A Twilio account's sid that contains a number.
pub(crate) fn account_sid(number: u128) -> String {
    format!("AC{number:032x}")
}

/// Texts that are not an `AccountSid`, though each is an id.
pub(crate) fn no_account_sids() -> Vec<String> {
    let sid = account_sid(0xabc);
    let digits = &sid[2..];
    vec![
        format!("CA{digits}"),
        format!("ac{digits}"),
        format!("Ac{digits}"),
        sid[..33].to_owned(),
        format!("{sid}0"),
        format!("{}g", &sid[..33]),
        format!("{}\u{ff11}", &sid[..33]),
        "AC".to_owned(),
    ]
}

/// A call's sid that contains a number.
pub(crate) fn call_sid(number: usize) -> String {
    format!("CA{number:032x}")
}

/// A record on the calls topic, keyed by its account.
pub(crate) fn on_calls(partition: i32, event: &Value) -> Outgoing {
    outgoing(Topic::Calls, partition, event)
}

/// A record on the rentals topic, keyed by its account.
pub(crate) fn on_rentals(partition: i32, event: &Value) -> Outgoing {
    outgoing(Topic::Rentals, partition, event)
}

fn outgoing(topic: Topic, partition: i32, event: &Value) -> Outgoing {
    let sid = event.get("AccountSid").or_else(|| event["data"].get("AccountSid"));
    Outgoing {
        topic,
        partition,
        key: sid.and_then(Value::as_str).map(|sid| sid.as_bytes().to_vec()),
        timestamp_ms: now() / 1_000,
        payload: Some(event.to_string().into_bytes()),
    }
}

/// A rental that is due; without a price the catalog's counts.
pub(crate) fn rental(account: &Account, number: &str, period: &str, price: Option<&str>) -> Value {
    let mut event = json!({
        "specversion": "1.0",
        "type": "callmeter.number.rental.due",
        "source": "scheduler",
        "id": format!("{number}-{period}"),
        "data": {
            "AccountSid": account.sid,
            "PhoneNumberSid": number,
            "PhoneNumber": "+15005550006",
            "IsoCountry": "US",
            "NumberType": "local",
            "PeriodStart": period,
        },
    });
    if let Some(price) = price {
        event["data"]["MonthlyPrice"] = json!(price);
    }
    event
}
