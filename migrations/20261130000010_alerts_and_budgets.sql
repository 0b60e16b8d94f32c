-- What is told of a wallet's balance and of its month, and what stops calls. Charging reads all of it
-- with the wallet's lock, without a join.
ALTER TABLE wallets
    ADD COLUMN alert_levels_micros bigint[],
    ADD COLUMN budget_micros bigint,
    ADD COLUMN budget_percents smallint[] NOT NULL DEFAULT '{}',
    ADD COLUMN budget_stops boolean NOT NULL DEFAULT false,
    ADD COLUMN spent_micros bigint NOT NULL DEFAULT 0,
    ADD COLUMN spending_ends_at timestamptz NOT NULL DEFAULT '1970-01-01Z',
    ADD COLUMN spent_sequence bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT wallets_alert_levels_are_at_most_20 CHECK (cardinality(alert_levels_micros) <= 20),
    ADD CONSTRAINT wallets_budget_is_positive CHECK (budget_micros > 0),
    ADD CONSTRAINT wallets_budget_percents_are_at_most_20 CHECK (cardinality(budget_percents) <= 20),
    ADD CONSTRAINT wallets_without_budget_have_no_percents_and_stop_nothing CHECK (
        budget_micros IS NOT NULL OR (budget_percents = '{}' AND NOT budget_stops));
COMMENT ON COLUMN wallets.alert_levels_micros IS 'Micro-dollars, in the order given: a balance that falls below one is told. Null: never set, those of alert_defaults. Mutable under the wallet lock.';
COMMENT ON COLUMN wallets.budget_micros IS 'Micro-dollars that the account may spend in a UTC month; null: no budget. Mutable under the wallet lock.';
COMMENT ON COLUMN wallets.budget_percents IS 'Percents of the budget that are told, rising. Mutable under the wallet lock.';
COMMENT ON COLUMN wallets.budget_stops IS 'True: no new call once the budget is spent. Mutable under the wallet lock.';
COMMENT ON COLUMN wallets.spent_micros IS 'Micro-dollars spent in the month that ends at spending_ends_at, by the rows up to spent_sequence. Mutable under the wallet lock.';
COMMENT ON COLUMN wallets.spending_ends_at IS 'End of the UTC month of the row spent_sequence; 1970: there is no row. Mutable under the wallet lock.';
COMMENT ON COLUMN wallets.spent_sequence IS 'Number of the last row that spent_micros counts; a process of an older release leaves it behind. Mutable under the wallet lock.';

-- The thresholds of accounts that never set any, as the last start of `serve` had them.
CREATE TABLE alert_defaults (
    singleton      boolean     NOT NULL DEFAULT true,
    levels_micros  bigint[]    NOT NULL,
    set_at         timestamptz NOT NULL,
    CONSTRAINT alert_defaults_pk PRIMARY KEY (singleton),
    CONSTRAINT alert_defaults_is_one_row CHECK (singleton)
);
COMMENT ON COLUMN alert_defaults.levels_micros IS 'Micro-dollars. Mutable, by the setting alerts.default_thresholds.';
INSERT INTO alert_defaults (levels_micros, set_at) VALUES ('{20000000}', now());

-- What was told of an account's budget: each mark once a month.
CREATE TABLE budget_marks (
    account_key  integer  NOT NULL,
    month        date     NOT NULL,
    mark         smallint NOT NULL,
    CONSTRAINT budget_marks_pk PRIMARY KEY (account_key, month, mark),
    CONSTRAINT budget_marks_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT budget_marks_mark_is_known CHECK (mark BETWEEN 0 AND 1000)
);
COMMENT ON COLUMN budget_marks.month IS 'First day of a UTC month. The account''s earlier months are deleted with its next mark.';
COMMENT ON COLUMN budget_marks.mark IS 'The percent that was warned of; 0: that the budget is spent.';

-- Refused calls that are still to be told, and when they were told last.
CREATE TABLE denial_notices (
    account_key  integer     NOT NULL,
    reason       text        COLLATE "C" NOT NULL,
    denials      bigint      NOT NULL,
    first_at     timestamptz,
    told_at      timestamptz,
    CONSTRAINT denial_notices_pk PRIMARY KEY (account_key, reason),
    CONSTRAINT denial_notices_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT denial_notices_have_their_first CHECK ((denials = 0) = (first_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX denial_notices_untold ON denial_notices (told_at) WHERE denials > 0;
COMMENT ON COLUMN denial_notices.denials IS 'Denials since the last notice. Mutable.';
COMMENT ON COLUMN denial_notices.first_at IS 'Time of the first of them. Mutable.';
COMMENT ON COLUMN denial_notices.told_at IS 'Time of the last notice; the next is at least an hour later. Mutable.';
