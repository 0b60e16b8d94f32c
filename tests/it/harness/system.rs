//! One system under test: its stores, its processes and its topics.

use super::api::{ADMIN_KEY, Answer, Api};
use super::command::{Ran, bare_command, finish};
use super::kafka::Kafka;
use super::leaks::metrics_at;
use super::poll::{SOON, until};
use super::redis_database::RedisDatabase;
use super::samples;
use super::servers::Servers;
use super::service::{Service, free_port};
use super::stripe::Stripe;
use crate::model::account::Account;
use crate::model::catalog::Catalog;
use crate::model::money::show;
use crate::model::read::{Record, Topic};
use crate::model::time::rfc3339;
use crate::traffic::Outgoing;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for all records to be charged.
const SETTLING: Duration = Duration::from_mins(2);

/// The initial state of a system.
pub(crate) struct Setup {
    pub(crate) servers: Servers,
    pub(crate) catalog: Catalog,
    /// Partitions of both topics; without topics if `None`.
    pub(crate) partitions: Option<i32>,
    pub(crate) migrated: bool,
    /// Whether the end of the test runs `callmeter verify`.
    pub(crate) verified: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            servers: Servers::shared(),
            catalog: samples::catalog(),
            partitions: Some(4),
            migrated: true,
            verified: true,
        }
    }
}

pub(crate) struct System {
    pub(crate) kafka: Kafka,
    pub(crate) services: Vec<Service>,
    /// The settings changed for each of them.
    changed: Vec<Vec<(String, String)>>,
    setup: Setup,
    database: String,
    redis: RedisDatabase,
    topics: [String; 2],
    folder: TempDir,
    watchman: Account,
    watched: usize,
    rentals_watched: usize,
}

