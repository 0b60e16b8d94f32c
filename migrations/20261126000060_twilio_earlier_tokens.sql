-- Tokens before the one that twilio_tokens keeps as the previous one: each counts until its own time is
-- over, however often the token is changed meanwhile.
CREATE TABLE twilio_earlier_tokens (
    twilio_account_key  integer     NOT NULL,
    superseded_at       timestamptz NOT NULL,
    sealed              bytea       NOT NULL,
    key_id              text        COLLATE "C" NOT NULL,
    CONSTRAINT twilio_earlier_tokens_pk PRIMARY KEY (twilio_account_key, superseded_at),
    CONSTRAINT twilio_earlier_tokens_twilio_account_fk FOREIGN KEY (twilio_account_key)
        REFERENCES twilio_accounts
);
COMMENT ON TABLE twilio_earlier_tokens IS 'Sealed auth tokens that were replaced twice, while they count.';
COMMENT ON COLUMN twilio_earlier_tokens.superseded_at IS 'When it was replaced. Immutable.';
COMMENT ON COLUMN twilio_earlier_tokens.sealed IS 'As in twilio_tokens. Mutable: sealed anew by a new key.';
COMMENT ON COLUMN twilio_earlier_tokens.key_id IS 'Which key sealed it. Mutable.';

-- Every stored token, one row each.
CREATE VIEW twilio_tokens_of_all_times AS
    SELECT twilio_account_key, sealed, key_id, NULL::timestamptz AS superseded_at FROM twilio_tokens
    UNION ALL
    SELECT twilio_account_key, previous_sealed, previous_key_id, superseded_at FROM twilio_tokens
    WHERE previous_sealed IS NOT NULL
    UNION ALL
    SELECT twilio_account_key, sealed, key_id, superseded_at FROM twilio_earlier_tokens;
COMMENT ON VIEW twilio_tokens_of_all_times IS 'superseded_at null: the one that counts.';
