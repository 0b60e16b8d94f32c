-- Who did what: one row for each act of an administrator, in the transaction of the act.
CREATE TABLE audit (
    audit_id     bigint      GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL,
    who          text        COLLATE "C" NOT NULL,
    action       text        COLLATE "C" NOT NULL,
    account_key  integer,
    subject      text        COLLATE "C" NOT NULL,
    before       jsonb,
    after        jsonb,
    why          text,
    request_id   text        COLLATE "C",
    CONSTRAINT audit_pk PRIMARY KEY (audit_id),
    CONSTRAINT audit_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT audit_names_who_and_what CHECK (who <> '' AND action <> '')
);
COMMENT ON TABLE audit IS 'Append-only. Holds no secret; names and addresses of people only masked.';
COMMENT ON COLUMN audit.who IS 'The id of the credential, cli:USER for a command, or the part of the service.';
COMMENT ON COLUMN audit.subject IS 'What it was done to: an account, a key, a partition, a reject, a catalog version.';
COMMENT ON COLUMN audit.before IS 'As it was; null where there was nothing.';
COMMENT ON COLUMN audit.after IS 'As it is then; null where nothing is left.';
COMMENT ON COLUMN audit.why IS 'The reason that was given.';
CREATE INDEX audit_by_account ON audit (account_key, audit_id) WHERE account_key IS NOT NULL;
CREATE INDEX audit_by_instant ON audit (at);
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
