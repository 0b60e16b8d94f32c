//! The guarantees of the generator.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

const PROFILE: Profile = Profile {
    accounts: 7,
    skew: Skew::Even,
    duplicates: Share::per_million(50_000),
    reorder: Share::per_million(50_000),
    late: Share::per_million(20_000),
    faulty: Share::per_million(10_000),
    rentals: Share::per_million(10_000),
    lose: Share::NONE,
    ends_only: false,
};

fn now() -> DateTime<Utc> {
    "2026-12-31T23:59:58.250Z".parse().expect("an instant")
}

type Published = (Topic, Vec<u8>, Vec<u8>);

fn records(profile: Profile, seed: u64, calls: u32) -> (Vec<Published>, Made) {
    let mut traffic = Traffic::new(profile, seed);
    let mut records = Vec::new();
    let mut publish = |record: Record<'_>| {
        records.push((record.topic, record.key.to_vec(), record.value.to_vec()));
    };
    for _ in 0..calls {
        traffic.start_call(now(), &mut publish);
    }
    traffic.finish(now(), &mut publish);
    (records, traffic.made())
}

/// The parameters of a call event of any shape.
fn parameters(value: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(value).ok()?;
    if value.get("specversion").is_none() {
        return Some(value);
    }
    let mut data = value["data"].take();
    if let Value::String(text) = &data {
        data = serde_json::from_str(text).expect("data is JSON in a string");
    }
    Some(data["request"]["parameters"].take())
}

#[test]
fn one_seed_makes_one_stream() {
    assert_eq!(records(PROFILE, 1, 2_000), records(PROFILE, 1, 2_000));
    assert_ne!(records(PROFILE, 1, 10).0, records(PROFILE, 2, 10).0);
}

#[test]
fn the_stream_holds_just_what_it_says_that_it_made() {
    let (records, made) = records(PROFILE, 3, 20_000);
    assert_eq!(made.records, records.len() as u64);
    let mut durations: BTreeMap<String, u64> = BTreeMap::new();
    let mut faulty = 0;
    let mut rentals = BTreeSet::new();
    let known: BTreeSet<Vec<u8>> = (0..7).map(|index| account_sid(index).to_vec()).collect();
    for (topic, key, value) in &records {
        if *topic == Topic::Rentals {
            let rental: Value = serde_json::from_slice(value).expect("a rental is JSON");
            assert_eq!(
                rental["data"]["AccountSid"].as_str().map(str::as_bytes),
                Some(key.as_slice())
            );
            assert_eq!(rental["data"]["PeriodStart"], "2026-12-31");
            rentals.insert(rental["data"]["PhoneNumberSid"].to_string());
            continue;
        }
        let Some(call) = parameters(value) else {
            faulty += 1;
            continue;
        };
        if call["CallStatus"] != "completed" {
            continue;
        }
        let seconds = match &call["CallDuration"] {
            Value::String(text) => text.parse::<u64>().ok(),
            number => number.as_u64(),
        };
        let sid = call["CallSid"].as_str().expect("a call has a sid").to_owned();
        match seconds {
            Some(seconds) if known.contains(key) => match durations.get(&sid) {
                Some(told) if *told != seconds => faulty += 1,
                _ => {
                    durations.insert(sid, seconds);
                }
            },
            _ => faulty += 1,
        }
    }
    assert_eq!(made.billable_calls, durations.len() as u64);
    assert_eq!(made.billable_seconds, durations.values().sum::<u64>());
    assert_eq!(made.faulty, faulty);
    assert_eq!(made.rentals, rentals.len() as u64);
}

#[test]
fn the_world_is_varied() {
    let (records, made) = records(PROFILE, 4, 20_000);
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for (_, _, value) in records.iter().filter(|(topic, ..)| *topic == Topic::Calls) {
        let Some(call) = parameters(value) else {
            continue;
        };
        for name in ["CallStatus", "Direction"] {
            *seen.entry(call[name].to_string()).or_default() += 1;
        }
        if call.get("ParentCallSid").is_some() {
            *seen.entry("child".to_owned()).or_default() += 1;
        }
    }
    for name in [
        "\"initiated\"",
        "\"ringing\"",
        "\"in-progress\"",
        "\"completed\"",
        "\"busy\"",
        "\"no-answer\"",
        "\"failed\"",
        "\"canceled\"",
        "\"inbound\"",
        "\"outbound-api\"",
        "\"outbound-dial\"",
        "\"trunking-originating\"",
        "child",
    ] {
        assert!(seen.get(name).is_some_and(|count| *count > 100), "{name} in {seen:?}");
    }
    let near = |count: u64, share: u64, of: u64| {
        count * 100 > of * (share - 1) && count * 100 < of * (share + 1)
    };
    assert!(
        near(made.duplicates, 5, made.records) && near(made.reordered, 5, made.records),
        "{made:?}"
    );
    assert!(near(made.late_calls, 2, made.calls), "{made:?}");
}

#[test]
fn ends_only_makes_one_record_a_charge() {
    let quiet = Profile {
        duplicates: Share::NONE,
        reorder: Share::NONE,
        late: Share::NONE,
        faulty: Share::NONE,
        rentals: Share::NONE,
        ends_only: true,
        ..PROFILE
    };
    let (records, made) = records(quiet, 5, 1_000);
    assert_eq!((records.len(), made.billable_calls, made.records), (1_000, 1_000, 1_000));
}

#[test]
fn times_are_written_as_twilio_writes_them() {
    let (records, _) = records(PROFILE, 6, 100);
    for (_, _, value) in records.iter().filter(|(topic, ..)| *topic == Topic::Calls) {
        let Some(call) = parameters(value) else {
            continue;
        };
        let text = call["Timestamp"].as_str().expect("a timestamp");
        let at = DateTime::parse_from_rfc2822(text).expect("RFC 2822");
        assert!(at <= now() && text.ends_with(" +0000"), "{text}");
        let value: Value = serde_json::from_slice(value).expect("JSON");
        if let Some(time) = value.get("time") {
            let time = time.as_str().expect("a time");
            assert_eq!(
                DateTime::parse_from_rfc3339(time).expect("RFC 3339").timestamp(),
                at.timestamp()
            );
        }
    }
}
