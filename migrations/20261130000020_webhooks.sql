-- Receivers of events: web hooks to customers.
CREATE TABLE webhook_endpoints (
    endpoint_number  integer     GENERATED ALWAYS AS IDENTITY,
    account_key      integer,
    url              text        NOT NULL,
    types            text[]      COLLATE "C",
    description      text,
    sealed           bytea       NOT NULL,
    key_id           text        NOT NULL,
    previous_sealed  bytea,
    previous_key_id  text,
    previous_until   timestamptz,
    created_at       timestamptz NOT NULL,
    failing_since    timestamptz,
    disabled_at      timestamptz,
    disabled_reason  text,
    deleted_at       timestamptz,
    CONSTRAINT webhook_endpoints_pk PRIMARY KEY (endpoint_number),
    CONSTRAINT webhook_endpoints_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT webhook_endpoints_have_a_type CHECK (types IS NULL OR cardinality(types) > 0),
    CONSTRAINT webhook_endpoints_previous_secret_is_whole
        CHECK (num_nulls(previous_sealed, previous_key_id, previous_until) IN (0, 3)),
    CONSTRAINT webhook_endpoints_disabled_for_a_reason
        CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL)),
    CONSTRAINT webhook_endpoints_reason_is_known CHECK (disabled_reason IN ('gone', 'failed'))
);
CREATE INDEX webhook_endpoints_by_account ON webhook_endpoints (account_key, endpoint_number)
    WHERE deleted_at IS NULL;
COMMENT ON COLUMN webhook_endpoints.endpoint_number IS 'Its id is whe_ and this number. Immutable.';
COMMENT ON COLUMN webhook_endpoints.account_key IS 'Whose events it gets; null: those of all accounts. Immutable.';
COMMENT ON COLUMN webhook_endpoints.url IS 'Where events are posted; its path may be a secret of the receiver. Mutable only by deletion, which blanks it.';
COMMENT ON COLUMN webhook_endpoints.types IS 'The types of events that it gets, without the prefix callmeter.; null: all. Immutable.';
COMMENT ON COLUMN webhook_endpoints.sealed IS 'The secret that signs, sealed by the key key_id. Mutable by rotation and by sealing again.';
COMMENT ON COLUMN webhook_endpoints.previous_sealed IS 'The secret before the last rotation, which also signs until previous_until. Mutable.';
COMMENT ON COLUMN webhook_endpoints.failing_since IS 'The first failed attempt since the last success. Mutable.';
COMMENT ON COLUMN webhook_endpoints.disabled_at IS 'Since then it gets nothing. Mutable.';
COMMENT ON COLUMN webhook_endpoints.disabled_reason IS 'gone: it answered 410; failed: the last retry failed. Mutable.';
COMMENT ON COLUMN webhook_endpoints.deleted_at IS 'Written once.';

-- What is posted to which endpoint, and what it answered.
CREATE TABLE webhook_deliveries (
    delivery_number  bigint      GENERATED ALWAYS AS IDENTITY,
    endpoint_number  integer     NOT NULL,
    event_number     bigint,
    event            uuid        NOT NULL,
    type             text        COLLATE "C" NOT NULL,
    created_at       timestamptz NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0,
    due_at           timestamptz,
    claimed_until    timestamptz,
    last_attempt_at  timestamptz,
    answer_status    integer,
    answer           text,
    error            text,
    delivered_at     timestamptz,
    CONSTRAINT webhook_deliveries_pk PRIMARY KEY (delivery_number),
    CONSTRAINT webhook_deliveries_endpoint_fk FOREIGN KEY (endpoint_number) REFERENCES webhook_endpoints,
    CONSTRAINT webhook_deliveries_event_fk FOREIGN KEY (event_number) REFERENCES outbox ON DELETE CASCADE,
    CONSTRAINT webhook_deliveries_are_one_for_an_event UNIQUE (event_number, endpoint_number),
    CONSTRAINT webhook_deliveries_delivered_are_not_due CHECK (delivered_at IS NULL OR due_at IS NULL)
);
CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_number, delivery_number);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_due_by_endpoint ON webhook_deliveries (endpoint_number, due_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_of_tests ON webhook_deliveries (created_at) WHERE event_number IS NULL;
COMMENT ON COLUMN webhook_deliveries.delivery_number IS 'Its id is whd_ and this number. Immutable.';
COMMENT ON COLUMN webhook_deliveries.event_number IS 'The event of the outbox, with which the row is deleted; null: a test. Immutable.';
COMMENT ON COLUMN webhook_deliveries.event IS 'The webhook-id, the same on every attempt and replay. Immutable.';
COMMENT ON COLUMN webhook_deliveries.type IS 'The type of the event, without the prefix callmeter. Immutable.';
COMMENT ON COLUMN webhook_deliveries.attempts IS 'Failed attempts since it was created or last replayed. Mutable.';
COMMENT ON COLUMN webhook_deliveries.due_at IS 'The next attempt; null: there is none. Mutable.';
COMMENT ON COLUMN webhook_deliveries.claimed_until IS 'Until then a process posts it, and others leave it alone. Mutable.';
COMMENT ON COLUMN webhook_deliveries.answer_status IS 'The HTTP status of the last answer; null: there was none. Mutable.';
COMMENT ON COLUMN webhook_deliveries.answer IS 'The beginning of its body, phone numbers masked. Mutable.';
COMMENT ON COLUMN webhook_deliveries.error IS 'Why the last attempt failed; null: it did not, or there was none. Mutable.';
