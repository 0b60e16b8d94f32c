-- Read models of the insights: sums of transactions and charges, which a job keeps. Nothing of charging
-- reads or writes them. They may be emptied at any time, all together: the job sums the ledger up again.

-- Up to which rows of the ledger the sums below count.
CREATE TABLE insight_progress (
    account_key           integer NOT NULL,
    transaction_sequence  bigint  NOT NULL DEFAULT 0,
    charge_sequence       bigint  NOT NULL DEFAULT 0,
    CONSTRAINT insight_progress_pk PRIMARY KEY (account_key),
    CONSTRAINT insight_progress_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT insight_progress_is_not_negative CHECK (transaction_sequence >= 0 AND charge_sequence >= 0)
) WITH (fillfactor = 70);
COMMENT ON TABLE insight_progress IS 'Its row is locked while sums of its account change, so that each row of the ledger is counted once.';
COMMENT ON COLUMN insight_progress.transaction_sequence IS 'Number of the last transaction that spending_days counts; 0: none. Mutable, only upwards.';
COMMENT ON COLUMN insight_progress.charge_sequence IS 'Number of the last charge that usage_days and usage_cycles count; 0: none. Mutable, only upwards.';

-- What an account spent, by UTC day of the transaction and kind.
CREATE TABLE spending_days (
    account_key    integer          NOT NULL,
    day            date             NOT NULL,
    kind           transaction_kind NOT NULL,
    amount_micros  bigint           NOT NULL,
    CONSTRAINT spending_days_pk PRIMARY KEY (account_key, day, kind),
    CONSTRAINT spending_days_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT spending_days_are_of_spending
        CHECK (kind IN ('call', 'overage', 'number_purchase', 'number_rental', 'refund'))
) WITH (fillfactor = 70);
COMMENT ON COLUMN spending_days.amount_micros IS 'Micro-dollars: completed debits; refunds are negative. Mutable under the lock of insight_progress.';

-- An account's calls, by UTC day of the charge.
CREATE TABLE usage_days (
    account_key      integer NOT NULL,
    day              date    NOT NULL,
    calls            bigint  NOT NULL,
    seconds          bigint  NOT NULL,
    talked_seconds   bigint  NOT NULL,
    billed_seconds   bigint  NOT NULL,
    rounding_micros  bigint  NOT NULL,
    CONSTRAINT usage_days_pk PRIMARY KEY (account_key, day),
    CONSTRAINT usage_days_account_fk FOREIGN KEY (account_key) REFERENCES accounts
) WITH (fillfactor = 70);
COMMENT ON COLUMN usage_days.calls IS 'Charges, zero-cost ones too. Mutable under the lock of insight_progress.';
COMMENT ON COLUMN usage_days.seconds IS 'Seconds that these calls lasted. Mutable under the lock of insight_progress.';
COMMENT ON COLUMN usage_days.talked_seconds IS 'The same, of the calls that were billed: a leg that its plan does not charge is not. Mutable under the lock of insight_progress.';
COMMENT ON COLUMN usage_days.billed_seconds IS 'Billed seconds. Mutable under the lock of insight_progress.';
COMMENT ON COLUMN usage_days.rounding_micros IS 'Micro-dollars that the wallet paid for billed seconds that nobody talked. Mutable under the lock of insight_progress.';

-- An account's calls, by cycle.
CREATE TABLE usage_cycles (
    account_key      integer     NOT NULL,
    subscription_id  bigint      NOT NULL,
    cycle_start      timestamptz NOT NULL,
    calls            bigint      NOT NULL,
    wallet_seconds   bigint      NOT NULL,
    amount_micros    bigint      NOT NULL,
    CONSTRAINT usage_cycles_pk PRIMARY KEY (account_key, subscription_id, cycle_start),
    CONSTRAINT usage_cycles_account_fk FOREIGN KEY (account_key) REFERENCES accounts
) WITH (fillfactor = 70);
COMMENT ON COLUMN usage_cycles.calls IS 'Charges of the cycle. Mutable under the lock of insight_progress.';
COMMENT ON COLUMN usage_cycles.wallet_seconds IS 'Seconds beyond the allowance. Mutable under the lock of insight_progress.';
COMMENT ON COLUMN usage_cycles.amount_micros IS 'Micro-dollars that the wallet paid for them. Mutable under the lock of insight_progress.';

-- What an account's calls of a period cost, and what they would cost under each plan (compared_plans).
CREATE TABLE plan_comparisons (
    account_key      integer     NOT NULL,
    compared_on      date        NOT NULL,
    catalog_version  integer     NOT NULL,
    begins_at        timestamptz NOT NULL,
    ends_at          timestamptz NOT NULL,
    subscription_id  bigint,
    plan             text        COLLATE "C",
    calls            bigint      NOT NULL,
    paid_micros      bigint      NOT NULL,
    CONSTRAINT plan_comparisons_pk PRIMARY KEY (account_key),
    CONSTRAINT plan_comparisons_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT plan_comparisons_begin_before_their_end CHECK (begins_at < ends_at),
    CONSTRAINT plan_comparisons_of_a_subscription_have_its_plan CHECK ((subscription_id IS NULL) = (plan IS NULL))
);
COMMENT ON COLUMN plan_comparisons.compared_on IS 'UTC day of the run that compared last. Mutable, by the job.';
COMMENT ON COLUMN plan_comparisons.catalog_version IS 'The catalog whose plans were compared. Mutable, by the job.';
COMMENT ON COLUMN plan_comparisons.begins_at IS 'Start of the last whole cycle, or without a plan of 30 UTC days. Mutable, by the job.';
COMMENT ON COLUMN plan_comparisons.ends_at IS 'Its end, excluded. Mutable, by the job.';
COMMENT ON COLUMN plan_comparisons.subscription_id IS 'The subscription of the cycle; null: no plan. Mutable, by the job.';
COMMENT ON COLUMN plan_comparisons.plan IS 'The plan of the cycle; null: none. Mutable, by the job.';
COMMENT ON COLUMN plan_comparisons.calls IS 'Calls of the period. Mutable, by the job.';
COMMENT ON COLUMN plan_comparisons.paid_micros IS 'Micro-dollars that they cost: the plan''s fee and what the wallet paid. Mutable, by the job.';

CREATE TABLE compared_plans (
    account_key       integer NOT NULL,
    plan              text    COLLATE "C" NOT NULL,
    name              text    NOT NULL,
    fee_micros        bigint  NOT NULL,
    included_seconds  bigint  NOT NULL,
    overage_seconds   bigint  NOT NULL,
    overage_micros    bigint  NOT NULL,
    refuses_overage   boolean NOT NULL,
    CONSTRAINT compared_plans_pk PRIMARY KEY (account_key, plan),
    CONSTRAINT compared_plans_comparison_fk FOREIGN KEY (account_key) REFERENCES plan_comparisons ON DELETE CASCADE
);
COMMENT ON COLUMN compared_plans.plan IS 'A plan of the catalog of the comparison. Written anew by each comparison.';
COMMENT ON COLUMN compared_plans.name IS 'Its name for customers.';
COMMENT ON COLUMN compared_plans.fee_micros IS 'Micro-dollars: its monthly fee.';
COMMENT ON COLUMN compared_plans.included_seconds IS 'Seconds that a cycle includes.';
COMMENT ON COLUMN compared_plans.overage_seconds IS 'Seconds beyond its included minutes.';
COMMENT ON COLUMN compared_plans.overage_micros IS 'Micro-dollars for them.';
COMMENT ON COLUMN compared_plans.refuses_overage IS 'True if the plan refuses calls beyond its minutes, and these calls went beyond them.';
