-- A payment that fits no refill may be one that a restored ledger lacks. Until a recovery has looked at
-- it, acts on money wait. Those that are kept by now count as looked at.
ALTER TABLE unmatched_payments ADD COLUMN recovery_at timestamptz;
UPDATE unmatched_payments SET recovery_at = now();
COMMENT ON COLUMN unmatched_payments.recovery_at IS 'When a recovery last could not match it; null: none has looked at it. Mutable.';
