-- Setups of cards: how often an account began one, and how often one was declined.
CREATE TABLE card_setups (
    account_key     integer       NOT NULL,
    request_sha256  bytea         NOT NULL,
    begun_at        timestamptz   NOT NULL,
    setup_intent    text          COLLATE "C",
    declined_at     timestamptz[] NOT NULL DEFAULT '{}',
    canceled_at     timestamptz,
    CONSTRAINT card_setups_pk PRIMARY KEY (account_key, request_sha256),
    CONSTRAINT card_setups_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT card_setups_intent_is_unique UNIQUE (setup_intent)
);
COMMENT ON TABLE card_setups IS 'For the limits of an hour; rows older than a day are deleted.';
COMMENT ON COLUMN card_setups.request_sha256 IS 'Of the request: a repeated one begins no other setup. Immutable.';
COMMENT ON COLUMN card_setups.setup_intent IS 'seti_...; null until Stripe answered. Written once.';
COMMENT ON COLUMN card_setups.declined_at IS 'When a try was declined. Mutable, only grows.';
COMMENT ON COLUMN card_setups.canceled_at IS 'When it was canceled because too many tries were declined. Written once.';
