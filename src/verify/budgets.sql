-- verify: budgets
WITH months AS (
    SELECT wallet.account_key, wallet.spent_micros, wallet.spending_ends_at, wallet.spent_sequence,
        wallet.sequence, last.at AS last_at,
        (wallet.spending_ends_at AT TIME ZONE 'UTC' - interval '1 month') AT TIME ZONE 'UTC' AS starts_at
    FROM wallets AS wallet
    LEFT JOIN transactions AS last
        ON last.account_key = wallet.account_key AND last.sequence = wallet.spent_sequence
),
spent AS (
    SELECT months.account_key, sum(CASE
            WHEN entry.status <> 'completed' THEN 0
            WHEN entry.type = 'debit' AND entry.kind NOT IN ('adjustment_debit', 'chargeback', 'refill_refund')
                THEN entry.amount_micros
            WHEN entry.kind = 'refund' THEN -entry.amount_micros
            ELSE 0
        END) AS micros
    FROM months
    JOIN transactions AS entry ON entry.account_key = months.account_key
        AND entry.sequence <= months.spent_sequence AND entry.at >= months.starts_at
    GROUP BY months.account_key
)
SELECT found.invariant, format('account %s: ', account.id) || found.violation
FROM months
JOIN accounts AS account USING (account_key)
LEFT JOIN spent USING (account_key)
CROSS JOIN LATERAL (VALUES
    ('spending_is_that_of_its_rows', spent_micros <> coalesce(spent.micros, 0),
        format('spent %s micro-dollars by its wallet, %s by its rows', spent_micros,
            coalesce(spent.micros, 0))),
    ('spending_is_of_the_month_of_its_last_row',
        spent_sequence > sequence OR (spent_sequence = 0) <> (spending_ends_at = '1970-01-01Z')
            OR spent_sequence > 0 AND (last_at IS NULL OR last_at < starts_at OR last_at >= spending_ends_at),
        format('row %s of %s counts for the month before %s', spent_sequence, last_at, spending_ends_at))
) AS found (invariant, broken, violation)
WHERE found.broken
