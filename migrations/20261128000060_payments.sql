-- Money in: payments by card through Stripe. Card data never reaches this database.

-- Metadata of every object at Stripe carries this id, so that several ledgers may share one Stripe account.
ALTER TABLE ledger_identity ADD COLUMN ledger_id uuid NOT NULL DEFAULT gen_random_uuid();
COMMENT ON COLUMN ledger_identity.ledger_id IS 'Names this ledger at Stripe. Immutable.';

-- The Stripe account and mode of the first object made: no act on money at another one.
CREATE TABLE stripe_account (
    singleton    boolean     NOT NULL DEFAULT true,
    account      text        COLLATE "C" NOT NULL,
    livemode     boolean     NOT NULL,
    recorded_at  timestamptz NOT NULL,
    CONSTRAINT stripe_account_pk PRIMARY KEY (singleton),
    CONSTRAINT stripe_account_is_one_row CHECK (singleton)
);
COMMENT ON COLUMN stripe_account.account IS 'acct_... Mutable only by an administrator.';

-- One Stripe customer for each account, made with its first card or refill.
CREATE TABLE stripe_customers (
    account_key  integer     NOT NULL,
    customer     text        COLLATE "C" NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT stripe_customers_pk PRIMARY KEY (account_key),
    CONSTRAINT stripe_customers_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT stripe_customers_customer_is_unique UNIQUE (customer)
);
COMMENT ON TABLE stripe_customers IS 'Append-only.';

-- Saved cards, as Stripe last listed them. Stripe is the truth; this copy knows the default.
CREATE TABLE payment_methods (
    payment_method  text        COLLATE "C" NOT NULL,
    account_key     integer     NOT NULL,
    brand           text        NOT NULL,
    last4           text        NOT NULL,
    exp_month       smallint    NOT NULL,
    exp_year        smallint    NOT NULL,
    is_default      boolean     NOT NULL DEFAULT false,
    added_at        timestamptz NOT NULL,
    CONSTRAINT payment_methods_pk PRIMARY KEY (payment_method),
    CONSTRAINT payment_methods_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT payment_methods_month_is_one CHECK (exp_month BETWEEN 1 AND 12)
);
CREATE INDEX payment_methods_by_account ON payment_methods (account_key, added_at);
CREATE UNIQUE INDEX payment_methods_one_default ON payment_methods (account_key) WHERE is_default;
COMMENT ON COLUMN payment_methods.is_default IS 'At most one of an account. Mutable.';
COMMENT ON COLUMN payment_methods.added_at IS 'When Stripe created it.';

