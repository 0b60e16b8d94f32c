//! The content of signed requests: nothing is lost for being odd.

use serde_json::{Value, json};

use super::accounts::{call, served, settings};
use super::post::{DEFAULT_TOKEN, Post, event, events, voice};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now};
use crate::harness::system::System;
use crate::model::read::Topic;

fn rejects(system: &System) -> Vec<String> {
    let listed = system.run(&["rejects", "list", "--json"]).expect_success();
    let reason = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("JSON");
        row["reason"].as_str().expect("a reason").to_owned()
    };
    listed.stdout.lines().map(reason).collect()
}

/// A form whose body is these bytes.
fn raw_form(body: &[u8], read_as: &[(&str, &str)]) -> Post {
    let form = read_as.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let form = Some(form.collect());
    Post { path: "/webhooks/twilio/voice".to_owned(), body: body.to_vec(), form }
}

#[tokio::test]
async fn signed_but_odd_content_is_taken_and_kept_by_the_meter() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &settings(), &[&acme]).await;
    let sid = acme.sid.as_str();
    let odd = [
        (voice("", &json!({"AccountSid": sid, "CallStatus": "completed"})), 1),
        (
            voice(
                "",
                &json!({"AccountSid": sid, "CallSid": "CA\u{0}1", "CallStatus": "completed",
            "CallDuration": "1"}),
            ),
            1,
        ),
        (voice("", &json!({})), 1),
        (voice("", &json!({"AccountSid": "AC\u{0}"})), 1),
        (raw_form(b"a=%FF&b=\xff", &[("a", "\u{fffd}"), ("b", "\u{fffd}")]), 1),
        (events("", "[]"), 0),
        (events("", ""), 1),
        (events("", "nonsense"), 1),
        (events("", "[1, null, {}]"), 3),
        (events("", b"[\xff".to_vec()), 1),
        (events("", json!([{"specversion": "1.0", "type": "com.twilio.other"}]).to_string()), 0),
    ];
    let mut kept = 0;
    for (post, rejected) in odd {
        let answer = post.send(&api, DEFAULT_TOKEN).await;
        assert_eq!(answer.status, 204, "{post:?} {answer:?}");
        kept += rejected;
    }
    system.settle(&api).await;
    assert_eq!(rejects(&system).len(), kept);
    assert_eq!(api.charges("acme").await.expect("a list").len(), 0);
}

#[tokio::test]
async fn odd_text_in_a_signed_call_refuses_no_charge() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &settings(), &[&acme]).await;
    let changed = |number: usize, key: &str, value: Value| {
        let mut parameters = call(&acme, number);
        parameters[key] = value;
        parameters
    };
    let surrogate = event(&changed(3, "To", json!("client:@"))).to_string();
    let latin_1 = event(&changed(4, "To", json!("client:@"))).to_string().into_bytes();
    let latin_1 =
        latin_1.iter().map(|byte| if *byte == b'@' { 0xe9 } else { *byte }).collect::<Vec<_>>();
    let posts = [
        voice("", &changed(1, "To", json!("client:\u{0}"))),
        voice("", &changed(2, "To", json!("client:😀 & co=?"))),
        events("", format!("[{}]", surrogate.replace('@', r"\ud800"))),
        events("", [b"[".as_slice(), &latin_1, b" ]"].concat()),
        // A single object, as some sinks would send it, at an age at which no retry comes.
        events("", event(&completed(&acme, &call_sid(5), 61, now() / 2)).to_string()),
        voice("", &completed(&acme, &call_sid(6), 61, now() / 2)),
    ];
    for post in posts {
        let answer = post.send(&api, DEFAULT_TOKEN).await;
        assert_eq!(answer.status, 204, "{post:?} {answer:?}");
    }
    system.settle(&api).await;
    let mut charges = api.charges("acme").await.expect("a list");
    charges.sort_by(|a, b| a.call_sid.cmp(&b.call_sid));
    let to: Vec<_> = charges.iter().map(|charge| charge.to.as_deref().unwrap_or("")).collect();
    let plain = "+12125550123";
    let replaced = "client:\u{fffd}";
    assert_eq!(to, [replaced, "client:😀 & co=?", replaced, replaced, plain, plain]);
    assert_eq!(rejects(&system), [] as [String; 0]);
}

