-- verify: rentals
SELECT found.invariant, format('account %s: ', account.id) || found.violation
FROM (
    SELECT account_key, paid_sequence AS sequence, phone_number_sid, period_start, price_micros
    FROM rental_periods
    WHERE status = 'paid' AND price_micros > 0
) AS period
FULL JOIN (
    SELECT account_key, sequence, amount_micros FROM transactions
    WHERE kind = 'number_rental' AND status = 'completed'
) AS paid USING (account_key, sequence)
LEFT JOIN accounts AS account USING (account_key)
CROSS JOIN LATERAL (VALUES
    ('paid_rentals_have_their_transaction', paid.amount_micros IS NULL,
        format('number %s, period %s: transaction %s did not pay it',
            phone_number_sid, period_start, coalesce(sequence::text, 'none'))),
    ('rental_transactions_have_their_period', period.phone_number_sid IS NULL,
        format('transaction %s pays no period', sequence)),
    ('paid_rentals_cost_their_price', paid.amount_micros <> period.price_micros,
        format('number %s, period %s: price %s, paid %s micro-dollars by transaction %s',
            phone_number_sid, period_start, price_micros, paid.amount_micros, sequence))
) AS found (invariant, broken, violation)
WHERE found.broken
UNION ALL
SELECT 'one_transaction_pays_one_period',
    format('account %s: transaction %s pays %s periods', account.id, paid_sequence, count(*))
FROM rental_periods AS period
LEFT JOIN accounts AS account USING (account_key)
WHERE period.status = 'paid' AND paid_sequence IS NOT NULL
GROUP BY account.id, account_key, paid_sequence
HAVING count(*) > 1
UNION ALL
SELECT 'failed_rentals_have_their_attempts',
    format('account %s: number %s, period %s is %s after %s attempts, the first by transaction %s',
        account.id, phone_number_sid, period_start, period.status, attempts,
        coalesce(first_sequence::text, 'none'))
FROM rental_periods AS period
LEFT JOIN accounts AS account USING (account_key)
LEFT JOIN transactions AS first ON first.account_key = period.account_key
    AND first.sequence = period.first_sequence
WHERE period.status IN ('failed', 'given_up') AND price_micros > 0
    AND (attempts < 1 OR first.kind IS DISTINCT FROM 'number_rental' OR first.status <> 'failed')
