-- verify: campaigns
WITH counted AS (
    SELECT count.account_key, charge.tag, count(*) AS calls, sum(charge.seconds) AS seconds,
        sum(charge.billed_seconds) AS billed_seconds,
        sum(charge.allowance_seconds) AS allowance_seconds,
        sum(charge.amount_micros) AS amount_micros, max(charge.charge_sequence) AS last_sequence
    FROM campaign_counts AS count
    JOIN charges AS charge ON charge.account_key = count.account_key
        AND charge.charge_sequence <= count.counted_sequence
    WHERE charge.tag IS NOT NULL
    GROUP BY count.account_key, charge.tag
)
SELECT 'campaigns_are_sums_of_their_charges',
    format('account %s, tag %L: %s calls and %s micro-dollars by its sums, %s and %s by its charges',
        account.id, left(tag, 40), coalesce(campaign.calls, 0), coalesce(campaign.amount_micros, 0),
        coalesce(counted.calls, 0), coalesce(counted.amount_micros, 0))
FROM counted
FULL JOIN campaigns AS campaign USING (account_key, tag)
JOIN accounts AS account USING (account_key)
WHERE (counted.calls, counted.seconds, counted.billed_seconds, counted.allowance_seconds,
        counted.amount_micros, counted.last_sequence)
    IS DISTINCT FROM (campaign.calls, campaign.seconds, campaign.billed_seconds,
        campaign.allowance_seconds, campaign.amount_micros, campaign.last_sequence)
