-- verify: replays
SELECT 'replays_sum_up_to_what_the_audit_tells',
    format('replays debited %s micro-dollars of the kind %s, and the audit tells of %s',
        coalesce(kept.amount_micros, 0), kind, coalesce(told.amount_micros, 0))
FROM (SELECT kind::text AS kind, amount_micros FROM replayed_amounts) AS kept
FULL JOIN (
    SELECT after ->> 'kind' AS kind, sum((after ->> 'debited')::numeric * 1000000) AS amount_micros
    FROM audit
    WHERE action = 'reject_replayed' AND after ->> 'kind' IS NOT NULL
    GROUP BY 1
) AS told USING (kind)
WHERE coalesce(kept.amount_micros, 0) <> coalesce(told.amount_micros, 0)
