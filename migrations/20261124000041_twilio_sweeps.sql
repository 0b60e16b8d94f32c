-- How far each Twilio account was swept: its calls that started before this were held against call_keys.
CREATE TABLE twilio_sweeps (
    twilio_account_key  integer     NOT NULL,
    swept_to            timestamptz,
    failing_since       timestamptz,
    last_error          text,
    CONSTRAINT twilio_sweeps_pk PRIMARY KEY (twilio_account_key),
    CONSTRAINT twilio_sweeps_account_fk FOREIGN KEY (twilio_account_key) REFERENCES twilio_accounts,
    CONSTRAINT twilio_sweeps_error_has_a_time CHECK ((failing_since IS NULL) = (last_error IS NULL))
);
COMMENT ON COLUMN twilio_sweeps.swept_to IS 'Instant up to which the last sweep by the clock came; the next one begins the overlap before it. Mutable.';
COMMENT ON COLUMN twilio_sweeps.failing_since IS 'First failure since it was swept last; null: it was swept. Mutable.';
COMMENT ON COLUMN twilio_sweeps.last_error IS 'Why it was not swept. Holds no secret and no phone number. Mutable.';
