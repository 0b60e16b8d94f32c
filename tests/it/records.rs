//! Odd, wrong or early records: none stops the stream, and none vanishes.

use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use crate::model::read::Topic;
use crate::model::time::{DAY, MINUTE, rfc3339};
use crate::traffic::Outgoing;
use serde_json::{Value, json};

/// The rows of `rejects list --json`.
fn rejects(system: &System) -> Vec<Value> {
    let ran = system.run(&["rejects", "list", "--json"]).expect_success();
    let parse = |line: &str| serde_json::from_str(line).expect("one object per line");
    ran.stdout.lines().map(parse).collect()
}

fn raw(partition: i32, payload: &[u8]) -> Outgoing {
    let payload = Some(payload.to_vec());
    Outgoing { topic: Topic::Calls, partition, key: None, timestamp_ms: now() / 1_000, payload }
}

#[tokio::test]
async fn a_bad_record_neither_stops_the_stream_nor_vanishes() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let end = now();
    let good = |n| on_calls(0, &completed(&acme, &call_sid(n), 60, end));
    let mut no_value = raw(0, b"");
    no_value.payload = None;
    let mut no_duration = completed(&acme, &call_sid(9), 60, end);
    no_duration.as_object_mut().expect("an object").remove("CallDuration");
    let sent = [
        good(1),
        raw(0, b"\x00\xff not json"),
        good(2),
        no_value,
        on_calls(0, &no_duration),
        good(3),
    ];
    let placed = system.produce(&sent).await;
    system.settle(&api).await;
    let charged = api.charges("acme").await.expect("a list");
    assert_eq!(charged.len(), 3, "the good ones around the bad ones");
    let kept = rejects(&system);
    let mut seen: Vec<_> = kept
        .iter()
        .map(|row| (row["offset"].as_i64(), row["reason"].as_str().unwrap_or_default()))
        .collect();
    seen.sort_unstable();
    let offset = |index: usize| Some(placed[index].offset);
    let expected = [(offset(1), "undecodable"), (offset(3), "undecodable"), (offset(4), "invalid")];
    assert_eq!(seen, expected, "{kept:?}");
    for row in &kept {
        assert_eq!(row["topic"], system.topic(Topic::Calls));
        assert_eq!(row["partition"], 0);
    }
    until("the metric says so", SOON, async || {
        let metric = api.metric("callmeter_rejected_records", &[]).await;
        metric.filter(|count| *count == 3)
    })
    .await;

    let id = |reason: &str, offset: i64| {
        let row = kept.iter().find(|row| row["reason"] == reason && row["offset"] == offset);
        let id = &row.expect("it is kept")["id"];
        id.as_str().map_or_else(|| id.to_string(), str::to_owned)
    };
    let shown = system.run(&["rejects", "show", &id("invalid", placed[4].offset)]).expect_success();
    for part in [call_sid(9).as_str(), "CallDuration", "invalid"] {
        assert!(shown.stdout.contains(part), "no {part}: {}", shown.stdout);
    }
    system.run(&["rejects", "show", &id("undecodable", placed[3].offset)]).expect_success();
}

#[tokio::test]
async fn texts_that_a_database_cannot_hold_are_charged_with_a_replacement() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let text = |from: &str, n| {
        let event = completed(&acme, &call_sid(n), 61, now()).to_string();
        event.replace("+15005550001", from).into_bytes()
    };
    let mut latin_1 = text("client:@", 4);
    let at = latin_1.iter().position(|byte| *byte == b'@').expect("it is there");
    latin_1[at] = 0xe9;
    let payloads = [
        text(r"client:a\u0000b", 1),
        text(r"client:\ud800", 2),
        text(r"client:\udc00\ud83d\ude00", 3),
        latin_1,
    ];
    let records: Vec<_> = payloads.iter().map(|payload| raw(1, payload)).collect();
    system.produce(&records).await;
    system.settle(&api).await;
    let mut charged = api.charges("acme").await.expect("a list");
    charged.sort_by_key(|charge| charge.number);
    let from: Vec<_> = charged.iter().map(|charge| charge.from.as_deref().unwrap_or("")).collect();
    let expected = ["client:a\u{fffd}b", "client:\u{fffd}", "client:\u{fffd}😀", "client:\u{fffd}"];
    assert_eq!(from, expected);
    assert_eq!(rejects(&system), Vec::<Value>::new());
}

