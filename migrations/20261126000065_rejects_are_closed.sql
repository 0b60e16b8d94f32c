-- A reject can be closed: somebody saw it, and it is done with.
ALTER TABLE rejects
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN closed_reason text,
    ADD CONSTRAINT rejects_that_are_closed_give_a_reason
        CHECK ((closed_at IS NULL) = (closed_reason IS NULL) AND closed_reason <> '');
COMMENT ON COLUMN rejects.closed_at IS
    'Instant at which an administrator closed it for good; null: never. Set once.';
COMMENT ON COLUMN rejects.closed_reason IS
    'Why, with phone numbers masked; the audit has it too. Set together with closed_at.';
COMMENT ON COLUMN rejects.replayed_at IS
    'Instant at which a replay charged it or found it paid; null: never. Mutable.';
CREATE INDEX rejects_neither_replayed_nor_closed ON rejects (reject_id)
    WHERE replayed_at IS NULL AND closed_at IS NULL;

-- What replays debited so far, by kind: a command has no metrics, so that processes with metrics read it here.
CREATE TABLE replayed_amounts (
    kind           transaction_kind NOT NULL,
    amount_micros  bigint           NOT NULL,
    CONSTRAINT replayed_amounts_pk PRIMARY KEY (kind),
    CONSTRAINT replayed_amounts_are_not_negative CHECK (amount_micros >= 0)
);
COMMENT ON COLUMN replayed_amounts.amount_micros IS
    'Micro-dollars, the sum over all replays since this table was made; rises in the transaction of each. Mutable.';
