//! The connections of one listener: accepts them up to a limit, watches them, and ends them.
//!
//! Before the requests, which then pass `middleware`. One task accepts connections and knows all of
//! them. A connection reports its activity through a few atomics, so that a request needs no timer
//! and no lock. A connection is closed if its head stays incomplete, or if it is idle for long.
//!
//! It must never cut a request in progress, except after the time limit of the shutdown.

mod activity;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Extensions, Request};
use futures::future::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::activity::{Activity, Answered, Heard, InProgress, Phase};
use crate::metrics::{HTTP_CONNECTIONS, HTTP_CONNECTIONS_REFUSED};

/// Longest idle time of a connection; proxies and clients close pooled ones earlier.
const IDLE_MAX: Duration = Duration::from_mins(3);
/// At the shutdown: longest time for requests in progress.
const ENDING_MAX: Duration = Duration::from_secs(5);
/// At the shutdown: longest time for the last bytes of an answer. Incomplete heads are not awaited.
const LAST_BYTES_MAX: Duration = Duration::from_millis(500);
/// Pause after the system could not accept a connection.
const NO_ROOM: Duration = Duration::from_millis(100);
/// Time between two warnings about refused connections.
const WARNED_EVERY: Duration = Duration::from_mins(1);

/// The client's address, in the extensions of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The client's address, if the request came through a listener.
pub fn peer_of(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| peer.0)
}

/// Limits on the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Most connections at the same time; further ones are closed at once.
    pub connections_max: usize,
    /// Longest time from the first to the last byte of a request's head, plus or minus a quarter.
    pub head_max: Duration,
}

/// Paths whose connections are served on a runtime of their own: their bytes take no time from others.
#[derive(Clone, Debug)]
pub struct Apart {
    /// How these paths begin. The first request of a connection decides.
    pub path: &'static str,
    /// Their runtime.
    pub runtime: Handle,
}

/// Serves requests until `shutdown`, lets those in progress end, and drops the rest.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    apart: Vec<Apart>,
    shutdown: CancellationToken,
) {
    let mut held = Connections::new(limits, apart.into(), router);
    let mut watch = tokio::time::interval((limits.head_max / 4).max(Duration::from_millis(1)));
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => held.take(stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(NO_ROOM).await;
                }
            },
            Some(ended) = held.tasks.join_next_with_id() => held.forget(ended),
            _ = watch.tick() => held.close_overdue(),
        }
    }
    drop(listener);
    held.end().await;
}

/// True if the client hung up before it was accepted; the listener itself is fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// All connections of a listener.
struct Connections {
    limits: ConnectionLimits,
    apart: Arc<[Apart]>,
    service: TowerToHyperService<Router>,
    tasks: JoinSet<()>,
    held: HashMap<Id, Held>,
    warned_at: Option<Instant>,
}

/// One connection, for the listener.
struct Held {
    activity: Arc<Activity>,
    /// Tells it to end after the present request.
    end: Option<oneshot::Sender<()>>,
    task: AbortHandle,
    /// Its phase at the last check, and when that phase was first seen.
    seen: Phase,
    since: Instant,
}

impl Connections {
    fn new(limits: ConnectionLimits, apart: Arc<[Apart]>, router: Router) -> Self {
        let service = TowerToHyperService::new(router);
        let (tasks, held) = (JoinSet::new(), HashMap::new());
        Self { limits, apart, service, tasks, held, warned_at: None }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.held.len() >= self.limits.connections_max {
            metrics::counter!(HTTP_CONNECTIONS_REFUSED).increment(1);
            if self.warned_at.is_none_or(|at| at.elapsed() > WARNED_EVERY) {
                let connections = self.held.len();
                tracing::warn!(connections, "too many connections: more are refused");
                self.warned_at = Some(Instant::now());
            }
            return;
        }
        let (activity, (end, ended)) = (Arc::new(Activity::default()), oneshot::channel());
        let connection = Connection {
            peer,
            service: self.service.clone(),
            activity: Arc::clone(&activity),
            ended,
            home: None,
        };
        let task = self.tasks.spawn(connection.attend(stream, Arc::clone(&self.apart)));
        let (id, seen, since) = (task.id(), activity.phase(), Instant::now());
        self.held.insert(id, Held { activity, end: Some(end), task, seen, since });
        metrics::gauge!(HTTP_CONNECTIONS).increment(1.0);
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        if self.held.remove(&id).is_some() {
            metrics::gauge!(HTTP_CONNECTIONS).decrement(1.0);
        }
    }