#[tokio::test]
async fn a_call_is_charged_once_whatever_shape_place_or_name_its_events_have() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let flat = completed(&acme, &call_sid(1), 61, now() - 40 * DAY);
    let wrapped = |id: &str, family: &str, data: Value| {
        json!({"specversion": "1.0", "id": id, "source": "x", "data": data,
               "type": format!("com.twilio.voice.{family}status-callback.call.completed")})
    };
    let data = json!({"request": {"parameters": flat}});
    let mut sent = vec![on_calls(0, &flat), on_calls(0, &flat)];
    for partition in 0..4 {
        let mut keyless = on_calls(partition, &wrapped("e1", "", data.clone()));
        keyless.key = None;
        let text = json!(data.to_string());
        let mut foreign = on_calls(partition, &wrapped("e2", "webhook.", text));
        foreign.key = Some(b"ACother".to_vec());
        sent.extend([on_calls(partition, &flat), keyless, foreign]);
    }
    system.produce(&sent).await;
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("a list").len(), 1);
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "0.960000", "two minutes at two cents, once");
    let outcome = |word| [("outcome", word)];
    let count = |word| {
        let api = api.clone();
        async move { api.metric("callmeter_events_total", &outcome(word)).await }
    };
    assert_eq!(count("duplicate").await, Some(i64::try_from(sent.len()).expect("few") - 1));
    assert_eq!(rejects(&system), Vec::<Value>::new());
}

#[tokio::test]
async fn another_length_of_a_charged_call_is_kept_once_and_charges_nothing() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let told = |seconds| on_calls(0, &completed(&acme, &call_sid(1), seconds, now()));
    system.produce(&[told(61), told(190), told(190), told(61), told(250), told(190)]).await;
    system.settle(&api).await;
    let charged = api.charges("acme").await.expect("a list");
    assert_eq!(charged.iter().map(|charge| charge.seconds).collect::<Vec<_>>(), [61]);
    let kept = rejects(&system);
    let reasons: Vec<_> = kept.iter().map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons, [Some("conflict"), Some("conflict")], "one per other length");
    let mut counts: Vec<_> = kept.iter().filter_map(|row| row["count"].as_i64()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 3], "{kept:?}");
    system.run(&["rejects", "replay"]);
    assert_eq!(api.charges("acme").await.expect("a list").len(), 1, "a replay changes nothing");
}

#[tokio::test]
async fn calls_of_an_account_made_later_are_charged_by_a_replay_once() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    system.open(&api, []).await;
    let late = account("late", 0);
    let end = now() - 3 * DAY;
    let records: Vec<_> =
        (0..8).map(|n| on_calls(n % 4, &completed(&late, &format!("CA{n}"), 61, end))).collect();
    system.produce(&records).await;
    system.produce(&records[..2]).await;
    system.produce(&[raw(0, b"hopeless")]).await;
    system.settle(&api).await;
    assert_eq!(rejects(&system).len(), 11);
    system.run(&["rejects", "replay"]);
    assert_eq!(rejects(&system).len(), 11, "nothing to charge it to, so it stays");

    let arguments =
        ["account", "create", "late", "--name", "Late", "--twilio-account-sid", &late.sid];
    system.run(&arguments).expect_success();
    system.run(&["rejects", "replay"]);
    let charged = api.charges("late").await.expect("a list");
    assert_eq!(charged.len(), 8);
    assert!(charged.iter().all(|charge| rfc3339(charge.started_at + 61_000_000) == rfc3339(end)));
    let wallet = api.get("/v1/accounts/late/wallet").await.expect(200);
    assert_eq!(wallet["balance"], "-0.320000", "eight calls of two minutes");
    let left: Vec<_> = rejects(&system).iter().map(|row| row["reason"].clone()).collect();
    assert_eq!(left, [json!("undecodable")], "only the hopeless one is left");
    system.run(&["rejects", "replay"]);
    system.produce(&records).await;
    system.settle(&api).await;
    assert_eq!(api.charges("late").await.expect("a list").len(), 8, "once for ever");
}

