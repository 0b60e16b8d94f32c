//! Every code of a problem, with its status. A code stays; a test finds those that are missing here.

/// Code, status, what it means.
pub(super) const CODES: &[(&str, u16, &str)] = &[
    ("invalid_request", 400, "The request is not valid; `errors` names the fields"),
    ("unknown_plan", 400, "No such plan in a catalog that counts then"),
    ("unknown_reference", 400, "`refers_to` names no transaction of this account"),
    ("not_linked", 400, "The Twilio account is not one of this account's"),
    ("unauthorized", 401, "No key, or one that is unknown or revoked"),
    ("forbidden", 403, "The key's scope does not reach here"),
    ("bad_signature", 403, "The signature is missing or wrong"),
    ("unknown_account", 404, "There is no such account, or it is not the key's"),
    ("unknown_authorization", 404, "The call has no authorization that stands"),
    ("unknown_key", 404, "There is no such key"),
    ("unknown_reject", 404, "There is no such reject"),
    ("unknown_statement", 404, "There is no statement of such a month"),
    ("unknown_path", 404, "There is nothing at this path"),
    ("method_not_allowed", 405, "The path has no such method; `Allow` names those it has"),
    ("id_taken", 409, "Another account has this id"),
    ("twilio_account_sid_taken", 409, "Another account pays for this Twilio account"),
    ("reject_replayed", 409, "A replay settled this reject before; there is nothing to close"),
    ("body_too_large", 413, "The body is too large"),
    ("unsupported_media_type", 415, "The body is not declared as JSON"),
    ("balance_out_of_range", 422, "The balance would leave the range of amounts"),
    ("idempotency_key_reused", 422, "The Idempotency-Key came with another body before"),
    ("rate_limited", 429, "Too many requests of this key, or too many unknown keys from there"),
    ("internal", 500, "A fault of the service, which its log describes"),
    ("holds_unavailable", 503, "Holds are unknown right now: neither allowed nor denied"),
    ("kafka_unavailable", 503, "Kafka does not acknowledge right now"),
    ("ledger_unavailable", 503, "The ledger cannot be reached right now"),
    ("not_configured", 503, "The service lacks a setting that this needs"),
    ("overloaded", 503, "Too many requests are in progress"),
    ("timeout", 504, "It took too long, and may or may not have had its effect"),
];

/// Status and meaning of a code.
pub(super) fn find(code: &str) -> Option<(u16, &'static str)> {
    CODES.iter().find(|(known, ..)| *known == code).map(|(_, status, text)| (*status, *text))
}
