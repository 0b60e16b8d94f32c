-- verify: webhooks
SELECT 'events_are_posted_to_their_accounts_endpoints',
    format('whd_%s: an event of %s is posted to whe_%s of %s', delivery.delivery_number,
        told.id, endpoint.endpoint_number, owner.id)
FROM webhook_deliveries AS delivery
JOIN webhook_endpoints AS endpoint USING (endpoint_number)
JOIN outbox AS event USING (event_number)
JOIN accounts AS told ON told.account_key = event.account_key
JOIN accounts AS owner ON owner.account_key = endpoint.account_key
WHERE owner.account_key <> told.account_key
