CREATE TYPE transaction_type AS ENUM ('credit', 'debit');
CREATE TYPE transaction_status AS ENUM ('completed', 'pending', 'failed');
CREATE TYPE transaction_kind AS ENUM (
    'refill_manual', 'refill_auto', 'refund', 'chargeback_reversal', 'refill_refund_reversal',
    'adjustment_credit', 'call', 'overage', 'number_purchase', 'number_rental', 'refill_refund',
    'chargeback', 'adjustment_debit'
);

-- The ledger: every movement of a wallet, numbered without gap.
CREATE TABLE transactions (
    account_key            integer            NOT NULL,
    sequence               bigint             NOT NULL,
    at                     timestamptz        NOT NULL,
    amount_micros          bigint             NOT NULL,
    balance_before_micros  bigint             NOT NULL,
    balance_after_micros   bigint             NOT NULL,
    refers_to              bigint,
    type                   transaction_type   NOT NULL,
    kind                   transaction_kind   NOT NULL,
    status                 transaction_status NOT NULL,
    description            text,
    payment_intent_id      text,
    call_sid               text               COLLATE "C",
    CONSTRAINT transactions_pk PRIMARY KEY (account_key, sequence),
    CONSTRAINT transactions_sequence_is_positive CHECK (sequence > 0),
    CONSTRAINT transactions_amount_is_positive CHECK (amount_micros > 0),
    CONSTRAINT transactions_move_the_balance_by_the_amount CHECK (
        balance_after_micros = balance_before_micros + CASE
            WHEN status <> 'completed' THEN 0
            WHEN type = 'credit' THEN amount_micros
            ELSE -amount_micros
        END
    ),
    CONSTRAINT transactions_refer_to_an_older_row CHECK (refers_to < sequence)
);
COMMENT ON TABLE transactions IS 'Append-only. A correction is a new row that refers to the older one.';
COMMENT ON COLUMN transactions.sequence IS '1, 2, 3 ... per account, no gap, pending and failed rows included.';
COMMENT ON COLUMN transactions.at IS 'Commit time; never falls within an account.';
COMMENT ON COLUMN transactions.amount_micros IS 'Micro-dollars, positive; the type gives the direction.';
COMMENT ON COLUMN transactions.refers_to IS 'Sequence of an older transaction of the same account.';
COMMENT ON COLUMN transactions.description IS 'Null: the standard text of the kind.';
CREATE INDEX transactions_by_referred ON transactions (account_key, refers_to) WHERE refers_to IS NOT NULL;
CREATE TRIGGER transactions_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transactions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
