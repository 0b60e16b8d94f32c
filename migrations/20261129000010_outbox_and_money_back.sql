-- Facts to tell: written in the transaction of what they tell, published in order per account.
CREATE TABLE outbox (
    event_number  bigint      GENERATED ALWAYS AS IDENTITY,
    event         uuid        NOT NULL DEFAULT gen_random_uuid(),
    account_key   integer     NOT NULL,
    type          text        COLLATE "C" NOT NULL,
    at            timestamptz NOT NULL,
    sequence      bigint,
    data          jsonb,
    position      bigint,
    CONSTRAINT outbox_pk PRIMARY KEY (event_number),
    CONSTRAINT outbox_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT outbox_position_is_unique UNIQUE (position)
);
CREATE INDEX outbox_without_position ON outbox (event_number) WHERE position IS NULL;
CREATE INDEX outbox_by_age ON outbox (at);
COMMENT ON COLUMN outbox.event_number IS 'Rises in the order of commits within an account, because the wallet is locked. Immutable.';
COMMENT ON COLUMN outbox.event IS 'The id of the event, the same on every repeat; random, so that a restored backup uses none again. Immutable.';
COMMENT ON COLUMN outbox.type IS 'The type of the CloudEvent, without its prefix callmeter. Immutable.';
COMMENT ON COLUMN outbox.sequence IS 'The transaction that it is about. Immutable.';
COMMENT ON COLUMN outbox.data IS 'What it tells; null: the transaction itself. Mutable only by redaction.';
COMMENT ON COLUMN outbox.position IS 'The order of all events, given after the commit, without a gap that could be filled later. Written once.';

-- How far each consumer of the outbox has come.
CREATE TABLE outbox_consumers (
    name      text        COLLATE "C" NOT NULL,
    position  bigint      NOT NULL,
    moved_at  timestamptz NOT NULL,
    CONSTRAINT outbox_consumers_pk PRIMARY KEY (name)
);
COMMENT ON COLUMN outbox_consumers.position IS 'The last event that it has dealt with. Mutable, never falling.';

-- A level of the balance that is watched: crossed when before >= level > after.
ALTER TABLE wallets ADD COLUMN refill_level_micros bigint;
COMMENT ON COLUMN wallets.refill_level_micros IS 'The threshold of auto-refill while it is enabled. Mutable under the wallet lock.';

-- Money set aside for refunds in progress. It counts as held.
ALTER TABLE wallets ADD COLUMN reserved_micros bigint NOT NULL DEFAULT 0;
ALTER TABLE wallets ADD CONSTRAINT wallets_reserved_is_not_negative CHECK (reserved_micros >= 0);
COMMENT ON COLUMN wallets.reserved_micros IS 'The sum of the amounts of refunds that are asked and not booked. Mutable under the wallet lock.';

-- Refunds of refills to their card: ours, and those made at Stripe.
CREATE TABLE refunds (
    refund             text        COLLATE "C" NOT NULL,
    refund_number      bigint      GENERATED ALWAYS AS IDENTITY,
    refill             text        COLLATE "C" NOT NULL,
    account_key        integer     NOT NULL,
    amount_micros      bigint      NOT NULL,
    status             text        NOT NULL,
    is_ours            boolean     NOT NULL,
    is_checked         boolean     NOT NULL,
    attempt            integer     NOT NULL DEFAULT 1,
    stripe_refund      text        COLLATE "C",
    debit_sequence     bigint,
    reversal_sequence  bigint,
    request_key        text        COLLATE "C",
    request_sha256     bytea,
    created_at         timestamptz NOT NULL,
    claimed_until      timestamptz NOT NULL,
    finished_at        timestamptz,
    CONSTRAINT refunds_pk PRIMARY KEY (refund),
    CONSTRAINT refunds_number_is_unique UNIQUE (refund_number),
    CONSTRAINT refunds_refill_fk FOREIGN KEY (refill) REFERENCES refills,
    CONSTRAINT refunds_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT refunds_stripe_refund_is_unique UNIQUE (stripe_refund),
    CONSTRAINT refunds_request_is_unique UNIQUE (account_key, request_key),
    CONSTRAINT refunds_status_is_known CHECK (status IN ('pending', 'completed', 'failed')),
    CONSTRAINT refunds_amount_is_positive CHECK (amount_micros > 0),
    CONSTRAINT refunds_reversal_gives_back_a_debit CHECK (reversal_sequence IS NULL OR debit_sequence IS NOT NULL),
    CONSTRAINT refunds_end_with_a_time CHECK ((status = 'pending') = (finished_at IS NULL))
);
CREATE INDEX refunds_by_refill ON refunds (refill, refund_number);
CREATE INDEX refunds_by_account ON refunds (account_key);
CREATE INDEX refunds_unfinished ON refunds (claimed_until) WHERE finished_at IS NULL;
COMMENT ON COLUMN refunds.refund IS 'rr_ and 32 random hexadecimal digits. Immutable.';
COMMENT ON COLUMN refunds.amount_micros IS 'Micro-dollars, whole cents. Immutable.';
COMMENT ON COLUMN refunds.status IS 'completed may become failed, if the money did not arrive. Mutable under the wallet lock.';
COMMENT ON COLUMN refunds.is_ours IS 'Asked for through the API; else made at Stripe. Immutable.';
COMMENT ON COLUMN refunds.is_checked IS 'The money is set aside and no call can take it: Stripe may be asked. Mutable.';
COMMENT ON COLUMN refunds.attempt IS 'Part of the Idempotency-Key at Stripe; raised where a key answers a stored 5xx and no refund exists. Mutable.';
COMMENT ON COLUMN refunds.stripe_refund IS 're_...; null while it is not known. Written once.';
COMMENT ON COLUMN refunds.debit_sequence IS 'The row that took the money from the wallet. Written once.';
COMMENT ON COLUMN refunds.reversal_sequence IS 'The row that gave it back. Written once.';
COMMENT ON COLUMN refunds.claimed_until IS 'Until then a request works on it and the job leaves it alone. Mutable.';

