-- verify: references
WITH referring AS (
    SELECT newer.account_key, newer.sequence, newer.refers_to, newer.kind, newer.status,
        newer.amount_micros, older.type AS older_type, older.kind AS older_kind,
        older.status AS older_status, older.amount_micros AS older_amount,
        older.sequence IS NULL AS dangling
    FROM transactions AS newer
    LEFT JOIN transactions AS older
        ON older.account_key = newer.account_key AND older.sequence = newer.refers_to
    WHERE newer.refers_to IS NOT NULL
)
SELECT found.invariant, format('account %s, transaction %s: ', account.id, sequence) || found.violation
FROM referring
LEFT JOIN accounts AS account USING (account_key)
CROSS JOIN LATERAL (VALUES
    ('references_name_an_older_row', dangling OR refers_to >= sequence,
        format('refers to %s, which is no older row', refers_to)),
    ('refunds_give_back_a_debit',
        kind = 'refund' AND referring.status = 'completed' AND NOT dangling
            AND (older_type <> 'debit' OR older_status <> 'completed'),
        format('gives back transaction %s, a %s %s', refers_to, older_status, older_type))
) AS found (invariant, broken, violation)
WHERE found.broken
UNION ALL
SELECT 'no_more_is_given_back_than_was_taken',
    format('account %s: transaction %s of %s micro-dollars, given back %s',
        account.id, refers_to, older_amount, sum(amount_micros))
FROM referring
LEFT JOIN accounts AS account USING (account_key)
WHERE referring.status = 'completed' AND NOT dangling
    AND (kind = 'refund' OR kind = 'refill_refund' AND older_kind IN ('refill_manual', 'refill_auto')
        AND NOT EXISTS (SELECT FROM transactions AS back
            WHERE back.account_key = referring.account_key AND back.refers_to = referring.sequence
                AND back.kind = 'refill_refund_reversal')
        -- Stripe's own may be more than the refill; they are booked all the same.
        AND NOT EXISTS (SELECT FROM refunds AS made
            WHERE made.account_key = referring.account_key
                AND made.debit_sequence = referring.sequence AND NOT made.is_ours))
GROUP BY account.id, account_key, refers_to, older_amount, kind
HAVING sum(amount_micros) > older_amount