-- Refills: the state of each payment. Its money is in transactions, by the rows named here.
CREATE TABLE refills (
    refill            text        COLLATE "C" NOT NULL,
    refill_number     bigint      GENERATED ALWAYS AS IDENTITY,
    account_key       integer     NOT NULL,
    trigger           text        NOT NULL,
    amount_micros     bigint      NOT NULL,
    status            text        NOT NULL,
    pending_sequence  bigint      NOT NULL,
    outcome_sequence  bigint,
    has_new_card      boolean     NOT NULL,
    payment_method    text        COLLATE "C",
    card              jsonb,
    saves_card        boolean     NOT NULL DEFAULT false,
    return_url        text,
    receipt_email     text,
    attempt           integer     NOT NULL DEFAULT 1,
    payment_intent    text        COLLATE "C",
    redirect_url      text,
    is_canceling      boolean     NOT NULL DEFAULT false,
    decline           jsonb,
    declines          integer     NOT NULL DEFAULT 0,
    request_key       text        COLLATE "C",
    request_sha256    bytea,
    created_at        timestamptz NOT NULL,
    claimed_until     timestamptz NOT NULL,
    asked_at          timestamptz,
    finished_at       timestamptz,
    CONSTRAINT refills_pk PRIMARY KEY (refill),
    CONSTRAINT refills_number_is_unique UNIQUE (refill_number),
    CONSTRAINT refills_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT refills_payment_intent_is_unique UNIQUE (payment_intent),
    CONSTRAINT refills_request_is_unique UNIQUE (account_key, request_key),
    CONSTRAINT refills_trigger_is_known CHECK (trigger IN ('manual', 'auto')),
    CONSTRAINT refills_status_is_known CHECK (
        status IN ('pending', 'requires_payment_method', 'requires_action', 'completed', 'failed')),
    CONSTRAINT refills_amount_is_positive CHECK (amount_micros > 0),
    CONSTRAINT refills_attempt_is_positive CHECK (attempt > 0),
    CONSTRAINT refills_end_with_their_row CHECK (
        (status IN ('completed', 'failed')) = (finished_at IS NOT NULL)
        AND (finished_at IS NULL) = (outcome_sequence IS NULL))
);
CREATE INDEX refills_by_account ON refills (account_key, refill_number);
CREATE INDEX refills_unfinished ON refills (claimed_until) WHERE finished_at IS NULL;
COMMENT ON COLUMN refills.refill IS 'rf_ and 32 random hexadecimal digits: after a restored backup no id is used twice. Immutable.';
COMMENT ON COLUMN refills.refill_number IS 'Order and cursor of lists. Immutable.';
COMMENT ON COLUMN refills.amount_micros IS 'Micro-dollars, whole cents. Immutable.';
COMMENT ON COLUMN refills.status IS 'completed and failed never change again. Mutable under the wallet lock until then.';
COMMENT ON COLUMN refills.pending_sequence IS 'The pending transaction. Immutable.';
COMMENT ON COLUMN refills.outcome_sequence IS 'The completed or failed transaction, which refers to the pending one. Written once.';
COMMENT ON COLUMN refills.has_new_card IS 'Paid with a card that the customer enters. Immutable.';
COMMENT ON COLUMN refills.payment_method IS 'The card; null: a new one that has not paid yet. Mutable.';
COMMENT ON COLUMN refills.card IS 'Brand and last four digits.';
COMMENT ON COLUMN refills.receipt_email IS 'As sent to Stripe, so that a repeated request is the same; null once the refill ended.';
COMMENT ON COLUMN refills.attempt IS 'Part of the Idempotency-Keys at Stripe; raised where a key answers a stored 5xx and no payment exists. Mutable.';
COMMENT ON COLUMN refills.is_canceling IS 'The payment is to be canceled at Stripe before the refill fails. Mutable.';
COMMENT ON COLUMN refills.decline IS 'Why the last try was declined: code, class, field and Stripe''s own code. Mutable.';
COMMENT ON COLUMN refills.declines IS 'Declined tries. Mutable.';
COMMENT ON COLUMN refills.request_key IS 'The Idempotency-Key of the request, unique in its account for good. Immutable.';
COMMENT ON COLUMN refills.claimed_until IS 'Until then a request works on it and the job leaves it alone. Mutable.';
COMMENT ON COLUMN refills.asked_at IS 'When Stripe was last asked about it. Mutable.';

-- Stripe's events that were applied: a repeated delivery changes nothing.
CREATE TABLE stripe_events (
    event        text        COLLATE "C" NOT NULL,
    type         text        COLLATE "C" NOT NULL,
    outcome      text        COLLATE "C" NOT NULL,
    received_at  timestamptz NOT NULL,
    CONSTRAINT stripe_events_pk PRIMARY KEY (event)
);
CREATE INDEX stripe_events_by_age ON stripe_events (received_at);
COMMENT ON TABLE stripe_events IS 'Rows are deleted after 30 days; Stripe repeats an event for at most three.';

-- Payments with our ledger''s id that fit none of our refills: never credited by themselves.
CREATE TABLE unmatched_payments (
    payment_intent  text        COLLATE "C" NOT NULL,
    refill          text        COLLATE "C",
    reason          text        NOT NULL,
    amount_cents    bigint      NOT NULL,
    currency        text        NOT NULL,
    customer        text        COLLATE "C",
    found_at        timestamptz NOT NULL,
    resolved_at     timestamptz,
    resolution      text,
    CONSTRAINT unmatched_payments_pk PRIMARY KEY (payment_intent),
    CONSTRAINT unmatched_payments_reason_is_known CHECK (
        reason IN ('amount', 'currency', 'customer', 'unknown_refill', 'paid_twice')),
    CONSTRAINT unmatched_payments_resolution_is_known CHECK (resolution IN ('credit', 'refund')),
    CONSTRAINT unmatched_payments_are_resolved_once CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);
CREATE INDEX unmatched_payments_open ON unmatched_payments (found_at) WHERE resolved_at IS NULL;

-- A payment is credited once, whoever reports it and however often.
CREATE UNIQUE INDEX transactions_credit_a_payment_once ON transactions (payment_intent_id)
    WHERE payment_intent_id IS NOT NULL AND status = 'completed' AND kind IN ('refill_manual', 'refill_auto');
