//! Checks that Stripe signed a web hook: `Stripe-Signature: t=…,v1=…`
//! (<https://docs.stripe.com/webhooks/signature>).
//!
//! Pure. The signature is HMAC-SHA256 of the time, a full stop and the body as it came, with the
//! endpoint's secret. While a secret rolls there are several `v1`, and several secrets here.
//!
//! No check may reveal how much of a wrong signature is right: comparisons take constant time. The
//! body must be checked before anything of it is read.

use chrono::{DateTime, Utc};
use ring::hmac;

use crate::config::Secret;

/// The greatest difference between the time of a signature and ours, in seconds, both ways.
const TOLERANCE_SECONDS: i64 = 300;
/// The most digits of a time.
const TIME_DIGITS_MAX: usize = 12;

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The header has no time, or two, or no `v1`.
    #[error("the signature has not stripe's form")]
    Malformed,
    /// None of the secrets signed this body at this time.
    #[error("the signature is wrong")]
    Wrong,
    /// It is right, and older than 300 seconds.
    #[error("the signature is too old")]
    TooOld,
    /// It is right, and its time lies more than 300 seconds ahead.
    #[error("the signature's time lies ahead")]
    Ahead,
}

/// Checks the header `Stripe-Signature` of a body, as it came. Any one of the secrets may have
/// signed it; an empty secret signs nothing.
///
/// # Errors
/// `TooOld` and `Ahead` only for a signature that is right.
pub fn verify(
    header: &str,
    body: &[u8],
    secrets: &[Secret],
    now: DateTime<Utc>,
) -> Result<(), BadSignature> {
    let (time, signatures) = parsed(header).ok_or(BadSignature::Malformed)?;
    let at: i64 = time.parse().map_err(|_| BadSignature::Malformed)?;
    let text = signed_text(time, body);
    let secrets = secrets.iter().filter(|secret| !secret.expose().is_empty());
    let is_right = secrets
        .map(key)
        .any(|key| signatures.iter().any(|signature| hmac::verify(&key, &text, signature).is_ok()));
    match now.timestamp() - at {
        _ if !is_right => Err(BadSignature::Wrong),
        age if age > TOLERANCE_SECONDS => Err(BadSignature::TooOld),
        age if age < -TOLERANCE_SECONDS => Err(BadSignature::Ahead),
        _ => Ok(()),
    }
}

/// Signs a body as Stripe does: the value of `Stripe-Signature`.
pub fn sign(secret: &Secret, body: &[u8], at: DateTime<Utc>) -> String {
    let time = at.timestamp().to_string();
    let signature = hmac::sign(&key(secret), &signed_text(&time, body));
    format!("t={time},v1={}", hex::encode(signature))
}

/// The time as written, and each `v1`. Other schemes (`v0`) are ignored, as Stripe asks.
fn parsed(header: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let (mut time, mut signatures) = (None, Vec::new());
    for item in header.split(',') {
        match item.split_once('=')? {
            ("t", _) if time.is_some() => return None,
            ("t", value) => time = Some(value),
            // One that is not hexadecimal is wrong; another one may be right.
            ("v1", value) => signatures.push(hex::decode(value).unwrap_or_default()),
            _ => {}
        }
    }
    let time = time?;
    let is_time = (1..=TIME_DIGITS_MAX).contains(&time.len())
        && time.bytes().all(|digit| digit.is_ascii_digit());
    (is_time && !signatures.is_empty()).then_some((time, signatures))
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
}

fn signed_text(time: &str, body: &[u8]) -> Vec<u8> {
    [time.as_bytes(), b".", body].concat()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
