-- Phone numbers and names can be taken out of rows that are otherwise never changed: after a time of
-- retention, and for one account at once. Amounts and every other evidence stay.

-- A text without the phone numbers in it.
CREATE FUNCTION without_numbers(told text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(told, '\+[0-9]{7,15}', '(blanked)', 'g')
$$;

-- Refuses every change of a charge but one: the ends of the call may become empty.
CREATE FUNCTION allow_blanking_of_charges() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    blanked CONSTANT text[] := ARRAY['call_from', 'call_to'];
BEGIN
    IF to_jsonb(OLD) - blanked = to_jsonb(NEW) - blanked
        AND (NEW.call_from IS NOT DISTINCT FROM OLD.call_from OR NEW.call_from = '' AND OLD.call_from IS NOT NULL)
        AND (NEW.call_to IS NOT DISTINCT FROM OLD.call_to OR NEW.call_to = '' AND OLD.call_to IS NOT NULL)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'charges is append-only: % refused; only the ends of a call may be blanked', TG_OP
        USING ERRCODE = 'restrict_violation';
END;
$$;

-- Refuses every change of a transaction but one: numbers may go from its description.
CREATE FUNCTION allow_blanking_of_transactions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(OLD) - 'description' = to_jsonb(NEW) - 'description'
        AND (NEW.description IS NOT DISTINCT FROM OLD.description
            OR NEW.description = without_numbers(OLD.description))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'transactions is append-only: % refused; correct it by a new row', TG_OP
        USING ERRCODE = 'restrict_violation';
END;
$$;

-- Refuses, for a table, whatever would change more than the columns that may be blanked: even a
-- statement that meets no row.
CREATE FUNCTION guard_all_but(guarded regclass, blanked text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    columns text;
    trigger_name text := (CASE WHEN guarded = 'transactions'::regclass THEN 'transactions' ELSE 'charges' END)
        || '_are_append_only';
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
    WHERE attrelid = guarded AND attnum > 0 AND NOT attisdropped AND attname <> ALL (blanked);
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', trigger_name, guarded);
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OF %s OR DELETE OR TRUNCATE ON %s '
        'FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', trigger_name, columns, guarded);
END;
$$;

SELECT guard_all_but('transactions', ARRAY['description']);
CREATE TRIGGER transactions_may_be_blanked BEFORE UPDATE ON transactions
    FOR EACH ROW EXECUTE FUNCTION allow_blanking_of_transactions();
-- The few that name a number; a row leaves the index when it is blanked.
CREATE INDEX transactions_with_numbers ON transactions (at) WHERE description ~ '\+[0-9]{7,15}';

-- Triggers of rows are made for every partition by themselves, those of statements are not.
CREATE TRIGGER charges_may_be_blanked BEFORE UPDATE ON charges
    FOR EACH ROW EXECUTE FUNCTION allow_blanking_of_charges();
SELECT guard_all_but('charges', ARRAY['call_from', 'call_to']);
SELECT guard_all_but(inhrelid, ARRAY['call_from', 'call_to'])
FROM pg_inherits WHERE inhparent = 'charges'::regclass;
CREATE OR REPLACE FUNCTION ensure_charges_partition(instant timestamptz) RETURNS text LANGUAGE plpgsql AS $$
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
        PERFORM guard_all_but(quote_ident(partition_name)::regclass, ARRAY['call_from', 'call_to']);
    EXCEPTION WHEN duplicate_table THEN
        NULL; -- made by the one who held the lock before us
    END;
    RETURN partition_name;
END;
$$;

COMMENT ON TABLE charges IS 'Append-only, but for its numbers, which may be blanked.';
COMMENT ON COLUMN charges.call_from IS 'Null: Twilio told none. Empty: blanked.';
COMMENT ON COLUMN charges.call_to IS 'Null: Twilio told none. Empty: blanked.';
COMMENT ON COLUMN charges.matched_prefix IS 'The prefix by which it was rated, which proves its rate once the numbers are blanked.';
COMMENT ON COLUMN transactions.description IS 'Null: the standard text of the kind. Numbers in it may be blanked.';

-- How far the charges of a month were blanked.
CREATE TABLE blanked_partitions (
    partition_name  text    COLLATE "C" NOT NULL,
    next_block      bigint  NOT NULL,
    is_done         boolean NOT NULL,
    CONSTRAINT blanked_partitions_pk PRIMARY KEY (partition_name),
    CONSTRAINT blanked_partitions_next_block_is_not_negative CHECK (next_block >= 0)
);
COMMENT ON COLUMN blanked_partitions.next_block IS 'Block of the table up to which all rows are blanked. Mutable, only upwards.';
COMMENT ON COLUMN blanked_partitions.is_done IS 'True once the month is over, and all of it blanked. Mutable.';

-- Blanks some blocks of one month of charges; answers whether there may be more to do by now. A month
-- is written in order of time, so rows that are too young yet all come last.
CREATE FUNCTION blank_charges_of(partition_name text, ends_at timestamptz, before timestamptz, blocks_max integer)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    first_block bigint;
    blocks bigint := pg_relation_size(quote_ident(partition_name)::regclass) / current_setting('block_size')::bigint;
    last_block bigint;
    has_young boolean;
BEGIN
    INSERT INTO blanked_partitions AS b VALUES (partition_name, 0, false) ON CONFLICT DO NOTHING;
    SELECT next_block INTO first_block FROM blanked_partitions AS b
    WHERE b.partition_name = blank_charges_of.partition_name FOR UPDATE;
    last_block := least(first_block + blocks_max, blocks);
    EXECUTE format(
        'UPDATE %I SET call_from = CASE WHEN call_from IS NULL THEN NULL ELSE '''' END,
             call_to = CASE WHEN call_to IS NULL THEN NULL ELSE '''' END
         WHERE ctid >= $1 AND ctid < $2 AND charged_at < $3 AND (call_from <> '''' OR call_to <> '''')',
        partition_name)
    USING format('(%s,0)', first_block)::tid, format('(%s,0)', last_block)::tid, before;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE ctid >= $1 AND ctid < $2 AND charged_at >= $3)', partition_name)
    INTO has_young
    USING format('(%s,0)', first_block)::tid, format('(%s,0)', last_block)::tid, before;
    IF has_young THEN
        RETURN false;
    END IF;
    -- The last block of a month that may still grow is looked at again.
    IF last_block = blocks AND ends_at > before THEN
        last_block := greatest(first_block, last_block - 1);
    END IF;
    UPDATE blanked_partitions AS b
    SET next_block = last_block, is_done = first_block = blocks AND ends_at <= before
    WHERE b.partition_name = blank_charges_of.partition_name;
    RETURN last_block > first_block;
END;
$$;

-- The one statement of retention: takes phone numbers and names out of what is older than `before`,
-- some rows of each table at a time; answers whether there may be more to do by now.
CREATE FUNCTION blank_before(before timestamptz, rows_max integer) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    partition record;
    changed bigint;
    more boolean := false;
BEGIN
    UPDATE transactions SET description = without_numbers(description)
    WHERE (account_key, sequence) IN (
        SELECT account_key, sequence FROM transactions
        WHERE at < before AND description ~ '\+[0-9]{7,15}' ORDER BY at LIMIT rows_max);
    GET DIAGNOSTICS changed = ROW_COUNT;
    more := more OR changed = rows_max;

    UPDATE rental_periods SET phone_number = ''
    WHERE (phone_number_sid, period_start) IN (
        SELECT phone_number_sid, period_start FROM rental_periods
        WHERE first_attempt_at < before AND phone_number <> '' AND next_attempt_at IS NULL LIMIT rows_max);
    GET DIAGNOSTICS changed = ROW_COUNT;
    more := more OR changed = rows_max;

    UPDATE rejects SET record_key = NULL, record_value = NULL, detail = ''
    WHERE reject_id IN (
        SELECT reject_id FROM rejects
        WHERE rejected_at < before
            AND (record_key IS NOT NULL OR record_value IS NOT NULL OR detail <> '') LIMIT rows_max);
    GET DIAGNOSTICS changed = ROW_COUNT;
    more := more OR changed = rows_max;

    FOR partition IN
        SELECT child.relname AS name,
            to_timestamp(substring(child.relname FROM 9), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS starts_at
        FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'charges'::regclass ORDER BY child.relname
    LOOP
        CONTINUE WHEN partition.starts_at >= before OR EXISTS (
            SELECT FROM blanked_partitions WHERE partition_name = partition.name AND is_done);
        -- 32 rows and more lie in a block.
        more := blank_charges_of(partition.name,
            date_trunc('month', partition.starts_at + interval '32 days', 'UTC'), before, rows_max / 32) OR more;
        EXIT WHEN more;
    END LOOP;
    RETURN more;
END;
$$;

-- Takes an account's numbers and names out of its charges from one number to another; answers how many
-- charges were changed.
CREATE FUNCTION blank_charges_of_account(account integer, from_sequence bigint, to_sequence bigint)
RETURNS bigint LANGUAGE sql AS $$
    WITH changed AS (
        UPDATE charges
        SET call_from = CASE WHEN call_from IS NULL THEN NULL ELSE '' END,
            call_to = CASE WHEN call_to IS NULL THEN NULL ELSE '' END
        WHERE account_key = account AND charge_sequence BETWEEN from_sequence AND to_sequence
            AND (call_from <> '' OR call_to <> '')
        RETURNING 1)
    SELECT count(*) FROM changed
$$;
