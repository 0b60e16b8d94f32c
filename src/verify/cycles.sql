-- verify: cycles
SELECT 'cycles_sum_their_charges',
    format('account %s, cycle of %s: %s seconds used, the charges sum to %s',
        account.id, cycle_start, coalesce(cycle.used_seconds, 0), coalesce(charged.seconds, 0))
FROM cycles AS cycle
FULL JOIN (
    SELECT account_key, subscription_id, cycle_start, sum(allowance_seconds)::bigint AS seconds
    FROM charges
    WHERE subscription_id IS NOT NULL
    GROUP BY account_key, subscription_id, cycle_start
) AS charged USING (account_key, subscription_id, cycle_start)
LEFT JOIN accounts AS account USING (account_key)
WHERE coalesce(cycle.used_seconds, 0) <> coalesce(charged.seconds, 0)
UNION ALL
SELECT 'allowance_is_of_a_plan',
    format('account %s, charge %s of call %s: %s of %s allowance seconds, plan %s',
        account.id, charge_sequence, call_sid, allowance_seconds, allowance_before_seconds,
        coalesce(plan, 'none'))
FROM charges
LEFT JOIN accounts AS account USING (account_key)
WHERE allowance_seconds > allowance_before_seconds
    OR (plan IS NULL) <> (subscription_id IS NULL) OR (plan IS NULL) <> (cycle_start IS NULL)
    OR (plan IS NULL AND allowance_before_seconds <> 0)
