//! The settings of each Postgres session and transaction, with or without a connection pooler.
//!
//! A pooler that lends connections by transaction (pgbouncer) has no session of ours: its settings
//! would be lost, or left to strangers. So a transaction carries its settings in the message that
//! begins it, which costs no round trip. Session settings only bound single statements. They are
//! sent at the start of the connection, where a pooler refuses or drops them and nobody else gets
//! them.

use sqlx::postgres::PgConnectOptions;

/// `BEGIN…` with the settings of every transaction: a hanging statement must not hold a wallet's
/// lock for ever, and a process that hangs inside a transaction soon loses its locks.
macro_rules! begin {
    ($begin:literal $(, $more:literal)*) => {
        concat!(
            "/* store::begin */ ",
            $begin,
            "; SET LOCAL statement_timeout = '60s'",
            "; SET LOCAL idle_in_transaction_session_timeout = '5s'",
            $("; SET LOCAL ", $more),*
        )
    };
}

/// The kind of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A change, with its reads.
    Usual,
    /// A batch of the charging loop, whose statements look rows up by array and index.
    ///
    /// The planner needs this setting: for an array of thousands of keys it would read whole tables
    /// while they are small, and keep that plan while they grow. A pooler shares prepared
    /// statements, with their plans, among all that send the same text; so every charging
    /// transaction sets it.
    Batch,
    /// One snapshot for several statements that only read.
    Snapshot,
}

impl Begin {
    /// The message that begins it.
    pub(super) const fn statement(self) -> &'static str {
        match self {
            Self::Usual => begin!("BEGIN READ WRITE"),
            Self::Batch => begin!(
                "BEGIN READ WRITE",
                "enable_seqscan = off",
                "enable_hashjoin = off",
                "enable_mergejoin = off",
                "plan_cache_mode = force_generic_plan"
            ),
            Self::Snapshot => begin!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        }
    }
}

/// Marks a session that Postgres itself began for this connection.
const MARK: [(&str, &str); 1] = [("callmeter.connection", "direct")];

/// Reads the mark; no row if a pooler dropped it.
pub(super) const IS_MARKED: &str = "-- store::connect_directly
     SELECT coalesce(current_setting('callmeter.connection', true) = 'direct', false)";

/// Options that every pooler and Postgres accept. The time zone is UTC, as sqlx sets for both.
pub(super) fn plain(options: PgConnectOptions) -> PgConnectOptions {
    // No column is a float, and poolers refuse what sqlx would set for floats.
    options.application_name("callmeter").extra_float_digits(None)
}

/// Bounds single statements as transactions are bounded.
pub(super) fn bounded(plain: &PgConnectOptions) -> PgConnectOptions {
    plain
        .clone()
        .options([("statement_timeout", "60s"), ("idle_in_transaction_session_timeout", "5s")])
}

/// For a session of the pool: single statements only read, a transaction says what it does.
pub(super) fn read_only(plain: &PgConnectOptions) -> PgConnectOptions {
    bounded(plain).options([("default_transaction_read_only", "on")])
}

/// For a session that holds locks: where our machine vanishes, Postgres notices within half a minute.
pub(super) fn marked(plain: &PgConnectOptions) -> PgConnectOptions {
    bounded(plain).options(MARK).options([
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "3"),
    ])
}

/// True if a connection was refused as poolers refuse session settings: `protocol_violation` (the
/// only code of pgbouncer itself) or `feature_not_supported`.
pub(super) fn is_refused_by_a_pooler(error: &sqlx::Error) -> bool {
    let state = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(state.as_deref(), Some("08P01" | "0A000"))
}
