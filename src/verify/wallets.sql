-- verify: wallets
WITH moved AS (
    SELECT account_key, count(*) AS rows,
        coalesce(sum(amount_micros) FILTER (WHERE status = 'completed' AND type = 'credit'), 0)
            - coalesce(sum(amount_micros) FILTER (WHERE status = 'completed' AND type = 'debit'), 0)
            AS micros
    FROM transactions
    GROUP BY account_key
),
heads AS (
    SELECT account_key, wallet.account_key IS NULL AS missing,
        coalesce(wallet.balance_micros, 0) AS balance,
        coalesce(wallet.credit_limit_micros, 0) AS credit_limit,
        coalesce(wallet.sequence, 0) AS sequence,
        coalesce(wallet.charge_sequence, 0) AS charge_sequence, wallet.last_at,
        coalesce(moved.micros, 0) AS moved,
        coalesce(last_transaction.sequence, 0) AS last_sequence,
        coalesce(last_transaction.balance_after_micros, 0) AS last_after, last_transaction.at,
        coalesce(last_charge.charge_sequence, 0) AS last_charge_sequence, last_charge.charged_at
    FROM (
        SELECT account_key FROM accounts
        UNION SELECT account_key FROM moved
        UNION SELECT DISTINCT account_key FROM call_keys
    ) AS known
    LEFT JOIN wallets AS wallet USING (account_key)
    LEFT JOIN moved USING (account_key)
    LEFT JOIN LATERAL (
        SELECT sequence, balance_after_micros, at FROM transactions
        WHERE transactions.account_key = known.account_key ORDER BY sequence DESC LIMIT 1
    ) AS last_transaction ON true
    LEFT JOIN LATERAL (
        SELECT charge_sequence, charged_at FROM charges
        WHERE charges.account_key = known.account_key ORDER BY charge_sequence DESC LIMIT 1
    ) AS last_charge ON true
)
SELECT found.invariant, format('account %s: ', coalesce(account.id, '#' || account_key)) || found.violation
FROM heads
LEFT JOIN accounts AS account USING (account_key)
CROSS JOIN LATERAL (VALUES
    ('accounts_have_a_wallet', missing OR account.id IS NULL, 'has no account row or no wallet row'),
    ('balances_are_credits_less_debits', balance <> moved,
        format('balance %s micro-dollars, completed credits less debits %s', balance, moved)),
    ('wallets_are_within_their_range',
        greatest(-balance::numeric, balance::numeric + credit_limit) >= 2::numeric ^ 53,
        format('balance %s micro-dollars, credit limit %s, beyond 2^53', balance, credit_limit)),
    ('balances_end_the_chain', balance <> last_after,
        format('balance %s micro-dollars, the last transaction ended at %s', balance, last_after)),
    ('wallets_count_their_transactions', sequence <> last_sequence,
        format('counts %s transactions, the last is %s', sequence, last_sequence)),
    ('wallets_count_their_charges', charge_sequence <> last_charge_sequence,
        format('counts %s charges, the last is %s', charge_sequence, last_charge_sequence)),
    ('wallet_times_never_fall', last_at < greatest(at, charged_at),
        format('last change %s, last row %s', last_at, greatest(at, charged_at)))
) AS found (invariant, broken, violation)
WHERE found.broken
