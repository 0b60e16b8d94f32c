//! The link to Redis: one multiplexed connection, which this module opens again itself.
//!
//! A client that reconnects on its own would hide the one thing that matters: whether this is still
//! the same server with the same memory. So each connection begins by asking for the server's
//! `run_id`, the *epoch*, and every script carries it: a wallet stamped with another epoch is not
//! used.
//!
//! It must never send a script a second time: after a time-out nobody knows whether the first was
//! applied. Callers retry with the same operation id.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value,
};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::balance::model::BalanceError;
use crate::balance::scripts::{self, Request, Stamp};

/// The error for a Redis whose keys lie on several nodes; a connection reaches one node's keys.
pub(super) const CLUSTERED: &str =
    "redis is a cluster of more than one node; set redis.url to a server that has all keys";

/// For this long after a failed attempt to connect, callers get the error at once.
const RECONNECT_EVERY: Duration = Duration::from_millis(50);

/// The link to one Redis server; cheap to clone.
#[derive(Clone, Debug)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    config: AsyncConnectionConfig,
    timeout: Duration,
    session: ArcSwapOption<Session>,
    /// Held while one caller connects: when the last attempt failed.
    failed_at: Mutex<Option<Instant>>,
    /// The runtime of the task that sends and receives; none: that of whoever connects.
    runtime: OnceLock<Handle>,
}

/// One connection, and the epoch of the server at its other end.
#[derive(Debug)]
pub struct Session {
    connection: MultiplexedConnection,
    /// `run_id` of the server.
    pub epoch: Arc<str>,
}

