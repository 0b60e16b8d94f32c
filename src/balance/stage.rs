//! The stage itself: what its parts share, and how an account is brought into Redis and kept there.
//!
//! [`Balance::load`] runs when a script does not know an account; [`Balance::refresh`] when the ledger
//! changed in a way that no batch tells: an administrator's change, a gap, a process that died between
//! commit and projection. Both read one snapshot of Postgres and give it to one script, which decides
//! by incarnation and version; so whoever is late changes nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use callmeter_core::domain::{AccountId, Money, TwilioAccountSid};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::believed::{self, Believed};
use super::catalogs::Catalogs;
use super::connection::Link;
use super::denials::Denials;
use super::document::Document;
use super::error::BalanceError;
use super::fail_open::FailOpen;
use super::journal::Journal;
use super::mend;
use super::projector::{self, Projector};
use super::restore;
use super::scripts::{self, Announce, Expire, Loaded, Settled};
use super::settings::HoldSettings;
use super::snapshot::{self, Purpose, Snapshot};
use super::sweep;
use crate::clock::Clock;
use crate::config::Settings;
use crate::ledger::incarnation;
use crate::ledger::store::Store;

/// Longest wait for an answer to an authorization's script.
const ANSWER_MAX: Duration = Duration::from_millis(250);
/// Longest wait for an answer to a projection: many scripts in one round trip.
const PROJECTION_MAX: Duration = Duration::from_secs(2);
/// Accounts that are loaded at the same time.
const LOADS_MAX: usize = 16;
/// Connections for loading accounts, journaling holds and comparing versions.
const CONNECTIONS_MAX: u32 = 8;
/// How often a load or a projection is tried when others are faster.
const ATTEMPTS_MAX: u32 = 10;
/// Documents and names that a process keeps.
const KEPT_MAX: usize = 100_000;

/// Wallets and holds in Redis; cheap to clone.
#[derive(Clone, Debug)]
pub struct Balance(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    /// For authorizations.
    pub link: Link,
    /// For projections and sweeps, so that authorizations do not wait behind them.
    pub bulk: Link,
    pub store: Store,
    pub clock: Clock,
    pub settings: HoldSettings,
    pub journal: Journal,
    pub denials: Denials,
    pub catalogs: Catalogs,
    pub believed: Believed,
    pub fail_open: FailOpen,
    pub projector: Projector,
    incarnation: AtomicI64,
    /// When Redis answered an authorization last, in micro-seconds: what is granted without it is
    /// counted from there.
    pub redis_answered_at: AtomicI64,
    pub restored_late: AtomicI64,
    documents: Mutex<HashMap<AccountId, Arc<Document>>>,
    names: Mutex<HashMap<TwilioAccountSid, AccountId>>,
    loading: Mutex<HashMap<AccountId, Arc<Turn>>>,
    loads: Semaphore,
    work: Mutex<Option<projector::Work>>,
}

/// One account's loads, one at a time.
#[derive(Debug, Default)]
struct Turn {
    alone: tokio::sync::Mutex<()>,
    loads: AtomicU64,
}

impl Balance {
    /// Prepares the stage as the settings say, with connections to Postgres of its own: what an
    /// authorization loads must not wait behind other requests.
    ///
    /// # Errors
    /// Where a URL cannot be read.
    pub fn of(settings: &Settings, clock: Clock) -> Result<Self, BalanceError> {
        let url = settings.database.url.expose();
        let store = Store::open_for_authorizations(url, CONNECTIONS_MAX)?;
        Self::open(settings.redis.url.expose(), store, clock, settings.into())
    }

    /// Prepares the stage; connects when it is first used.
    ///
    /// # Errors
    /// `Refused` where the URL cannot be read.
    pub fn open(
        redis_url: &str,
        store: Store,
        clock: Clock,
        settings: HoldSettings,
    ) -> Result<Self, BalanceError> {
        let (projector, work) = Projector::new();
        Ok(Self(Arc::new(Shared {
            link: Link::open(redis_url, ANSWER_MAX)?,
            bulk: Link::open(redis_url, PROJECTION_MAX)?,
            journal: Journal::new(store.clone(), clock.clone(), &settings),
            denials: Denials::new(store.clone(), clock.clone()),
            catalogs: Catalogs::new(store.clone()),
            believed: Believed::new(&store),
            fail_open: FailOpen::default(),
            projector,
            incarnation: AtomicI64::new(0),
            redis_answered_at: AtomicI64::new(0),
            restored_late: AtomicI64::new(0),
            documents: Mutex::default(),
            names: Mutex::default(),
            loading: Mutex::default(),
            loads: Semaphore::new(LOADS_MAX),
            work: Mutex::new(Some(work)),
            store,
            clock,
            settings,
        })))
    }

