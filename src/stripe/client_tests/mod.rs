//! What the client makes of every way in which a request can end.

mod counterpart;
mod outcomes;
mod requests;

use super::*;
use crate::stripe::PaymentIntent;
use counterpart::{Counterpart, Reaction, answer};

const KEY: &str = "sk_test_51NeverShowThisKey";
const IDEMPOTENCY_KEY: &str = "rf_00010f107f80abcdefff020304050607-1-create";
const INTENT: &str = r#"{"id": "pi_1", "object": "payment_intent", "status": "succeeded",
    "amount": 1000, "amount_received": 1000, "currency": "usd", "livemode": false, "created": 1,
    "client_secret": "pi_1_secret_never_shown"}"#;
/// Longer than any test needs.
const LONG: Duration = Duration::from_secs(30);

fn client(base: &str) -> StripeClient {
    StripeClient::open(base, &Secret::from(KEY.to_owned())).expect("a client")
}

fn form() -> Form {
    Form::new()
        .with("amount", "1000")
        .with("metadata[callmeter_refill]", "rf_1")
        .with("receipt_email", "anna+never.shown@example.com")
}

/// Creates a payment at a counterpart that follows the script.
async fn create(
    script: &[Reaction],
    time: Duration,
) -> (Result<PaymentIntent, StripeError>, Counterpart) {
    let counterpart = Counterpart::start(script).await;
    let client = client(&counterpart.base);
    let deadline = Deadline::after(time);
    let created = client.create_payment_intent(&form(), IDEMPOTENCY_KEY, deadline).await;
    if let Err(error) = &created {
        assert_tells_nothing(&format!("{error} {error:?} {error:#?}"));
    }
    (created, counterpart)
}

#[track_caller]
fn assert_tells_nothing(text: &str) {
    for secret in [KEY, "NeverShow", "never.shown", "never_shown", "No such", "Bearer"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

fn body_of(request: &str) -> &str {
    request.split_once("\r\n\r\n").expect("a head").1
}

fn header_of<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let head = request.split_once("\r\n\r\n").expect("a head").0;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
