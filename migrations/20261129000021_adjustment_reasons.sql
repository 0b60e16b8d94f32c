-- Why a wallet was adjusted, in the words of the books.
CREATE TABLE adjustment_reasons (
    account_key  integer     NOT NULL,
    sequence     bigint      NOT NULL,
    reason       text        COLLATE "C" NOT NULL,
    CONSTRAINT adjustment_reasons_pk PRIMARY KEY (account_key, sequence),
    CONSTRAINT adjustment_reasons_reason_is_known CHECK (reason IN ('cash', 'promotional', 'goodwill', 'correction'))
);
COMMENT ON TABLE adjustment_reasons IS 'Append-only. An adjustment without a row was given no reason.';
COMMENT ON COLUMN adjustment_reasons.sequence IS 'The adjustment. Immutable. No foreign key: it would hide the guard of transactions.';
CREATE TRIGGER adjustment_reasons_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON adjustment_reasons
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
