-- Numbers bought through us: the state of each purchase, of its periods and of its release. Its money is
-- in transactions, by the rows named here.
CREATE TABLE numbers (
    number              text        COLLATE "C" NOT NULL,
    number_order        bigint      GENERATED ALWAYS AS IDENTITY,
    account_key         integer     NOT NULL,
    twilio_account_sid  text        COLLATE "C" NOT NULL,
    phone_number        text        COLLATE "C" NOT NULL,
    country             text        COLLATE "C" NOT NULL,
    number_type         text        COLLATE "C" NOT NULL,
    price_micros        bigint      NOT NULL,
    monthly_micros      bigint      NOT NULL,
    address_sid         text        COLLATE "C",
    bundle_sid          text        COLLATE "C",
    status              text        NOT NULL,
    reason              text        COLLATE "C",
    is_checked          boolean     NOT NULL DEFAULT false,
    debited_at          timestamptz,
    debit_sequence      bigint,
    refund_sequence     bigint,
    attempts            integer     NOT NULL DEFAULT 0,
    asked_at            timestamptz,
    unanswered_at       timestamptz,
    refused_code        bigint,
    phone_number_sid    text        COLLATE "C",
    anchor              text        NOT NULL,
    first_period        date,
    next_period         integer,
    next_due_at         timestamptz,
    request_key         text        COLLATE "C",
    request_sha256      bytea,
    created_at          timestamptz NOT NULL,
    claimed_until       timestamptz NOT NULL,
    bought_at           timestamptz,
    release_asked_at    timestamptz,
    finished_at         timestamptz,
    CONSTRAINT numbers_pk PRIMARY KEY (number),
    CONSTRAINT numbers_order_is_unique UNIQUE (number_order),
    CONSTRAINT numbers_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT numbers_sid_is_unique UNIQUE (phone_number_sid),
    CONSTRAINT numbers_request_is_unique UNIQUE (account_key, request_key),
    CONSTRAINT numbers_status_is_known CHECK (
        status IN ('pending', 'active', 'suspended', 'releasing', 'released', 'failed')),
    CONSTRAINT numbers_anchor_is_known CHECK (anchor IN ('twilio_sticky', 'calendar')),
    CONSTRAINT numbers_prices_are_not_negative CHECK (price_micros >= 0 AND monthly_micros >= 0),
    CONSTRAINT numbers_bought_have_their_sid CHECK (
        (phone_number_sid IS NULL) = (status IN ('pending', 'failed'))
        AND (phone_number_sid IS NULL) = (bought_at IS NULL)),
    CONSTRAINT numbers_bought_have_periods CHECK (
        (bought_at IS NULL) = (first_period IS NULL) AND (bought_at IS NULL) = (next_period IS NULL)),
    CONSTRAINT numbers_active_have_a_due_time CHECK ((status = 'active') = (next_due_at IS NOT NULL)),
    CONSTRAINT numbers_end_with_a_time CHECK (
        (status IN ('released', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT numbers_asked_after_the_debit CHECK (asked_at IS NULL OR debited_at IS NOT NULL)
);
CREATE INDEX numbers_by_account ON numbers (account_key, number_order);
CREATE INDEX numbers_open ON numbers (claimed_until) WHERE status IN ('pending', 'releasing', 'suspended');
CREATE INDEX numbers_due ON numbers (next_due_at) WHERE next_due_at IS NOT NULL;
CREATE UNIQUE INDEX numbers_one_owner ON numbers (phone_number)
    WHERE status NOT IN ('released', 'failed');
COMMENT ON COLUMN numbers.number IS 'nb_ and 32 random hexadecimal digits: after a restored backup no id is used twice. Immutable.';
COMMENT ON COLUMN numbers.number_order IS 'Order and cursor of lists. Immutable.';
COMMENT ON COLUMN numbers.twilio_account_sid IS 'The Twilio account in which it is bought. Immutable.';
COMMENT ON COLUMN numbers.phone_number IS 'E.164. Mutable only by redaction, after its end.';
COMMENT ON COLUMN numbers.price_micros IS 'Micro-dollars of the purchase, the first period included. Immutable.';
COMMENT ON COLUMN numbers.monthly_micros IS 'Micro-dollars of a month when it was bought; a period costs what the catalog says at its start. Immutable.';
COMMENT ON COLUMN numbers.status IS 'released and failed never change again. Mutable under the wallet lock until then.';
COMMENT ON COLUMN numbers.reason IS 'Why it failed, is suspended or was released. Mutable.';
COMMENT ON COLUMN numbers.is_checked IS 'The price is set aside and no call can take it. Mutable.';
COMMENT ON COLUMN numbers.debited_at IS 'When the price was taken from the wallet, also one of zero. Written once.';
COMMENT ON COLUMN numbers.debit_sequence IS 'The row of the purchase; null: not debited, or at no price. Written once.';
COMMENT ON COLUMN numbers.refund_sequence IS 'The row that gave it back. Written once.';
COMMENT ON COLUMN numbers.attempts IS 'Requests to Twilio to buy it. Mutable.';
COMMENT ON COLUMN numbers.asked_at IS 'The last such request, noted before it is sent. Mutable.';
COMMENT ON COLUMN numbers.unanswered_at IS 'The last such request before that, whose answer nobody saw. Mutable.';
COMMENT ON COLUMN numbers.refused_code IS 'Twilio''s error code for the last request; null: not refused. Mutable.';
COMMENT ON COLUMN numbers.phone_number_sid IS 'Twilio''s PN... Written once.';
COMMENT ON COLUMN numbers.anchor IS 'How the day moves in a month that lacks it. Immutable.';
COMMENT ON COLUMN numbers.first_period IS 'The UTC day of the purchase, which paid this period. Written once.';
COMMENT ON COLUMN numbers.next_period IS 'The count of the next period to publish; the first is 0. Mutable, only rising.';
COMMENT ON COLUMN numbers.next_due_at IS 'When it begins; null: no more periods are published. Mutable.';
COMMENT ON COLUMN numbers.request_key IS 'The Idempotency-Key of the request, unique in its account for good. Immutable.';
COMMENT ON COLUMN numbers.claimed_until IS 'Until then a process works on it and others leave it alone. Mutable.';
COMMENT ON COLUMN numbers.release_asked_at IS 'When its release was asked for. Mutable.';
COMMENT ON COLUMN wallets.reserved_micros IS
    'The sum of the amounts of refunds, and of prices of numbers, that are asked for and not booked. Mutable under the wallet lock.';
