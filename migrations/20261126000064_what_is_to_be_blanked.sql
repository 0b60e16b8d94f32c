-- What blanking still has to do, so that its hourly look reads nothing else; a row leaves each index when
-- it is blanked.
CREATE INDEX rejects_to_be_blanked ON rejects (rejected_at)
    WHERE record_key IS NOT NULL OR record_value IS NOT NULL OR detail <> '';
CREATE INDEX rental_periods_to_be_blanked ON rental_periods (first_attempt_at)
    WHERE phone_number <> '' AND next_attempt_at IS NULL;
