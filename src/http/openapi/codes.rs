//! Every problem code with its status. A code never changes; a test finds codes that are missing
//! here.

/// Code, status, meaning.
pub(super) const CODES: &[(&str, u16, &str)] = &[
    ("invalid_request", 400, "The request is not valid; `errors` names the fields"),
    ("unknown_plan", 400, "The catalog in force then has no such plan"),
    ("unknown_reference", 400, "`refers_to` names no transaction of this account"),
    ("not_linked", 400, "The account does not pay for this Twilio account"),
    ("livemode_mismatch", 400, "The event is of the other mode (live or test) than the key"),
    ("unauthorized", 401, "No key, or one that is unknown or revoked"),
    ("forbidden", 403, "The key's scope does not allow this"),
    ("bad_signature", 403, "The signature is missing or wrong"),
    ("unknown_account", 404, "There is no such account, or it is not the key's"),
    ("unknown_authorization", 404, "The call has no authorization in force"),
    ("unknown_key", 404, "There is no such key"),
    ("unknown_reject", 404, "There is no such reject"),
    ("unknown_statement", 404, "There is no statement of this month"),
    ("unknown_payment_method", 404, "The account has no such card"),
    ("unknown_refill", 404, "The account has no such refill"),
    ("unknown_path", 404, "There is nothing at this path"),
    ("method_not_allowed", 405, "The path has no such method; `Allow` names those it has"),
    ("id_taken", 409, "Another account has this id"),
    ("twilio_account_sid_taken", 409, "Another account pays for this Twilio account"),
    ("account_closed", 409, "The account is closed"),
    ("request_in_progress", 409, "A request with this Idempotency-Key has not been answered yet"),
    ("refill_not_completed", 409, "The refill was not completed"),
    ("refill_disputed", 409, "The bank took the money of the refill back"),
    ("reject_replayed", 409, "A replay settled this reject before; there is nothing to close"),
    ("body_too_large", 413, "The body is too large"),
    ("unsupported_media_type", 415, "The body is not declared as JSON"),
    ("balance_out_of_range", 422, "The balance would leave the range of amounts"),
    ("unknown_payment_method", 422, "The account has no such card"),
    ("refund_exceeds_refill", 422, "It is more than is left of the refill"),
    ("insufficient_balance", 422, "The wallet does not have the money"),
    ("no_payment_method", 422, "No card is named, and the account has no default card"),
    ("too_many_payment_methods", 422, "The account has as many cards as it may have"),
    ("daily_max_exceeded", 422, "The account would pay more than it may in a day"),
    ("payment_method_refused", 422, "Stripe refuses the change of the card"),
    ("idempotency_key_reused", 422, "The Idempotency-Key came with another body before"),
    ("rate_limited", 429, "Too many requests of this key, or unknown keys from this address"),
    ("too_many_declines", 429, "The account's cards were declined too often in the last hour"),
    ("internal", 500, "A fault of the service; its log has more"),
    ("holds_unavailable", 503, "Holds are unknown right now: neither allowed nor denied"),
    ("kafka_unavailable", 503, "Kafka does not acknowledge right now"),
    ("ledger_unavailable", 503, "The ledger cannot be reached right now"),
    ("not_configured", 503, "A setting of the service is missing"),
    (
        "recovery_needed",
        503,
        "Acts on money wait: the ledger may lack payments, or the key is of another Stripe account",
    ),
    ("stripe_unavailable", 503, "Stripe does not answer right now"),
    ("overloaded", 503, "Too many requests are in progress"),
    ("timeout", 504, "It took too long, and may or may not have taken effect"),
];

/// Status and meaning of a code.
pub(super) fn find(code: &str) -> Option<(u16, &'static str)> {
    CODES.iter().find(|(known, ..)| *known == code).map(|(_, status, text)| (*status, *text))
}
