-- Who pays. `account_key` is the internal, compact key that leads every other table.
CREATE TABLE accounts (
    account_key         integer     GENERATED ALWAYS AS IDENTITY,
    id                  text        COLLATE "C" NOT NULL,
    name                text        NOT NULL,
    email               text,
    status              text        NOT NULL DEFAULT 'open',
    on_redis_loss       text        NOT NULL DEFAULT 'fail_closed',
    redis_loss_cap_micros bigint    NOT NULL DEFAULT 0,
    calls_in_progress_max integer,
    created_at          timestamptz NOT NULL,
    CONSTRAINT accounts_pk PRIMARY KEY (account_key),
    CONSTRAINT accounts_id_is_unique UNIQUE (id),
    CONSTRAINT accounts_status_is_known CHECK (status IN ('open', 'closed')),
    CONSTRAINT accounts_on_redis_loss_is_known CHECK (on_redis_loss IN ('fail_closed', 'fail_open')),
    CONSTRAINT accounts_redis_loss_cap_is_not_negative CHECK (redis_loss_cap_micros >= 0),
    CONSTRAINT accounts_calls_in_progress_max_is_positive CHECK (calls_in_progress_max > 0)
);
COMMENT ON COLUMN accounts.id IS 'The name that outsiders use. Immutable.';
COMMENT ON COLUMN accounts.status IS 'open or closed; a closed account is still charged for late calls. Mutable.';
COMMENT ON COLUMN accounts.on_redis_loss IS 'What authorizations do while holds are unknown. Mutable.';
COMMENT ON COLUMN accounts.redis_loss_cap_micros IS 'Micro-dollars that fail_open may grant while holds are unknown. Mutable.';
COMMENT ON COLUMN accounts.calls_in_progress_max IS 'Most calls in progress; null: no limit. Mutable.';

-- Which Twilio accounts an account pays for: one account each, for good once a call was charged.
CREATE TABLE twilio_accounts (
    twilio_account_key  integer     GENERATED ALWAYS AS IDENTITY,
    account_key         integer     NOT NULL,
    twilio_account_sid  text        COLLATE "C" NOT NULL,
    linked_at           timestamptz NOT NULL,
    CONSTRAINT twilio_accounts_pk PRIMARY KEY (twilio_account_key),
    CONSTRAINT twilio_accounts_sid_is_unique UNIQUE (twilio_account_sid),
    CONSTRAINT twilio_accounts_account_fk FOREIGN KEY (account_key) REFERENCES accounts
);
COMMENT ON COLUMN twilio_accounts.account_key IS 'Mutable until the first charge under this Twilio account, then fixed.';

-- What an account has: the head of its chain of transactions and of its chain of charges.
CREATE TABLE wallets (
    account_key         integer     NOT NULL,
    balance_micros      bigint      NOT NULL DEFAULT 0,
    credit_limit_micros bigint      NOT NULL DEFAULT 0,
    sequence            bigint      NOT NULL DEFAULT 0,
    charge_sequence     bigint      NOT NULL DEFAULT 0,
    version             bigint      NOT NULL DEFAULT 0,
    last_at             timestamptz NOT NULL,
    CONSTRAINT wallets_pk PRIMARY KEY (account_key),
    CONSTRAINT wallets_account_fk FOREIGN KEY (account_key) REFERENCES accounts,
    CONSTRAINT wallets_credit_limit_is_not_negative CHECK (credit_limit_micros >= 0)
) WITH (fillfactor = 40);
COMMENT ON COLUMN wallets.balance_micros IS 'Micro-dollars; equals balance_after of the last transaction. Mutable under the row lock.';
COMMENT ON COLUMN wallets.credit_limit_micros IS 'Micro-dollars that the balance may go below zero before calls are refused. Mutable.';
COMMENT ON COLUMN wallets.sequence IS 'Number of the last transaction; 0: none. Mutable under the row lock.';
COMMENT ON COLUMN wallets.charge_sequence IS 'Number of the last charge; 0: none. Mutable under the row lock.';
COMMENT ON COLUMN wallets.version IS 'Raised by every change that a projection must see. Mutable under the row lock.';
COMMENT ON COLUMN wallets.last_at IS 'Instant of the last row written; the next is never earlier. Mutable under the row lock.';

-- The timeline of plans; a row lasts until the next one starts, a null plan ends.
CREATE TABLE subscriptions (
    account_key      integer     NOT NULL,
    subscription_id  bigint      GENERATED ALWAYS AS IDENTITY,
    plan             text        COLLATE "C",
    starts_at        timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    CONSTRAINT subscriptions_pk PRIMARY KEY (account_key, subscription_id),
    CONSTRAINT subscriptions_account_fk FOREIGN KEY (account_key) REFERENCES accounts
);
COMMENT ON TABLE subscriptions IS 'Append-only; of two rows with the same start the later one counts.';
CREATE TRIGGER subscriptions_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- How much of a cycle's allowance is used. One row a cycle that saw a call.
CREATE TABLE cycles (
    account_key      integer     NOT NULL,
    subscription_id  bigint      NOT NULL,
    cycle_start      timestamptz NOT NULL,
    used_seconds     bigint      NOT NULL,
    CONSTRAINT cycles_pk PRIMARY KEY (account_key, subscription_id, cycle_start),
    CONSTRAINT cycles_used_is_not_negative CHECK (used_seconds >= 0)
) WITH (fillfactor = 60);
COMMENT ON COLUMN cycles.used_seconds IS 'Seconds; the sum over the charges of this cycle. Mutable under the wallet lock.';

-- Every catalog that was ever in force, as it was written.
CREATE TABLE catalog_versions (
    version       integer     NOT NULL,
    effective_at  timestamptz NOT NULL,
    accepted_at   timestamptz NOT NULL,
    source        text        NOT NULL,
    CONSTRAINT catalog_versions_pk PRIMARY KEY (version),
    CONSTRAINT catalog_versions_version_is_positive CHECK (version > 0)
);
COMMENT ON COLUMN catalog_versions.effective_at IS 'Start of force, except of version 1, which counts from the beginning of time.';
CREATE TRIGGER catalog_versions_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON catalog_versions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
