-- Some currencies have no hundredths.
COMMENT ON COLUMN stripe_settlements.fee_cents IS 'Stripe''s fee, in the smallest unit of currency: hundredths, of yen whole ones. Mutable.';
COMMENT ON COLUMN stripe_settlements.net_cents IS 'What was added to the balance at Stripe, the fee taken off, in the smallest unit of currency. Mutable.';
