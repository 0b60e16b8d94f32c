-- verify: charges
WITH chain AS (
    SELECT account_key, charge_sequence, charged_at, call_sid, twilio_account_key, amount_micros,
        transaction_sequence,
        lag(charge_sequence, 1, 0::bigint) OVER in_order AS previous,
        lag(charged_at) OVER in_order AS previous_at,
        max(transaction_sequence) OVER (
            PARTITION BY account_key ORDER BY charge_sequence
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS previous_transaction
    FROM charges
    WINDOW in_order AS (PARTITION BY account_key ORDER BY charge_sequence)
)
SELECT found.invariant,
    format('account %s, charge %s, call %s: ', account.id, charge_sequence, call_sid) || found.violation
FROM chain
LEFT JOIN accounts AS account USING (account_key)
LEFT JOIN twilio_accounts AS twilio USING (twilio_account_key)
CROSS JOIN LATERAL (VALUES
    ('charge_sequences_have_no_gap', charge_sequence <> previous + 1, format('follows %s', previous)),
    ('charge_times_never_fall', charged_at < previous_at,
        format('is of %s, the charge before of %s', charged_at, previous_at)),
    ('charges_keep_the_order_of_their_transactions', transaction_sequence <= previous_transaction,
        format('transaction %s, an earlier charge has %s', transaction_sequence, previous_transaction)),
    ('charges_belong_to_the_account_of_their_account_sid',
        twilio.account_key IS DISTINCT FROM chain.account_key,
        format('AccountSid %s belongs to another account',
            coalesce(twilio.twilio_account_sid, 'unknown'))),
    ('charges_of_zero_have_no_transaction', (amount_micros = 0) <> (transaction_sequence IS NULL),
        format('%s micro-dollars, transaction %s', amount_micros,
            coalesce(transaction_sequence::text, 'none')))
) AS found (invariant, broken, violation)
WHERE found.broken
    AND (charge_sequence <> previous + 1 OR charged_at < previous_at
        OR transaction_sequence <= previous_transaction
        OR twilio.account_key IS DISTINCT FROM chain.account_key
        OR (amount_micros = 0) <> (transaction_sequence IS NULL))
