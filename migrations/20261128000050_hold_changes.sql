-- The journal of holds: every change as a row of its own, appended by COPY (src/balance/journal/store.rs).
-- Partitions are days of expiry, which are dropped whole; the default takes what has no partition yet.
CREATE TABLE hold_changes (
    change_id     bigint      NOT NULL,
    account_key   integer     NOT NULL,
    call_sid      text        COLLATE "C" NOT NULL,
    revision      bigint      NOT NULL,
    granted_by    text        COLLATE "C",
    money_micros  bigint,
    hold          text        COLLATE "C",
    expires_at    timestamptz NOT NULL,
    journaled_at  timestamptz NOT NULL,
    CONSTRAINT hold_changes_revision_is_positive CHECK (revision > 0),
    CONSTRAINT hold_changes_grantor_is_known CHECK (granted_by IN ('redis', 'postgres')),
    CONSTRAINT hold_changes_hold_or_void CHECK (
        (hold IS NULL) = (granted_by IS NULL) AND (hold IS NULL) = (money_micros IS NULL)
    )
) PARTITION BY RANGE (expires_at);
CREATE SEQUENCE hold_changes_id OWNED BY hold_changes.change_id;
ALTER TABLE hold_changes ALTER COLUMN change_id SET DEFAULT nextval('hold_changes_id');
COMMENT ON TABLE hold_changes IS 'No money: a hold only limits admission. Rows are appended and never changed; one revision may be there twice. A partition is dropped two days after its day.';
COMMENT ON COLUMN hold_changes.change_id IS 'Tells rows of one revision apart.';
COMMENT ON COLUMN hold_changes.revision IS 'Micro-seconds of Redis''s clock at the change; of the rows of one call the highest counts.';
COMMENT ON COLUMN hold_changes.granted_by IS 'redis; postgres: Redis was away (on_redis_loss = fail_open); null: voided.';
COMMENT ON COLUMN hold_changes.money_micros IS 'Micro-dollars that the hold holds; null: voided.';
COMMENT ON COLUMN hold_changes.hold IS 'The hold in the words that Redis packs it in (src/balance/scripts/common.lua); null: voided.';
COMMENT ON COLUMN hold_changes.expires_at IS 'When the hold is released by itself, or the void forgotten.';
COMMENT ON COLUMN hold_changes.journaled_at IS 'When the row was written.';
CREATE INDEX hold_changes_by_call ON hold_changes (account_key, call_sid);
CREATE INDEX hold_changes_holds ON hold_changes (account_key, expires_at, call_sid) WHERE hold IS NOT NULL;
CREATE INDEX hold_changes_voids ON hold_changes (account_key, expires_at, call_sid) WHERE hold IS NULL;
CREATE INDEX hold_changes_by_expiry ON hold_changes (expires_at, account_key, call_sid) WHERE hold IS NOT NULL;
CREATE INDEX hold_changes_without_redis ON hold_changes (account_key, revision) WHERE granted_by = 'postgres';
CREATE TABLE hold_changes_default PARTITION OF hold_changes DEFAULT;

-- Makes the partition of an instant's day. Where the default has rows of that day already, they stay there.
CREATE FUNCTION ensure_hold_changes_partition(instant timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    day date := (instant AT TIME ZONE 'UTC')::date;
    name text := 'hold_changes_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF hold_changes FOR VALUES FROM (%L) TO (%L)', name,
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END IF;
EXCEPTION WHEN duplicate_table OR unique_violation OR check_violation THEN
    NULL;
END $$;

-- Whether a call of an account is charged.
CREATE FUNCTION is_charged(account integer, call text) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (
        SELECT FROM twilio_accounts AS t JOIN call_keys AS k USING (account_key, twilio_account_key)
        WHERE t.account_key = account AND k.call_key = call_key_of(call))
$$;

-- The last change of each call. OFFSET: looked up call by call, so that what a load costs depends on the
-- holds that it reads, and not on how many changes the account had.
CREATE VIEW hold_states AS
    SELECT c.* FROM hold_changes AS c
    WHERE NOT EXISTS (
        SELECT FROM hold_changes AS later
        WHERE later.account_key = c.account_key AND later.call_sid = c.call_sid
          AND (later.revision, later.change_id) > (c.revision, c.change_id) OFFSET 0);
-- The holds that are neither voided nor charged; whoever reads them passes over those that are due.
CREATE VIEW open_holds AS
    SELECT * FROM hold_states WHERE hold IS NOT NULL AND NOT is_charged(account_key, call_sid);

-- While processes of the version before run beside those of this one, what either writes is copied to the
-- table of the other. New to old ends by itself after two days; a later migration drops hold_journal.
CREATE FUNCTION hold_journal_to_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hold_changes (account_key, call_sid, revision, granted_by, money_micros, hold, expires_at, journaled_at)
    VALUES (NEW.account_key, NEW.call_sid, NEW.revision,
        CASE WHEN NEW.hold IS NULL THEN NULL
             WHEN split_part(NEW.hold, ' ', 16) = 'fail_open' THEN 'postgres' ELSE 'redis' END,
        split_part(NEW.hold, ' ', 4)::bigint, NEW.hold, NEW.expires_at, NEW.journaled_at);
    RETURN NULL;
END $$;
CREATE TRIGGER hold_journal_to_changes AFTER INSERT OR UPDATE ON hold_journal
    FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION hold_journal_to_changes();

-- The argument is when it ends.
CREATE FUNCTION hold_changes_to_journal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF now() < TG_ARGV[0]::timestamptz THEN
        INSERT INTO hold_journal AS j (account_key, call_sid, revision, hold, expires_at, journaled_at)
        SELECT DISTINCT ON (account_key, call_sid) account_key, call_sid, revision, hold, expires_at, journaled_at
        FROM added ORDER BY account_key, call_sid, revision DESC
        ON CONFLICT (account_key, call_sid) DO UPDATE
        SET revision = EXCLUDED.revision, hold = EXCLUDED.hold, expires_at = EXCLUDED.expires_at,
            journaled_at = EXCLUDED.journaled_at
        WHERE j.revision < EXCLUDED.revision;
    END IF;
    RETURN NULL;
END $$;

DO $$
BEGIN
    FOR ahead IN -1..3 LOOP
        PERFORM ensure_hold_changes_partition(now() + ahead * interval '1 day');
    END LOOP;
    -- The lock of the trigger above keeps writers out until all of this is committed.
    INSERT INTO hold_changes (account_key, call_sid, revision, granted_by, money_micros, hold, expires_at, journaled_at)
    SELECT account_key, call_sid, revision,
        CASE WHEN hold IS NULL THEN NULL
             WHEN split_part(hold, ' ', 16) = 'fail_open' THEN 'postgres' ELSE 'redis' END,
        split_part(hold, ' ', 4)::bigint, hold, expires_at, journaled_at
    FROM hold_journal;
    IF EXISTS (SELECT FROM accounts) THEN
        EXECUTE format('CREATE TRIGGER hold_changes_to_journal AFTER INSERT ON hold_changes
            REFERENCING NEW TABLE AS added FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
            EXECUTE FUNCTION hold_changes_to_journal(%L)', now() + interval '2 days');
    END IF;
END $$;
