//! Sends events to the endpoints, signed as Stripe signs them, until an answer is 2xx.
//!
//! The signature is made here and not by the client's module, so that the two check each other
//! (<https://docs.stripe.com/webhooks#verify-manually>). Its time is that of the unmoved clock.

use std::time::Duration;

use reqwest::redirect::Policy;
use ring::hmac;
use tokio::time::Instant;

use super::outbox::{Attempt, Delivery, Next};
use super::world::LocalStripe;
use crate::http_client;

/// Longest time for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Stripe retries for three days; here the attempts are counted.
const ATTEMPTS_MAX: u32 = 100;

/// Delivers until it is dropped. An endpoint gets one delivery after the other.
pub(super) async fn run(stripe: LocalStripe) {
    let client = http_client::client(|it| it.timeout(ANSWER_MAX).redirect(Policy::none()));
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::warn!(%error, "the local Stripe cannot deliver events");
            return;
        }
    };
    let mut changes = stripe.changes.subscribe();
    loop {
        changes.mark_unchanged();
        match next(&stripe) {
            Next::Send(delivery) => send(&stripe, &client, *delivery).await,
            Next::WaitUntil(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    _ = changes.changed() => {}
                }
            }
            Next::Wait => drop(changes.changed().await),
        }
    }
}

fn next(stripe: &LocalStripe) -> Next {
    let mut world = stripe.lock();
    if world.behaviour.holds_deliveries {
        return Next::Wait;
    }
    world.outbox.next(Instant::now())
}

async fn send(stripe: &LocalStripe, client: &reqwest::Client, delivery: Delivery) {
    let at = stripe.clock.now().timestamp();
    let secret = if delivery.is_forged { "whsec_forged" } else { &delivery.secret };
    let request = client
        .post(&delivery.url)
        .header("Content-Type", "application/json; charset=utf-8")
        .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header("Stripe-Signature", signature(secret, at, &delivery.body))
        .body(delivery.body.clone());
    let status = request.send().await.ok().map(|answer| answer.status().as_u16());
    let attempt = Attempt {
        event: delivery.event.clone(),
        kind: delivery.kind.clone(),
        url: delivery.url.clone(),
        status,
        attempt: delivery.attempt,
        is_forged: delivery.is_forged,
    };
    let is_taken = status.is_some_and(|status| (200..300).contains(&status));
    let mut world = stripe.lock();
    world.outbox.attempts.push(attempt);
    if !is_taken && !delivery.is_forged && delivery.attempt < ATTEMPTS_MAX {
        let behaviour = world.behaviour.clone();
        world.outbox.retry(delivery, &behaviour);
    }
}

/// The header `Stripe-Signature`.
fn signature(secret: &str, at: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::signature;

    #[test]
    fn the_signature_is_that_of_openssl() {
        // printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let signed = signature("whsec_test", 1_700_000_000, r#"{"id":"evt_1"}"#);
        assert_eq!(
            signed,
            "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
        );
    }
}
