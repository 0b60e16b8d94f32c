//! Records per second from Kafka to committed charges.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callmeter::simulate::Skew;
use callmeter::simulate::publish::Extent;
use callmeter::simulate::watch::per_second;
use sqlx::PgConnection;

use crate::cpu::Cpu;
use crate::memory;
use crate::world::{Site, World, charged};

/// Time between two reads of the stored offsets: the error of measurements that take seconds.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Longest time without a commit.
const STALL_MAX: Duration = Duration::from_mins(1);

/// One measurement.
pub(crate) struct Run {
    /// CPU for each record, in nanoseconds, over the same time.
    pub(crate) cpu: Cpu,
    /// Bytes of WAL that Postgres wrote for each record.
    pub(crate) wal_bytes: u64,
    /// Bytes on disk of each charge: its rows and their index entries.
    pub(crate) disk_bytes: u64,
    /// Records per second, from the first commit seen to the last.
    pub(crate) per_second: u64,
    /// Peak memory of the meter, in KiB.
    pub(crate) memory_peak_kib: u64,
    /// The ledger that was filled.
    pub(crate) database: String,
}

impl Run {
    /// Publishes `records`, then lets a meter charge them; Redis has no wallet.
    pub(crate) async fn measure(
        world: &mut World,
        records: u64,
        skew: Skew,
    ) -> anyhow::Result<Self> {
        let site = world.make_site().await?;
        Self::measure_at(world, &site, records, skew, 1).await
    }

    /// The same over 1,000 wallets which Redis has.
    pub(crate) async fn measure_present(world: &mut World, records: u64) -> anyhow::Result<Self> {
        let site = world.make_site().await?;
        world.load_wallets(&site).await?;
        Self::measure_at(world, &site, records, Skew::Even, 1).await
    }

    /// The same on an existing ledger.
    pub(crate) async fn measure_at(
        world: &World,
        site: &Site,
        records: u64,
        skew: Skew,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let extent = Extent { calls: Some(records), time: None, rate: None };
        let published = world.publish(site, seed, extent, skew).await?;
        let mut connection = world.connect(&site.database).await?;
        let before: i64 = charged(&mut connection, &site.calls).await?.iter().sum();
        let goal = before + i64::try_from(published).context("a count of records")?;
        let servers = world.servers()?;
        let stored_before = stored(&mut connection).await?;
        let meter = world.start_meter(site)?;
        let mut first = None;
        let mut last = (Instant::now(), before);
        while last.1 < goal {
            tokio::time::sleep(LOOK_EVERY).await;
            let now: i64 = charged(&mut connection, &site.calls).await?.iter().sum();
            if now > last.1 {
                last = (Instant::now(), now);
                if first.is_none() {
                    first = Some((last, servers.read(meter.id())?, wal(&mut connection).await?));
                }
            }
            ensure!(last.0.elapsed() < STALL_MAX, "the meter stands still at {now} of {goal}");
        }
        let (cpu, wal) = (servers.read(meter.id())?, wal(&mut connection).await?);
        let memory_peak_kib = memory::kib(meter.id(), "VmHWM")?;
        meter.stop()?;
        let charges: i64 =
            sqlx::query_scalar("SELECT count(*) FROM call_keys").fetch_one(&mut connection).await?;
        ensure!(charges >= goal - before, "{charges} charges of {published} records");
        let (first, cpu_before, wal_before) = first.context("nothing was charged")?;
        let between = u64::try_from(last.1 - first.1)?;
        let per_second = per_second(between, last.0.duration_since(first.0));
        let cpu = cpu.since(cpu_before).nanos_per(between);
        let wal_bytes = wal.saturating_sub(wal_before) / between.max(1);
        let disk_bytes = (stored(&mut connection).await? - stored_before) / published.max(1);
        eprintln!(
            "  {skew:?}: {per_second} records/s, {} MB, {}, {wal_bytes} bytes of WAL",
            memory_peak_kib / 1024,
            cpu.told()
        );
        let database = site.database.clone();
        Ok(Self { cpu, wal_bytes, disk_bytes, per_second, memory_peak_kib, database })
    }
}

/// Bytes of WAL so far.
async fn wal(connection: &mut PgConnection) -> anyhow::Result<u64> {
    let bytes = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    let bytes: i64 = sqlx::query_scalar(bytes).fetch_one(connection).await?;
    Ok(u64::try_from(bytes)?)
}

/// Bytes on disk of all charges with their keys, transactions and indexes.
async fn stored(connection: &mut PgConnection) -> anyhow::Result<u64> {
    let bytes = "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint
         FROM pg_partition_tree('charges') WHERE isleaf";
    let charges: i64 = sqlx::query_scalar(bytes).fetch_one(&mut *connection).await?;
    let bytes =
        "SELECT pg_total_relation_size('call_keys') + pg_total_relation_size('transactions')";
    let others: i64 = sqlx::query_scalar(bytes).fetch_one(connection).await?;
    Ok(u64::try_from(charges + others)?)
}
