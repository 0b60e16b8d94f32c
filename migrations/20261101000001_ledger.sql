-- The identity of this ledger and how often it went back in time.
CREATE TABLE ledger_identity (
    singleton    boolean     NOT NULL DEFAULT true,
    incarnation  bigint      NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_identity_pk PRIMARY KEY (singleton),
    CONSTRAINT ledger_identity_is_one_row CHECK (singleton),
    CONSTRAINT ledger_identity_incarnation_is_positive CHECK (incarnation > 0)
);
COMMENT ON COLUMN ledger_identity.incarnation IS
    'Raised each time Postgres is found to have gone back in time; versions of projections are fenced by it. Mutable, only upwards.';
INSERT INTO ledger_identity DEFAULT VALUES;

-- Refuses whatever would change a row that was written once.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused; correct it by a new row', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END;
$$;
