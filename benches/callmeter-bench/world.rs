//! The environment of a measurement: its own database, topics and consumer group, and the program.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use callmeter::clock::Clock;
use callmeter::config::Settings;
use callmeter::ingest::client::KafkaSettings;
use callmeter::ingest::topics;
use callmeter::ledger::audit::By;
use callmeter::ledger::schema;
use callmeter::ledger::store::Store;
use callmeter::operator::catalog_file;
use callmeter::simulate::progress::Progress;
use callmeter::simulate::publish::{self, Extent, Publisher, Topics};
use callmeter::simulate::traffic::{Profile, Traffic};
use callmeter::simulate::{Share, Skew, accounts};
use callmeter_core::domain::Money;
use sqlx::{Connection, PgConnection};

use crate::authorization;
use crate::client::KEY;
use crate::cpu::Servers;

/// Number of wallets over which calls are spread.
pub(crate) const WALLETS: u32 = 1_000;
/// Partitions of the topic of calls.
const PARTITIONS: i32 = 4;

/// Creates named databases and topics, and removes them.
pub(crate) struct World {
    settings: Settings,
    clock: Clock,
    program: PathBuf,
    admin: Option<PgConnection>,
    numbers: u32,
    databases: Vec<String>,
}

/// A ledger with its topics.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) database: String,
    pub(crate) calls: String,
    rentals: String,
    group: String,
}

impl World {
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Self> {
        let mut program = std::env::current_exe().context("where this program is")?;
        program.set_file_name("callmeter");
        ensure!(program.exists(), "{} is not built", program.display());
        let clock = Clock::system();
        Ok(Self { settings, clock, program, admin: None, numbers: 0, databases: Vec::new() })
    }

    /// The URL of another database on the server of the settings.
    fn url(&self, database: &str) -> anyhow::Result<String> {
        let url = self.settings.database.url.expose();
        let (server, _) = url.rsplit_once('/').context("database.url names a database")?;
        Ok(format!("{server}/{database}"))
    }

