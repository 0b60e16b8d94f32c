-- What the role `jobs` does by the clock: when each job ran and runs next. One process at a time runs a
-- job; the lock for that belongs to its connection (src/jobs/lock.rs), so no row says who holds it.
CREATE TABLE jobs (
    name               text        COLLATE "C" NOT NULL,
    next_at            timestamptz NOT NULL,
    last_started_at    timestamptz,
    last_succeeded_at  timestamptz,
    last_failed_at     timestamptz,
    last_error         text,
    report             jsonb,
    CONSTRAINT jobs_pk PRIMARY KEY (name)
);
COMMENT ON COLUMN jobs.next_at IS 'When it is due: a period after its last start, or sooner after a failure. Mutable.';
COMMENT ON COLUMN jobs.last_started_at IS 'Start of the last run, however it ended. Mutable.';
COMMENT ON COLUMN jobs.last_succeeded_at IS 'Start of the last run that ended well: what happened before it was seen. Mutable.';
COMMENT ON COLUMN jobs.last_failed_at IS 'When a run failed last. Mutable.';
COMMENT ON COLUMN jobs.last_error IS 'Why the last run failed; null where it ended well. Holds no secret and no phone number. Mutable.';
COMMENT ON COLUMN jobs.report IS 'What the last run that ended well found, in the words of its own report. Mutable.';
