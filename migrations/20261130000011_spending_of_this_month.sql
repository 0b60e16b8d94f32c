-- The spending of each wallet's last month, by its rows so far. Rows that are written while this runs
-- are counted by the next row: spent_sequence says up to which row this did.
SET LOCAL statement_timeout = 0;
WITH last AS MATERIALIZED (
    SELECT wallet.account_key, entry.sequence, month.starts,
        first_transaction_since(wallet.account_key, month.starts AT TIME ZONE 'UTC') AS first
    FROM wallets AS wallet
    CROSS JOIN LATERAL (
        SELECT sequence, at FROM transactions
        WHERE account_key = wallet.account_key ORDER BY sequence DESC LIMIT 1
    ) AS entry
    CROSS JOIN LATERAL (
        SELECT date_trunc('month', entry.at AT TIME ZONE 'UTC') AS starts
    ) AS month
),
spent AS (
    SELECT last.account_key, last.sequence, last.starts, sum(CASE
            WHEN entry.status <> 'completed' THEN 0
            WHEN entry.kind IN ('call', 'overage', 'number_purchase', 'number_rental') THEN entry.amount_micros
            WHEN entry.kind = 'refund' THEN -entry.amount_micros
            ELSE 0
        END) AS micros
    FROM last
    JOIN transactions AS entry ON entry.account_key = last.account_key
        AND entry.sequence BETWEEN last.first AND last.sequence
    GROUP BY last.account_key, last.sequence, last.starts
)
UPDATE wallets
SET spent_micros = spent.micros, spent_sequence = spent.sequence,
    spending_ends_at = (spent.starts + interval '1 month') AT TIME ZONE 'UTC'
FROM spent WHERE wallets.account_key = spent.account_key;