    /// Journals, projects, sweeps and looks at the ledger until `shutdown`; ends with everything
    /// journaled that was granted. Every process that uses the stage runs it, once.
    pub async fn run(&self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let work = lock(&self.0.work).take();
        if let Some(work) = work {
            tasks.spawn(projector::run(self.clone(), work, shutdown.clone()));
        }
        tasks.spawn(believed::run(self.clone(), shutdown.clone()));
        tasks.spawn(sweep::run(self.clone(), shutdown.clone()));
        tasks.spawn(mend::run(self.clone(), shutdown.clone()));
        let this = self.clone();
        let stop = shutdown.clone();
        tasks.spawn(async move { this.0.denials.run(stop).await });
        let (late, changed_late) = mpsc::channel(1);
        tasks.spawn(restore::run(self.clone(), changed_late, shutdown.clone()));
        let this = self.clone();
        tasks.spawn(async move { this.0.journal.run(shutdown, late).await });
        tasks.close();
        tasks.wait().await;
    }

    /// The handle by which the meter tells what it committed.
    pub fn projector(&self) -> &Projector {
        &self.0.projector
    }

    /// The money of holds that this process journaled too late for the load after a loss: at most so
    /// much was granted beyond the pools meanwhile.
    pub fn restored_late(&self) -> Money {
        Money::from_micros(self.0.restored_late.load(Ordering::Relaxed))
    }

    /// Projects the account as the ledger has it now. An account that is not in Redis stays away; a
    /// load of it that is under way, and read the ledger before this, then brings nothing.
    ///
    /// # Errors
    /// `Lost`: Redis may have the wallet as it was.
    pub(super) async fn refresh(&self, account: &AccountId) -> Result<(), BalanceError> {
        self.refresh_to(account).await.map(drop)
    }

    /// The same; answers the version that Redis has then, or `None` where there is no such account.
    pub(super) async fn refresh_to(
        &self,
        account: &AccountId,
    ) -> Result<Option<i64>, BalanceError> {
        for _ in 0..ATTEMPTS_MAX {
            let look = Expire { account, most: 0 };
            let standing = self.bulk(&look).await?;
            let charge_sequence = standing.as_ref().map_or(i64::MAX, |it| it.charge_sequence);
            let purpose = Purpose::Project { charge_sequence };
            let Some(snapshot) = self.read(account, purpose).await? else { return Ok(None) };
            let version = Some(snapshot.version);
            let Some(standing) = standing else {
                match self.bulk(&snapshot.settle(snapshot.version)).await? {
                    Settled::Unknown | Settled::Stale => return Ok(version),
                    // It was loaded just now.
                    Settled::Projected { .. } | Settled::Gap { .. } => continue,
                    Settled::Newer { incarnation } => {
                        self.saw_incarnation(incarnation);
                        continue;
                    }
                }
            };
            if snapshot.incarnation == standing.incarnation && snapshot.version < standing.version {
                self.went_back(account, snapshot.incarnation).await?;
                return Ok(version);
            }
            if snapshot.is_too_far {
                // The next call loads the account; its holds are in the journal.
                self.forget(account).await?;
                continue;
            }
            match self.bulk(&snapshot.settle(standing.version)).await? {
                Settled::Projected { .. } => {
                    self.keep_names(&snapshot).await;
                    return Ok(version);
                }
                Settled::Stale | Settled::Unknown => return Ok(version),
                Settled::Gap { .. } => {}
                Settled::Newer { incarnation } => self.saw_incarnation(incarnation),
            }
        }
        Err(not_loaded(account, "others project it all the time"))
    }

    /// Brings an account into Redis with its holds; false: there is no such account.
    pub(super) async fn load(&self, account: &AccountId) -> Result<bool, BalanceError> {
        let turn = Arc::clone(lock(&self.0.loading).entry(account.clone()).or_default());
        let seen = turn.loads.load(Ordering::Acquire);
        let guard = turn.alone.lock().await;
        if turn.loads.load(Ordering::Acquire) != seen {
            // Somebody loaded it while we waited for our turn.
            return Ok(true);
        }
        let loaded = {
            let _permit = self.0.loads.acquire().await;
            self.load_now(account).await
        };
        if let Ok(true) = loaded {
            turn.loads.fetch_add(1, Ordering::AcqRel);
        }
        drop(guard);
        // Whoever waits has a share; the map and we are two.
        lock(&self.0.loading).retain(|_, turn| Arc::strong_count(turn) > 2);
        loaded
    }

