//! How each failure is told apart: not sent, unknown, refused, declined, busy.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn a_time_out_is_an_unknown_outcome() {
    let begun = Instant::now();
    let (created, counterpart) = create(&[Reaction::Hang], Duration::from_millis(300)).await;
    let error = created.expect_err("no answer");
    assert!(matches!(error, StripeError::Unknown { .. }), "{error:?}");
    assert!(error.may_have_effect() && error.is_transient());
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < LONG);
    assert!(counterpart.requests().len() <= 1, "nothing is sent twice");
}

#[tokio::test]
async fn a_refused_connection_and_a_failed_handshake_sent_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let handshake = std::thread::spawn(move || drop(listener.accept()));
    for base in [format!("https://{address}"), format!("http://{address}")] {
        let client = client(&base);
        let deadline = Deadline::after(LONG);
        let created = client.create_payment_intent(&form(), IDEMPOTENCY_KEY, deadline).await;
        let error = created.expect_err("no connection");
        assert!(matches!(error, StripeError::NotSent { .. }), "{base}: {error:?}");
        assert!(!error.may_have_effect() && error.is_transient());
        assert_tells_nothing(&format!("{error} {error:?} {client:?}"));
        // The listener is closed after its one connection: the next base is refused.
        while base.starts_with("https") && !handshake.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn without_time_left_nothing_is_sent() {
    let (created, counterpart) = create(&[Reaction::Hang], Duration::ZERO).await;
    let error = created.expect_err("no time");
    assert!(matches!(error, StripeError::NotSent { .. }), "{error:?}");
    assert_eq!(counterpart.requests().len(), 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_cannot_be_read_is_an_unknown_outcome() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"id\": \"pi_1\"".to_vec();
    let garbage = b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec();
    for reaction in [
        Reaction::Reset,
        Reaction::Bytes(Vec::new()),
        Reaction::Bytes(half.clone()),
        Reaction::ResetAfter(half),
        Reaction::Bytes(garbage),
        answer("200 OK", "", "<html>No such page</html>"),
        answer("200 OK", "", r#"{"id": "pi_1"}"#),
        answer("200 OK", "", r#"{"id": "anna+never.shown@example.com"}"#),
        answer("204 No Content", "", ""),
        answer("302 Found", "Location: https://example.com/\r\n", ""),
        answer("403 Forbidden", "", "<html>No such page</html>"),
        answer("404 Not Found", "", ""),
    ] {
        let shown = format!("{reaction:?}");
        let (created, counterpart) = create(&[reaction], LONG).await;
        let error = created.expect_err(&shown);
        assert!(matches!(error, StripeError::Unknown { .. }), "{shown}: {error:?}");
        assert_eq!(counterpart.requests().len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{{", 9 << 20);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..9 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 1 << 20));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for bytes in [announced.into_bytes(), chunked] {
        let (created, _counterpart) = create(&[Reaction::Bytes(bytes)], LONG).await;
        let error = created.expect_err("too large");
        assert_eq!(
            error.to_string(),
            "the outcome at stripe is unknown (its answer is too large)",
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_5xx_is_kept_by_stripe_and_not_sent_again() {
    for (status, number) in [
        ("500 Internal Server Error", 500),
        ("502 Bad Gateway", 502),
        ("503 Service Unavailable", 503),
    ] {
        let body = r#"{"error": {"type": "api_error", "message": "No such luck"}}"#;
        for body in [body, "<html>", ""] {
            let headers = "Stripe-Should-Retry: true\r\nRetry-After: 0\r\n";
            let (created, counterpart) = create(&[answer(status, headers, body)], LONG).await;
            let error = created.expect_err(status);
            let is_server = matches!(error, StripeError::Server { status } if status == number);
            assert!(is_server && error.may_have_effect(), "{error:?}");
            assert_eq!(counterpart.requests().len(), 1, "{status}");
        }
    }
}

#[tokio::test]
async fn a_declined_card_comes_with_the_payment() {
    let body = format!(
        r#"{{"error": {{"type": "card_error", "code": "card_declined",
            "decline_code": "insufficient_funds", "message": "No such funds",
            "payment_intent": {}}}}}"#,
        INTENT.replace("succeeded", "requires_payment_method")
    );
    let (created, _) = create(&[answer("402 Payment Required", "", &body)], LONG).await;
    let error = created.expect_err("declined");
    let StripeError::Card(complaint) = &error else { panic!("{error:?}") };
    assert!(!error.may_have_effect() && !error.is_transient(), "the outcome is known");
    let intent = complaint.payment_intent.as_ref().expect("the payment");
    assert_eq!((intent.id.as_str(), intent.status.as_str()), ("pi_1", "requires_payment_method"));
    assert_eq!(complaint.decline().class.as_str(), "later");
    assert_eq!(error.to_string(), "stripe reports a card error (card_declined)");
}

#[test]
fn every_refusal_has_its_kind() {
    let table = [
        (409, "idempotency_error", "idempotency_key_in_use", "", "InUse"),
        (409, "invalid_request_error", "lock_timeout", "", "InUse"),
        (409, "invalid_request_error", "", "", "InUse"),
        (400, "invalid_request_error", "lock_timeout", "", "InUse"),
        (429, "invalid_request_error", "lock_timeout", "", "InUse"),
        (429, "invalid_request_error", "rate_limit", "", "Busy"),
        (400, "idempotency_error", "", "", "KeyReused"),
        (401, "invalid_request_error", "", "", "Unauthorized"),
        (401, "invalid_request_error", "api_key_expired", "", "Unauthorized"),
        (403, "invalid_request_error", "", "", "Unauthorized"),
        (404, "invalid_request_error", "resource_missing", "intent", "NotFound"),
        (400, "invalid_request_error", "resource_missing", "customer", "NotFound"),
        (404, "invalid_request_error", "", "id", "NotFound"),
        (404, "invalid_request_error", "", "", "Refused"),
        (402, "card_error", "card_declined", "", "Card"),
        (402, "card_error", "authentication_required", "", "Card"),
        (400, "card_error", "incorrect_cvc", "cvc", "Card"),
        (400, "invalid_request_error", "payment_intent_unexpected_state", "", "Refused"),
        (400, "invalid_request_error", "amount_too_small", "amount", "Refused"),
        (402, "invalid_request_error", "", "", "Refused"),
        (424, "api_error", "", "", "Refused"),
        (302, "invalid_request_error", "", "", "Unknown"),
        (500, "card_error", "card_declined", "", "Server"),
    ];
    for (status, kind, code, param, expected) in table {
        let error = serde_json::json!({
            "type": kind,
            "code": Some(code).filter(|code| !code.is_empty()),
            "param": Some(param).filter(|param| !param.is_empty()),
            "message": "No such customer: 'cus_never_shown'",
        });
        let body = serde_json::json!({ "error": error }).to_string();
        let error = refusal(StatusCode::from_u16(status).expect("a status"), body.as_bytes());
        let shown = format!("{error:?}");
        assert!(shown.starts_with(expected), "{status} {kind} {code}: {shown}");
        assert_tells_nothing(&format!("{error} {shown}"));
        if let StripeError::NotFound { param: named } = &error {
            assert_eq!(named.as_deref(), Some(param));
        }
    }
}

#[tokio::test]
async fn a_429_is_sent_again_byte_for_byte_under_the_same_key() {
    let body = r#"{"error": {"type": "invalid_request_error", "code": "rate_limit"}}"#;
    let busy = |headers: &str| answer("429 Too Many Requests", headers, body);
    let script = [busy("Retry-After: 1\r\n"), busy(""), answer("200 OK", "", INTENT)];
    let begun = Instant::now();
    let (created, counterpart) = create(&script, LONG).await;
    assert_eq!(created.expect("an answer").id.as_str(), "pi_1");
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let requests = counterpart.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request, &requests[0]);
        assert_eq!(header_of(request, "idempotency-key"), Some(IDEMPOTENCY_KEY));
        assert_eq!(body_of(request), form().encode());
    }
}

#[tokio::test]
async fn a_429_up_to_the_deadline_says_that_nothing_was_done() {
    let busy = |headers: &str| answer("429 Too Many Requests", headers, "");
    for after in ["60", "18446744073709551615"] {
        let late = busy(&format!("Retry-After: {after}\r\n"));
        let script = [busy("Retry-After: 0\r\n"), busy("Retry-After: soon\r\n"), late];
        let begun = Instant::now();
        let (created, counterpart) = create(&script, LONG).await;
        let error = created.expect_err("busy");
        assert!(matches!(error, StripeError::Busy) && !error.may_have_effect(), "{error:?}");
        assert_eq!(counterpart.requests().len(), 3);
        assert!(begun.elapsed() < LONG, "a wait beyond the deadline is not begun");
    }
}

#[tokio::test]
async fn after_a_429_each_outcome_counts_as_it_is() {
    let busy = answer("429 Too Many Requests", "", "");
    let (created, counterpart) = create(&[busy, Reaction::Reset], LONG).await;
    assert!(matches!(created, Err(StripeError::Unknown { .. })), "{created:?}");
    assert_eq!(counterpart.requests().len(), 2);
}

#[test]
fn waits_grow_are_spread_keep_what_stripe_asks_for_and_leave_time_to_ask() {
    let (seconds, ms) = (Duration::from_secs, Duration::from_millis);
    for attempt in 1..40 {
        let wait = wait_within(LONG, attempt, None).expect("there is time");
        assert!(wait >= WAIT_FIRST / 2 && wait <= WAIT_MAX, "{attempt}: {wait:?}");
    }
    assert!(wait_within(LONG, 40, Some(Duration::ZERO)) >= Some(WAIT_MAX / 2));
    assert_eq!(wait_within(LONG, 1, Some(seconds(3))), Some(seconds(3)));
    assert_eq!(wait_within(ms(3500), 1, Some(seconds(3))), Some(seconds(3)));
    assert_eq!(wait_within(ms(3499), 1, Some(seconds(3))), None);
    assert_eq!(wait_within(ms(500), 1, None), None);
    assert_eq!(wait_within(LONG, 1, Some(Duration::MAX)), None);
}
