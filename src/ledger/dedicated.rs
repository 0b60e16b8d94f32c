//! A connection apart from the pool, for one small statement that is read several times a second.
//!
//! The pool checks a connection when it is returned, and often when it is borrowed: each check is a
//! round trip, and an idle process would make three for each statement.

use std::sync::{Mutex, PoisonError};

use sqlx::PgConnection;

use super::store::{Store, StoreError};

/// The connection, while nobody uses it.
#[derive(Debug)]
pub struct Dedicated {
    store: Store,
    idle: Mutex<Option<PgConnection>>,
}

impl Dedicated {
    /// Connects when it is first used.
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), idle: Mutex::default() }
    }

    /// Borrows the connection, and connects where there is none. Only what is given back with
    /// [`Self::put_back`] is used again: a statement that failed or was given up costs its connection.
    ///
    /// # Errors
    /// `Unavailable` where Postgres cannot be reached.
    pub async fn take(&self) -> Result<PgConnection, StoreError> {
        let idle = self.lock().take();
        match idle {
            Some(connection) => Ok(connection),
            None => self.store.connect_reading().await,
        }
    }

    /// Returns a connection whose statement was answered.
    pub fn put_back(&self, connection: PgConnection) {
        *self.lock() = Some(connection);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