    pub(crate) async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url(database)?).await?)
    }

    async fn administer(&mut self, sql: String) -> anyhow::Result<()> {
        if self.admin.is_none() {
            self.admin = Some(PgConnection::connect(self.settings.database.url.expose()).await?);
        }
        let Some(admin) = &mut self.admin else { bail!("no connection") };
        sqlx::raw_sql(&sql).execute(admin).await?;
        Ok(())
    }

    /// Creates a database with an empty ledger.
    pub(crate) async fn make_database(&mut self) -> anyhow::Result<String> {
        self.numbers += 1;
        let name = format!("bench_{}_{}", std::process::id(), self.numbers);
        self.administer(format!("CREATE DATABASE {name}")).await?;
        self.databases.push(name.clone());
        let store = self.store(&name)?;
        schema::migrate(&store).await?;
        store.pool().close().await;
        Ok(name)
    }

    pub(crate) async fn drop_database(&mut self, name: &str) -> anyhow::Result<()> {
        self.administer(format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        self.databases.retain(|database| database != name);
        Ok(())
    }

    pub(crate) async fn clean_up(&mut self) -> anyhow::Result<()> {
        for name in self.databases.clone() {
            self.drop_database(&name).await?;
        }
        Ok(())
    }

    fn store(&self, database: &str) -> anyhow::Result<Store> {
        Ok(Store::open(&self.url(database)?, 4)?)
    }

    /// Creates a ledger with its wallets and topics.
    pub(crate) async fn make_site(&mut self) -> anyhow::Result<Site> {
        let site = self.make_site_without_topics().await?;
        topics::ensure(&self.kafka(), &[&site.calls, &site.rentals], PARTITIONS).await?;
        Ok(site)
    }

    /// Creates a ledger with its wallets; `serve` creates the topics.
    pub(crate) async fn make_site_without_topics(&mut self) -> anyhow::Result<Site> {
        let database = self.make_database().await?;
        self.empty_redis().await?;
        let store = self.store(&database)?;
        let now = self.clock.now();
        catalog_file::offer(&store, &self.settings.catalog.path, By::new("bench", now)).await?;
        // A million times the most that a call may cost.
        let balance = Money::from_micros(1_000_000_000_000);
        accounts::ensure(&store, WALLETS, balance, now, |_| {}).await?;
        // What was just made is on the disk: a commit of the measurement does not wait for it.
        sqlx::query("CHECKPOINT").execute(store.pool()).await?;
        store.pool().close().await;
        let name = database.replace('_', "-");
        Ok(Site {
            calls: format!("{name}.calls"),
            rentals: format!("{name}.rentals"),
            group: name,
            database,
        })
    }

    fn kafka(&self) -> KafkaSettings {
        let kafka = &self.settings.kafka;
        let options = kafka.options.iter();
        KafkaSettings {
            brokers: kafka.brokers.clone(),
            group: kafka.group.clone(),
            options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// Publishes ends of calls: one record, one charge.
    pub(crate) async fn publish(
        &self,
        site: &Site,
        seed: u64,
        extent: Extent,
        skew: Skew,
    ) -> anyhow::Result<u64> {
        let profile = Profile {
            accounts: WALLETS,
            skew,
            duplicates: Share::NONE,
            reorder: Share::NONE,
            late: Share::NONE,
            faulty: Share::NONE,
            rentals: Share::NONE,
            lose: Share::NONE,
            ends_only: true,
        };
        let (kafka, clock) = (self.kafka(), self.clock.clone());
        let topics = Topics { calls: site.calls.clone(), rentals: site.rentals.clone() };
        let outcome = tokio::task::spawn_blocking(move || {
            let publisher = Publisher::open(&kafka, topics)?;
            let traffic = Traffic::new(profile, seed);
            publish::run(traffic, extent, &publisher, &clock, &Progress::default(), None)
        });
        let outcome = outcome.await??;
        ensure!(outcome.undelivered == 0, "Kafka did not take {} records", outcome.undelivered);
        Ok(outcome.made.records)
    }

    /// Starts a meter on `site`.
    pub(crate) fn start_meter(&self, site: &Site) -> anyhow::Result<Meter> {
        Ok(self.start(site, "meter")?.process)
    }

    /// Starts the program in some roles on `site`.
    pub(crate) fn start(&self, site: &Site, roles: &str) -> anyhow::Result<Service> {
        self.start_with(site, roles, &[])
    }

    /// The same with more settings.
    pub(crate) fn start_with(
        &self,
        site: &Site,
        roles: &str,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Service> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let meter = Command::new(&self.program)
            .args(["serve", "--role", roles])
            .env("DATABASE_URL", self.url(&site.database)?)
            .env("REDIS_URL", self.redis_url())
            .env("CALLMETER__HTTP__LISTEN", format!("127.0.0.1:{port}"))
            .env("CALLMETER__HTTP__ADMIN_KEY", KEY)
            .env("CALLMETER__KAFKA__GROUP", &site.group)
            .env("CALLMETER__KAFKA__TOPIC_CALLS", &site.calls)
            .env("CALLMETER__KAFKA__TOPIC_RENTALS", &site.rentals)
            .env("CALLMETER__KAFKA__TOPIC_EVENTS", format!("{}.events", site.database))
            .env("CALLMETER__LOG__LEVEL", "error")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let meter =
            meter.with_context(|| format!("{} cannot be started", self.program.display()))?;
        Ok(Service { process: Meter(meter), address: ([127, 0, 0, 1], port).into() })
    }

    /// Runs a command of the program on `site` to its end.
    pub(crate) fn run(&self, site: &Site, arguments: &[&str]) -> anyhow::Result<()> {
        let status = Command::new(&self.program)
            .args(arguments)
            .env("DATABASE_URL", self.url(&site.database)?)
            .env("REDIS_URL", self.redis_url())
            .env("CALLMETER__LOG__LEVEL", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "{arguments:?} failed");
        Ok(())
    }

    /// Our own database in Redis, unless the settings name one.
    pub(crate) fn redis_url(&self) -> String {
        let url = self.settings.redis.url.expose();
        let has_path = url.trim_start_matches("redis://").contains('/');
        if has_path { url.to_owned() } else { format!("{url}/15") }
    }

    /// Empties it: all our ledgers have accounts of the same names.
    async fn empty_redis(&self) -> anyhow::Result<()> {
        let client = redis::Client::open(self.redis_url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        Ok(redis::cmd("FLUSHDB").arg("ASYNC").exec_async(&mut connection).await?)
    }

    /// The servers' processes, by the ports of the settings.
    pub(crate) fn servers(&self) -> anyhow::Result<Servers> {
        let database = port_of(self.settings.database.url.expose(), 5432);
        let broker = self.brokers().split(',').next().unwrap_or_default();
        Servers::find(database, port_of(&self.redis_url(), 6379), port_of(broker, 9092))
    }

    /// Brings every wallet into Redis, as its first call does.
    pub(crate) async fn load_wallets(&self, site: &Site) -> anyhow::Result<()> {
        let service = self.start(site, "api")?;
        service.ready().await?;
        authorization::warm(service.address, &Arc::default(), true).await?;
        service.process.stop()
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.settings.kafka.brokers
    }
}

/// The port in a URL or an address.
fn port_of(url: &str, default: u16) -> u16 {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let (_, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let address = rest.split(['/', '?']).next().unwrap_or_default();
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(default)
}

/// A running program and its address.
pub(crate) struct Service {
    pub(crate) process: Meter,
    pub(crate) address: SocketAddr,
}

/// A running meter; killed when it is dropped.
pub(crate) struct Meter(Child);

impl Meter {
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Stops it as an operator does, and waits for it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = self.0.id().to_string();
        let status = Command::new("kill").args(["-s", "TERM", &id]).status()?;
        ensure!(status.success(), "the meter ended by itself");
        self.0.wait()?;
        Ok(())
    }

    /// Kills it as a machine failure does.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // It has already ended if it was stopped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Charged records of `topic`: the sum of the stored offsets, by partition.
pub(crate) async fn charged(
    connection: &mut PgConnection,
    topic: &str,
) -> anyhow::Result<Vec<i64>> {
    let offsets = sqlx::query_scalar(
        "SELECT next_offset FROM partition_offsets WHERE topic = $1 ORDER BY partition",
    );
    Ok(offsets.bind(topic).fetch_all(connection).await?)
}
