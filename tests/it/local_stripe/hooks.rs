//! Web hooks: signed, in order, repeated until they are taken.

use super::{Shop, id};
use crate::harness::poll::{SOON, until};
use crate::harness::stripe::WEBHOOK_SECRET;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use ring::hmac;
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// What an endpoint received: the signature and the raw body.
type Received = Arc<Mutex<Vec<(String, String)>>>;

/// Answers 500 to the first `failures` deliveries.
async fn endpoint(failures: usize) -> (String, Received) {
    let received = Received::default();
    let kept = Arc::clone(&received);
    let take = move |headers: HeaderMap, body: String| async move {
        let signature = headers["stripe-signature"].to_str().expect("text").to_owned();
        let mut kept = kept.lock().expect("no panic");
        kept.push((signature, body));
        if kept.len() <= failures {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::NO_CONTENT
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let router = Router::new().route("/webhooks/stripe", post(take));
        axum::serve(listener, router).await
    });
    (url, received)
}

fn is_signed(signature: &str, body: &str) -> bool {
    let (time, tag) = signature.split_once(",v1=").expect("a signature");
    let time = time.strip_prefix("t=").expect("a time");
    let age = now() - time.parse::<i64>().expect("seconds");
    let key = hmac::Key::new(hmac::HMAC_SHA256, WEBHOOK_SECRET.as_bytes());
    let tag = hex::decode(tag).expect("hexadecimal digits");
    age.abs() < 60 && hmac::verify(&key, format!("{time}.{body}").as_bytes(), &tag).is_ok()
}

fn now() -> i64 {
    callmeter::clock::Clock::system().now().timestamp()
}

fn kinds(received: &Received) -> Vec<String> {
    let received = received.lock().expect("no panic");
    let kind = |body: &str| -> Value { serde_json::from_str(body).expect("JSON") };
    received
        .iter()
        .map(|(_, body)| kind(body)["type"].as_str().expect("a type").to_owned())
        .collect()
}

#[tokio::test]
async fn events_are_delivered_signed_and_again_after_a_failure() {
    let shop = Shop::open();
    let (url, received) = endpoint(1).await;
    shop.stripe.local.change_behaviour(|it| it.retry_milliseconds = 1);
    shop.stripe.deliver_to(&url);
    let payment = shop.pay("1900", "pm_card_visa", &[]).await.expect(200);
    let all = until("all events", SOON, async || {
        let received = received.lock().expect("no panic").clone();
        (received.len() == 5).then_some(received)
    })
    .await;
    assert!(all.iter().all(|(signature, body)| is_signed(signature, body)));
    let mut kinds = kinds(&received);
    assert_eq!(kinds[0], "payment_intent.created");
    kinds.sort();
    kinds.dedup();
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    let last = all.iter().find(|(_, body)| body.contains("\"payment_intent.succeeded\""));
    let event: Value = serde_json::from_str(&last.expect("an event").1).expect("JSON");
    assert_eq!(event["data"]["object"], payment);
    assert_eq!(
        (&event["api_version"], &event["livemode"]),
        (&"2025-09-30.clover".into(), &false.into())
    );
    assert!(event["request"]["id"].as_str().expect("an id").starts_with("req_"));
    let path = format!("/v1/events/{}", id(&event));
    assert_eq!(shop.get(&path, &[]).await.expect(200), event);
}

#[tokio::test]
async fn deliveries_are_lost_doubled_forged_and_held_as_the_behaviour_says() {
    let shop = Shop::open();
    let (url, received) = endpoint(0).await;
    let local = &shop.stripe.local;
    shop.stripe.deliver_to(&url);
    local.change_behaviour(|it| it.lost_percent = 100);
    shop.customer().await;
    local.change_behaviour(|it| {
        it.lost_percent = 0;
        it.doubled_percent = 100;
        it.forged_percent = 100;
        it.holds_deliveries = true;
    });
    shop.customer().await;
    assert_eq!((local.undelivered(), kinds(&received).len()), (3, 0));
    local.change_behaviour(|it| it.holds_deliveries = false);
    until("three deliveries", SOON, async || (kinds(&received).len() == 3).then_some(())).await;
    let received = received.lock().expect("no panic").clone();
    let signed: Vec<bool> = received.iter().map(|(tag, body)| is_signed(tag, body)).collect();
    assert_eq!(signed, [false, true, true]);
    assert_eq!(received[1].1, received[2].1);
}
