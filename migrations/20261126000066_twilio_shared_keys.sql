-- Keys by which Twilio signs an account's web hooks in place of an auth token, sealed.
CREATE TABLE twilio_shared_keys (
    account_key     integer     NOT NULL,
    shared_key_id   text        COLLATE "C" NOT NULL,
    sealed          bytea       NOT NULL,
    key_id          text        COLLATE "C" NOT NULL,
    set_at          timestamptz NOT NULL,
    first_set_at    timestamptz NOT NULL,
    CONSTRAINT twilio_shared_keys_pk PRIMARY KEY (account_key, shared_key_id),
    CONSTRAINT twilio_shared_keys_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT twilio_shared_keys_id_is_short CHECK (length(shared_key_id) BETWEEN 1 AND 128)
);
-- A web hook names a key, and may name no account.
CREATE INDEX twilio_shared_keys_by_id ON twilio_shared_keys (shared_key_id, account_key);
COMMENT ON TABLE twilio_shared_keys IS 'One row for each shared key that an account has of its own.';
COMMENT ON COLUMN twilio_shared_keys.shared_key_id IS 'The id that Twilio names in a web hook. Immutable.';
COMMENT ON COLUMN twilio_shared_keys.sealed IS
    'Nonce, ciphertext and tag of the secret (src/vault.rs), bound to the account and the id. Mutable.';
COMMENT ON COLUMN twilio_shared_keys.key_id IS 'Which key sealed it. Mutable: sealed anew by a new key.';
COMMENT ON COLUMN twilio_shared_keys.set_at IS 'When this secret was given. Mutable.';
COMMENT ON COLUMN twilio_shared_keys.first_set_at IS
    'Since when the account has had shared keys of its own, on each of its rows. Immutable.';
