//! What Stripe is asked for, and under which Idempotency-Key. A repeated request is the same byte
//! for byte: everything in it comes from rows that never change.

use callmeter_core::domain::{PaymentIntentId, PaymentMethodId, RefillTrigger, StripeCustomerId};

use super::cents;
use crate::ledger::LedgerError;
use crate::ledger::payments::refills::Refill;
use crate::ledger::payments::refunds::Refund;
use crate::stripe::{Form, StripeError};

/// Keys of one request, before it is given up for now.
const KEYS_MAX: u32 = 3;

/// The key of one request of one attempt.
pub(super) fn key(ledger: &str, refill: &Refill, what: &str) -> String {
    format!("{ledger}-{}-{}-{what}", refill.id, refill.attempt)
}

/// The key of the request that makes the customer of an account. It has the account's id: a ledger
/// restored from a backup gives the numbers of lost accounts to new ones.
pub(super) fn customer_key(ledger: &str, account: &str) -> String {
    format!("{ledger}-customer-{account}")
}

/// Adds the metadata of everything that belongs to an account.
fn with_metadata(form: Form, ledger: &str, account: &str) -> Form {
    form.with("metadata[callmeter_ledger]", ledger).with("metadata[callmeter_account]", account)
}

/// `POST /v1/customers`.
pub(super) fn customer(ledger: &str, account: &str) -> Form {
    with_metadata(Form::new(), ledger, account)
}

/// `POST /v1/setup_intents`: a card for later payments without the customer.
pub(super) fn setup(ledger: &str, account: &str, customer: &StripeCustomerId) -> Form {
    let form = Form::new().with("customer", customer.as_str()).with("usage", "off_session");
    with_metadata(form.with("payment_method_types[]", "card"), ledger, account)
}

/// `POST /v1/payment_intents`, unconfirmed.
///
/// # Errors
/// If the amount has fractions of a cent: it was never accepted.
pub(super) fn create(
    ledger: &str,
    refill: &Refill,
    customer: &StripeCustomerId,
) -> Result<Form, LedgerError> {
    let amount = cents(refill.amount)
        .ok_or_else(|| LedgerError::unreadable("a refill's amount", refill.amount))?;
    let card = refill.payment_method.as_ref().filter(|_| !refill.has_new_card);
    let form = Form::new()
        .with("amount", amount.to_string())
        .with("currency", "usd")
        .with("customer", customer.as_str())
        .with("payment_method_types[]", "card")
        .with_some("payment_method", card.map(PaymentMethodId::as_str))
        .with_some("setup_future_usage", refill.saves_card.then_some("off_session"))
        .with_some("receipt_email", refill.receipt_email.as_deref());
    let request = refill.request_key.as_deref().zip(refill.request_sha256.as_deref());
    let (key, sha256) = request.filter(|_| refill.notes_request).unzip();
    let sha256 = sha256.map(hex::encode);
    let form = with_metadata(form, ledger, refill.account.as_str())
        .with("metadata[callmeter_refill]", refill.id.as_str())
        .with("metadata[callmeter_attempt]", refill.attempt.to_string())
        .with("metadata[callmeter_trigger]", refill.trigger.as_str())
        .with_some("metadata[callmeter_request]", key)
        .with_some("metadata[callmeter_request_sha256]", sha256.as_deref());
    Ok(form)
}

/// `POST /v1/payment_intents/{id}/confirm`. The customer is there, unless the refill is automatic.
pub(super) fn confirm(refill: &Refill) -> Form {
    let is_automatic = refill.trigger == RefillTrigger::Auto;
    Form::new()
        .with_some("return_url", refill.return_url.as_deref())
        .with_some("off_session", is_automatic.then_some("true"))
}

/// The key of the request that makes a refund.
pub(super) fn refund_key(ledger: &str, refund: &Refund) -> String {
    format!("{ledger}-{}-{}-refund", refund.id, refund.attempt)
}

/// `POST /v1/refunds`.
pub(super) fn refund_form(ledger: &str, refund: &Refund, intent: &PaymentIntentId) -> Form {
    let cents = cents(refund.amount).unwrap_or_default();
    let form = Form::new()
        .with("payment_intent", intent.as_str())
        .with("amount", cents.to_string())
        .with("reason", "requested_by_customer");
    with_metadata(form, ledger, refund.account.as_str())
        .with("metadata[callmeter_refill]", refund.refill.as_str())
        .with("metadata[callmeter_refund]", refund.id.as_str())
        .with("metadata[callmeter_attempt]", refund.attempt.to_string())
}

/// A key for a request that may be sent twice without harm, such as a cancellation. It is a new one
/// each time: Stripe keeps a 5xx under its key for a day.
pub(super) fn new_key(ledger: &str) -> String {
    format!("{ledger}-{:032x}", rand::random::<u128>())
}

/// Sends a request that does no harm twice, under one key after another while Stripe answers 5xx:
/// each key is asked twice, because the first answer may have come from before Stripe's memory.
pub(super) async fn under_keys<T, F>(
    key: &str,
    send: impl Fn(String) -> F,
) -> Result<T, StripeError>
where
    F: Future<Output = Result<T, StripeError>>,
{
    let mut made = send(key.to_owned()).await;
    for key in keys(key).skip(1) {
        if !matches!(made, Err(StripeError::Server { .. })) {
            break;
        }
        made = send(key).await;
    }
    made
}

/// The keys of [`under_keys`].
pub(super) fn keys(key: &str) -> impl Iterator<Item = String> {
    (1..=KEYS_MAX).flat_map(move |attempt| {
        let key = if attempt == 1 { key.to_owned() } else { format!("{key}-{attempt}") };
        [key.clone(), key]
    })
}
