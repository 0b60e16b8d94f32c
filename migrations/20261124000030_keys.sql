-- Keys of the API. Of a key only its SHA-256 is kept: it is 256 random bits, so that there is
-- nothing to guess, and a slow or salted hash would protect nothing more.
CREATE TABLE keys (
    key_id        integer     GENERATED ALWAYS AS IDENTITY,
    name          text        NOT NULL,
    scope         text        COLLATE "C" NOT NULL,
    account_key   integer,
    prefix        text        COLLATE "C" NOT NULL,
    sha256        bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    last_used_at  timestamptz,
    CONSTRAINT keys_pk PRIMARY KEY (key_id),
    CONSTRAINT keys_sha256_is_unique UNIQUE (sha256),
    CONSTRAINT keys_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT keys_scope_is_known CHECK (scope IN ('admin', 'authorize', 'account')),
    CONSTRAINT keys_of_an_account_name_it CHECK ((scope = 'account') = (account_key IS NOT NULL)),
    CONSTRAINT keys_sha256_has_32_bytes CHECK (octet_length(sha256) = 32)
);
COMMENT ON COLUMN keys.name IS 'What people call it. Immutable.';
COMMENT ON COLUMN keys.prefix IS 'How the key begins, to recognize it by. Immutable.';
COMMENT ON COLUMN keys.revoked_at IS 'Since when it is refused; null: it is good. Set once.';
COMMENT ON COLUMN keys.last_used_at IS 'Within about a minute. Mutable.';
CREATE INDEX keys_by_account ON keys (account_key) WHERE account_key IS NOT NULL;
