-- Mails to customers: one for each event that is mailed.
CREATE TABLE mails (
    mail_number      bigint      GENERATED ALWAYS AS IDENTITY,
    event_number     bigint      NOT NULL,
    created_at       timestamptz NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0,
    due_at           timestamptz,
    claimed_until    timestamptz,
    last_attempt_at  timestamptz,
    error            text,
    sent_at          timestamptz,
    CONSTRAINT mails_pk PRIMARY KEY (mail_number),
    CONSTRAINT mails_event_fk FOREIGN KEY (event_number) REFERENCES outbox ON DELETE CASCADE,
    CONSTRAINT mails_are_one_for_an_event UNIQUE (event_number),
    CONSTRAINT mails_sent_are_not_due CHECK (sent_at IS NULL OR due_at IS NULL)
);
CREATE INDEX mails_due ON mails (due_at) WHERE due_at IS NOT NULL;
COMMENT ON COLUMN mails.event_number IS 'The event of the outbox, with which the row is deleted. Its content and the address are read when it is sent. Immutable.';
COMMENT ON COLUMN mails.attempts IS 'Attempts so far. Mutable.';
COMMENT ON COLUMN mails.due_at IS 'The next attempt; null: there is none. Mutable.';
COMMENT ON COLUMN mails.claimed_until IS 'Until then a process sends it, and others leave it alone. Mutable.';
COMMENT ON COLUMN mails.error IS 'Why the last attempt failed, or why it was given up. Mutable.';
COMMENT ON COLUMN mails.sent_at IS 'When the mail server took it. Written once.';

-- What an address does not want any more.
CREATE TABLE mail_unsubscriptions (
    account_key     integer     NOT NULL,
    address_sha256  bytea       NOT NULL,
    kind            text        COLLATE "C" NOT NULL,
    at              timestamptz NOT NULL,
    CONSTRAINT mail_unsubscriptions_pk PRIMARY KEY (account_key, address_sha256, kind),
    CONSTRAINT mail_unsubscriptions_account_fk FOREIGN KEY (account_key) REFERENCES accounts
);
COMMENT ON COLUMN mail_unsubscriptions.address_sha256 IS 'SHA-256 of the address in lower case. Immutable; deleted by redaction.';
COMMENT ON COLUMN mail_unsubscriptions.kind IS 'The kind of mails, such as alert. Immutable.';
