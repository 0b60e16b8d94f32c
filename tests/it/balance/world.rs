//! A ledger in Postgres, a Redis database and the projection between them; no Kafka, no HTTP.

use crate::harness::redis_database::RedisDatabase;
use crate::harness::servers::Servers;
use callmeter::balance::{Allowance, Ask, Balance, CallParties, Decision, HoldSettings, Payer};
use callmeter::clock::Clock;
use callmeter::ingest::batch::Batch;
use callmeter::ingest::decode::{CallEnded, CallSignalled, Event};
use callmeter::ledger::accounts::{self, AccountChanges, NewAccount};
use callmeter::ledger::audit::By;
use callmeter::ledger::batch::{Charger, ChargingPolicy, Committed, Source};
use callmeter::ledger::store::{Begin, Store};
use callmeter::ledger::{LedgerError, offsets, schema};
use callmeter::operator::catalog_file;
use callmeter_core::domain::{
    AccountId, Call, CallSid, CallStatus, Money, TwilioAccountSid, ZeroDurationCompleted,
};
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use sqlx::{Connection as _, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const CATALOG: &str = r#"
[standard]
per_minute = "0.014"
increments = "60/60"
rates = [{ prefix = "+44", per_minute = "0.030" }, { prefix = "+881", blocked = true }]

[[plans]]
id = "starter"
name = "Starter"
monthly_fee = "29.00"
included_minutes = 3
per_minute = "0.014"

[[plans]]
id = "strict"
name = "Strict"
monthly_fee = "9.00"
included_minutes = 2
per_minute = "0.014"
overage = "block"
"#;

pub(super) struct World {
    pub(super) store: Store,
    pub(super) redis_url: String,
    pub(super) balance: Balance,
    pub(super) clock: Clock,
    charger: Charger,
    /// Bounds commits as the meter does.
    commits: Semaphore,
    running: Vec<(CancellationToken, JoinHandle<()>)>,
    _redis: Option<RedisDatabase>,
    server_url: String,
    database: String,
    next_offset: AtomicU64,
}

pub(super) fn account(id: &str) -> AccountId {
    AccountId::parse(id).expect("an id")
}

pub(super) fn sid(text: &str) -> CallSid {
    CallSid::parse(text).expect("a sid")
}

pub(super) fn twilio(id: &str) -> TwilioAccountSid {
    TwilioAccountSid::parse(&format!("AC{id}")).expect("a sid")
}

impl World {
    /// On a database of the shared Redis.
    pub(super) async fn new() -> World {
        let mut servers = Servers::shared();
        let redis = RedisDatabase::take(&servers.redis_url);
        servers.redis_url.clone_from(&redis.url);
        World::on(&servers, Some(redis), HoldSettings::default()).await
    }

    /// On the given servers.
    pub(super) async fn on(
        servers: &Servers,
        redis: Option<RedisDatabase>,
        settings: HoldSettings,
    ) -> World {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = format!("callmeter_balance_{}_{number}", std::process::id());
        let server_url = servers.database_url.clone();
        sql(&server_url, &format!("CREATE DATABASE {database}")).await;
        let (address, _) = server_url.rsplit_once('/').expect("an address ends in a name");
        let store = Store::open(&format!("{address}/{database}"), 20).expect("an address");
        schema::migrate(&store).await.expect("the schema is made");
        let clock = Clock::system();
        catalog_file::accept(&store, CATALOG.to_owned(), By::new("test", clock.now()))
            .await
            .expect("a catalog");
        let policy = ChargingPolicy {
            zero_duration_completed: ZeroDurationCompleted::Minimum,
            rental_retry_seconds: 86_400,
        };
        let balance = Balance::open(&servers.redis_url, store.clone(), clock.clone(), settings);
        World {
            charger: Charger::new(store.clone(), policy),
            commits: Semaphore::new(4),
            balance: balance.expect("an address"),
            store,
            redis_url: servers.redis_url.clone(),
            clock,
            running: Vec::new(),
            _redis: redis,
            server_url,
            database,
            next_offset: AtomicU64::new(0),
        }
    }

    /// Adds another process on the same servers.
    pub(super) fn another(&self, settings: HoldSettings) -> Balance {
        let (store, clock) = (self.store.clone(), self.clock.clone());
        Balance::open(&self.redis_url, store, clock, settings).expect("an address")
    }

    /// Starts the background loops.
    pub(super) fn run(&mut self, balance: &Balance) {
        let (stop, balance) = (CancellationToken::new(), balance.clone());
        let shutdown = stop.clone();
        self.running.push((stop, tokio::spawn(async move { balance.run(shutdown).await })));
    }

    /// Stops the loops, as the end of a process does.
    pub(super) async fn stop(&mut self) {
        for (stop, running) in self.running.drain(..) {
            stop.cancel();
            running.await.expect("the stage ends");
        }
    }

    /// Creates an account with an opening balance in micro-dollars.
    pub(super) async fn open(&self, id: &str, balance: i64) -> AccountId {
        let new = NewAccount {
            id: account(id),
            name: id.to_owned(),
            email: None,
            twilio_account_sid: twilio(id),
            opening_balance: Money::from_micros(balance),
        };
        let by = Arc::new(By::new("test", self.clock.now()));
        let created: Result<Result<_, _>, LedgerError> = self
            .store
            .transact("test", move |connection| {
                let (new, by) = (new.clone(), Arc::clone(&by));
                async move { accounts::create(connection, &new, &by).await }.boxed()
            })
            .await;
        created.expect("an answer").expect("an account");
        account(id)
    }

    /// Changes an account as an administrator does, without projecting it to Redis.
    pub(super) async fn change(&self, id: &AccountId, changes: AccountChanges) {
        let (id, by) = (id.clone(), Arc::new(By::new("test", self.clock.now())));
        let answer: Result<_, LedgerError> = self
            .store
            .transact("test", move |connection| {
                let (id, changes, by) = (id.clone(), changes.clone(), Arc::clone(&by));
                async move { accounts::update(connection, &id, &changes, &by).await }.boxed()
            })
            .await;
        answer.expect("done").expect("the account is there");
    }

    pub(super) async fn sql(&self, statement: &str) {
        let mut reserved = self.store.for_transaction().await.expect("a connection");
        let mut transaction = reserved.begin(Begin::Usual).await.expect("a transaction");
        sqlx::raw_sql(statement).execute(&mut *transaction).await.expect("the statement runs");
        transaction.commit().await.expect("the statement is committed");
    }

    /// Charges calls of an account with these lengths in seconds, without projecting them.
    pub(super) async fn charge(&self, id: &AccountId, calls: &[(&str, u32)]) -> (Batch, Committed) {
        let now = self.clock.now();
        let ended = calls.iter().map(|(call_sid, seconds)| ended(id, call_sid, *seconds, now));
        self.commit(ended.collect()).await
    }

    /// Commits a batch of events, on its own partition.
    pub(super) async fn commit(&self, events: Vec<Event>) -> (Batch, Committed) {
        self.commit_at(events, self.clock.now()).await
    }

    /// The same at a time of the caller's choice, which is not before the last one.
    pub(super) async fn commit_at(
        &self,
        events: Vec<Event>,
        now: DateTime<Utc>,
    ) -> (Batch, Committed) {
        let _permit = self.commits.acquire().await;
        let partition = self.next_offset.fetch_add(1, Ordering::Relaxed);
        let partition = i32::try_from(partition).expect("few batches");
        let stored = offsets::open(&self.store, "calls", partition, 0, "cluster", now).await;
        let stored = stored.expect("an offset");
        let mut batch = Batch::starting_at(stored.next_offset);
        for (offset, event) in events.into_iter().enumerate() {
            batch.push(i64::try_from(offset).expect("small"), Some(now), event, None, None);
        }
        let source = Source::Partition(&stored.stream);
        let committed = self.charger.commit_batch(source, &batch, now, true).await;
        (batch, committed.expect("committed"))
    }

    pub(super) async fn authorize(&self, id: &AccountId, call_sid: &str, seconds: u32) -> Decision {
        authorize(&self.balance, id, call_sid, seconds).await
    }

    /// Number and money of the holds in Redis; `None` if the account is not in Redis.
    pub(super) async fn held(&self, id: &AccountId) -> Option<(i64, i64)> {
        let held = self.balance.held_in_redis(id, 0).await.expect("redis answers")?;
        Some((held.holds, held.money.micros()))
    }

    /// Empties Redis.
    pub(super) async fn flush(&self) {
        let client = redis::Client::open(self.redis_url.as_str()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        redis::cmd("FLUSHDB").exec_async(&mut connection).await.expect("emptied");
    }

    /// Differences between Redis and Postgres.
    pub(super) async fn drift(&self) -> Vec<String> {
        let drift = self.balance.verify().await.expect("both answer");
        drift.into_iter().map(|drift| drift.to_string()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
        let url = self.server_url.clone();
        for (stop, _) in &self.running {
            stop.cancel();
        }
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(sql(&url, &statement));
        });
        drop(dropped.join());
    }
}

/// The end of a call.
pub(super) fn ended(id: &AccountId, call_sid: &str, seconds: u32, at: DateTime<Utc>) -> Event {
    Event::CallEnded(CallEnded {
        twilio_account_sid: twilio(id.as_str()),
        call: Call {
            call_sid: sid(call_sid),
            parent_call_sid: None,
            from: Some("+15550001".into()),
            to: Some("+15550002".into()),
            direction: None,
            ended_at: at,
            seconds,
            twilio_minutes: None,
            tag: None,
        },
    })
}

/// A status event of a call.
pub(super) fn signalled(
    id: &AccountId,
    call_sid: &str,
    status: CallStatus,
    at: DateTime<Utc>,
) -> Event {
    Event::CallSignalled(CallSignalled {
        status,
        twilio_account_sid: Some(twilio(id.as_str())),
        call_sid: Some(sid(call_sid)),
        direction: None,
        from: Some("+15550001".into()),
        to: Some("+15550002".into()),
        parent_call_sid: None,
        signalled_at: at,
    })
}

async fn sql(url: &str, statement: &str) {
    let mut server = PgConnection::connect(url).await.expect("Postgres answers");
    sqlx::raw_sql(statement).execute(&mut server).await.expect("the statement runs");
}

pub(super) async fn authorize(
    balance: &Balance,
    id: &AccountId,
    call_sid: &str,
    seconds: u32,
) -> Decision {
    let call_sid = sid(call_sid);
    let parties = CallParties { to: Some("+15550002"), ..CallParties::default() };
    let ask = Ask { payer: Payer::Account(id), call_sid: &call_sid, parties, seconds, tag: None };
    balance.authorize(ask).await.expect("a decision")
}

#[track_caller]
pub(super) fn allowed(decision: &Decision) -> Allowance {
    match decision {
        Decision::Allow(allowance) => *allowance,
        other => panic!("not allowed: {other:?}"),
    }
}

/// Asks until the answer is as expected, for at most ten seconds.
pub(super) async fn until<T: PartialEq + std::fmt::Debug>(
    expected: T,
    mut ask: impl AsyncFnMut() -> T,
) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask().await;
        if answer == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {answer:?}, and should be {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
