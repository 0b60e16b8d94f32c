-- The evidence of every charged call, zero-cost ones too. Partitioned by month of commit, so that
-- old months can be detached; `call_keys` stays whole and keeps the duplicate check exact.
CREATE TABLE charges (
    account_key               integer     NOT NULL,
    twilio_account_key        integer     NOT NULL,
    charge_sequence           bigint      NOT NULL,
    charged_at                timestamptz NOT NULL,
    started_at                timestamptz NOT NULL,
    cycle_start               timestamptz,
    subscription_id           bigint,
    allowance_before_seconds  bigint      NOT NULL,
    rate_micros               bigint      NOT NULL,
    amount_micros             bigint      NOT NULL,
    overshoot_micros          bigint      NOT NULL,
    transaction_sequence      bigint,
    record_offset             bigint      NOT NULL,
    stream_key                integer     NOT NULL,
    catalog_version           integer     NOT NULL,
    seconds                   integer     NOT NULL,
    twilio_minutes            integer,
    billed_seconds            integer     NOT NULL,
    allowance_seconds         integer     NOT NULL,
    wallet_seconds            integer     NOT NULL,
    call_sid                  text        COLLATE "C" NOT NULL,
    parent_call_sid           text        COLLATE "C",
    call_from                 text        COLLATE "C",
    call_to                   text        COLLATE "C",
    direction                 text        COLLATE "C",
    matched_prefix            text        COLLATE "C",
    plan                      text        COLLATE "C",
    tag                       text,
    CONSTRAINT charges_pk PRIMARY KEY (account_key, charge_sequence, charged_at),
    CONSTRAINT charges_split_the_billed_seconds CHECK (
        billed_seconds = allowance_seconds + wallet_seconds AND allowance_seconds >= 0 AND wallet_seconds >= 0
    ),
    CONSTRAINT charges_price_the_wallet_seconds CHECK (
        amount_micros = (rate_micros * wallet_seconds * 2 + 60) / 120 AND rate_micros >= 0
    ),
    CONSTRAINT charges_of_zero_have_no_transaction CHECK ((amount_micros = 0) = (transaction_sequence IS NULL)),
    CONSTRAINT charges_use_what_is_left CHECK (allowance_seconds <= allowance_before_seconds)
) PARTITION BY RANGE (charged_at);
COMMENT ON TABLE charges IS 'Append-only.';
COMMENT ON COLUMN charges.charge_sequence IS '1, 2, 3 ... per account, no gap: the order in which allowance was consumed.';
COMMENT ON COLUMN charges.charged_at IS 'Commit time; never falls within an account.';
COMMENT ON COLUMN charges.started_at IS 'End of the call as Twilio told it, less its seconds; decides cycle, subscription and catalog version.';
COMMENT ON COLUMN charges.allowance_before_seconds IS 'Seconds left in the cycle before this charge; 0 without a plan.';
COMMENT ON COLUMN charges.rate_micros IS 'Micro-dollars per minute of the wallet part.';
COMMENT ON COLUMN charges.overshoot_micros IS 'Micro-dollars by which this charge took the balance further beyond the credit limit.';
COMMENT ON COLUMN charges.twilio_minutes IS 'Duration as Twilio told it, in minutes; evidence only.';
COMMENT ON COLUMN charges.stream_key IS 'Topic and partition of the record (partition_offsets.stream_key).';

-- One row for every charged call, never detached: a call is charged at most once, ever.
CREATE TABLE call_keys (
    account_key         integer NOT NULL,
    twilio_account_key  integer NOT NULL,
    seconds             integer NOT NULL,
    charge_sequence     bigint  NOT NULL,
    call_key            bytea   NOT NULL,
    CONSTRAINT call_keys_pk PRIMARY KEY (account_key, twilio_account_key, call_key)
);
COMMENT ON COLUMN call_keys.call_key IS
    'CallSid: byte 0 and 16 raw bytes for CA and 32 lower-case hex digits; else byte 1 and its UTF-8 bytes.';
COMMENT ON COLUMN call_keys.seconds IS 'CallDuration of the charge; another one later is a conflict.';
CREATE TRIGGER call_keys_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON call_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Makes the partition of the month that holds `instant`, with its own guards; answers its name.
CREATE FUNCTION ensure_charges_partition(instant timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    first_day timestamptz := date_trunc('month', instant, 'UTC');
    next_first_day timestamptz := date_trunc('month', first_day + interval '32 days', 'UTC');
    partition_name text := 'charges_' || to_char(first_day AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    IF to_regclass(quote_ident(partition_name)) IS NOT NULL THEN
        RETURN partition_name;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_charges_partition'));
    BEGIN
        EXECUTE format('CREATE TABLE %I PARTITION OF charges FOR VALUES FROM (%L) TO (%L)',
            partition_name, first_day, next_first_day);
        EXECUTE format('CREATE TRIGGER charges_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', partition_name);
    EXCEPTION WHEN duplicate_table THEN
        NULL; -- made by the one who held the lock before us
    END;
    RETURN partition_name;
END;
$$;
CREATE TRIGGER charges_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON charges
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
