-- verify: refills
SELECT found.invariant, format('account %s: refill %s ', account.id, refill.refill) || found.violation
FROM refills AS refill
LEFT JOIN accounts AS account USING (account_key)
LEFT JOIN transactions AS pending ON pending.account_key = refill.account_key
    AND pending.sequence = refill.pending_sequence
LEFT JOIN transactions AS outcome ON outcome.account_key = refill.account_key
    AND outcome.sequence = refill.outcome_sequence
CROSS JOIN LATERAL (VALUES
    ('refills_have_their_pending_transaction',
        pending.status IS DISTINCT FROM 'pending' OR pending.amount_micros <> refill.amount_micros,
        format('of %s micro-dollars has no such pending transaction %s', refill.amount_micros, pending_sequence)),
    ('ended_refills_have_their_outcome',
        refill.finished_at IS NOT NULL AND (
            outcome.status::text IS DISTINCT FROM refill.status
            OR outcome.amount_micros <> refill.amount_micros
            OR outcome.payment_intent_id IS DISTINCT FROM refill.payment_intent
            OR outcome.refers_to IS DISTINCT FROM refill.pending_sequence),
        format('is %s, and transaction %s does not say so', refill.status,
            coalesce(outcome_sequence::text, 'none')))
) AS found (invariant, broken, violation)
WHERE found.broken
UNION ALL
SELECT 'credited_payments_have_their_refill',
    format('account %s: transaction %s credits %s, which no refill names', account.id, paid.sequence,
        coalesce(paid.payment_intent_id, 'no payment'))
FROM transactions AS paid
LEFT JOIN refills AS refill ON refill.payment_intent = paid.payment_intent_id
    AND refill.account_key = paid.account_key
LEFT JOIN accounts AS account ON account.account_key = paid.account_key
WHERE paid.kind IN ('refill_manual', 'refill_auto') AND paid.status = 'completed' AND refill.refill IS NULL
