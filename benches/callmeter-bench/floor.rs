//! The floor of charging: COPY of the same rows that a meter wrote, into identical tables on the
//! same server, in batches of the same size, one transaction each.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use callmeter::simulate::watch::per_second;
use futures::TryStreamExt;
use sqlx::{Connection, PgConnection};

use crate::report::median;
use crate::world::World;

/// Charges of one transaction, as in the meter.
const BATCH: usize = 20_000;
const TABLES: [&str; 3] = ["call_keys", "charges", "transactions"];
const CONNECTIONS: [usize; 3] = [1, 2, 4];
const FORMATS: [Format; 2] = [Format::Text, Format::Binary];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Binary,
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }
}

/// Charges per second of each method.
pub(crate) struct Floor(Vec<(Format, usize, u64)>);

impl Floor {
    /// Reads the rows of `database`, and writes them with each method.
    pub(crate) async fn measure(world: &mut World, database: &str) -> anyhow::Result<Self> {
        let mut ways = Vec::new();
        for format in FORMATS {
            let rows = Arc::new(Rows::read(world, database, format).await?);
            for connections in CONNECTIONS {
                let copy = world.make_database().await?;
                let figure = write(world, &copy, &rows, connections).await?;
                world.drop_database(&copy).await?;
                eprintln!("  floor, {} over {connections}: {figure} rows/s", format.word());
                ways.push((format, connections, figure));
            }
        }
        Ok(Self(ways))
    }

    /// The method with the best median over all turns.
    pub(crate) fn best(floors: &[Self]) -> (String, u64) {
        let ways = floors.first().map_or(&[][..], |floor| &floor.0);
        let medians = ways.iter().enumerate().map(|(place, (format, connections, _))| {
            let mut figures: Vec<u64> = floors.iter().map(|floor| floor.0[place].2).collect();
            let name = format!("{} over {connections} connections", format.word());
            (name, median(&mut figures))
        });
        medians.max_by_key(|(_, figure)| *figure).unwrap_or_default()
    }
}

/// The rows of a ledger as COPY output, cut into batches.
struct Rows {
    format: Format,
    /// Per batch, the bytes for each table.
    batches: Vec<[Vec<u8>; 3]>,
    charges: u64,
}

impl Rows {
    async fn read(world: &World, database: &str, format: Format) -> anyhow::Result<Self> {
        let mut connection = world.connect(database).await?;
        let mut tables = Vec::new();
        for table in TABLES {
            // Only rows that the meter wrote; opening balances existed before.
            let of_calls = if table == "transactions" { "WHERE call_sid IS NOT NULL" } else { "" };
            let kind = format.word();
            let sql =
                format!("COPY (SELECT * FROM {table} {of_calls}) TO STDOUT WITH (FORMAT {kind})");
            let mut stream = connection.copy_out_raw(&sql).await?;
            let mut bytes = Vec::new();
            while let Some(part) = stream.try_next().await? {
                bytes.extend_from_slice(&part);
            }
            drop(stream);
            let ends = match format {
                Format::Text => text_ends(&bytes),
                Format::Binary => binary_ends(&bytes)?,
            };
            tables.push((bytes, ends));
        }
        let charges = tables[1].1.len().saturating_sub(1);
        let count = charges.div_ceil(BATCH);
        let batches = (0..count).map(|batch| {
            [0, 1, 2].map(|table| {
                let (bytes, ends) = &tables[table];
                let rows = ends.len().saturating_sub(1);
                let (first, last) = (rows * batch / count, rows * (batch + 1) / count);
                format.wrap(&bytes[ends[first]..ends[last]])
            })
        });
        let batches = batches.collect();
        Ok(Self { format, batches, charges: u64::try_from(charges)? })
    }
}

pub(crate) const BINARY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

impl Format {
    /// Wraps rows into a whole COPY stream.
    fn wrap(self, rows: &[u8]) -> Vec<u8> {
        match self {
            Self::Text => rows.to_vec(),
            Self::Binary => [BINARY_HEAD, rows, &[0xff, 0xff]].concat(),
        }
    }
}

/// Ends of the rows; begins with the place before the first row.
fn text_ends(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().zip(1..).filter(|(byte, _)| **byte == b'\n').map(|(_, end)| end);
    std::iter::once(0).chain(ends).collect()
}

/// Each row is a count of fields, and each field a length and its bytes; a length of -1 is null.
fn binary_ends(bytes: &[u8]) -> anyhow::Result<Vec<usize>> {
    let number = |place: usize, length: usize| -> anyhow::Result<i32> {
        let part = bytes.get(place..place + length).context("COPY broke off")?;
        let sign = if part[0] & 0x80 == 0 { 0 } else { -1 };
        Ok(part.iter().fold(sign, |number, byte| number << 8 | i32::from(*byte)))
    };
    let mut place = BINARY_HEAD.len();
    let mut ends = vec![place];
    loop {
        let fields = number(place, 2)?;
        if fields < 0 {
            return Ok(ends);
        }
        place += 2;
        for _ in 0..fields {
            let length = number(place, 4)?;
            place += 4 + usize::try_from(length).unwrap_or(0);
        }
        ends.push(place);
    }
}

/// Writes all batches over several connections; returns charges per second.
async fn write(
    world: &World,
    database: &str,
    rows: &Arc<Rows>,
    connections: usize,
) -> anyhow::Result<u64> {
    let mut first = world.connect(database).await?;
    sqlx::query("SELECT ensure_charges_partition(now())").execute(&mut first).await?;
    let mut ready = vec![first];
    while ready.len() < connections {
        ready.push(world.connect(database).await?);
    }
    let started = Instant::now();
    let writers = ready.into_iter().enumerate().map(|(place, mut connection)| {
        let rows = Arc::clone(rows);
        tokio::spawn(async move {
            for batch in rows.batches.iter().skip(place).step_by(connections) {
                write_batch(&mut connection, rows.format, batch).await?;
            }
            connection.close().await?;
            anyhow::Ok(())
        })
    });
    let writers: Vec<_> = writers.collect();
    for writer in writers {
        writer.await??;
    }
    let elapsed = started.elapsed();
    let mut connection = world.connect(database).await?;
    let written: i64 =
        sqlx::query_scalar("SELECT count(*) FROM charges").fetch_one(&mut connection).await?;
    ensure!(u64::try_from(written)? == rows.charges, "{written} of {} rows", rows.charges);
    Ok(per_second(rows.charges, elapsed))
}

async fn write_batch(
    connection: &mut PgConnection,
    format: Format,
    batch: &[Vec<u8>; 3],
) -> anyhow::Result<()> {
    let mut transaction = connection.begin().await?;
    for (table, bytes) in TABLES.iter().zip(batch) {
        let sql = format!("COPY {table} FROM STDIN WITH (FORMAT {})", format.word());
        let mut copy = transaction.copy_in_raw(&sql).await?;
        copy.send(bytes.as_slice()).await?;
        copy.finish().await?;
    }
    transaction.commit().await?;
    Ok(())
}
