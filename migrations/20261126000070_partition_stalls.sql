-- Partitions that stand still though records wait. Told by the process that has the partition.
CREATE TABLE partition_stalls (
    topic        text        COLLATE "C" NOT NULL,
    partition    integer     NOT NULL,
    next_offset  bigint      NOT NULL,
    since        timestamptz NOT NULL,
    cause        text        NOT NULL,
    CONSTRAINT partition_stalls_pk PRIMARY KEY (topic, partition)
);
COMMENT ON TABLE partition_stalls IS
    'Partitions that stand still though records wait; a row whose next_offset is not the stored one is over. Mutable.';
COMMENT ON COLUMN partition_stalls.cause IS 'What the process knows of the cause. Mutable.';