#[tokio::test]
async fn the_tag_of_the_callbacks_address_is_kept_on_the_charge() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &settings(), &[&acme]).await;
    let addressed = |number: usize, url: &str| {
        let mut event = event(&call(&acme, number));
        event["data"]["request"]["url"] = json!(url);
        event
    };
    let mut own = call(&acme, 5);
    own["tag"] = json!("own");
    let posts = [
        voice("?tag=spring%20sale", &call(&acme, 1)),
        voice("?x=1&tag=it%27s+%C3%A9", &call(&acme, 2)),
        events("", json!([addressed(3, "https://h/status?a=b&tag=autumn%2B1#rc=5")]).to_string()),
        events(
            "?tag=sink",
            json!(
                [addressed(4, "https://h/status?tag=call"), event(&own), event(&call(&acme, 6)),]
            )
            .to_string(),
        ),
        voice("?tag=", &call(&acme, 7)),
    ];
    for post in posts {
        assert_eq!(post.send(&api, DEFAULT_TOKEN).await.status, 204, "{post:?}");
    }
    system.settle(&api).await;
    let mut tags: Vec<_> = api.items("/v1/accounts/acme/calls", 100).await.expect("a list");
    tags.sort_by_key(|call| call["call_sid"].as_str().map(str::to_owned));
    let tags: Vec<_> = tags.iter().map(|call| call["tag"].clone()).collect();
    let expected = json!(["spring sale", "it's é", "autumn+1", "call", "own", "sink", Value::Null]);
    assert_eq!(json!(tags), expected);
    let found = api.items("/v1/accounts/acme/calls?tag=spring%20sale", 100).await.expect("a list");
    assert_eq!(found.len(), 1);
    // A tag that is stored cut is also found by the whole tag.
    let long = "x".repeat(300);
    let post = voice(&format!("?tag={long}"), &call(&acme, 8));
    assert_eq!(post.send(&api, DEFAULT_TOKEN).await.status, 204);
    system.settle(&api).await;
    for tag in [&long, &long[..256]] {
        let path = format!("/v1/accounts/acme/calls?tag={tag}");
        let found = api.items(&path, 100).await.expect("a list");
        assert_eq!(found.len(), 1);
    }
}

#[tokio::test]
async fn every_form_of_the_address_is_accepted_and_no_other() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let token = [("TWILIO_AUTH_TOKEN", DEFAULT_TOKEN)];
    let api = served(&mut system, &token, &[&acme]).await;
    let port = system.services[0].port;
    // Without a public address in the settings, the host in the request is used.
    let own = format!("http://127.0.0.1:{port}");
    let secure = format!("https://127.0.0.1:{port}");
    for (number, (base, status)) in [
        (own.as_str(), 204),
        (&secure, 204),
        ("http://127.0.0.1", 204),
        ("https://example.com", 403),
    ]
    .into_iter()
    .enumerate()
    {
        let callback = voice("?a=b", &call(&acme, number));
        let (path, signature) = callback.sign(base, DEFAULT_TOKEN);
        assert_eq!(callback.send_to(&api, &path, Some(&signature)).await.status, status, "{base}");
    }
    // A proxy adds a path in front; Twilio signs with the port or without it.
    let public = "https://wallet.example.com/callmeter/";
    let changed = [token[0], ("CALLMETER__HTTP__PUBLIC_URL", public)];
    let index = system.start("api", &changed);
    let behind = system.ready(index).await;
    for (base, status) in [
        ("https://wallet.example.com/callmeter", 204),
        ("https://wallet.example.com:443/callmeter", 204),
        ("https://wallet.example.com", 403),
        ("http://wallet.example.com/callmeter", 403),
        (own.as_str(), 403),
    ] {
        let callback = events("", json!([event(&call(&acme, 9))]).to_string());
        let (path, signature) = callback.sign(base, DEFAULT_TOKEN);
        assert_eq!(
            callback.send_to(&behind, &path, Some(&signature)).await.status,
            status,
            "{base}"
        );
    }
}

