-- Auth tokens of Twilio accounts, sealed: what they sign and open, this table alone does not tell.
CREATE TABLE twilio_tokens (
    twilio_account_key  integer     NOT NULL,
    sealed              bytea       NOT NULL,
    key_id              text        COLLATE "C" NOT NULL,
    set_at              timestamptz NOT NULL,
    previous_sealed     bytea,
    previous_key_id     text        COLLATE "C",
    superseded_at       timestamptz,
    CONSTRAINT twilio_tokens_pk PRIMARY KEY (twilio_account_key),
    CONSTRAINT twilio_tokens_twilio_account_fk FOREIGN KEY (twilio_account_key) REFERENCES twilio_accounts,
    CONSTRAINT twilio_tokens_previous_is_whole CHECK (
        (previous_sealed IS NULL) = (previous_key_id IS NULL)
        AND (previous_sealed IS NULL) = (superseded_at IS NULL)
    )
);
COMMENT ON TABLE twilio_tokens IS 'One row a Twilio account that has a token of its own.';
COMMENT ON COLUMN twilio_tokens.sealed IS
    'Nonce, ciphertext and tag of the token that counts (src/vault.rs), bound to the AccountSid. Mutable.';
COMMENT ON COLUMN twilio_tokens.key_id IS 'Which key sealed it. Mutable.';
COMMENT ON COLUMN twilio_tokens.set_at IS 'When it was given. Mutable.';
COMMENT ON COLUMN twilio_tokens.previous_sealed IS
    'The token before it, which still counts for a while; null: none. Mutable.';
COMMENT ON COLUMN twilio_tokens.superseded_at IS 'When the one before was replaced. Mutable.';
