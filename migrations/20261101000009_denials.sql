-- Calls that were refused: how many, by day and reason, and some of them as they came.
CREATE TABLE denial_counts (
    account_key  integer NOT NULL,
    day          date    NOT NULL,
    reason       text    COLLATE "C" NOT NULL,
    denials      bigint  NOT NULL,
    CONSTRAINT denial_counts_pk PRIMARY KEY (account_key, day, reason),
    CONSTRAINT denial_counts_are_positive CHECK (denials > 0)
);
COMMENT ON COLUMN denial_counts.day IS 'UTC. Rows are deleted after 30 days.';
COMMENT ON COLUMN denial_counts.denials IS 'Every denial of that day and reason. Mutable, only upwards.';
CREATE INDEX denial_counts_by_day ON denial_counts (day);

CREATE TABLE denials (
    account_key       integer     NOT NULL,
    denial_id         bigint      GENERATED ALWAYS AS IDENTITY,
    denied_at         timestamptz NOT NULL,
    call_sid          text        COLLATE "C" NOT NULL,
    reason            text        COLLATE "C" NOT NULL,
    shortfall_micros  bigint      NOT NULL,
    CONSTRAINT denials_pk PRIMARY KEY (account_key, denial_id),
    CONSTRAINT denials_shortfall_is_not_negative CHECK (shortfall_micros >= 0)
);
COMMENT ON TABLE denials IS 'A bounded number a second of each account; denial_counts has them all. Rows are deleted after 30 days.';
COMMENT ON COLUMN denials.shortfall_micros IS 'Micro-dollars that were missing; 0 where money would not have helped.';
CREATE INDEX denials_by_age ON denials (denied_at);
