//! Records that cannot be charged, each a good event with one fault.

use super::Dice;
use super::shapes::{Call, flat_parameters, text};
use crate::model::time::{At, HOUR, rfc2822};
use serde_json::{Map, Value, json};

/// A payload that must be kept and not charged; `None` is a record without a value.
pub(crate) fn call_payload(call: &Call, dice: &mut Dice, now: At) -> Option<Vec<u8>> {
    let good = flat_parameters(call, "completed", dice);
    let whole = text(&Value::Object(good.clone()));
    let changed = |key: &str, value: Value| {
        let mut event = good.clone();
        event.insert(key.to_owned(), value);
        text(&Value::Object(event))
    };
    let without = |key: &str| {
        let mut event = good.clone();
        event.remove(key);
        text(&Value::Object(event))
    };
    let bad = match dice.below(20) {
        0 => return None,
        1 => String::new(),
        2 => {
            (*dice.pick(&["not json", "null", "[]", "42", "\"completed\"", "{", "true"])).to_owned()
        }
        3 => whole[..whole.len() - 1].to_owned(),
        4 => format!("\u{feff}{}", &whole[1..]),
        5 => format!("[{whole}]"),
        6 => format!("{whole}{whole}"),
        7..11 => changed("CallDuration", duration(dice)),
        11 => without("CallDuration"),
        12 => changed(
            "CallStatus",
            dice.pick(&[json!("Completed"), json!(1), json!("ended")]).clone(),
        ),
        13 => without(["CallStatus", "CallSid", "AccountSid"][dice.below(3)]),
        14 => changed(
            "CallSid",
            dice.pick(&[json!(""), json!(5), json!(null), json!("CA\u{0}")]).clone(),
        ),
        15 => changed("AccountSid", dice.pick(&[json!(""), json!([]), json!("AC\u{0}1")]).clone()),
        16 | 17 => {
            let ahead = 25 + i64::try_from(dice.below(24)).expect("a small number");
            changed("Timestamp", json!(rfc2822(now + ahead * HOUR, 0)))
        }
        18 => envelope(&good, dice),
        _ => "[".repeat(5_000),
    };
    Some(bad.into_bytes())
}

fn duration(dice: &mut Dice) -> Value {
    let bad = [
        json!("-5"),
        json!(-5),
        json!("61.5"),
        json!(61.5),
        json!(61.0),
        json!(""),
        json!(" 61"),
        json!("1e2"),
        json!(null),
        json!(true),
        json!({"seconds": 61}),
        json!(86_401),
        json!("86401"),
        json!(u64::MAX),
        json!("123456789012345678901234567890"),
        json!("\u{661}"),
    ];
    dice.pick(&bad).clone()
}

/// An envelope in which the parameters are missing or unreadable.
fn envelope(good: &Map<String, Value>, dice: &mut Dice) -> String {
    let mut event = json!({
        "specversion": "1.0",
        "type": "com.twilio.voice.status-callback.call.completed",
        "id": format!("EZ{:032x}", dice.number()),
        "data": {"request": {"parameters": good}},
    });
    match dice.below(7) {
        0 => event["data"] = json!({"request": {"parameters": {}}}),
        1 => event["data"] = json!({"request": {}}),
        2 => event["data"] = json!(42),
        3 => event["data"] = Value::Null,
        4 => event["data"] = json!("{\"request\":"),
        5 => event["type"] = json!(5),
        _ => event["data"]["request"]["parameters"] = json!([good]),
    }
    text(&event)
}

/// A rental that cannot be charged.
pub(crate) fn rental_payload(good: &Value, dice: &mut Dice) -> Option<Vec<u8>> {
    let mut event = good.clone();
    match dice.below(9) {
        0 => return None,
        1 => return Some(b"{\"specversion\":".to_vec()),
        2 => event["data"]["PeriodStart"] = json!("2026-02-30"),
        3 => event["data"]["PeriodStart"] = json!(20_260_201),
        4 => event["data"]["MonthlyPrice"] = json!("-1.150000"),
        5 => event["data"]["MonthlyPrice"] = json!("1.1500001"),
        6 => event["data"]["PhoneNumberSid"] = json!(""),
        7 => event["data"] = json!(null),
        _ => {
            // An unknown number: for a known period the catalog's price is not read.
            event["data"]["PhoneNumberSid"] = json!(format!("PNsatellite{}", dice.number()));
            event["data"]["MonthlyPrice"] = Value::Null;
            event["data"]["NumberType"] = json!("satellite");
        }
    }
    Some(event.to_string().into_bytes())
}