impl Link {
    /// Prepares the link; it connects on first use. `timeout` bounds each answer.
    ///
    /// # Errors
    /// If the URL cannot be read.
    pub fn open(url: &str, timeout: Duration) -> Result<Self, BalanceError> {
        let client = Client::open(url).map_err(BalanceError::Refused)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout.min(Duration::from_millis(500))))
            .set_response_timeout(Some(timeout));
        Ok(Self(Arc::new(Inner {
            client,
            config,
            timeout,
            session: ArcSwapOption::empty(),
            failed_at: Mutex::new(None),
            runtime: OnceLock::new(),
        })))
    }

    /// Connects on this runtime from now on. Only the first call counts.
    pub(super) fn drive_on(&self, runtime: Handle) {
        let _ = self.0.runtime.set(runtime);
    }

    /// The open connection, or a new one.
    ///
    /// # Errors
    /// `Lost` if Redis cannot be reached.
    pub async fn session(&self) -> Result<Arc<Session>, BalanceError> {
        if let Some(session) = self.0.session.load_full() {
            return Ok(session);
        }
        // Boxed, as is all that happens rarely: the future of an authorization stays small.
        Box::pin(self.new_session()).await
    }

    async fn new_session(&self) -> Result<Arc<Session>, BalanceError> {
        let mut failed_at = self.0.failed_at.lock().await;
        if let Some(session) = self.0.session.load_full() {
            return Ok(session);
        }
        if failed_at.is_some_and(|at| at.elapsed() < RECONNECT_EVERY) {
            let error = (ErrorKind::Io, "redis could not be reached a moment ago");
            return Err(BalanceError::Lost(RedisError::from(error)));
        }
        // Every step of connecting has its own limit; the whole has one too.
        let connected = tokio::time::timeout(self.0.timeout * 4, self.connect()).await;
        match connected {
            Ok(Ok(session)) => {
                *failed_at = None;
                let session = Arc::new(session);
                self.0.session.store(Some(Arc::clone(&session)));
                Ok(session)
            }
            Ok(Err(error)) => {
                *failed_at = Some(Instant::now());
                Err(BalanceError::Lost(error))
            }
            Err(_) => {
                *failed_at = Some(Instant::now());
                let error = (ErrorKind::Io, "redis did not answer in time");
                Err(BalanceError::Lost(RedisError::from(error)))
            }
        }
    }

    async fn connect(&self) -> Result<Session, RedisError> {
        let inner = Arc::clone(&self.0);
        let runtime = inner.runtime.get().cloned().unwrap_or_else(Handle::current);
        let opening = runtime.spawn(async move {
            inner.client.get_multiplexed_async_connection_with_config(&inner.config).await
        });
        let ended = |_| RedisError::from((ErrorKind::Io, "the process ends"));
        let mut connection = AbortOnDropHandle::new(opening).await.map_err(ended)??;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let epoch = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        let epoch = epoch.ok_or((ErrorKind::Parse, "redis does not tell its run_id"))?;
        refuse_clusters(&mut connection).await?;
        scripts::teach().exec_async(&mut connection).await?;
        let policy: Result<Vec<String>, _> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("maxmemory-policy")
            .query_async(&mut connection)
            .await;
        match policy.as_deref() {
            Ok([_, policy]) if policy != "noeviction" => {
                tracing::warn!(%policy, "redis may evict holds: set maxmemory-policy noeviction");
            }
            _ => {}
        }
        tracing::info!(epoch, "connected to redis");
        Ok(Session { connection, epoch: epoch.into() })
    }

    /// Gives up a connection that must not be used any more.
    fn give_up(&self, session: &Arc<Session>) {
        let standing = self.0.session.load();
        if standing.as_ref().is_some_and(|standing| Arc::ptr_eq(standing, session)) {
            self.0.session.store(None);
        }
    }

    /// Runs a script once.
    ///
    /// # Errors
    /// `Lost`: it may or may not have been applied. `Refused`: it was not, except for what the
    /// script wrote before it found the fault.
    pub async fn run<R: Request>(
        &self,
        request: &R,
        incarnation: i64,
        offset_micros: i64,
    ) -> Result<R::Reply, BalanceError> {
        let session = self.session().await?;
        let stamp = Stamp { epoch: Arc::clone(&session.epoch), incarnation, offset_micros };
        R::read(self.send(&session, &request.command(&stamp)).await?)
    }

    /// Runs many scripts in one round trip; each has its own answer.
    ///
    /// # Errors
    /// `Lost`: each may or may not have been applied.
    pub async fn run_many<R: Request>(
        &self,
        requests: &[R],
        incarnation: i64,
        offset_micros: i64,
    ) -> Result<Vec<Result<R::Reply, BalanceError>>, BalanceError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.session().await?;
        let stamp = Stamp { epoch: Arc::clone(&session.epoch), incarnation, offset_micros };
        let mut pipeline = Pipeline::with_capacity(requests.len());
        for request in requests {
            pipeline.add_command(request.command(&stamp));
        }
        let answers = self.send_many(&session, pipeline).await?;
        Ok(answers.into_iter().map(|answer| R::read(answer?)).collect())
    }

    /// Sends many commands in one round trip; each has its own answer.
    ///
    /// # Errors
    /// As [`Self::run_many`].
    pub async fn send_many(
        &self,
        session: &Arc<Session>,
        mut commands: Pipeline,
    ) -> Result<Vec<Result<Value, BalanceError>>, BalanceError> {
        commands.ignore_errors();
        let mut connection = session.connection.clone();
        let answers: Vec<Result<Value, RedisError>> =
            match commands.query_async(&mut connection).await {
                Ok(answers) => answers,
                Err(error) => return Err(self.failed(session, error)),
            };
        let failed = |error| self.failed(session, error);
        Ok(answers.into_iter().map(|answer| answer.map_err(failed)).collect())
    }

    /// Sends one command.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn send(&self, session: &Arc<Session>, command: &Cmd) -> Result<Value, BalanceError> {
        let mut connection = session.connection.clone();
        match command.query_async::<Value>(&mut connection).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.failed(session, error)),
        }
    }

    /// Distinguishes a fault of a script from a lost server; after the latter the connection ends.
    fn failed(&self, session: &Arc<Session>, error: RedisError) -> BalanceError {
        let is_of_the_script = match error.kind() {
            ErrorKind::Server(kind) => kind == ServerErrorKind::ResponseError,
            ErrorKind::UnexpectedReturnType | ErrorKind::Extension => error.code() == Some("ERR"),
            _ => false,
        };
        if is_of_the_script {
            return BalanceError::Refused(error);
        }
        self.give_up(session);
        BalanceError::Lost(error)
    }
}

/// Fails if other nodes have some of the keys.
async fn refuse_clusters(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let info: String = redis::cmd("INFO").arg("cluster").query_async(connection).await?;
    if !info.contains("cluster_enabled:1") {
        return Ok(());
    }
    let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(connection).await?;
    let nodes = info.lines().find_map(|line| line.trim().strip_prefix("cluster_known_nodes:"));
    if nodes == Some("1") {
        return Ok(());
    }
    Err(RedisError::from((ErrorKind::InvalidClientConfig, CLUSTERED)))
}
