//! What each session and each transaction of Postgres is set to, with a connection pooler in between
//! or without.
//!
//! A pooler that lends connections out by transaction (pgbouncer) knows no session of ours: what is set
//! for one would be lost, or be left to strangers. So a transaction carries its settings in the message
//! that begins it, which costs no round trip. What a session is set to besides is for single statements,
//! and stands in the start of the connection, where a pooler refuses or drops it and nobody else sees it.

use sqlx::postgres::PgConnectOptions;

/// `BEGIN…` and what every transaction is set to: a statement that hangs must not hold a wallet's lock
/// for ever, and a process that hangs inside a transaction gives its locks up soon.
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

/// How a transaction begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A change, and what it reads.
    Usual,
    /// A batch of the charging loop, whose statements look rows up by array and index.
    ///
    /// The planner is told so: an array of thousands of keys would lead it to read whole tables for
    /// as long as they are small, and it would stay with that plan while they grow. A pooler shares
    /// prepared statements, and their plans, among all who send the same text; so every transaction
    /// that charges says this.
    Batch,
    /// One state of the ledger for several statements that only read.
    Snapshot,
}

impl Begin {
    /// The one message that begins it.
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

/// What marks a session as one that Postgres began for this very connection.
const MARK: [(&str, &str); 1] = [("callmeter.connection", "direct")];

/// Finds the mark; nothing where a pooler dropped it.
pub(super) const IS_MARKED: &str = "-- store::connect_directly
     SELECT coalesce(current_setting('callmeter.connection', true) = 'direct', false)";

/// What any pooler and Postgres take. The time zone is UTC, as sqlx tells both.
pub(super) fn plain(options: PgConnectOptions) -> PgConnectOptions {
    // No column is a float, and poolers refuse what sqlx would say of them.
    options.application_name("callmeter").extra_float_digits(None)
}

/// Bounds single statements as transactions are.
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

/// True where a connection was refused as poolers refuse settings of a session: `protocol_violation`
/// (all that pgbouncer says for itself), `feature_not_supported`.
pub(super) fn is_refused_by_a_pooler(error: &sqlx::Error) -> bool {
    let state = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(state.as_deref(), Some("08P01" | "0A000"))
}
