//! A connection apart from the pool, for one small statement that is read several times a second.
//!
//! The pool checks a connection when it is returned, and often when it is borrowed: each check is a
//! round trip, and an idle process would make three for each statement.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::session;
use super::store::StoreError;

/// The connection, while nobody uses it.
#[derive(Debug)]
pub struct Dedicated {
    plain: Arc<PgConnectOptions>,
    idle: Mutex<Option<PgConnection>>,
}

impl Dedicated {
    /// Connects when it is first used.
    pub(super) fn new(plain: &Arc<PgConnectOptions>) -> Self {
        Self { plain: Arc::clone(plain), idle: Mutex::default() }
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
            None => self.connect().await,
        }
    }

    /// Returns a connection whose statement was answered.
    pub fn put_back(&self, connection: PgConnection) {
        *self.lock() = Some(connection);
    }

    /// Asks whether Postgres answers. A connection may be from before a restart, so a new one is asked
    /// too.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let mut connection = self.take().await?;
        if connection.ping().await.is_err() {
            connection = self.connect().await?;
        }
        self.put_back(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        match session::read_only(&self.plain).connect().await {
            Err(error) if session::is_refused_by_a_pooler(&error) => {
                Ok(self.plain.connect().await?)
            }
            connected => Ok(connected?),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