-- Disputes of refills, as Stripe last told them.
CREATE TABLE disputes (
    dispute              text        COLLATE "C" NOT NULL,
    refill               text        COLLATE "C" NOT NULL,
    account_key          integer     NOT NULL,
    amount_cents         bigint      NOT NULL,
    currency             text        NOT NULL,
    status               text        NOT NULL,
    reason               text        NOT NULL,
    withdrawn_sequence   bigint,
    reinstated_sequence  bigint,
    needs_operator       boolean     NOT NULL DEFAULT false,
    opened_at            timestamptz NOT NULL,
    closed_at            timestamptz,
    CONSTRAINT disputes_pk PRIMARY KEY (dispute),
    CONSTRAINT disputes_refill_fk FOREIGN KEY (refill) REFERENCES refills,
    CONSTRAINT disputes_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT disputes_reinstated_after_withdrawn CHECK (reinstated_sequence IS NULL OR withdrawn_sequence IS NOT NULL)
);
CREATE INDEX disputes_by_refill ON disputes (refill);
COMMENT ON COLUMN disputes.status IS 'Stripe''s word. Mutable.';
COMMENT ON COLUMN disputes.withdrawn_sequence IS 'The chargeback''s row. Written once.';
COMMENT ON COLUMN disputes.reinstated_sequence IS 'The row of its reversal. Written once.';
COMMENT ON COLUMN disputes.needs_operator IS 'Money moved that is not in USD: nothing is booked by itself. Mutable.';

-- Auto-refill, as the account set it, and what became of it.
CREATE TABLE auto_refills (
    account_key         integer     NOT NULL,
    is_enabled          boolean     NOT NULL,
    threshold_micros    bigint      NOT NULL,
    amount_micros       bigint,
    target_micros       bigint,
    monthly_cap_micros  bigint,
    payment_method      text        COLLATE "C",
    set_at              timestamptz NOT NULL,
    off_reason          text        COLLATE "C",
    soft_declines       integer     NOT NULL DEFAULT 0,
    retry_at            timestamptz,
    capped_month        date,
    look_at             timestamptz,
    CONSTRAINT auto_refills_pk PRIMARY KEY (account_key),
    CONSTRAINT auto_refills_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT auto_refills_have_one_size CHECK ((amount_micros IS NULL) <> (target_micros IS NULL)),
    CONSTRAINT auto_refills_off_have_no_look CHECK (is_enabled OR look_at IS NULL)
);
CREATE INDEX auto_refills_due ON auto_refills (look_at) WHERE look_at IS NOT NULL;
COMMENT ON COLUMN auto_refills.threshold_micros IS 'Refilled while the balance is below. Mutable.';
COMMENT ON COLUMN auto_refills.monthly_cap_micros IS 'Null: an administrator allowed any sum. Mutable.';
COMMENT ON COLUMN auto_refills.payment_method IS 'Null: the default card at the time. Mutable.';
COMMENT ON COLUMN auto_refills.off_reason IS 'Why it was switched off by itself. Mutable.';
COMMENT ON COLUMN auto_refills.soft_declines IS 'Soft declines in a row. Mutable.';
COMMENT ON COLUMN auto_refills.retry_at IS 'The end of the back-off. Mutable.';
COMMENT ON COLUMN auto_refills.capped_month IS 'The month in which the cap was told. Mutable.';
COMMENT ON COLUMN auto_refills.look_at IS 'When the balance is to be looked at; set by the transaction that takes it below the threshold. Mutable.';

-- What the customer agreed to, word for word.
CREATE TABLE auto_refill_consents (
    consent_number  bigint      GENERATED ALWAYS AS IDENTITY,
    account_key     integer     NOT NULL,
    at              timestamptz NOT NULL,
    who             text        NOT NULL,
    address         text,
    version         text        NOT NULL,
    sentence        text        NOT NULL,
    settings        jsonb       NOT NULL,
    CONSTRAINT auto_refill_consents_pk PRIMARY KEY (consent_number),
    CONSTRAINT auto_refill_consents_account_fk FOREIGN KEY (account_key) REFERENCES accounts
);
CREATE INDEX auto_refill_consents_by_account ON auto_refill_consents (account_key, consent_number);
COMMENT ON TABLE auto_refill_consents IS 'Append-only, except for redaction.';
