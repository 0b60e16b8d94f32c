-- Tags that were given when a call was authorized, for the charge whose event brings none.
CREATE TABLE call_tags (
    account_key  integer     NOT NULL,
    call_sid     text        COLLATE "C" NOT NULL,
    tag          text        NOT NULL,
    noted_at     timestamptz NOT NULL,
    CONSTRAINT call_tags_pk PRIMARY KEY (account_key, call_sid)
);
COMMENT ON COLUMN call_tags.tag IS 'As the first authorization of the call gave it. Immutable; the row is deleted a week later.';
CREATE INDEX call_tags_by_age ON call_tags (noted_at);
