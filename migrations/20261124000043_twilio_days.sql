-- Our charges held against Twilio's usage records: one row a Twilio account and UTC day of the calls'
-- start, as last compared.
CREATE TABLE twilio_days (
    twilio_account_key  integer     NOT NULL,
    day                 date        NOT NULL,
    calls               bigint      NOT NULL,
    minutes             bigint      NOT NULL,
    price_micros        bigint      NOT NULL,
    twilio_calls        bigint      NOT NULL,
    twilio_minutes      bigint      NOT NULL,
    twilio_cost_micros  bigint,
    compared_at         timestamptz NOT NULL,
    CONSTRAINT twilio_days_pk PRIMARY KEY (twilio_account_key, day),
    CONSTRAINT twilio_days_account_fk FOREIGN KEY (twilio_account_key) REFERENCES twilio_accounts
);
COMMENT ON TABLE twilio_days IS 'No money: a comparison. Rows are written anew whole by each comparison of their day.';
COMMENT ON COLUMN twilio_days.minutes IS 'Whole minutes of our charges, each leg rounded up as Twilio does.';
COMMENT ON COLUMN twilio_days.price_micros IS 'Micro-dollars that we charged for them.';
COMMENT ON COLUMN twilio_days.twilio_minutes IS 'Minutes that Twilio billed.';
COMMENT ON COLUMN twilio_days.twilio_cost_micros IS 'Micro-dollars that Twilio took; null: not told in US dollars.';

-- Why a day differs; what is explained and what is left over add up to the difference of the day.
CREATE TABLE twilio_differences (
    twilio_account_key  integer NOT NULL,
    day                 date    NOT NULL,
    reason              text    COLLATE "C" NOT NULL,
    calls               bigint  NOT NULL,
    minutes             bigint  NOT NULL,
    call_sids           text[]  NOT NULL,
    CONSTRAINT twilio_differences_pk PRIMARY KEY (twilio_account_key, day, reason),
    CONSTRAINT twilio_differences_day_fk FOREIGN KEY (twilio_account_key, day) REFERENCES twilio_days ON DELETE CASCADE,
    CONSTRAINT twilio_differences_reason_is_known CHECK (reason IN (
        'missing_here', 'missing_at_twilio', 'minutes_differ', 'other_day', 'usage_not_final', 'usage_differs',
        'not_compared'
    ))
);
COMMENT ON COLUMN twilio_differences.calls IS 'Ours less Twilio''s; for minutes_differ the calls that do.';
COMMENT ON COLUMN twilio_differences.minutes IS 'Ours less Twilio''s.';
COMMENT ON COLUMN twilio_differences.call_sids IS 'The calls, the first thousand of them.';
