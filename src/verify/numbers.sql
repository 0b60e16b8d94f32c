-- verify: numbers
SELECT found.invariant, format('account %s: number %s ', account.id, number.number) || found.violation
FROM numbers AS number
LEFT JOIN accounts AS account USING (account_key)
LEFT JOIN transactions AS debit ON debit.account_key = number.account_key
    AND debit.sequence = number.debit_sequence
LEFT JOIN transactions AS back ON back.account_key = number.account_key
    AND back.sequence = number.refund_sequence
LEFT JOIN rental_periods AS first ON first.phone_number_sid = number.phone_number_sid
    AND first.period_start = number.first_period
CROSS JOIN LATERAL (VALUES
    ('numbers_have_their_debit',
        (number.asked_at IS NOT NULL OR number.bought_at IS NOT NULL) AND number.debited_at IS NULL
            OR number.debited_at IS NOT NULL AND number.price_micros > 0
                AND (debit.kind IS DISTINCT FROM 'number_purchase' OR debit.status <> 'completed'
                    OR debit.amount_micros <> number.price_micros),
        format('of %s micro-dollars is %s, and no transaction took them', number.price_micros, number.status)),
    ('failed_purchases_are_given_back',
        (number.status = 'failed' AND number.debit_sequence IS NOT NULL) <> (number.refund_sequence IS NOT NULL)
            OR number.refund_sequence IS NOT NULL AND (back.kind IS DISTINCT FROM 'refund'
                OR back.status <> 'completed' OR back.amount_micros <> number.price_micros
                OR back.refers_to IS DISTINCT FROM number.debit_sequence),
        format('is %s, and its transactions do not say so', number.status)),
    ('bought_numbers_have_their_first_period',
        number.bought_at IS NOT NULL AND first.status IS DISTINCT FROM 'paid',
        format('has no paid period from %s', number.first_period))
) AS found (invariant, broken, violation)
WHERE found.broken
UNION ALL
SELECT 'purchase_transactions_have_their_number',
    format('account %s: transaction %s bought no number', account.id, debit.sequence)
FROM transactions AS debit
LEFT JOIN accounts AS account USING (account_key)
WHERE debit.kind = 'number_purchase' AND NOT EXISTS (SELECT FROM numbers AS number
    WHERE number.account_key = debit.account_key AND number.debit_sequence = debit.sequence)