#[tokio::test]
async fn a_twilio_account_with_charges_never_moves_to_another_account() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme, &account("other", 0)]).await;
    let call = on_calls(0, &completed(&acme, &call_sid(1), 61, now() - MINUTE));
    system.produce(std::slice::from_ref(&call)).await;
    system.settle(&api).await;
    let taken = json!({"id": "third", "name": "Third", "twilio_account_sid": acme.sid});
    api.post("/v1/accounts", &taken).await.problem(409);
    let moved = system.run(&["account", "link", "other", &acme.sid]);
    assert_eq!(moved.code, Some(1), "{moved:?}");
    assert!(moved.stderr.contains("acme"), "says whose it is: {moved:?}");
    system.produce(&[call]).await;
    system.settle(&api).await;
    assert_eq!(api.charges("other").await.expect("a list").len(), 0);
    assert_eq!(api.charges("acme").await.expect("a list").len(), 1);

    // An account without charges may be moved, and its calls go with it.
    let fresh = account("fresh", 0);
    system.open(&api, [&fresh]).await;
    system.run(&["account", "link", "other", &fresh.sid]).expect_success();
    system.produce(&[on_calls(0, &completed(&fresh, &call_sid(2), 61, now()))]).await;
    system.settle(&api).await;
    assert_eq!(api.charges("fresh").await.expect("a list").len(), 0);
    assert_eq!(api.charges("other").await.expect("a list").len(), 1);
}

#[tokio::test]
async fn the_same_conflict_is_kept_once_also_where_a_replay_finds_it() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    system.open(&api, []).await;
    let late = account("late", 0);
    let told = |seconds| on_calls(0, &completed(&late, &call_sid(1), seconds, now()));
    system.produce(&[61, 62, 62, 62, 61].map(told)).await;
    system.settle(&api).await;
    assert_eq!(rejects(&system).len(), 5, "nobody is linked");
    let arguments =
        ["account", "create", "late", "--name", "Late", "--twilio-account-sid", &late.sid];
    system.run(&arguments).expect_success();
    let replayed = system.run(&["rejects", "replay"]).expect_success().stdout;
    assert_eq!(replayed.trim(), "1 charged, 3 conflict, 1 duplicate; 0.040000 dollars debited");
    let kept = || -> Vec<_> {
        let kept = rejects(&system).into_iter();
        kept.map(|row| (row["reason"].clone(), row["count"].clone())).collect()
    };
    assert_eq!(kept(), [(json!("conflict"), json!(3))]);
    system.run(&["rejects", "replay"]).expect_success();
    assert_eq!(kept(), [(json!("conflict"), json!(3))], "trying it again is no arrival");
    system.produce(&[told(62)]).await;
    system.settle(&api).await;
    let kept = rejects(&system);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0]["count"], 4, "one that arrives later counts in the same row");
    let id = kept[0]["id"].to_string();
    let shown = system.run(&["rejects", "show", &id]).expect_success().stdout;
    assert!(shown.contains("CallDuration"), "with its bytes: {shown}");
}

#[tokio::test]
async fn an_id_that_is_no_valid_text_is_kept_so_that_no_two_calls_become_one() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let event = completed(&acme, "CAx", 61, now()).to_string();
    let mut raw_byte = event.clone().into_bytes();
    let at = event.find("CAx").expect("its sid");
    raw_byte[at + 2] = 0xff;
    let payloads = [
        event.replace("CAx", r"CA\ud800").into_bytes(),
        event.replace("CAx", r"CA\ud801").into_bytes(),
        raw_byte,
        event.replace(&acme.sid, r"AC\udc00").into_bytes(),
    ];
    let records: Vec<_> = payloads.iter().map(|payload| raw(1, payload)).collect();
    let placed = system.produce(&records).await;
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("a list").len(), 0);
    let mut kept: Vec<_> = rejects(&system)
        .into_iter()
        .map(|row| (row["offset"].as_i64(), row["reason"].as_str().map(str::to_owned)))
        .collect();
    kept.sort_unstable();
    let invalid = Some("invalid".to_owned());
    let expected: Vec<_> =
        placed.iter().map(|record| (Some(record.offset), invalid.clone())).collect();
    assert_eq!(kept, expected);
}
