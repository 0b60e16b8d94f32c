-- Answers already given to POST requests that carried an Idempotency-Key; kept 24 hours.
CREATE TABLE idempotency_keys (
    credential   text        COLLATE "C" NOT NULL,
    path         text        COLLATE "C" NOT NULL,
    key          text        COLLATE "C" NOT NULL,
    body_sha256  bytea       NOT NULL,
    status       smallint    NOT NULL,
    response     text        NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pk PRIMARY KEY (credential, path, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
