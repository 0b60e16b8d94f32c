-- verify: insights
WITH spent AS (
    SELECT account_key, (entry.at AT TIME ZONE 'UTC')::date AS day, entry.kind,
        sum(CASE entry.type WHEN 'debit' THEN entry.amount_micros ELSE -entry.amount_micros END) AS micros
    FROM insight_progress AS progress
    JOIN transactions AS entry USING (account_key)
    WHERE entry.sequence <= progress.transaction_sequence AND entry.status = 'completed'
        AND CASE entry.type
            WHEN 'debit' THEN entry.kind NOT IN ('adjustment_debit', 'chargeback', 'refill_refund')
            ELSE entry.kind = 'refund'
        END
    GROUP BY 1, 2, 3
),
charged AS (
    SELECT account_key, (charge.charged_at AT TIME ZONE 'UTC')::date AS day, charge.subscription_id,
        charge.cycle_start, charge.seconds, charge.billed_seconds, charge.wallet_seconds,
        charge.amount_micros,
        round(charge.rate_micros
            * least(charge.wallet_seconds, greatest(charge.billed_seconds - charge.seconds, 0)) / 60.0) AS rounding
    FROM insight_progress AS progress
    JOIN charges AS charge USING (account_key)
    WHERE charge.charge_sequence <= progress.charge_sequence
),
used AS (
    SELECT account_key, day, count(*) AS calls, sum(seconds) AS seconds,
        coalesce(sum(seconds) FILTER (WHERE billed_seconds > 0), 0) AS talked_seconds,
        sum(billed_seconds) AS billed_seconds, sum(rounding) AS rounding
    FROM charged GROUP BY account_key, day
),
cycled AS (
    SELECT account_key, subscription_id, cycle_start, count(*) AS calls,
        sum(wallet_seconds) AS wallet_seconds, sum(amount_micros) AS micros
    FROM charged WHERE subscription_id IS NOT NULL
    GROUP BY account_key, subscription_id, cycle_start
),
found AS (
    SELECT account_key, 'insights_are_the_sums_of_their_rows' AS invariant,
        format('%s on %s: summed up as %s micro-dollars, its rows are %s', kind, day,
            coalesce(kept.amount_micros, 0), coalesce(spent.micros, 0)) AS violation
    FROM spending_days AS kept FULL JOIN spent USING (account_key, day, kind)
    WHERE coalesce(kept.amount_micros, 0) <> coalesce(spent.micros, 0)
    UNION ALL
    SELECT account_key, 'insights_are_the_sums_of_their_rows',
        format('calls on %s: summed up as %s, %s s, %s s talked, %s s billed, %s micro-dollars of '
            'rounding; its rows are %s, %s, %s, %s, %s', day, kept.calls, kept.seconds,
            kept.talked_seconds, kept.billed_seconds, kept.rounding_micros, used.calls, used.seconds,
            used.talked_seconds, used.billed_seconds, used.rounding)
    FROM usage_days AS kept FULL JOIN used USING (account_key, day)
    WHERE (kept.calls, kept.seconds, kept.talked_seconds, kept.billed_seconds, kept.rounding_micros)
        IS DISTINCT FROM
        (used.calls, used.seconds, used.talked_seconds, used.billed_seconds, used.rounding)
    UNION ALL
    SELECT account_key, 'insights_are_the_sums_of_their_rows',
        format('cycle of %s: summed up as %s calls, %s s beyond the allowance, %s micro-dollars; its '
            'rows are %s, %s, %s', cycle_start, kept.calls, kept.wallet_seconds, kept.amount_micros,
            cycled.calls, cycled.wallet_seconds, cycled.micros)
    FROM usage_cycles AS kept FULL JOIN cycled USING (account_key, subscription_id, cycle_start)
    WHERE (kept.calls, kept.wallet_seconds, kept.amount_micros)
        IS DISTINCT FROM (cycled.calls, cycled.wallet_seconds, cycled.micros)
    UNION ALL
    SELECT account_key, 'insights_count_rows_of_their_wallet',
        format('%s transactions and %s charges are summed up, the wallet has %s and %s',
            progress.transaction_sequence, progress.charge_sequence, coalesce(wallet.sequence, 0),
            coalesce(wallet.charge_sequence, 0))
    FROM insight_progress AS progress LEFT JOIN wallets AS wallet USING (account_key)
    WHERE progress.transaction_sequence > coalesce(wallet.sequence, 0)
        OR progress.charge_sequence > coalesce(wallet.charge_sequence, 0)
)
SELECT found.invariant, format('account %s: ', account.id) || found.violation
FROM found LEFT JOIN accounts AS account USING (account_key)
