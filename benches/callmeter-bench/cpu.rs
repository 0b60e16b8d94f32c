//! CPU time by process: ours, Postgres, Redis and Kafka. It is far steadier than a rate.
//!
//! The servers are found by the port on which they listen, so they must run on this machine.

use std::collections::HashMap;
use std::fs;

use anyhow::Context;

/// Microseconds of one tick in `/proc`: Linux reports a hundred per second to programs everywhere.
const TICK_MICROS: u64 = 10_000;
/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// Microseconds of CPU by process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) ours: u64,
    pub(crate) postgres: u64,
    pub(crate) redis: u64,
    pub(crate) kafka: u64,
}

/// The servers' processes; none: not found here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Servers {
    postgres: Option<u32>,
    redis: Option<u32>,
    kafka: Option<u32>,
}

impl Cpu {
    /// The time since an earlier reading.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            ours: self.ours.saturating_sub(earlier.ours),
            postgres: self.postgres.saturating_sub(earlier.postgres),
            redis: self.redis.saturating_sub(earlier.redis),
            kafka: self.kafka.saturating_sub(earlier.kafka),
        }
    }

    /// All processes together.
    pub(crate) const fn all(self) -> u64 {
        self.ours + self.postgres + self.redis + self.kafka
    }

    /// Nanoseconds for each of `count` things.
    pub(crate) fn nanos_per(self, count: u64) -> Self {
        let each = |micros: u64| micros * 1_000 / count.max(1);
        Self {
            ours: each(self.ours),
            postgres: each(self.postgres),
            redis: each(self.redis),
            kafka: each(self.kafka),
        }
    }

    /// Its parts in words, in microseconds of what [`Self::nanos_per`] gave.
    pub(crate) fn told(self) -> String {
        let micros = |nanos: u64| format!("{}.{:02}", nanos / 1_000, nanos % 1_000 / 10);
        let Self { ours, postgres, redis, kafka } = self;
        format!(
            "{} \u{b5}s: Postgres {}, callmeter {}, Redis {}, Kafka {}",
            micros(self.all()),
            micros(postgres),
            micros(ours),
            micros(redis),
            micros(kafka)
        )
    }
}

impl Servers {
    /// Finds the processes that listen on these ports.
    pub(crate) fn find(postgres: u16, redis: u16, kafka: u16) -> anyhow::Result<Self> {
        let listeners = listeners()?;
        let of = |port: u16| listeners.get(&port).copied();
        Ok(Self { postgres: of(postgres), redis: of(redis), kafka: of(kafka) })
    }

    /// CPU time so far, with that of our own process.
    pub(crate) fn read(&self, ours: u32) -> anyhow::Result<Cpu> {
        let one = |id: Option<u32>| id.map_or(Ok(0), |id| Ok::<_, anyhow::Error>(stat(id)?.used));
        Ok(Cpu {
            ours: stat(ours)?.used,
            postgres: self.postgres.map_or(Ok(0), with_children)?,
            redis: one(self.redis)?,
            kafka: one(self.kafka)?,
        })
    }
}

/// What `/proc/ID/stat` says.
struct Stat {
    parent: u32,
    /// Microseconds used.
    used: u64,
    /// Microseconds used by children that ended.
    used_by_ended: u64,
}

fn stat(id: u32) -> anyhow::Result<Stat> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name is in parentheses and may contain anything.
    let (_, fields) = stat.rsplit_once(')').context("a process's name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| -> anyhow::Result<u64> {
        Ok(fields.get(place).context("a field")?.parse::<u64>()? * TICK_MICROS)
    };
    Ok(Stat {
        parent: fields.get(1).context("a parent")?.parse()?,
        used: ticks(11)? + ticks(12)?,
        used_by_ended: ticks(13)? + ticks(14)?,
    })
}

/// Milliseconds of CPU that a process used so far, without its children.
pub(crate) fn milliseconds(id: u32) -> anyhow::Result<u64> {
    Ok(stat(id)?.used / 1_000)
}

/// A process with all its children, those that ended too.
fn with_children(id: u32) -> anyhow::Result<u64> {
    let own = stat(id)?;
    let mut used = own.used + own.used_by_ended;
    for child in processes()? {
        // It may end meanwhile; then its time is its parent's in the next reading.
        if let Ok(child) = stat(child)
            && child.parent == id
        {
            used += child.used + child.used_by_ended;
        }
    }
    Ok(used)
}

fn processes() -> anyhow::Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// The process that listens on each port; of several, the one that began first.
fn listeners() -> anyhow::Result<HashMap<u16, u32>> {
    let mut ports = HashMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, LISTENS, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            let Some((_, port)) = local.rsplit_once(':') else { continue };
            ports.insert(format!("socket:[{inode}]"), u16::from_str_radix(port, 16)?);
        }
    }
    let mut ids: Vec<u32> = processes()?.collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    let mut listeners = HashMap::new();
    for id in ids {
        let Ok(open) = fs::read_dir(format!("/proc/{id}/fd")) else { continue };
        for file in open.flatten() {
            let link = fs::read_link(file.path()).unwrap_or_default();
            if let Some(port) = link.to_str().and_then(|link| ports.get(link)) {
                listeners.insert(*port, id);
            }
        }
    }
    Ok(listeners)
}
