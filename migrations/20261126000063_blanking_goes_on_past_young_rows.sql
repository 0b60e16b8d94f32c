-- A row that is too young yet no longer keeps the rest of its month from being blanked. A month is written
-- in order of time, but for rows that took the room of others, which a redaction had moved.
ALTER TABLE blanked_partitions
    ADD COLUMN furthest_block bigint NOT NULL DEFAULT 0,
    ADD COLUMN first_young_block bigint,
    ADD COLUMN turned_back_at timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN blanked_partitions.next_block IS 'Block of the table to go on from. Mutable.';
COMMENT ON COLUMN blanked_partitions.furthest_block IS
    'Block up to which every row was blanked once that was old enough then. Mutable, only upwards.';
COMMENT ON COLUMN blanked_partitions.first_young_block IS
    'First block before it with rows that were too young; null: none. Mutable.';
COMMENT ON COLUMN blanked_partitions.turned_back_at IS
    'For which age of rows it went back to that block last. Mutable, only upwards.';

-- Blanks some blocks of one month of charges; answers whether there may be more to do by now. Rows older
-- than `before` are blanked; beyond the furthest block, a stretch without any ends the month for now.
CREATE OR REPLACE FUNCTION blank_charges_of(
    partition_name text, ends_at timestamptz, before timestamptz, blocks_max integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    place blanked_partitions;
    blocks bigint := pg_relation_size(quote_ident(partition_name)::regclass) / current_setting('block_size')::bigint;
    last_block bigint;
    changed bigint;
    young_block bigint;
BEGIN
    INSERT INTO blanked_partitions AS b VALUES (partition_name, 0, false) ON CONFLICT DO NOTHING;
    SELECT * INTO place FROM blanked_partitions AS b
    WHERE b.partition_name = blank_charges_of.partition_name FOR UPDATE;
    -- Once a day, and when the whole month is old enough.
    IF place.first_young_block IS NOT NULL AND (
        place.turned_back_at <= before - interval '1 day' OR ends_at <= before AND place.turned_back_at < before)
    THEN
        place.next_block := place.first_young_block;
        place.first_young_block := NULL;
        place.turned_back_at := before;
    END IF;
    last_block := least(place.next_block + blocks_max, blocks);
    EXECUTE format(
        'UPDATE %I SET call_from = CASE WHEN call_from IS NULL THEN NULL ELSE '''' END,
             call_to = CASE WHEN call_to IS NULL THEN NULL ELSE '''' END
         WHERE ctid >= $1 AND ctid < $2 AND charged_at < $3 AND (call_from <> '''' OR call_to <> '''')',
        partition_name)
    USING format('(%s,0)', place.next_block)::tid, format('(%s,0)', last_block)::tid, before;
    GET DIAGNOSTICS changed = ROW_COUNT;
    EXECUTE format(
        'SELECT min((ctid::text::point)[0]::bigint)
         FROM %I WHERE ctid >= $1 AND ctid < $2 AND charged_at >= $3', partition_name)
    INTO young_block
    USING format('(%s,0)', place.next_block)::tid, format('(%s,0)', last_block)::tid, before;
    IF young_block IS NOT NULL AND changed = 0 AND place.next_block >= place.furthest_block THEN
        -- The stretch before it was young in part: the next round begins there.
        last_block := greatest(place.next_block - blocks_max, 0);
    ELSE
        place.first_young_block := least(place.first_young_block, young_block);
    END IF;
    -- The last block of a month that may still grow is looked at again.
    IF last_block = blocks AND ends_at > before THEN
        last_block := greatest(place.next_block, last_block - 1);
    END IF;
    UPDATE blanked_partitions AS b
    SET next_block = last_block, furthest_block = greatest(furthest_block, last_block),
        first_young_block = place.first_young_block,
        turned_back_at = place.turned_back_at,
        is_done = place.next_block = blocks AND ends_at <= before AND place.first_young_block IS NULL
    WHERE b.partition_name = blank_charges_of.partition_name;
    RETURN last_block > place.next_block;
END;
$$;
