//! Behind a proxy: streams pass at once and last, and Twilio's signatures remain valid.

use crate::bridge::accounts::call;
use crate::bridge::post::{DEFAULT_TOKEN, PUBLIC_URL, event, events, voice};
use crate::harness::document::operations;
use crate::harness::nginx::Nginx;
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use crate::live::{Events, PATH};
use crate::model::time::rfc3339;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// nginx cuts an upstream that sends nothing for 60 s.
const BEYOND_ITS_PATIENCE: Duration = Duration::from_secs(66);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_live_stream_passes_nginx_at_once_and_outlasts_its_patience() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 1_000_000);
    system.open(&api, [&acme]).await;
    let nginx = Nginx::before(&api).await;
    let outside = nginx.api(&api);
    let mut events = Events::of(outside.stream(PATH).await);
    events.until("1.000000", "0.000000").await;
    // Nothing changes: only comments arrive, each soon after the one before.
    let quiet_since = Instant::now();
    while quiet_since.elapsed() < BEYOND_ITS_PATIENCE {
        assert!(events.read().await, "cut after {:?}", quiet_since.elapsed());
    }
    system.produce(&[on_calls(0, &completed(&acme, &call_sid(1), 61, now()))]).await;
    events.until("0.960000", "0.000000").await;
    let credit = json!({"type": "credit", "amount": "5", "description": "late"});
    outside.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
    events.until("5.960000", "0.000000").await;
}

#[tokio::test]
async fn every_answer_that_streams_forbids_proxies_to_hold_it_back() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000)]).await;
    let month = &rfc3339(now())[..7];
    let (mut streaming, mut whole) = (BTreeSet::new(), 0);
    for operation in operations().iter().filter(|operation| operation.method == "get") {
        // Cards are a customer's alone; refills, numbers and receivers have to be made first; others
        // must be named, or are Twilio's to tell.
        let is_reached = operation.scopes() != ["account"];
        let path = operation.path.replace("{account}", "acme").replace("{month}", month);
        let parameters = operation.told["parameters"].as_array().into_iter().flatten();
        let is_asked = parameters
            .filter(|parameter| parameter["in"] == "query")
            .any(|parameter| parameter["required"] == true);
        if !is_reached || is_asked || path.contains('{') {
            continue;
        }
        let told = &operation.told["responses"]["200"];
        let streams = operation.told["x-streams"] == json!(true);
        for media_type in told["content"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            let answer = api.raw(&path, media_type).await;
            let name = format!("{path} as {media_type}");
            assert_eq!(answer.status(), 200, "{name}");
            let header =
                |name: &str| answer.headers().get(name).map(|it| it.to_str().expect("text"));
            assert!(header("content-type").is_some_and(|it| it.starts_with(media_type)), "{name}");
            if header("content-length").is_none() {
                assert_eq!(header("x-accel-buffering"), Some("no"), "{name}");
                assert!(streams, "{name} streams, which the document does not tell");
                assert!(!told["headers"]["X-Accel-Buffering"].is_null(), "{name}");
                streaming.insert(operation.told["operationId"].as_str());
            } else {
                assert_eq!(header("x-accel-buffering"), None, "{name}");
                whole += 1;
            }
        }
    }
    let told = operations().into_iter().filter(|it| it.told["x-streams"] == json!(true));
    let told: BTreeSet<_> = told.map(|it| it.told["operationId"].as_str()).collect();
    assert_eq!(streaming, told, "what streams, and what the document says");
    assert!(streaming.len() >= 3 && whole >= 10, "{streaming:?} and {whole} whole answers");
}

#[tokio::test]
async fn what_twilio_signed_passes_nginx_where_the_public_address_is_set() {
    let mut system = System::new().await;
    let acme = account("acme", 1_000_000);
    let token = ("TWILIO_AUTH_TOKEN", DEFAULT_TOKEN);
    let told = system.start("meter,api", &[token, ("CALLMETER__HTTP__PUBLIC_URL", PUBLIC_URL)]);
    let told = system.ready(told).await;
    let untold = system.start("api", &[token]);
    let untold = system.ready(untold).await;
    system.open(&told, [&acme]).await;
    let nginx = Nginx::before(&told).await;
    let outside = nginx.api(&told);
    let posts = [voice("?tag=a%20b&x=%2F..%2F", &call(&acme, 1)), {
        let mixed = json!([event(&call(&acme, 2)), event(&call(&acme, 3))]);
        events("", mixed.to_string())
    }];
    // nginx sends the service's name as the host, not the one that Twilio called.
    let other = Nginx::before(&untold).await;
    for post in &posts {
        let misnamed = post.send(&other.api(&untold), DEFAULT_TOKEN).await;
        assert_eq!(misnamed.problem(403), "bad_signature");
        assert_eq!(post.send(&outside, DEFAULT_TOKEN).await.status, 204);
    }
    system.settle(&told).await;
    assert_eq!(outside.charges("acme").await.expect("a list").len(), 3);
}