impl System {
    pub(crate) async fn new() -> System {
        System::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> System {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("callmeter_it_{}_{number}", std::process::id());
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let system = System {
            kafka: Kafka::new(&setup.servers.kafka_brokers),
            services: Vec::new(),
            changed: Vec::new(),
            redis: RedisDatabase::take(&setup.servers.redis_url),
            topics: [format!("{name}.calls"), format!("{name}.rentals")],
            database: name,
            folder,
            watchman: samples::account("watchman", 1_000_000_000),
            watched: 0,
            rentals_watched: 0,
            setup,
        };
        system.server_sql(&format!("CREATE DATABASE {}", system.database)).await;
        system.write_catalog(&system.setup.catalog);
        if let Some(partitions) = system.setup.partitions {
            for topic in &system.topics {
                system.kafka.create_topic(topic, partitions).await;
            }
        }
        if system.setup.migrated {
            system.run(&["migrate"]).expect_success();
        }
        system
    }

    pub(crate) fn topic(&self, topic: Topic) -> String {
        self.topics[usize::from(topic == Topic::Rentals)].clone()
    }

    pub(crate) fn catalog_path(&self) -> PathBuf {
        self.folder.path().join("catalog.toml")
    }

    /// Replaces the catalog file.
    pub(crate) fn write_catalog(&self, catalog: &Catalog) {
        self.write_catalog_text(&catalog.to_toml());
    }

    pub(crate) fn write_catalog_text(&self, text: &str) {
        let part = self.folder.path().join("catalog.part");
        std::fs::write(&part, text).expect("the catalog is written");
        std::fs::rename(&part, self.catalog_path()).expect("the catalog is in place");
    }

    /// The topic to which the processes publish what happened.
    pub(crate) fn events_topic(&self) -> String {
        format!("{}.events", self.database)
    }

    /// The settings with which a process finds this system, as names and values.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let catalog = self.catalog_path().to_str().expect("UTF-8").to_owned();
        let settings = [
            ("DATABASE_URL", self.database_url()),
            ("REDIS_URL", self.redis.url.clone()),
            ("KAFKA_BROKERS", self.setup.servers.kafka_brokers.clone()),
            ("CALLMETER__HTTP__ADMIN_KEY", ADMIN_KEY.to_owned()),
            ("CALLMETER__CATALOG__PATH", catalog),
            ("CALLMETER__KAFKA__GROUP", self.database.clone()),
            ("CALLMETER__KAFKA__TOPIC_CALLS", self.topics[0].clone()),
            ("CALLMETER__KAFKA__TOPIC_RENTALS", self.topics[1].clone()),
            ("CALLMETER__KAFKA__TOPIC_EVENTS", self.events_topic()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The binary with these arguments and settings, and none of the test's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare_command(arguments);
        command.envs(self.settings());
        command
    }

    /// Runs a command of the binary until it ends.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let ran = finish(self.command(arguments));
        for argument in arguments {
            self.kafka.numbers.note(argument.as_bytes());
        }
        let leaks = self.kafka.numbers.found(&ran.stderr);
        assert!(leaks.is_empty(), "{arguments:?} tells too much: {leaks:#?}");
        ran
    }

    /// Starts a `serve` process with some settings changed; returns its index in `services`.
    pub(crate) fn start(&mut self, role: &str, changed: &[(&str, &str)]) -> usize {
        let (index, port) = (self.services.len(), free_port());
        let changed = changed.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        self.changed.push(changed.collect());
        let service = self.launch(role, index, port);
        self.services.push(service);
        index
    }

    /// Starts a process that finds this Stripe, with more settings changed.
    pub(crate) fn start_at(
        &mut self,
        role: &str,
        stripe: &Stripe,
        changed: &[(&str, &str)],
    ) -> usize {
        let settings = stripe.settings();
        let of_stripe = settings.iter().map(|(name, value)| (*name, value.as_str()));
        let all: Vec<(&str, &str)> = of_stripe.chain(changed.iter().copied()).collect();
        self.start(role, &all)
    }

    /// Restarts a process that ended, at the same port and with the same settings changed.
    pub(crate) fn restart(&mut self, index: usize, role: &str) {
        let port = self.services[index].port;
        self.services[index] = self.launch(role, index, port);
    }

    fn launch(&self, role: &str, index: usize, port: u16) -> Service {
        let mut command = self.command(&["serve", "--role", role]);
        command.env("CALLMETER__HTTP__LISTEN", format!("127.0.0.1:{port}"));
        command.envs(self.changed[index].iter().cloned());
        Service::start(command, port, self.folder.path().join(format!("serve-{index}.log")))
    }

    /// Starts `serve` with the given roles and waits until it is ready.
    pub(crate) async fn serve(&mut self, role: &str) -> Api {
        let index = self.start(role, &[]);
        self.ready(index).await
    }

    /// Waits until a process reports that it is ready.
    pub(crate) async fn ready(&mut self, index: usize) -> Api {
        let api = self.api(index).with_key(None);
        let mut last = None;
        let deadline = std::time::Instant::now() + SOON;
        while last.as_ref().is_none_or(|answer: &Answer| answer.status != 200) {
            let service = &mut self.services[index];
            let said = || format!("{last:?}\n{}", service.log_tail());
            assert!(std::time::Instant::now() < deadline, "not ready: {}", said());
            assert!(
                service.runs(),
                "ended before it was ready: {}",
                self.services[index].log_tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            last = api.send(reqwest::Method::GET, "/readyz", &[], None).await.ok();
        }
        self.api(index)
    }

    pub(crate) fn api(&self, index: usize) -> Api {
        Api::new(self.services[index].url()).noting(&self.kafka.numbers)
    }

    /// Creates accounts with their limits and subscriptions, and the watchman of `settle`.
    pub(crate) async fn open<'a>(
        &'a self,
        api: &Api,
        accounts: impl IntoIterator<Item = &'a Account>,
    ) {
        let known = api.get("/v1/accounts/watchman").await.status == 200;
        let watchman = (!known).then_some(&self.watchman);
        for account in accounts.into_iter().chain(watchman) {
            let mut body = json!({
                "id": account.id, "name": "A customer", "twilio_account_sid": account.sid,
            });
            if account.opening_balance > 0 {
                body["opening_balance"] = json!(show(account.opening_balance));
            }
            api.post("/v1/accounts", &body).await.expect(201);
            let path = format!("/v1/accounts/{}", account.id);
            if account.credit_limit > 0 {
                let limit = json!({"credit_limit": show(account.credit_limit)});
                api.patch(&path, &limit).await.expect(200);
            }
            for change in &account.changes {
                let body = json!({"plan": change.plan, "starts_at": rfc3339(change.starts_at)});
                let answer = api.put(&format!("{path}/subscription"), &body).await;
                assert!(matches!(answer.status, 200 | 201), "{body}: {answer:?}");
            }
        }
    }

    /// The account whose calls show that all records before them have been processed.
    pub(crate) fn watchman(&self) -> &Account {
        &self.watchman
    }

    /// Produces records; returns the place of each.
    pub(crate) async fn produce(&self, records: &[Outgoing]) -> Vec<Record> {
        self.kafka.produce(|topic| self.topic(topic), records).await
    }

    /// Waits until every record produced so far is processed: one more record per partition is
    /// produced and must be charged. Returns those records.
    pub(crate) async fn settle(&mut self, api: &Api) -> Vec<Record> {
        self.settle_within(SETTLING, api).await
    }

    /// Like `settle`, with another limit.
    pub(crate) async fn settle_within(&mut self, limit: Duration, api: &Api) -> Vec<Record> {
        let last = self.last_records();
        let placed = self.produce(&last).await;
        let (calls, rentals) = (self.watched - self.rentals_watched, self.rentals_watched);
        until("all records are charged", limit, async || {
            let charged = api.charges("watchman").await.ok()?.len();
            let rows = api.transactions("watchman").await.ok()?;
            let paid = rows.iter().filter(|row| row.kind == "number_rental").count();
            (charged >= calls && paid >= rentals).then_some(())
        })
        .await;
        placed
    }

    fn last_records(&mut self) -> Vec<Outgoing> {
        let mut records = Vec::new();
        for topic in [Topic::Calls, Topic::Rentals] {
            let partitions = self.kafka.partitions(&self.topic(topic));
            for partition in 0..i32::try_from(partitions).expect("a small number") {
                self.watched += 1;
                let sid = samples::call_sid(0x00f0_0000 + self.watched);
                records.push(match topic {
                    Topic::Calls => {
                        let end = samples::now();
                        let event = samples::completed(&self.watchman, &sid, 60, end);
                        samples::on_calls(partition, &event)
                    }
                    Topic::Rentals => {
                        self.rentals_watched += 1;
                        let number = sid.replacen("CA", "PN", 1);
                        let price = format!("0.{:06}", self.watched);
                        let due = Some(price.as_str());
                        let event = samples::rental(&self.watchman, &number, "2026-01-01", due);
                        samples::on_rentals(partition, &event)
                    }
                });
            }
        }
        records
    }

    /// A connection to this system's database, for facts that only the database shows.
    pub(crate) async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.database_url()).await.expect("Postgres answers")
    }

    /// Proves the ledger's invariants with `callmeter verify`.
    pub(crate) fn verify(&self) {
        self.run(&["verify"]).expect_success();
    }

    pub(crate) fn redis_url(&self) -> String {
        self.redis.url.clone()
    }

    /// The database's URL, bypassing any pooler.
    pub(crate) fn database_url(&self) -> String {
        let (server, _) = self.setup.servers.database_url.rsplit_once('/').expect("a name in it");
        format!("{server}/{}", self.database)
    }

    pub(super) async fn server_sql(&self, statement: &str) {
        let url = &self.setup.servers.database_url;
        let mut server = PgConnection::connect(url).await.expect("Postgres answers");
        let statement = statement.to_owned();
        sqlx::raw_sql(&statement).execute(&mut server).await.expect("the statement runs");
    }

    async fn remove(&self) {
        let events = self.events_topic();
        self.kafka.delete_topics(&[&self.topics[0], &self.topics[1], &events]).await;
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database);
        if let Ok(mut server) = PgConnection::connect(&self.setup.servers.database_url).await {
            drop(sqlx::raw_sql(&statement).execute(&mut server).await);
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let mut leaks = Vec::new();
        for service in &mut self.services {
            if !failed && service.runs() {
                let metrics = metrics_at(service.port).unwrap_or_default();
                leaks.extend(self.kafka.numbers.found_in_metrics(&metrics));
            }
            service.kill();
            leaks.extend(self.kafka.numbers.found(&service.log_text()));
            if failed {
                eprintln!("--- the end of {}\n{}", service.log.display(), service.log_tail());
            }
        }
        let verified = (!failed && self.setup.verified).then(|| self.run(&["verify"]));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(self.remove());
            });
        });
        if let Some(ran) = verified {
            ran.expect_success();
        }
        assert!(failed || leaks.is_empty(), "logs or metrics tell too much: {leaks:#?}");
    }
}
