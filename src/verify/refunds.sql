-- verify: refunds
SELECT found.invariant, format('account %s: refund %s ', account.id, refund.refund) || found.violation
FROM refunds AS refund
LEFT JOIN accounts AS account USING (account_key)
LEFT JOIN transactions AS debit ON debit.account_key = refund.account_key
    AND debit.sequence = refund.debit_sequence
LEFT JOIN transactions AS back ON back.account_key = refund.account_key
    AND back.sequence = refund.reversal_sequence
CROSS JOIN LATERAL (VALUES
    ('refunds_have_their_rows',
        refund.status = 'completed' AND refund.debit_sequence IS NULL
            OR refund.debit_sequence IS NOT NULL AND (debit.kind IS DISTINCT FROM 'refill_refund'
                OR debit.amount_micros <> refund.amount_micros)
            OR refund.reversal_sequence IS NOT NULL AND (back.kind IS DISTINCT FROM 'refill_refund_reversal'
                OR back.amount_micros <> refund.amount_micros
                OR back.refers_to IS DISTINCT FROM refund.debit_sequence)
            OR refund.status = 'failed' AND refund.debit_sequence IS NOT NULL
                AND refund.reversal_sequence IS NULL,
        format('of %s micro-dollars is %s, and its rows do not say so', refund.amount_micros, refund.status))
) AS found (invariant, broken, violation)
WHERE found.broken
UNION ALL
SELECT 'reserved_money_is_that_of_open_refunds',
    format('account %s: %s micro-dollars are reserved, %s are asked for', account.id,
        wallet.reserved_micros, open.micros)
FROM wallets AS wallet
JOIN accounts AS account USING (account_key)
CROSS JOIN LATERAL (
    SELECT coalesce(sum(asked.micros), 0) AS micros FROM (
        SELECT amount_micros AS micros FROM refunds
        WHERE refunds.account_key = wallet.account_key AND is_ours AND debit_sequence IS NULL
            AND status = 'pending'
        UNION ALL
        SELECT price_micros FROM numbers
        WHERE numbers.account_key = wallet.account_key AND debited_at IS NULL
            AND status = 'pending') AS asked) AS open
WHERE wallet.reserved_micros <> open.micros
UNION ALL
SELECT 'disputes_have_their_rows',
    format('account %s: dispute %s does not name the rows of its kind', account.id, dispute.dispute)
FROM disputes AS dispute
LEFT JOIN accounts AS account USING (account_key)
LEFT JOIN transactions AS taken ON taken.account_key = dispute.account_key
    AND taken.sequence = dispute.withdrawn_sequence
LEFT JOIN transactions AS back ON back.account_key = dispute.account_key
    AND back.sequence = dispute.reinstated_sequence
WHERE dispute.withdrawn_sequence IS NOT NULL AND taken.kind IS DISTINCT FROM 'chargeback'
    OR dispute.reinstated_sequence IS NOT NULL
        AND (back.kind IS DISTINCT FROM 'chargeback_reversal'
            OR back.refers_to IS DISTINCT FROM dispute.withdrawn_sequence)
