//! The schema: how it is migrated, and whether this program knows the version it finds.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;

use super::store::{Store, StoreError};

/// Every migration, compiled in.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why the schema cannot be used or migrated.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Migrations are missing: the database is empty or older than this program.
    #[error("the database lacks migration {version} ({description}); run `callmeter migrate`")]
    Missing {
        /// The first missing one.
        version: i64,
        /// Its name.
        description: String,
    },
    /// A migration began and did not end.
    #[error(
        "migration {version} was left unfinished; look at the database, then run `callmeter migrate`"
    )]
    Unfinished {
        /// Which one.
        version: i64,
    },
    /// The database was migrated by a newer program.
    #[error(
        "the database has migration {version}, which this program does not know; run the newer program"
    )]
    Newer {
        /// The first unknown one.
        version: i64,
    },
    /// A migration was applied with a text that differs from this program's.
    #[error(
        "migration {version} was applied with another text than this program's; use the program that applied it"
    )]
    Altered {
        /// Which one.
        version: i64,
    },
    /// A migration failed and was rolled back.
    #[error("a migration failed: {0}")]
    Failed(#[source] MigrateError),
    /// Postgres could not be queried.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Migrates the schema; returns how many migrations were applied.
///
/// # Errors
/// As [`check`], except for missing ones; `Failed` if one cannot be applied.
pub async fn migrate(store: &Store) -> Result<usize, SchemaError> {
    // Two programs must not migrate at once: sqlx takes a session lock.
    let mut connection = store.connect_directly().await?;
    let before = applied(&mut connection).await?.len();
    MIGRATIONS.run(&mut connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => SchemaError::Newer { version },
        MigrateError::VersionMismatch(version) => SchemaError::Altered { version },
        MigrateError::Dirty(version) => SchemaError::Unfinished { version },
        other => SchemaError::Failed(other),
    })?;
    let after = applied(&mut connection).await?.len();
    Ok(after - before)
}

/// Checks that the schema is exactly the one this program was built for.
///
/// # Errors
/// The difference. `Store` with a transient kind if Postgres is unavailable.
pub async fn check(store: &Store) -> Result<(), SchemaError> {
    let mut connection = store.connect().await?;
    let mut applied = applied(&mut connection).await?;
    for migration in MIGRATIONS.iter() {
        let version = migration.version;
        match applied.remove(&version) {
            None => {
                let description = migration.description.to_string();
                return Err(SchemaError::Missing { version, description });
            }
            Some((false, _)) => return Err(SchemaError::Unfinished { version }),
            Some((true, checksum)) if checksum != *migration.checksum => {
                return Err(SchemaError::Altered { version });
            }
            Some((true, _)) => {}
        }
    }
    match applied.into_keys().next() {
        Some(version) => Err(SchemaError::Newer { version }),
        None => Ok(()),
    }
}

/// Migrations in the database: whether each ended, and its checksum.
async fn applied(
    connection: &mut PgConnection,
) -> Result<BTreeMap<i64, (bool, Vec<u8>)>, StoreError> {
    let exists: bool = sqlx::query_scalar(
        "-- schema::applied, whether there is a record
         SELECT to_regclass('_sqlx_migrations') IS NOT NULL",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !exists {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(
        "-- schema::applied
         SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version",
    )
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok((row.try_get("version")?, (row.try_get("success")?, row.try_get("checksum")?)))
        })
        .collect()
}