    /// Closes connections that wait too long for the rest of a head, or for a request.
    fn close_overdue(&mut self) {
        let now = Instant::now();
        for held in self.held.values_mut() {
            if held.is_overdue(self.limits.head_max, now) {
                held.task.abort();
            }
        }
    }

    /// Lets requests in progress end, and drops the rest.
    async fn end(mut self) {
        let asked = Instant::now();
        for held in self.held.values_mut() {
            if let Some(end) = held.end.take() {
                // It may have ended already.
                let _ = end.send(());
            }
        }
        self.drained_until(asked + LAST_BYTES_MAX).await;
        for held in self.held.values().filter(|held| !held.activity.phase().is_working()) {
            held.task.abort();
        }
        self.drained_until(asked + ENDING_MAX).await;
        let dropped = self.held.len();
        if dropped > 0 {
            tracing::warn!(dropped, "requests did not end in time and were dropped");
        }
        self.tasks.shutdown().await;
        for _ in self.held.drain() {
            metrics::gauge!(HTTP_CONNECTIONS).decrement(1.0);
        }
    }

    async fn drained_until(&mut self, latest: Instant) {
        while let Ok(Some(ended)) =
            tokio::time::timeout_at(latest, self.tasks.join_next_with_id()).await
        {
            self.forget(ended);
        }
    }
}

impl Held {
    /// Checks the connection; true if it has waited too long.
    fn is_overdue(&mut self, head_max: Duration, now: Instant) -> bool {
        let phase = self.activity.phase();
        if phase != self.seen {
            (self.seen, self.since) = (phase, now);
        }
        let longest = match phase {
            Phase::Working => return false,
            Phase::HalfSent { .. } => head_max,
            Phase::Idle { .. } => IDLE_MAX,
        };
        now.duration_since(self.since) >= longest
    }
}

/// One connection, for its task.
struct Connection {
    peer: SocketAddr,
    service: TowerToHyperService<Router>,
    activity: Arc<Activity>,
    ended: oneshot::Receiver<()>,
    /// Of a connection that is served apart: the paths that are, and the runtime of all others.
    home: Option<(&'static str, Handle)>,
}

impl Connection {
    /// Serves its requests, on the runtime that its first request belongs to.
    async fn attend(mut self, stream: TcpStream, apart: Arc<[Apart]>) {
        // Answers are small, and nothing follows them: to delay one helps nobody.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        if apart.is_empty() {
            return self.serve(stream).await;
        }
        let mut head = [0; 64];
        let length = tokio::select! {
            biased;
            _ = &mut self.ended => return,
            length = stream.peek(&mut head) => length.unwrap_or(0),
        };
        let Some(apart) = apart.iter().find(|apart| asks_for(&head[..length], apart.path)) else {
            return self.serve(stream).await;
        };
        self.home = Some((apart.path, Handle::current()));
        match stream.into_std() {
            Ok(stream) => {
                let served = apart.runtime.spawn(async move {
                    match TcpStream::from_std(stream) {
                        Ok(stream) => self.serve(stream).await,
                        Err(error) => tracing::warn!(%error, "a connection cannot be moved"),
                    }
                });
                if let Err(error) = AbortOnDropHandle::new(served).await {
                    tracing::error!(%error, "a connection ended early");
                }
            }
            Err(error) => tracing::warn!(%error, "a connection cannot be moved"),
        }
    }

    async fn serve(self, stream: TcpStream) {
        let Self { peer, service, activity, ended, home } = self;
        let stream = Heard { stream, activity: Arc::clone(&activity) };
        let service = service_fn(move |mut request: Request<Incoming>| {
            let in_progress = InProgress::begin(&activity);
            request.extensions_mut().insert(Peer(peer.ip()));
            let others = home.as_ref().filter(|(path, _)| !request.uri().path().starts_with(path));
            let answer = service.call(request);
            let answered = match others {
                None => Either::Left(answer),
                Some((_, home)) => {
                    let answering = AbortOnDropHandle::new(home.spawn(answer));
                    Either::Right(async move {
                        answering.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
                    })
                }
            };
            async move {
                let answer = answered.await?;
                Ok::<_, Infallible>(answer.map(|body| Answered::new(body, in_progress)))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let done = tokio::select! {
            biased;
            done = connection.as_mut() => done,
            _ = ended => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// True if a request that begins with these bytes asks for a path that begins with `path`.
fn asks_for(head: &[u8], path: &str) -> bool {
    let target = head.splitn(2, |byte| *byte == b' ').nth(1);
    target.is_some_and(|target| target.starts_with(path.as_bytes()))
}
