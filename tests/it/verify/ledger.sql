-- A small, entirely correct ledger. `acme` has a plan with 2 minutes a month, `solo` none.
INSERT INTO catalog_versions (version, effective_at, accepted_at, source)
VALUES (1, '2026-01-01Z', '2026-01-01Z', '
[standard]
per_minute = "0.020"
increments = "60/60"
rates = [{ prefix = "+44", per_minute = "0.030" }]

[[plans]]
id = "starter"
name = "Starter"
monthly_fee = "29.00"
included_minutes = 2
per_minute = "0.014"
increments = "60/60"
');

INSERT INTO accounts (account_key, id, name, created_at) OVERRIDING SYSTEM VALUE
VALUES (1, 'acme', 'Acme', '2026-01-01Z'), (2, 'solo', 'Solo', '2026-01-01Z'), (4, 'buyer', 'Buyer', '2026-01-01Z');
INSERT INTO twilio_accounts (twilio_account_key, account_key, twilio_account_sid, linked_at)
OVERRIDING SYSTEM VALUE
VALUES (1, 1, 'AC00000000000000000000000000000001', '2026-01-01Z'),
    (2, 2, 'AC00000000000000000000000000000002', '2026-01-01Z');
INSERT INTO wallets (account_key, balance_micros, sequence, charge_sequence, version, last_at,
    spent_micros, spending_ends_at, spent_sequence)
VALUES (1, 12850000, 8, 2, 9, '2026-11-01 10:00Z', 1150000, '2026-12-01Z', 8),
    (2, -60000, 1, 1, 1, '2026-11-01 11:00Z', 60000, '2026-12-01Z', 1),
    (4, 8850000, 4, 0, 4, '2026-11-01 11:00Z', 1150000, '2026-12-01Z', 4);
INSERT INTO subscriptions (account_key, subscription_id, plan, starts_at, created_at)
OVERRIDING SYSTEM VALUE
VALUES (1, 1, 'starter', '2026-10-15Z', '2026-10-15Z');
INSERT INTO cycles (account_key, subscription_id, cycle_start, used_seconds)
VALUES (1, 1, '2026-10-15Z', 120);

INSERT INTO transactions (account_key, sequence, at, type, kind, status, amount_micros,
    balance_before_micros, balance_after_micros, refers_to, call_sid, payment_intent_id)
VALUES
    (1, 1, '2026-11-01 00:00Z', 'credit', 'adjustment_credit', 'completed', 10000000, 0, 10000000, NULL, NULL, NULL),
    (1, 2, '2026-11-01 01:00Z', 'debit', 'overage', 'completed', 14000, 10000000, 9986000, NULL,
        'CA00000000000000000000000000000002', NULL),
    (1, 3, '2026-11-01 02:00Z', 'debit', 'number_rental', 'completed', 1150000, 9986000, 8836000, NULL, NULL, NULL),
    (1, 4, '2026-11-01 03:00Z', 'credit', 'refund', 'completed', 14000, 8836000, 8850000, 2, NULL, NULL),
    (1, 5, '2026-11-01 04:00Z', 'debit', 'number_rental', 'failed', 99000000, 8850000, 8850000, NULL, NULL, NULL),
    (1, 6, '2026-11-01 05:00Z', 'credit', 'refill_manual', 'pending', 5000000, 8850000, 8850000, NULL, NULL, NULL),
    (1, 7, '2026-11-01 06:00Z', 'credit', 'refill_manual', 'completed', 5000000, 8850000, 13850000, 6, NULL, 'pi_1'),
    (1, 8, '2026-11-01 07:00Z', 'debit', 'refill_refund', 'completed', 1000000, 13850000, 12850000, 7, NULL, NULL),
    (2, 1, '2026-11-01 01:00Z', 'debit', 'call', 'completed', 60000, 0, -60000, NULL, 'an odd sid', NULL),
    (4, 1, '2026-11-01 01:00Z', 'credit', 'adjustment_credit', 'completed', 10000000, 0, 10000000, NULL, NULL, NULL),
    (4, 2, '2026-11-01 02:00Z', 'debit', 'number_purchase', 'completed', 1150000, 10000000, 8850000, NULL, NULL, NULL),
    (4, 3, '2026-11-01 03:00Z', 'debit', 'number_purchase', 'completed', 2150000, 8850000, 6700000, NULL, NULL, NULL),
    (4, 4, '2026-11-01 04:00Z', 'credit', 'refund', 'completed', 2150000, 6700000, 8850000, 3, NULL, NULL);

INSERT INTO numbers (number, account_key, twilio_account_sid, phone_number, country, number_type,
    price_micros, monthly_micros, status, is_checked, debited_at, debit_sequence, refund_sequence, asked_at,
    phone_number_sid, anchor, first_period, next_period, next_due_at, created_at, claimed_until, bought_at,
    finished_at)
VALUES
    ('nb_1', 4, 'AC4', '+12015551000', 'US', 'local', 1150000, 1150000, 'active', true, '2026-11-01 02:00Z',
        2, NULL, '2026-11-01 02:00Z', 'PN9', 'twilio_sticky', '2026-11-01', 1, '2026-12-01Z',
        '2026-11-01 02:00Z', '2026-11-01 02:00Z', '2026-11-01 02:00Z', NULL),
    ('nb_2', 4, 'AC4', '+18005551000', 'US', 'toll free', 2150000, 2150000, 'failed', true, '2026-11-01 03:00Z',
        3, 4, '2026-11-01 03:00Z', NULL, 'twilio_sticky', NULL, NULL, NULL, '2026-11-01 03:00Z',
        '2026-11-01 03:00Z', NULL, '2026-11-01 04:00Z');

INSERT INTO refills (refill, account_key, trigger, amount_micros, status, pending_sequence, outcome_sequence,
    has_new_card, payment_intent, created_at, claimed_until, finished_at)
VALUES ('rf_00000000000000000000000000000001', 1, 'manual', 5000000, 'completed', 6, 7, true, 'pi_1',
    '2026-11-01 05:00Z', '2026-11-01 05:00Z', '2026-11-01 06:00Z');

SELECT ensure_charges_partition('2026-11-01Z');
INSERT INTO charges (account_key, twilio_account_key, charge_sequence, charged_at, started_at,
    cycle_start, subscription_id, allowance_before_seconds, rate_micros, amount_micros,
    overshoot_micros, transaction_sequence, record_offset, stream_key, catalog_version, seconds,
    twilio_minutes, billed_seconds, allowance_seconds, wallet_seconds, call_sid, call_from, call_to,
    direction, matched_prefix, plan)
VALUES
    (1, 1, 1, '2026-11-01 00:30Z', '2026-10-31 10:00Z', '2026-10-15Z', 1, 120, 14000, 0, 0, NULL, 0, 1, 1,
        61, 2, 120, 120, 0, 'CA00000000000000000000000000000001', '+16465550101', '+442079460101',
        'outbound-api', NULL, 'starter'),
    (1, 1, 2, '2026-11-01 01:00Z', '2026-10-31 11:00Z', '2026-10-15Z', 1, 0, 14000, 14000, 0, 2, 1, 1, 1,
        50, 1, 60, 0, 60, 'CA00000000000000000000000000000002', '+16465550101', '+12135550101',
        'outbound-api', NULL, 'starter'),
    (2, 2, 1, '2026-11-01 01:00Z', '2026-10-31 11:00Z', NULL, NULL, 0, 30000, 60000, 60000, 1, 2, 1, 1,
        61, 2, 120, 0, 120, 'an odd sid', '+442079460101', '+16465550101', 'inbound', '+44', NULL);
INSERT INTO call_keys (account_key, twilio_account_key, seconds, charge_sequence, call_key)
VALUES (1, 1, 61, 1, '\x0000000000000000000000000000000001'),
    (1, 1, 50, 2, '\x0000000000000000000000000000000002'),
    (2, 2, 61, 1, '\x01' || 'an odd sid'::bytea);

-- The sums behind the insights; the last purchase and its refund are not counted yet.
INSERT INTO insight_progress (account_key, transaction_sequence, charge_sequence)
VALUES (1, 8, 2), (2, 1, 1), (4, 2, 0);
INSERT INTO spending_days (account_key, day, kind, amount_micros)
VALUES (1, '2026-11-01', 'overage', 14000), (1, '2026-11-01', 'number_rental', 1150000),
    (1, '2026-11-01', 'refund', -14000), (2, '2026-11-01', 'call', 60000),
    (4, '2026-11-01', 'number_purchase', 1150000);
INSERT INTO usage_days (account_key, day, calls, seconds, talked_seconds, billed_seconds, rounding_micros)
VALUES (1, '2026-11-01', 2, 111, 111, 180, 2333), (2, '2026-11-01', 1, 61, 61, 120, 29500);
INSERT INTO usage_cycles (account_key, subscription_id, cycle_start, calls, wallet_seconds, amount_micros)
VALUES (1, 1, '2026-10-15Z', 2, 60, 14000);

INSERT INTO rental_periods (account_key, phone_number_sid, period_start, country, number_type,
    price_micros, status, attempts, first_attempt_at, next_attempt_at, first_sequence, paid_sequence)
VALUES
    (1, 'PN1', '2026-11-01', 'US', 'local', 1150000, 'paid', 1, '2026-11-01 02:00Z', NULL, 3, 3),
    (1, 'PN2', '2026-11-01', 'US', 'local', 99000000, 'failed', 1, '2026-11-01 04:00Z', '2026-11-02 04:00Z',
        5, NULL),
    (1, 'PN3', '2026-11-01', 'US', 'local', 0, 'paid', 1, '2026-11-01 05:00Z', NULL, NULL, NULL),
    (4, 'PN9', '2026-11-01', 'US', 'local', 0, 'paid', 1, '2026-11-01 02:00Z', NULL, NULL, NULL);

INSERT INTO audit (at, who, action, subject, after)
VALUES ('2026-11-01 01:00Z', 'cli:ada', 'reject_replayed', 'reject 1',
        '{"outcome": "charged", "debited": "0.014000", "kind": "call"}'),
    ('2026-11-01 01:01Z', 'cli:ada', 'reject_replayed', 'reject 2', '{"outcome": "rejected", "debited": "0.000000"}'),
    ('2026-10-01 01:02Z', 'cli:ada', 'reject_replayed', 'reject 3', '{"outcome": "charged"}');
INSERT INTO replayed_amounts VALUES ('call', 14000);
