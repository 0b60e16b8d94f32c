//! No log line and no metric reveals a phone number, a token or a key. The harness searches the
//! output of each system when it ends; here one system is made to log much, and the search is
//! proved.

use serde_json::json;

use crate::bridge::post::{DEFAULT_TOKEN, PUBLIC_URL, events, voice};
use crate::harness::api::ADMIN_KEY;
use crate::harness::leaks::Numbers;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;

const TOKEN: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";

/// The numbers that these tests use.
fn numbers() -> Numbers {
    let numbers = Numbers::default();
    numbers.note(b"From=%2B15005550001 \"To\":\"+442071838750\" \"+88161234567\" +12137461960");
    numbers
}

#[test]
fn the_search_finds_what_is_planted() {
    let clean = "2026-11-24T04:15:00.123456+00:00  INFO serving roles={Api} offset=15005 \
        id=019abcde-0123-7abc-8def-0123456789ab AC00000000000000000000000000000001 \
        +44********50 1764000000000 batch=12150 seconds=0.15006938000000003 took=12.15537544599999\n";
    let numbers = numbers();
    assert_eq!(numbers.found(clean), [] as [String; 0]);
    for planted in [
        "to=+442071838750",
        "from=15005550001",
        "from=0015005550001",
        "number 5005550001 is odd",
        "the number begins with 44207183875",
        "body: From=%2B15005550001",
        "never used: +493012345678",
        "\"to\":\"+88161234567\"",
        &format!("token {TOKEN}"),
        &format!("authorization: Bearer {ADMIN_KEY}"),
        "key=cmk_abcdef",
        &TOKEN.to_uppercase(),
    ] {
        let found = numbers.found(&format!("{clean}WARN {planted}\n{clean}"));
        assert!(!found.is_empty(), "{planted}");
    }
    let metrics = "callmeter_events_total{outcome=\"charged\"} 15005550001.5\n";
    assert_eq!(numbers.found_in_metrics(metrics).len(), 1);
    let labelled = [
        "callmeter_events_total{account=\"acme\"} 1",
        "callmeter_events_total{sid=\"AC00000000000000000000000000000001\"} 1",
    ];
    for line in labelled {
        assert_eq!(numbers.found_in_metrics(line).len(), 1, "{line}");
    }
    assert_eq!(
        numbers.found_in_metrics("callmeter_events_total{outcome=\"charged\"} 1"),
        [] as [String; 0]
    );
}

#[test]
fn a_figure_that_looks_like_a_phone_number_is_none() {
    for figure in [
        "callmeter_event_lag_seconds_sum 1213746196.062283",
        "callmeter_event_lag_seconds_sum 1500555000.25",
        "callmeter_rejected_bytes 15005550002",
        "callmeter_job_last_success_timestamp_seconds{job=\"sweep\"} 1646123456",
        "callmeter_batch_commit_seconds_sum 0.1213746196062283",
    ] {
        assert_eq!(numbers().found_in_metrics(figure), [] as [String; 0]);
    }
}

#[tokio::test]
async fn a_service_that_logs_all_it_can_tells_no_number_token_or_key() {
    let mut system = System::new().await;
    let keys = format!("of-the-settings={TOKEN}");
    let settings = [
        ("CALLMETER__LOG__LEVEL", "info,callmeter=trace,sqlx=debug,rdkafka=debug"),
        ("CALLMETER__HTTP__PUBLIC_URL", PUBLIC_URL),
        ("TWILIO_AUTH_TOKEN", DEFAULT_TOKEN),
        ("TWILIO_SHARED_KEYS", keys.as_str()),
    ];
    let index = system.start("meter,api,jobs", &settings);
    let api = system.ready(index).await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let own = json!({"twilio_auth_token": TOKEN, "twilio_shared_keys": {"own": TOKEN},
        "email": "someone@example.com"});
    api.patch("/v1/accounts/acme", &own).await.expect(200);
    let call = |number| completed(&acme, &call_sid(number), 61, now());
    // Valid, forged, foreign and odd requests, with numbers in every place.
    let mut odd = call(2);
    odd["CallStatus"] = json!("+15005550001");
    odd["CallDuration"] = json!("15005550001");
    for post in
        [voice("?tag=%2B15005550001", &call(1)), voice("", &odd), events("", "+15005550001")]
    {
        assert_eq!(post.send(&api, TOKEN).await.status, 204);
        assert_eq!(post.send(&api, "no token of ours").await.status, 403);
        assert_eq!(post.send_by_key(&api, "own", TOKEN).await.status, 204);
        assert_eq!(post.send_by_key(&api, "own", "no secret of ours").await.status, 403);
    }
    let mut records = vec![on_calls(0, &odd), on_calls(1, &call(1)), on_calls(2, &call(3))];
    records[2].payload = Some(b"{\"From\":\"+15005550001\"".to_vec());
    system.produce(&records).await;
    // Accepted and refused, with numbers in bodies, queries, paths and headers.
    let ask = json!({"account": "acme", "call_sid": "+15005550001", "from": "+15005550001",
        "to": "+12125550123", "direction": "outbound-api"});
    assert_eq!(api.post("/v1/authorizations", &ask).await.expect(200)["decision"], "allow");
    let beyond = json!({"account": "nobody", "call_sid": "x", "from": 15_005_550_001_u64});
    assert_eq!(api.post("/v1/authorizations", &beyond).await.status, 400);
    assert_eq!(api.get("/v1/accounts/15005550001/wallet").await.status, 404);
    assert_eq!(api.get("/v1/accounts/acme/calls?to=%2B15005550001").await.status, 400);
    assert_eq!(api.get("/nowhere/15005550001").await.status, 404);
    let header = [("x-request-id", "+15005550001"), ("idempotency-key", "15005550001")];
    let sent = api.send(reqwest::Method::GET, "/v1/accounts/acme", &header, None).await;
    assert_eq!(sent.expect("an answer").status, 200);
    let stranger = api.with_key(Some("cmk_not-a-key-of-ours-0123456789abcdef"));
    assert_eq!(stranger.get("/v1/accounts/acme").await.status, 401);
    system.settle(&api).await;
    until("all of it is logged", SOON, async || {
        let log = system.services[index].log_text();
        ["a callback is refused", "request answered"]
            .iter()
            .all(|it| log.contains(it))
            .then_some(())
    })
    .await;
}
