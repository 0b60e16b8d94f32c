-- Rented numbers: one row a number and period, paid at most once, ever.
CREATE TABLE rental_periods (
    account_key           integer     NOT NULL,
    phone_number_sid      text        COLLATE "C" NOT NULL,
    period_start          date        NOT NULL,
    phone_number          text        COLLATE "C",
    country               text        COLLATE "C",
    number_type           text        COLLATE "C",
    price_micros          bigint      NOT NULL,
    status                text        NOT NULL,
    attempts              integer     NOT NULL,
    first_attempt_at      timestamptz NOT NULL,
    next_attempt_at       timestamptz,
    first_sequence        bigint,
    paid_sequence         bigint,
    CONSTRAINT rental_periods_pk PRIMARY KEY (phone_number_sid, period_start),
    CONSTRAINT rental_periods_price_is_not_negative CHECK (price_micros >= 0),
    CONSTRAINT rental_periods_status_is_known CHECK (status IN ('paid', 'failed', 'given_up')),
    CONSTRAINT rental_periods_retry_only_after_failure CHECK ((status = 'failed') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT rental_periods_paid_has_its_transaction CHECK (
        status <> 'paid' OR price_micros = 0 OR paid_sequence IS NOT NULL
    )
);
COMMENT ON COLUMN rental_periods.status IS 'paid, failed (tried again daily) or given_up. Mutable until paid.';
COMMENT ON COLUMN rental_periods.next_attempt_at IS 'When the next attempt is due; null once paid or given up. Mutable.';
COMMENT ON COLUMN rental_periods.first_sequence IS 'Transaction of the first attempt, to which later ones refer.';
CREATE INDEX rental_periods_due ON rental_periods (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
