-- Stripe's books: what it kept of each payment, and where its books and ours differ.

-- Stripe's side of each payment of this ledger: its fee, and the payout that brought it to the bank.
CREATE TABLE stripe_settlements (
    payment_intent  text        COLLATE "C" NOT NULL,
    charge          text        COLLATE "C" NOT NULL,
    fee_cents       bigint      NOT NULL,
    net_cents       bigint      NOT NULL,
    currency        text        NOT NULL,
    payout          text        COLLATE "C",
    seen_at         timestamptz NOT NULL,
    CONSTRAINT stripe_settlements_pk PRIMARY KEY (payment_intent)
);
CREATE INDEX stripe_settlements_by_charge ON stripe_settlements (charge);
COMMENT ON TABLE stripe_settlements IS 'A copy of Stripe''s books, written by the comparison with them. Refills have the same payment_intent.';
COMMENT ON COLUMN stripe_settlements.charge IS 'ch_... or py_...: the charge that succeeded. Mutable.';
COMMENT ON COLUMN stripe_settlements.fee_cents IS 'Stripe''s fee, hundredths of currency. Mutable.';
COMMENT ON COLUMN stripe_settlements.net_cents IS 'What was added to the balance at Stripe, the fee taken off, hundredths of currency. Mutable.';
COMMENT ON COLUMN stripe_settlements.currency IS 'The currency of the balance at Stripe, lower case, not of the payment. Mutable.';
COMMENT ON COLUMN stripe_settlements.payout IS 'po_...: null while no payout is known that has it. Mutable.';
COMMENT ON COLUMN stripe_settlements.seen_at IS 'When Stripe was last asked about it. Mutable.';

-- Where the books differ, by payment and reason.
CREATE TABLE stripe_differences (
    payment_intent  text        COLLATE "C" NOT NULL,
    reason          text        COLLATE "C" NOT NULL,
    ours            bigint      NOT NULL,
    theirs          bigint      NOT NULL,
    currency        text        NOT NULL,
    paid_at         timestamptz NOT NULL,
    found_at        timestamptz NOT NULL,
    gone_at         timestamptz,
    CONSTRAINT stripe_differences_pk PRIMARY KEY (payment_intent, reason)
);
CREATE INDEX stripe_differences_open ON stripe_differences (paid_at) WHERE gone_at IS NULL;
COMMENT ON COLUMN stripe_differences.ours IS 'The sum in the ledger, micro-dollars. Mutable.';
COMMENT ON COLUMN stripe_differences.theirs IS 'The sum at Stripe, millionths of currency. Mutable.';
COMMENT ON COLUMN stripe_differences.currency IS 'Of the sum at Stripe, lower case. Mutable.';
COMMENT ON COLUMN stripe_differences.paid_at IS 'When the payment was created: the day that a comparison has to include to look at it again. Immutable.';
COMMENT ON COLUMN stripe_differences.found_at IS 'When a comparison found it, after it was last gone. Mutable.';
COMMENT ON COLUMN stripe_differences.gone_at IS 'When a comparison found it no more; null: it is open. Mutable.';

-- The comparison reads the refills of a day.
CREATE INDEX refills_by_creation ON refills (created_at);
