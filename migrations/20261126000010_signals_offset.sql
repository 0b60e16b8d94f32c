-- How far the status events of a partition's calls are applied to holds. What lies between it and
-- next_offset is read from Kafka again where the process dies, or Redis is away, before it is.
ALTER TABLE partition_offsets ADD COLUMN signals_offset bigint NOT NULL DEFAULT 0;
UPDATE partition_offsets SET signals_offset = next_offset;
ALTER TABLE partition_offsets ADD CONSTRAINT partition_offsets_signals_follow_charges
    CHECK (signals_offset BETWEEN 0 AND next_offset);
COMMENT ON COLUMN partition_offsets.signals_offset IS
    'The status events of every record below it are applied to holds in Redis, and journaled. Mutable: rises behind next_offset; set with it by hand.';