    async fn load_now(&self, account: &AccountId) -> Result<bool, BalanceError> {
        if !self.knows(account).await? {
            return Ok(false);
        }
        let mut ticket = self.announce(account).await?;
        for _ in 0..ATTEMPTS_MAX {
            let Some(snapshot) = self.read(account, Purpose::Load).await? else {
                return Ok(false);
            };
            let unsure = snapshot.unsure.as_ref().map(ToString::to_string);
            let load = snapshot.load(&ticket, unsure.as_deref());
            match self.run_at(&self.0.link, &load, snapshot.incarnation).await? {
                Loaded::Loaded { holds } => {
                    tracing::debug!(%account, holds, version = snapshot.version, "loaded");
                    self.keep_names(&snapshot).await;
                    self.keep_document(account, snapshot.document);
                    return Ok(true);
                }
                Loaded::Current => return Ok(true),
                Loaded::Gap { .. } => {
                    self.refresh(account).await?;
                    return Ok(true);
                }
                Loaded::Behind => {}
                Loaded::Forgotten => ticket = self.announce(account).await?,
                Loaded::Newer { incarnation } => self.saw_incarnation(incarnation),
            }
        }
        Err(not_loaded(account, "others project it all the time"))
    }

    /// Tells Redis that the account is about to be loaded, then waits until all that was granted
    /// before is journaled. Redis forgets the ticket with everything else: a load is refused where
    /// Redis was emptied after what it brings was read.
    async fn announce(&self, account: &AccountId) -> Result<String, BalanceError> {
        let ticket = self.ask(&Announce { account }).await?;
        if self.0.journal.catch_up().await {
            Ok(ticket)
        } else {
            Err(not_loaded(account, "what was granted before waits to be journaled"))
        }
    }

    /// Raises the incarnation: Redis has a version that the ledger does not reach.
    async fn went_back(&self, account: &AccountId, seen: i64) -> Result<(), BalanceError> {
        let raised = incarnation::raise_from(&self.0.store, seen).await?;
        tracing::error!(%account, incarnation = raised, "postgres went back in time; redis follows");
        self.saw_incarnation(raised);
        Ok(())
    }

    async fn forget(&self, account: &AccountId) -> Result<(), BalanceError> {
        let session = self.0.bulk.session().await?;
        let [wallet, ..] = scripts::keys(account);
        self.0.bulk.send(&session, redis::cmd("DEL").arg(wallet)).await?;
        Ok(())
    }

    pub(super) async fn read(
        &self,
        account: &AccountId,
        purpose: Purpose,
    ) -> Result<Option<Snapshot>, BalanceError> {
        let now = self.0.clock.now();
        let snapshot = snapshot::read(&self.0.store, account, purpose, now).await?;
        if let Some(snapshot) = &snapshot {
            self.saw_incarnation(snapshot.incarnation);
        }
        Ok(snapshot)
    }

    pub(super) fn incarnation(&self) -> i64 {
        self.0.incarnation.load(Ordering::Acquire)
    }

    pub(super) fn saw_incarnation(&self, incarnation: i64) {
        self.0.incarnation.fetch_max(incarnation, Ordering::AcqRel);
    }

    pub(super) fn document(&self, account: &AccountId) -> Option<Arc<Document>> {
        lock(&self.0.documents).get(account).cloned()
    }

    pub(super) fn keep_document(&self, account: &AccountId, document: Document) -> Arc<Document> {
        let document = Arc::new(document);
        keep(&self.0.documents, account.clone(), Arc::clone(&document));
        document
    }

    pub(super) fn account_named(&self, sid: &TwilioAccountSid) -> Option<AccountId> {
        lock(&self.0.names).get(sid).cloned()
    }

    pub(super) fn keep_name(&self, sid: &TwilioAccountSid, account: &AccountId) {
        keep(&self.0.names, sid.clone(), account.clone());
    }

    pub(super) fn forget_name(&self, sid: &TwilioAccountSid) {
        lock(&self.0.names).remove(sid);
    }
}

fn keep<K: Eq + std::hash::Hash, V>(kept: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut kept = lock(kept);
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(key, value);
}

/// Nothing panics while one of these is held, so what a poisoned lock guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_loaded(account: &AccountId, why: &str) -> BalanceError {
    BalanceError::NotLoaded { account: account.to_string(), why: why.to_owned() }
}
