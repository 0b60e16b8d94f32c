-- A rent whose attempt itself fails is told, and moved on, so that it holds up no other.
ALTER TABLE rental_periods ADD COLUMN last_error text;
COMMENT ON COLUMN rental_periods.last_error IS
    'Why its last attempt could not be made at all; null: it was made, paid or not. Mutable.';
