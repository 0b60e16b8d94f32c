-- verify: auto_refills
SELECT 'watched_levels_are_those_of_auto_refill',
    format('account %s: charging watches %s, auto-refill is %s', account.id,
        coalesce(wallet.refill_level_micros::text, 'nothing'),
        CASE WHEN auto.is_enabled THEN format('set below %s', auto.threshold_micros) ELSE 'off' END)
FROM wallets AS wallet
JOIN accounts AS account USING (account_key)
LEFT JOIN auto_refills AS auto USING (account_key)
WHERE wallet.refill_level_micros IS DISTINCT FROM
    CASE WHEN auto.is_enabled THEN auto.threshold_micros END
UNION ALL
SELECT 'one_automatic_refill_at_a_time',
    format('account %s: %s automatic refills are in progress', account.id, count(*))
FROM refills AS refill
JOIN accounts AS account USING (account_key)
WHERE refill.trigger = 'auto' AND refill.finished_at IS NULL
GROUP BY account.id HAVING count(*) > 1
