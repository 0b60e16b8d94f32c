-- Where each partition of each topic goes on. Moves only together with the effects of the records.
CREATE TABLE partition_offsets (
    stream_key      integer     GENERATED ALWAYS AS IDENTITY,
    topic           text        COLLATE "C" NOT NULL,
    partition       integer     NOT NULL,
    next_offset     bigint      NOT NULL,
    cluster_id      text        NOT NULL,
    last_record_at  timestamptz,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT partition_offsets_pk PRIMARY KEY (stream_key),
    CONSTRAINT partition_offsets_topic_partition_is_unique UNIQUE (topic, partition),
    CONSTRAINT partition_offsets_next_offset_is_not_negative CHECK (next_offset >= 0)
) WITH (fillfactor = 40);
COMMENT ON COLUMN partition_offsets.next_offset IS 'First offset not yet charged. Mutable by compare-and-set only.';
COMMENT ON COLUMN partition_offsets.cluster_id IS 'Kafka cluster that the offset belongs to. Mutable.';
COMMENT ON COLUMN partition_offsets.last_record_at IS
    'Kafka timestamp of the record before next_offset: tells a topic that was made anew. Mutable.';

-- Offsets that an operator set by hand.
CREATE TABLE offset_changes (
    topic        text        COLLATE "C" NOT NULL,
    partition    integer     NOT NULL,
    from_offset  bigint,
    to_offset    bigint      NOT NULL,
    reason       text        NOT NULL,
    at           timestamptz NOT NULL,
    CONSTRAINT offset_changes_give_a_reason CHECK (reason <> '')
);
CREATE TRIGGER offset_changes_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON offset_changes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Records that could not be charged, as they came.
CREATE TABLE rejects (
    reject_id       bigint      GENERATED ALWAYS AS IDENTITY,
    topic           text        COLLATE "C" NOT NULL,
    partition       integer     NOT NULL,
    record_offset   bigint      NOT NULL,
    record_at       timestamptz,
    rejected_at     timestamptz NOT NULL,
    reason          text        COLLATE "C" NOT NULL,
    detail          text        NOT NULL,
    conflict_key    bytea,
    count           bigint      NOT NULL DEFAULT 1,
    record_key      bytea,
    record_value    bytea,
    record_bytes    integer     NOT NULL,
    replayed_at     timestamptz,
    CONSTRAINT rejects_pk PRIMARY KEY (reject_id),
    CONSTRAINT rejects_reason_is_known CHECK (reason IN ('undecodable', 'invalid', 'unknown_account', 'conflict')),
    CONSTRAINT rejects_count_is_positive CHECK (count > 0)
);
COMMENT ON COLUMN rejects.conflict_key IS 'Identity of a conflict, which is kept once and counted; null for other reasons.';
COMMENT ON COLUMN rejects.count IS 'How often this conflict arrived. Mutable.';
COMMENT ON COLUMN rejects.record_value IS
    'The record; null where it was empty, or where the total cap was reached (then record_bytes tells its size, and Kafka has it).';
COMMENT ON COLUMN rejects.replayed_at IS 'Instant at which a replay charged it or found it paid; null: open. Mutable.';
CREATE UNIQUE INDEX rejects_conflict_is_kept_once ON rejects (conflict_key) WHERE conflict_key IS NOT NULL;
CREATE INDEX rejects_open ON rejects (reject_id) WHERE replayed_at IS NULL;
