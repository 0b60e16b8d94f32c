-- The wallet page: keys that may sign customers in, the links that they make, and the sessions that
-- the links begin.
ALTER TABLE keys DROP CONSTRAINT keys_scope_is_known;
ALTER TABLE keys ADD CONSTRAINT keys_scope_is_known
    CHECK (scope IN ('admin', 'authorize', 'account', 'sign_in'));

-- Links of 60 seconds. Of a link only its SHA-256 is kept: it is 256 random bits.
CREATE TABLE sign_in_links (
    sha256       bytea       NOT NULL,
    account_key  integer     NOT NULL,
    user_name    text,
    operator     text,
    next         text,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    CONSTRAINT sign_in_links_pk PRIMARY KEY (sha256),
    CONSTRAINT sign_in_links_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT sign_in_links_sha256_has_32_bytes CHECK (octet_length(sha256) = 32),
    CONSTRAINT sign_in_links_are_for_a_user_or_an_operator CHECK (user_name IS NULL OR operator IS NULL)
);
COMMENT ON COLUMN sign_in_links.user_name IS 'The customer''s user, as the platform names it. Immutable.';
COMMENT ON COLUMN sign_in_links.operator IS 'Who looks at the customer''s page, and may change nothing. Immutable.';
COMMENT ON COLUMN sign_in_links.next IS 'Path on this service where the page begins; null: the overview. Immutable.';
COMMENT ON COLUMN sign_in_links.expires_at IS 'From then on it begins no session. Rows are deleted a day later. Immutable.';
COMMENT ON COLUMN sign_in_links.used_at IS 'When it began a session; null: not yet. Set once.';
CREATE INDEX sign_in_links_by_expiry ON sign_in_links (expires_at);

-- Sessions of the wallet page. Of a session only the SHA-256 of its cookie is kept.
CREATE TABLE wallet_sessions (
    session_key  bigint      GENERATED ALWAYS AS IDENTITY,
    sha256       bytea       NOT NULL,
    account_key  integer     NOT NULL,
    user_name    text,
    operator     text,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    CONSTRAINT wallet_sessions_pk PRIMARY KEY (session_key),
    CONSTRAINT wallet_sessions_sha256_is_unique UNIQUE (sha256),
    CONSTRAINT wallet_sessions_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT wallet_sessions_sha256_has_32_bytes CHECK (octet_length(sha256) = 32),
    CONSTRAINT wallet_sessions_are_of_a_user_or_an_operator CHECK (user_name IS NULL OR operator IS NULL)
);
COMMENT ON COLUMN wallet_sessions.user_name IS 'The customer''s user, as the platform names it. Immutable.';
COMMENT ON COLUMN wallet_sessions.operator IS 'Who looks at the customer''s page, and may change nothing. Immutable.';
COMMENT ON COLUMN wallet_sessions.expires_at IS 'When it ends by itself. Rows are deleted a day later. Immutable.';
COMMENT ON COLUMN wallet_sessions.ended_at IS 'When it was ended; null: it was not. Set once.';
CREATE INDEX wallet_sessions_by_account ON wallet_sessions (account_key) WHERE ended_at IS NULL;
CREATE INDEX wallet_sessions_by_expiry ON wallet_sessions (expires_at);
