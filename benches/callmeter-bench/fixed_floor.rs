//! Floors that do not move with the design: a leaner ledger or script lowers its own floor, but not
//! these.
//!
//! - F1, of charging: COPY BINARY of (uuid, timestamptz, bigint, int4, int4) with the primary key
//!   (int4, uuid), in batches of 12,500, each a transaction.
//! - S1, of authorizations: a script that reads a balance and what is held, notes a hold, adds to
//!   what is held and notes when it expires, run by redis-benchmark over 50 connections.

use std::sync::Arc;
use std::time::Instant;

use callmeter::simulate::watch::per_second;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sqlx::{Connection, PgConnection};

use crate::floor::BINARY_HEAD;
use crate::report::median;
use crate::world::{WALLETS, World};

/// Rows of one transaction.
const BATCH: u64 = 12_500;
const CONNECTIONS: [usize; 3] = [1, 2, 4];
const TABLE: &str = "CREATE TABLE fixed_floor (call_id uuid NOT NULL, at timestamptz NOT NULL,
    amount_micros bigint NOT NULL, account_key integer NOT NULL, seconds integer NOT NULL,
    PRIMARY KEY (account_key, call_id))";

/// The script of S1; `KEYS`: wallet, holds, expiries. `ARGV`: call, money, expiry.
pub(crate) const SCRIPT: &str = "local wallet = redis.call('HMGET', KEYS[1], 'balance', 'held')
if tonumber(wallet[1] or '1000000000000') - tonumber(wallet[2] or '0') < tonumber(ARGV[2]) then
  return 0
end
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'held', ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
return 1";

/// F1 by number of connections: rows per second, and nanoseconds of Postgres's CPU for a row.
pub(crate) struct Charging(Vec<(usize, u64, u64)>);

impl Charging {
    /// Writes `rows` rows over 1, 2 and 4 connections.
    pub(crate) async fn measure(world: &mut World, rows: u64) -> anyhow::Result<Self> {
        let batches: Arc<Vec<Vec<u8>>> = Arc::new(batches(rows));
        let mut measured = Vec::new();
        for connections in CONNECTIONS {
            let database = world.make_database().await?;
            let mut first = world.connect(&database).await?;
            sqlx::raw_sql(TABLE).execute(&mut first).await?;
            let mut ready = vec![first];
            while ready.len() < connections {
                ready.push(world.connect(&database).await?);
            }
            let before = world.servers()?.read(std::process::id())?;
            let started = Instant::now();
            let writers = ready.into_iter().enumerate().map(|(place, connection)| {
                let batches = Arc::clone(&batches);
                tokio::spawn(async move { write(connection, &batches, place, connections).await })
            });
            for writer in writers.collect::<Vec<_>>() {
                writer.await??;
            }
            let elapsed = started.elapsed();
            let cpu = world.servers()?.read(std::process::id())?.since(before).nanos_per(rows);
            world.drop_database(&database).await?;
            let figure = per_second(rows, elapsed);
            eprintln!("  F1 over {connections}: {figure} rows/s, {} ns of Postgres", cpu.postgres);
            measured.push((connections, figure, cpu.postgres));
        }
        Ok(Self(measured))
    }

    /// Of the number of connections with the best median rate: its name, the rate and the CPU.
    pub(crate) fn best(turns: &[Self]) -> (String, u64, u64) {
        let places = 0..turns.first().map_or(0, |turn| turn.0.len());
        let of = |place: usize, figure: fn(&(usize, u64, u64)) -> u64| {
            median(&mut turns.iter().map(|turn| figure(&turn.0[place])).collect::<Vec<_>>())
        };
        let ways = places.map(|place| {
            let name = format!("{} connections", turns[0].0[place].0);
            (name, of(place, |it| it.1), of(place, |it| it.2))
        });
        ways.max_by_key(|(_, rate, _)| *rate).unwrap_or_default()
    }
}

async fn write(
    mut connection: PgConnection,
    batches: &[Vec<u8>],
    first: usize,
    step: usize,
) -> anyhow::Result<()> {
    for batch in batches.iter().skip(first).step_by(step) {
        let mut transaction = connection.begin().await?;
        let mut copy = transaction.copy_in_raw("COPY fixed_floor FROM STDIN BINARY").await?;
        copy.send(batch.as_slice()).await?;
        copy.finish().await?;
        transaction.commit().await?;
    }
    Ok(connection.close().await?)
}

/// Calls with random ids, spread over the wallets, as COPY streams.
fn batches(rows: u64) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(1);
    let mut left = rows;
    let mut batches = Vec::new();
    while left > 0 {
        let count = left.min(BATCH);
        left -= count;
        let mut bytes = BINARY_HEAD.to_vec();
        for number in 0..count {
            bytes.extend_from_slice(&5_i16.to_be_bytes());
            field(&mut bytes, &random.random::<[u8; 16]>());
            field(&mut bytes, &i64::try_from(number).unwrap_or(0).to_be_bytes());
            field(&mut bytes, &20_000_i64.to_be_bytes());
            let account = random.random_range(1..=WALLETS);
            field(&mut bytes, &account.to_be_bytes());
            field(&mut bytes, &60_i32.to_be_bytes());
        }
        bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        batches.push(bytes);
    }
    batches
}

fn field(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&i32::try_from(value.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(value);
}
