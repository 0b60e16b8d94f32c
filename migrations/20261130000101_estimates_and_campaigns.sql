-- Estimates that name a tag: what the campaign of that tag was expected to cost. No money moves by them.
CREATE TABLE estimates (
    account_key           integer     NOT NULL,
    tag                   text        COLLATE "C" NOT NULL,
    estimated_at          timestamptz NOT NULL,
    calls                 integer     NOT NULL,
    answered_millionths   integer     NOT NULL,
    answered_calls        bigint      NOT NULL,
    average_milliseconds  bigint,
    prefix                text        COLLATE "C",
    basis                 text        COLLATE "C" NOT NULL,
    billed_low_seconds    bigint      NOT NULL,
    billed_seconds        bigint      NOT NULL,
    billed_high_seconds   bigint      NOT NULL,
    allowance_seconds     bigint      NOT NULL,
    rate_micros           bigint      NOT NULL,
    cost_low_micros       bigint      NOT NULL,
    cost_micros           bigint      NOT NULL,
    cost_high_micros      bigint      NOT NULL,
    CONSTRAINT estimates_pk PRIMARY KEY (account_key, tag),
    CONSTRAINT estimates_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT estimates_have_calls CHECK (calls > 0),
    CONSTRAINT estimates_answer_a_share CHECK (answered_millionths BETWEEN 0 AND 1000000),
    CONSTRAINT estimates_basis_is_known CHECK (basis IN ('own_calls', 'given')),
    CONSTRAINT estimates_expect_a_cost_within_their_range CHECK (
        cost_low_micros <= cost_micros AND cost_micros <= cost_high_micros)
);
COMMENT ON TABLE estimates IS 'The newest estimate of each tag of an account; the oldest go beyond a thousand of an account.';
COMMENT ON COLUMN estimates.tag IS 'As charges have it. Immutable.';
COMMENT ON COLUMN estimates.estimated_at IS 'When it was made. Mutable, as all that follow: a later estimate of the tag replaces it.';
COMMENT ON COLUMN estimates.calls IS 'Calls to place.';
COMMENT ON COLUMN estimates.answered_millionths IS 'Share of the calls that is answered, in millionths.';
COMMENT ON COLUMN estimates.average_milliseconds IS 'Average length that was given, in milliseconds; null: the lengths of the account''s own calls.';
COMMENT ON COLUMN estimates.prefix IS 'Prefix that the destination matched; null: none was named, or none matched. The number itself is not kept.';
COMMENT ON COLUMN estimates.billed_seconds IS 'Expected billed seconds, those of the allowance included; the range stands beside it.';
COMMENT ON COLUMN estimates.allowance_seconds IS 'Expected seconds that the allowance pays.';
COMMENT ON COLUMN estimates.rate_micros IS 'Micro-dollars per minute of the wallet part, on average.';
COMMENT ON COLUMN estimates.cost_micros IS 'Expected micro-dollars that the wallet pays; the range stands beside it.';
CREATE INDEX estimates_by_age ON estimates (account_key, estimated_at);

-- Sums of charges by tag. They are no ledger: they follow from the charges, whose numbers per account have
-- no gap, and are counted on when somebody looks. So charging writes nothing for them.
CREATE TABLE campaigns (
    account_key        integer     NOT NULL,
    tag                text        COLLATE "C" NOT NULL,
    calls              bigint      NOT NULL,
    seconds            bigint      NOT NULL,
    billed_seconds     bigint      NOT NULL,
    allowance_seconds  bigint      NOT NULL,
    amount_micros      bigint      NOT NULL,
    first_charged_at   timestamptz NOT NULL,
    last_charged_at    timestamptz NOT NULL,
    last_sequence      bigint      NOT NULL,
    course             bigint[]    NOT NULL,
    CONSTRAINT campaigns_pk PRIMARY KEY (account_key, tag),
    CONSTRAINT campaigns_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT campaigns_have_calls CHECK (calls > 0),
    CONSTRAINT campaigns_course_is_pairs CHECK (cardinality(course) % 2 = 0)
);
COMMENT ON COLUMN campaigns.tag IS 'As charges have it. Immutable.';
COMMENT ON COLUMN campaigns.calls IS 'Charged calls with this tag, up to campaign_counts.counted_sequence. Mutable, as all that follow.';
COMMENT ON COLUMN campaigns.seconds IS 'How long they lasted.';
COMMENT ON COLUMN campaigns.billed_seconds IS 'Billed seconds, those of the allowance included.';
COMMENT ON COLUMN campaigns.amount_micros IS 'Micro-dollars that the wallet paid for them.';
COMMENT ON COLUMN campaigns.last_sequence IS 'charge_sequence of the last of them.';
COMMENT ON COLUMN campaigns.course IS 'Some points on the way, in pairs: calls, and micro-dollars paid for them.';
CREATE INDEX campaigns_by_last_charge ON campaigns (account_key, last_sequence);

CREATE TABLE campaign_counts (
    account_key       integer NOT NULL,
    counted_sequence  bigint  NOT NULL,
    CONSTRAINT campaign_counts_pk PRIMARY KEY (account_key),
    CONSTRAINT campaign_counts_account_fk FOREIGN KEY (account_key) REFERENCES accounts
);
COMMENT ON COLUMN campaign_counts.counted_sequence IS 'charge_sequence of the last charge that campaigns count. Mutable under the row lock.';
