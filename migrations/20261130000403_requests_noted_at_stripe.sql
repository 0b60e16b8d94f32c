-- A recovery must know the request of a refill that a restored ledger lacks: repeated, it is the same refill.
-- Payments of refills from before carry no request, and their requests to Stripe must stay the same.
ALTER TABLE refills ADD COLUMN notes_request boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN refills.notes_request IS 'Whether its payment carries the Idempotency-Key of its request as metadata. Immutable.';
