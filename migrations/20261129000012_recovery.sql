-- Acts on money wait after this ledger went back in time, until what Stripe knows is brought back.
ALTER TABLE ledger_identity ADD COLUMN recovery_required_at timestamptz;
ALTER TABLE ledger_identity ADD COLUMN recovery_reason text COLLATE "C";
COMMENT ON COLUMN ledger_identity.recovery_required_at IS 'Since when; null: no recovery is needed. Mutable.';
COMMENT ON COLUMN ledger_identity.recovery_reason IS 'Why: incarnation, a lost payment, or an administrator. Mutable.';