#[tokio::test]
async fn one_event_that_kafka_cannot_hold_loses_neither_its_own_call_nor_the_others() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let mut changed = settings();
    changed.push(("CALLMETER__TWILIO__CALLBACK_BYTES_MAX", "2000000"));
    let api = served(&mut system, &changed, &[&acme]).await;
    let padded = |number: usize, bytes: usize| {
        let mut parameters = call(&acme, number);
        parameters["ToCity"] = json!("x".repeat(bytes));
        parameters
    };
    let many: Vec<_> = (1..=1_500).map(|number| event(&call(&acme, number))).collect();
    let mut long = event(&padded(2_002, 960_000));
    long["data"] = json!(long["data"].to_string());
    long["time"] = json!("2026-01-02T03:04:05Z");
    let mut odd = event(&padded(2_004, 960_000));
    odd["data"]["request"]["parameters"]["CallDuration"] = json!("soon");
    let unread =
        json!({"specversion": "1.0", "type": "com.twilio.other", "x": "x".repeat(960_000)});
    let garbage = json!({"x": "x".repeat(960_000)});
    let posts = [
        (events("", json!(many).to_string()), 204),
        (voice("", &padded(2_000, 900_000)), 204),
        (voice("?tag=long", &padded(2_001, 1_000_000)), 204),
        (events("", json!([long, event(&call(&acme, 2_003))]).to_string()), 204),
        (events("", json!([odd, event(&call(&acme, 2_005))]).to_string()), 204),
        (events("", json!([unread, garbage]).to_string()), 204),
        (voice("", &padded(2_006, 2_000_000)), 413),
    ];
    for (post, status) in posts {
        let answer = post.send(&api, DEFAULT_TOKEN).await;
        assert_eq!(answer.status, status, "{} bytes {answer:?}", post.body.len());
        // Without a signature the answer does not reveal the size limit.
        if status == 204 && post.body.len() > 950_000 {
            let unsigned = post.send_to(&api, &post.path, None).await;
            assert_eq!(unsigned.problem(403), "bad_signature");
        }
    }
    system.settle(&api).await;
    let mut charges = api.items("/v1/accounts/acme/calls", 1_000).await.expect("a list");
    charges.retain(|call| call["call_sid"].as_str() > Some(call_sid(1_500).as_str()));
    charges.sort_by_key(|call| call["call_sid"].as_str().map(str::to_owned));
    let sids: Vec<_> = charges.iter().map(|call| call["call_sid"].clone()).collect();
    let expected = [2_000, 2_001, 2_002, 2_003, 2_005].map(call_sid);
    assert_eq!(json!(sids), json!(expected));
    assert_eq!(charges[1]["tag"], "long");
    assert_eq!(charges[2]["seconds"], 61);
    assert_eq!(charges[2]["to"], "+12125550123");
    // Content that charges nobody is kept with its length and hash.
    assert_eq!(rejects(&system), ["invalid", "invalid"]);
    let kept = system.run(&["rejects", "show", "2"]).expect_success().stdout;
    assert!(kept.contains("sha256") && kept.contains("\"bytes\":9600"), "{kept}");
}

#[tokio::test]
async fn an_array_may_name_any_number_of_accounts() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = served(&mut system, &settings(), &[&acme]).await;
    let strange = |number: usize| {
        let mut call = call(&acme, number);
        call["AccountSid"] = json!(format!("AC{number:032}"));
        event(&call)
    };
    let mut mixed: Vec<_> = (1..=1_200).map(strange).collect();
    mixed.push(event(&call(&acme, 0)));
    // The settings' token also signs for accounts that no customer pays for: their events are kept.
    let post = events("", json!(mixed).to_string());
    assert_eq!(post.send(&api, DEFAULT_TOKEN).await.status, 204);
    system.settle(&api).await;
    assert_eq!(api.charges("acme").await.expect("a list").len(), 1);
    assert_eq!(rejects(&system).len(), 1_200);
}

#[tokio::test]
async fn a_topic_that_is_made_anew_takes_callbacks_again() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let mut changed = settings();
    changed.push(("CALLMETER__HTTP__REQUEST_SECONDS_MAX", "3"));
    let index = system.start("api", &changed);
    let api = system.ready(index).await;
    system.open(&api, [&acme]).await;
    for number in 0..8 {
        assert_eq!(voice("", &call(&acme, number)).send(&api, DEFAULT_TOKEN).await.status, 204);
    }
    let topic = system.topic(Topic::Calls);
    system.kafka.delete_topic(&topic).await;
    system.kafka.create_topic(&topic, 2).await;
    until("callbacks are taken again", SOON, async || {
        let answer = voice("", &call(&acme, 8)).send(&api, DEFAULT_TOKEN).await;
        assert!([204, 503].contains(&answer.status), "{answer:?}");
        (answer.status == 204).then_some(())
    })
    .await;
    assert_eq!(voice("", &call(&acme, 9)).send(&api, DEFAULT_TOKEN).await.status, 204);
}
