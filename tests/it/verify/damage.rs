//! Damage to a correct ledger, and the invariant that must detect it. The constraints and triggers
//! that would prevent it are off: these tests cover damage that gets past them.

/// (invariant, damage)
pub(super) const DAMAGE: &[(&str, &str)] = &[
    (
        "transaction_sequences_have_no_gap",
        "UPDATE transactions SET sequence = 9 WHERE account_key = 1 AND sequence = 8",
    ),
    (
        "balances_chain",
        "UPDATE transactions SET balance_before_micros = 1, balance_after_micros = 5000001
        WHERE account_key = 1 AND sequence = 7",
    ),
    (
        "transaction_times_never_fall",
        "UPDATE transactions SET at = '2026-10-31Z' WHERE account_key = 1 AND sequence = 3",
    ),
    (
        "only_completed_transactions_move_money",
        "UPDATE transactions SET balance_after_micros = 13850000 WHERE account_key = 1 AND sequence = 6",
    ),
    (
        "kinds_have_their_direction",
        "UPDATE transactions SET kind = 'adjustment_debit' WHERE account_key = 1 AND sequence = 1",
    ),
    ("accounts_have_a_wallet", "DELETE FROM wallets WHERE account_key = 2"),
    (
        "balances_are_credits_less_debits",
        "UPDATE wallets SET balance_micros = balance_micros + 1 WHERE account_key = 1",
    ),
    (
        "wallets_are_within_their_range",
        "UPDATE wallets SET credit_limit_micros = 9007199254740991 WHERE account_key = 1",
    ),
    ("balances_end_the_chain", "UPDATE wallets SET balance_micros = 0 WHERE account_key = 2"),
    ("wallets_count_their_transactions", "UPDATE wallets SET sequence = 9 WHERE account_key = 1"),
    ("wallets_count_their_charges", "UPDATE wallets SET charge_sequence = 1 WHERE account_key = 1"),
    ("wallet_times_never_fall", "UPDATE wallets SET last_at = '2026-10-31Z' WHERE account_key = 1"),
    (
        "charge_sequences_have_no_gap",
        "UPDATE charges SET charge_sequence = 3 WHERE account_key = 1 AND charge_sequence = 2",
    ),
    (
        "charge_times_never_fall",
        "UPDATE charges SET charged_at = '2026-11-01 02:00Z' WHERE account_key = 1 AND charge_sequence = 1",
    ),
    (
        "charges_keep_the_order_of_their_transactions",
        "UPDATE charges SET transaction_sequence = 2 WHERE account_key = 1 AND charge_sequence = 1",
    ),
    (
        "charges_belong_to_the_account_of_their_account_sid",
        "UPDATE twilio_accounts SET account_key = 1 WHERE twilio_account_key = 2",
    ),
    (
        "charges_of_zero_have_no_transaction",
        "UPDATE charges SET transaction_sequence = NULL WHERE account_key = 2",
    ),
    (
        "charges_have_their_transaction",
        "UPDATE charges SET transaction_sequence = 3 WHERE account_key = 1 AND charge_sequence = 2",
    ),
    (
        "call_transactions_have_their_charge",
        "UPDATE transactions SET kind = 'call' WHERE account_key = 1 AND sequence = 3",
    ),
    (
        "charges_and_transactions_agree",
        "UPDATE transactions SET kind = 'call' WHERE account_key = 1 AND sequence = 2",
    ),
    (
        "charges_and_transactions_agree",
        "UPDATE transactions SET call_sid = NULL WHERE account_key = 1 AND sequence = 2",
    ),
    (
        "overshoot_is_within_the_debit",
        "UPDATE charges SET overshoot_micros = 60001 WHERE account_key = 2",
    ),
    (
        "overshoot_is_within_the_debit",
        "UPDATE charges SET overshoot_micros = 1 WHERE account_key = 1 AND charge_sequence = 1",
    ),
    ("call_keys_have_their_charge", "DELETE FROM charges WHERE account_key = 2"),
    ("charges_have_their_call_key", "DELETE FROM call_keys WHERE account_key = 2"),
    ("call_keys_and_charges_agree", "UPDATE call_keys SET seconds = 62 WHERE account_key = 2"),
    (
        "call_keys_and_charges_agree",
        "UPDATE call_keys SET call_key = '\\x0000000000000000000000000000000003'
        WHERE account_key = 1 AND charge_sequence = 2",
    ),
    ("cycles_sum_their_charges", "UPDATE cycles SET used_seconds = 60"),
    ("cycles_sum_their_charges", "DELETE FROM cycles"),
    (
        "insights_are_the_sums_of_their_rows",
        "UPDATE spending_days SET amount_micros = amount_micros + 1 WHERE account_key = 1 AND kind = 'overage'",
    ),
    ("insights_are_the_sums_of_their_rows", "DELETE FROM spending_days WHERE kind = 'refund'"),
    (
        "insights_are_the_sums_of_their_rows",
        "INSERT INTO spending_days VALUES (2, '2026-11-02', 'call', 20000)",
    ),
    (
        "insights_are_the_sums_of_their_rows",
        "UPDATE usage_days SET rounding_micros = 2334 WHERE account_key = 1",
    ),
    ("insights_are_the_sums_of_their_rows", "UPDATE usage_days SET talked_seconds = 60 WHERE account_key = 2"),
    ("insights_are_the_sums_of_their_rows", "DELETE FROM usage_days WHERE account_key = 2"),
    ("insights_are_the_sums_of_their_rows", "UPDATE usage_cycles SET wallet_seconds = 61"),
    ("insights_are_the_sums_of_their_rows", "DELETE FROM usage_cycles"),
    (
        "insights_count_rows_of_their_wallet",
        "UPDATE insight_progress SET transaction_sequence = 9 WHERE account_key = 1",
    ),
    ("cycles_sum_their_charges", "INSERT INTO cycles VALUES (2, 1, '2026-10-15Z', 60)"),
    (
        "allowance_is_of_a_plan",
        "UPDATE charges SET allowance_before_seconds = 60 WHERE account_key = 1 AND charge_sequence = 1",
    ),
    (
        "allowance_is_of_a_plan",
        "UPDATE charges SET plan = NULL WHERE account_key = 1 AND charge_sequence = 1",
    ),
    (
        "charges_are_rated_by_their_evidence",
        "UPDATE charges SET rate_micros = 15000, amount_micros = 15000
        WHERE account_key = 1 AND charge_sequence = 2",
    ),
    (
        "charges_are_rated_by_their_evidence",
        "UPDATE charges SET matched_prefix = NULL WHERE account_key = 2",
    ),
    (
        "charges_are_rated_by_their_evidence",
        "UPDATE charges SET call_from = '+12135550101' WHERE account_key = 2",
    ),
    (
        "charges_are_rated_by_their_evidence",
        "UPDATE charges SET seconds = 121 WHERE account_key = 1 AND charge_sequence = 1",
    ),
    (
        "charges_are_rated_by_their_evidence",
        "UPDATE charges SET started_at = '2026-10-14Z' WHERE account_key = 1 AND charge_sequence = 2",
    ),
    (
        "charges_are_rated_by_their_evidence",
        "UPDATE charges SET allowance_before_seconds = 60 WHERE account_key = 1 AND charge_sequence = 2",
    ),
    ("charges_are_rated_by_their_evidence", "DELETE FROM subscriptions"),
    ("charges_are_rated_by_their_evidence", "DELETE FROM catalog_versions"),
    (
        "paid_rentals_have_their_transaction",
        "UPDATE rental_periods SET paid_sequence = NULL WHERE phone_number_sid = 'PN1'",
    ),
    (
        "rental_transactions_have_their_period",
        "DELETE FROM rental_periods WHERE phone_number_sid = 'PN1'",
    ),
    ("refills_have_their_pending_transaction", "UPDATE refills SET pending_sequence = 5"),
    ("ended_refills_have_their_outcome", "UPDATE refills SET status = 'failed'"),
    ("credited_payments_have_their_refill", "UPDATE refills SET payment_intent = 'pi_2'"),
    (
        "refunds_have_their_rows",
        "INSERT INTO refunds (refund, refill, account_key, amount_micros, status, is_ours,
            is_checked, created_at, claimed_until, finished_at)
        SELECT 'rr_1', refill, account_key, 1, 'completed', true, true, now(), now(), now()
        FROM refills LIMIT 1",
    ),
    (
        "reserved_money_is_that_of_open_refunds",
        "UPDATE wallets SET reserved_micros = 5 WHERE account_key = 1",
    ),
    (
        "reserved_money_is_that_of_open_refunds",
        "UPDATE numbers SET status = 'pending', debited_at = NULL",
    ),
    ("numbers_have_their_debit", "UPDATE numbers SET debited_at = NULL WHERE status = 'active'"),
    ("numbers_have_their_debit", "UPDATE numbers SET price_micros = 1 WHERE status = 'active'"),
    (
        "failed_purchases_are_given_back",
        "UPDATE numbers SET refund_sequence = NULL WHERE status = 'failed'",
    ),
    (
        "failed_purchases_are_given_back",
        "UPDATE numbers SET refund_sequence = 2 WHERE status = 'failed'",
    ),
    ("purchase_transactions_have_their_number", "DELETE FROM numbers WHERE status = 'failed'"),
    (
        "bought_numbers_have_their_first_period",
        "DELETE FROM rental_periods WHERE phone_number_sid = 'PN9'",
    ),
    (
        "disputes_have_their_rows",
        "INSERT INTO disputes (dispute, refill, account_key, amount_cents, currency, status, reason,
            withdrawn_sequence, opened_at)
        SELECT 'du_1', refill, account_key, 1, 'usd', 'lost', '', 999, now() FROM refills LIMIT 1",
    ),
    (
        "watched_levels_are_those_of_auto_refill",
        "UPDATE wallets SET refill_level_micros = 5 WHERE account_key = 1",
    ),
    (
        "one_automatic_refill_at_a_time",
        "INSERT INTO refills (refill, account_key, trigger, amount_micros, status, pending_sequence,
            has_new_card, created_at, claimed_until)
        SELECT 'rf_' || number, 1, 'auto', 1, 'pending', 1, false, now(), now()
        FROM generate_series(1, 2) AS number",
    ),
    (
        "spending_is_that_of_its_rows",
        "UPDATE wallets SET spent_micros = 1150001 WHERE account_key = 1",
    ),
    (
        "spending_is_that_of_its_rows",
        "UPDATE transactions SET status = 'completed' WHERE account_key = 1 AND sequence = 5",
    ),
    (
        "spending_is_of_the_month_of_its_last_row",
        "UPDATE wallets SET spending_ends_at = '2027-01-01Z' WHERE account_key = 2",
    ),
    (
        "spending_is_of_the_month_of_its_last_row",
        "UPDATE wallets SET spent_sequence = 9 WHERE account_key = 1",
    ),
    (
        "paid_rentals_cost_their_price",
        "UPDATE rental_periods SET price_micros = 2150000 WHERE phone_number_sid = 'PN1'",
    ),
    (
        "one_transaction_pays_one_period",
        "UPDATE rental_periods SET paid_sequence = 3, price_micros = 1150000
        WHERE phone_number_sid = 'PN3'",
    ),
    (
        "failed_rentals_have_their_attempts",
        "UPDATE rental_periods SET first_sequence = 3 WHERE phone_number_sid = 'PN2'",
    ),
    (
        "references_name_an_older_row",
        "UPDATE transactions SET refers_to = 8 WHERE account_key = 1 AND sequence = 7",
    ),
    (
        "references_name_an_older_row",
        "UPDATE transactions SET refers_to = 1, account_key = 3 WHERE account_key = 2",
    ),
    (
        "refunds_give_back_a_debit",
        "UPDATE transactions SET refers_to = 1 WHERE account_key = 1 AND sequence = 4",
    ),
    (
        "no_more_is_given_back_than_was_taken",
        "UPDATE transactions SET amount_micros = 14001, balance_after_micros = 8850001
        WHERE account_key = 1 AND sequence = 4",
    ),
    (
        "no_more_is_given_back_than_was_taken",
        "UPDATE transactions SET amount_micros = 5000001 WHERE account_key = 1 AND sequence = 8",
    ),
    (
        "campaigns_are_sums_of_their_charges",
        "UPDATE charges SET tag = 'spring';
        INSERT INTO campaign_counts (account_key, counted_sequence) VALUES (1, 1)",
    ),
    (
        "campaigns_are_sums_of_their_charges",
        "INSERT INTO campaigns (account_key, tag, calls, seconds, billed_seconds, allowance_seconds,
            amount_micros, first_charged_at, last_charged_at, last_sequence, course)
        VALUES (1, 'spring', 1, 60, 60, 0, 14000, '2026-11-01Z', '2026-11-01Z', 1, '{1,14000}')",
    ),
    (
        "events_are_posted_to_their_accounts_endpoints",
        "INSERT INTO outbox (account_key, type, at) VALUES (1, 'alert.empty', '2026-11-01Z');
        INSERT INTO webhook_endpoints (account_key, url, sealed, key_id, created_at)
        VALUES (2, 'https://hooks.example/', '', '', '2026-11-01Z');
        INSERT INTO webhook_deliveries (endpoint_number, event_number, event, type, created_at)
        SELECT endpoint_number, event_number, event, type, at FROM outbox, webhook_endpoints",
    ),
    (
        "replays_sum_up_to_what_the_audit_tells",
        "UPDATE replayed_amounts SET amount_micros = 14001 WHERE kind = 'call'",
    ),
    ("replays_sum_up_to_what_the_audit_tells", "DELETE FROM replayed_amounts"),
    (
        "replays_sum_up_to_what_the_audit_tells",
        "DELETE FROM audit WHERE action = 'reject_replayed'",
    ),
];
