//! Connections apart from the pool, for small statements that are read every second or more often.
//!
//! The pool checks a connection when it is borrowed and when it is returned: each check is a round trip,
//! and an idle process would make three for each statement.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};

use super::session;
use super::store_error::StoreError;

/// Most connections that are kept: loops of a process wake together.
const KEPT_MAX: usize = 3;

/// The connections that nobody uses.
#[derive(Debug)]
pub struct Dedicated {
    plain: Arc<PgConnectOptions>,
    idle: Mutex<Vec<PgConnection>>,
}

impl Dedicated {
    /// Connects when one is first used.
    pub(super) fn new(plain: &Arc<PgConnectOptions>) -> Self {
        Self { plain: Arc::clone(plain), idle: Mutex::default() }
    }

    /// Borrows a connection, and connects where there is none. Only what is given back with
    /// [`Self::put_back`] is used again: a statement that failed or was given up costs its connection.
    ///
    /// # Errors
    /// `Unavailable` where Postgres cannot be reached.
    pub async fn take(&self) -> Result<PgConnection, StoreError> {
        let idle = self.lock().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    /// Returns a connection whose statement was answered.
    pub fn put_back(&self, connection: PgConnection) {
        let mut idle = self.lock();
        if idle.len() < KEPT_MAX {
            idle.push(connection);
        }
    }

    /// Asks whether Postgres answers. Where a connection is from before a restart, so are the others.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let mut connection = self.take().await?;
        if connection.ping().await.is_err() {
            self.lock().clear();
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
