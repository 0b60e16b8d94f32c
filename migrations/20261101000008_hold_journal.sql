-- Holds as Redis granted them, written behind: what a Redis that lost its memory is given back.
CREATE TABLE hold_journal (
    account_key   integer     NOT NULL,
    call_sid      text        COLLATE "C" NOT NULL,
    revision      bigint      NOT NULL,
    hold          text        COLLATE "C",
    expires_at    timestamptz NOT NULL,
    journaled_at  timestamptz NOT NULL,
    CONSTRAINT hold_journal_pk PRIMARY KEY (account_key, call_sid),
    CONSTRAINT hold_journal_revision_is_positive CHECK (revision > 0)
);
COMMENT ON TABLE hold_journal IS 'No money: a hold only limits admission. Charging does not touch it; whether a call was charged, call_keys tells.';
COMMENT ON COLUMN hold_journal.revision IS 'Micro-seconds of Redis''s clock at the change; the highest counts. Mutable, only upwards.';
COMMENT ON COLUMN hold_journal.hold IS 'The hold in the words that Redis packs it in (src/balance/scripts/common.lua); null: voided. Mutable.';
COMMENT ON COLUMN hold_journal.expires_at IS 'When the hold is released by itself, or the void forgotten; the row is deleted some time later. Mutable.';
COMMENT ON COLUMN hold_journal.journaled_at IS 'When this state was written. Mutable.';
CREATE INDEX hold_journal_by_expiry ON hold_journal (expires_at);
CREATE INDEX twilio_accounts_by_account ON twilio_accounts (account_key);
