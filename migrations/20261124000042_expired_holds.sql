-- Holds that were released by the clock and never settled: their calls are looked up at Twilio. A hold
-- comes here before hold_journal forgets it.
CREATE TABLE expired_holds (
    account_key      integer     NOT NULL,
    call_sid         text        COLLATE "C" NOT NULL,
    expired_at       timestamptz NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz,
    outcome          text        COLLATE "C" NOT NULL DEFAULT 'waiting',
    decided_at       timestamptz,
    last_error       text,
    CONSTRAINT expired_holds_pk PRIMARY KEY (account_key, call_sid),
    CONSTRAINT expired_holds_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT expired_holds_outcome_is_known CHECK (
        outcome IN ('waiting', 'charged', 'published', 'unknown', 'given_up')
    ),
    CONSTRAINT expired_holds_wait_for_an_attempt CHECK ((outcome = 'waiting') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT expired_holds_are_decided_once CHECK ((outcome = 'waiting') = (decided_at IS NULL))
);
COMMENT ON TABLE expired_holds IS 'No money. Rows are deleted 30 days after they were decided.';
COMMENT ON COLUMN expired_holds.expired_at IS 'When the hold was due.';
COMMENT ON COLUMN expired_holds.attempts IS 'How often Twilio was asked. Mutable.';
COMMENT ON COLUMN expired_holds.next_attempt_at IS 'When Twilio is asked next; null once decided. Mutable.';
COMMENT ON COLUMN expired_holds.outcome IS
    'waiting; charged: its charge came meanwhile; published: Twilio told its end, and it went to Kafka; unknown: Twilio knows no such call; given_up: asked for too long. Mutable until decided.';
COMMENT ON COLUMN expired_holds.last_error IS 'Why Twilio could not be asked. Mutable.';
CREATE INDEX expired_holds_due ON expired_holds (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX expired_holds_by_age ON expired_holds (decided_at) WHERE decided_at IS NOT NULL;

-- A CallSid as call_keys stores it (src/ledger/call_key.rs): 17 bytes for Twilio's usual form, else
-- byte 1 and the text.
CREATE FUNCTION call_key_of(call_sid text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN call_sid ~ '^CA[0-9a-f]{32}$' THEN '\x00'::bytea || decode(substr(call_sid, 3), 'hex')
           ELSE '\x01'::bytea || convert_to(call_sid, 'UTF8') END
$$;
