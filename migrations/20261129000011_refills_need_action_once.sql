-- The customer is told once that a refill waits for a confirmation.
ALTER TABLE refills ADD COLUMN action_told_at timestamptz;
COMMENT ON COLUMN refills.action_told_at IS 'When the outbox told that the customer must confirm it. Written once.';
