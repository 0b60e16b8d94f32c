-- verify: call_keys
SELECT found.invariant, format('account %s, charge %s: ', account.id, charge_sequence) || found.violation
FROM call_keys AS claim
FULL JOIN (
    SELECT account_key, charge_sequence, twilio_account_key, seconds, call_sid,
        CASE
            WHEN call_sid ~ '^CA[0-9a-f]{32}$' THEN '\x00'::bytea || decode(substr(call_sid, 3), 'hex')
            ELSE '\x01'::bytea || convert_to(call_sid, 'UTF8')
        END AS call_key
    FROM charges
) AS charge USING (account_key, charge_sequence)
LEFT JOIN accounts AS account USING (account_key)
CROSS JOIN LATERAL (VALUES
    ('call_keys_have_their_charge', charge.call_sid IS NULL,
        format('key %s of %s seconds has no charge', encode(claim.call_key, 'hex'), claim.seconds)),
    ('charges_have_their_call_key', claim.call_key IS NULL,
        format('call %s has no key: it could be charged again', charge.call_sid)),
    ('call_keys_and_charges_agree',
        claim.seconds <> charge.seconds OR claim.call_key <> charge.call_key
            OR claim.twilio_account_key <> charge.twilio_account_key,
        format('key %s of %s seconds, call %s of %s seconds',
            encode(claim.call_key, 'hex'), claim.seconds, charge.call_sid, charge.seconds))
) AS found (invariant, broken, violation)
WHERE found.broken
    -- Repeated here, so that the texts above are built only for violations.
    AND (charge.call_sid IS NULL OR claim.call_key IS NULL OR claim.seconds <> charge.seconds
        OR claim.call_key <> charge.call_key OR claim.twilio_account_key <> charge.twilio_account_key)
