-- verify: transactions
WITH chain AS (
    SELECT account_key, sequence, at, type, kind, status, amount_micros,
        balance_before_micros AS before, balance_after_micros AS after,
        lag(sequence, 1, 0::bigint) OVER in_order AS previous,
        lag(balance_after_micros, 1, 0::bigint) OVER in_order AS previous_after,
        lag(at) OVER in_order AS previous_at,
        CASE
            WHEN status <> 'completed' THEN 0
            WHEN type = 'credit' THEN amount_micros
            ELSE -amount_micros
        END AS movement,
        CASE
            WHEN kind IN ('refill_manual', 'refill_auto', 'refund', 'chargeback_reversal',
                'refill_refund_reversal', 'adjustment_credit') THEN 'credit'::transaction_type
            ELSE 'debit'
        END AS type_of_kind
    FROM transactions
    WINDOW in_order AS (PARTITION BY account_key ORDER BY sequence)
)
SELECT found.invariant, format('account %s, transaction %s: ', account.id, sequence) || found.violation
FROM chain
LEFT JOIN accounts AS account USING (account_key)
CROSS JOIN LATERAL (VALUES
    ('transaction_sequences_have_no_gap', sequence <> previous + 1,
        format('follows %s', previous)),
    ('balances_chain', before <> previous_after,
        format('begins at %s micro-dollars, the row before ended at %s', before, previous_after)),
    ('transaction_times_never_fall', at < previous_at,
        format('is of %s, the row before of %s', at, previous_at)),
    ('only_completed_transactions_move_money', after <> before + movement OR amount_micros <= 0,
        format('%s %s of %s takes %s to %s', chain.status, type, amount_micros, before, after)),
    ('kinds_have_their_direction', type <> type_of_kind, format('%s is a %s', kind, type))
) AS found (invariant, broken, violation)
WHERE found.broken
    AND (sequence <> previous + 1 OR before <> previous_after OR at < previous_at
        OR after <> before + movement OR amount_micros <= 0 OR type <> type_of_kind)
