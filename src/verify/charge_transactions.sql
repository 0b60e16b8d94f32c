-- verify: charge_transactions
SELECT found.invariant, format('account %s: ', account.id) || found.violation
FROM (
    SELECT account_key, transaction_sequence AS sequence, charge_sequence, call_sid, plan,
        amount_micros, overshoot_micros, charged_at
    FROM charges
    WHERE transaction_sequence IS NOT NULL
) AS charge
FULL JOIN (
    SELECT account_key, sequence, call_sid, kind, status, amount_micros, at,
        balance_before_micros AS before, balance_after_micros AS after
    FROM transactions
    WHERE kind IN ('call', 'overage')
) AS moved USING (account_key, sequence)
LEFT JOIN accounts AS account USING (account_key)
CROSS JOIN LATERAL (VALUES
    ('charges_have_their_transaction', moved.kind IS NULL,
        format('charge %s of call %s names transaction %s, which is none of a call',
            charge_sequence, charge.call_sid, sequence)),
    ('call_transactions_have_their_charge', charge.charge_sequence IS NULL,
        format('transaction %s of call %s has no charge', sequence, moved.call_sid)),
    ('charges_and_transactions_agree',
        charge.amount_micros <> moved.amount_micros OR charge.call_sid IS DISTINCT FROM moved.call_sid
            OR moved.status <> 'completed' OR charge.charged_at <> moved.at
            OR moved.kind <> CASE WHEN charge.plan IS NULL THEN 'call' ELSE 'overage' END::transaction_kind,
        format('charge %s (call %s, plan %s, %s micro-dollars, %s), transaction %s (call %s, %s, %s, %s, %s)',
            charge_sequence, charge.call_sid, coalesce(plan, 'none'), charge.amount_micros, charged_at,
            sequence, moved.call_sid, kind, moved.status, moved.amount_micros, at)),
    -- The row lacks the credit limit of that time; these bounds hold for every limit.
    ('overshoot_is_within_the_debit',
        overshoot_micros < 0 OR overshoot_micros > greatest(-after, 0) - greatest(-before, 0),
        format('charge %s of call %s: overshoot %s, balance from %s to %s micro-dollars',
            charge_sequence, charge.call_sid, overshoot_micros, before, after))
) AS found (invariant, broken, violation)
WHERE found.broken
    -- Repeated here, so that the texts above are built only for violations.
    AND (moved.kind IS NULL OR charge.charge_sequence IS NULL
        OR charge.amount_micros <> moved.amount_micros
        OR charge.call_sid IS DISTINCT FROM moved.call_sid OR moved.status <> 'completed'
        OR charge.charged_at <> moved.at
        OR moved.kind <> CASE WHEN charge.plan IS NULL THEN 'call' ELSE 'overage' END::transaction_kind
        OR overshoot_micros < 0 OR overshoot_micros > greatest(-after, 0) - greatest(-before, 0))
UNION ALL
SELECT 'overshoot_is_within_the_debit',
    format('account %s: charge %s of call %s costs nothing and overshoots by %s micro-dollars',
        account.id, charge_sequence, call_sid, overshoot_micros)
FROM charges
LEFT JOIN accounts AS account USING (account_key)
WHERE transaction_sequence IS NULL AND overshoot_micros <> 0
