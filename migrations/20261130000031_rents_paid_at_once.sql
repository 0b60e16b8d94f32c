-- A refill pays what is unpaid at once, and leaves the days of the other attempts as they are.
ALTER TABLE rental_periods ADD COLUMN look_at timestamptz;
ALTER TABLE rental_periods ADD COLUMN last_attempt_at timestamptz;
COMMENT ON COLUMN rental_periods.look_at IS 'When to look whether the money is there now; null: only at the next attempt. Mutable.';
COMMENT ON COLUMN rental_periods.last_attempt_at IS 'The last attempt that left a row; null: the first, or unknown. Mutable.';
CREATE INDEX rental_periods_to_look_at ON rental_periods (least(next_attempt_at, look_at))
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX rental_periods_unpaid_by_account ON rental_periods (account_key) WHERE next_attempt_at IS NOT NULL;
