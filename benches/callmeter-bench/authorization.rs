//! Authorizations over HTTP, compared with two floors, which redis-benchmark runs on the same Redis:
//! the script that places a hold, and the fixed script S1. Each uses 50 connections.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callmeter::balance::scripts::{Place, Request, Stamp, keys};
use callmeter::balance::{CallTerms, HoldSettings, HoldSource};
use callmeter::simulate::watch::per_second;
use callmeter_core::domain::{AccountId, CallSid, Increments, RatePerMinute};
use redis::{Arg, AsyncConnectionConfig, Client as RedisClient};

use crate::client::Client;
use crate::cpu::Cpu;
use crate::fixed_floor;
use crate::world::{Service, WALLETS, World};

/// Connections of each side.
const CONNECTIONS: usize = 50;
/// The account for which the floor asks; it has no plan.
const FLOOR_ACCOUNT: &str = "sim-0001";
/// The text that redis-benchmark replaces with a number.
const NUMBER: &str = "__rand_int__";
/// The keys of S1.
const FIXED_KEYS: [&str; 3] = ["s1:{wallet}", "s1:{wallet}:h", "s1:{wallet}:x"];
/// Longest time to free what the floors wrote.
const CLEARED_WITHIN: Duration = Duration::from_secs(30);
/// A call's rate in the floor's request, in micro-dollars a minute.
const RATE_MICROS: i64 = 20_000;

/// The figures of one side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// CPU for each answer, in nanoseconds; of the floor, that of Redis.
    pub(crate) cpu: Cpu,
    /// Answers per second.
    pub(crate) per_second: u64,
    /// 99 of 100 answers arrive within this many microseconds.
    pub(crate) p99_micros: u64,
}

/// One turn: the API, its own script, and the fixed script (S1).
pub(crate) struct Turn {
    pub(crate) api: Figures,
    pub(crate) floor: Figures,
    pub(crate) fixed: Figures,
}

/// Measures all sides in turns.
pub(crate) async fn measure(
    world: &mut World,
    seconds: u64,
    turns: usize,
) -> anyhow::Result<Vec<Turn>> {
    let site = world.make_site().await?;
    let service = world.start(&site, "api")?;
    service.ready().await?;
    let servers = world.servers()?;
    let sids = Arc::new(AtomicU64::new(0));
    warm(service.address, &sids, false).await?;
    let time = Duration::from_secs(seconds);
    let mut measured = Vec::new();
    for turn in 1..=turns {
        let apart = Apart::of(&world.redis_url())?;
        let words = words(&world.redis_url(), apart.database).await?;
        let floor = redis_benchmark(world, &apart, seconds, &words).await?;
        let fixed = redis_benchmark(world, &apart, seconds, &fixed_words()).await?;
        apart.clear().await?;
        let before = servers.read(service.process.id())?;
        let mut api = api(service.address, time, &sids).await?;
        let used = servers.read(service.process.id())?.since(before);
        api.cpu = used.nanos_per(api.per_second * seconds);
        eprintln!("authorization, turn {turn}: {api:?}, floor {floor:?}, S1 {fixed:?}");
        measured.push(Turn { api, floor, fixed });
    }
    service.process.stop()?;
    world.drop_database(&site.database).await?;
    Ok(measured)
}

/// Whether the floor can be measured here.
pub(crate) fn has_redis_benchmark() -> bool {
    let asked = Command::new("redis-benchmark").arg("--version").output();
    asked.is_ok()
}

/// The account of the call with this number.
fn id(number: u64) -> String {
    format!("sim-{:04}", number % u64::from(WALLETS) + 1)
}

fn body(number: u64) -> String {
    let account = id(number);
    format!(
        r#"{{"account":"{account}","call_sid":"CA{number:032x}","from":"+15005550001","to":"+12125550123","direction":"outbound-api","seconds":60}}"#
    )
}

/// Asks once for each account, so that Redis has all of them; `voids` gives the holds back.
pub(crate) async fn warm(
    address: SocketAddr,
    sids: &Arc<AtomicU64>,
    voids: bool,
) -> anyhow::Result<()> {
    let callers = (0..CONNECTIONS).map(|_| {
        let sids = Arc::clone(sids);
        tokio::spawn(async move {
            let mut client = Client::connect(address).await?;
            loop {
                let number = sids.fetch_add(1, Ordering::Relaxed);
                if number >= u64::from(WALLETS) {
                    return anyhow::Ok(());
                }
                let (status, answer) =
                    client.send("POST", "/v1/authorizations", &body(number)).await?;
                ensure!(status == 200, "{status}: {answer}");
                if voids {
                    let path = format!("/v1/authorizations/CA{number:032x}?account={}", id(number));
                    let (status, answer) = client.send("DELETE", &path, "").await?;
                    ensure!(status == 204, "{status}: {answer}");
                }
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    Ok(())
}

/// Asks for a new call each time, for `seconds`.
async fn api(
    address: SocketAddr,
    time: Duration,
    sids: &Arc<AtomicU64>,
) -> anyhow::Result<Figures> {
    let started = Instant::now();
    let callers = (0..CONNECTIONS).map(|_| {
        let sids = Arc::clone(sids);
        tokio::spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut micros = Vec::new();
            while started.elapsed() < time {
                let body = body(sids.fetch_add(1, Ordering::Relaxed));
                let asked = Instant::now();
                let (status, answer) = client.send("POST", "/v1/authorizations", &body).await?;
                micros.push(u64::try_from(asked.elapsed().as_micros())?);
                ensure!(status == 200 && answer.contains("allow"), "{status}: {answer}");
            }
            anyhow::Ok(micros)
        })
    });
    let mut micros = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        micros.extend(caller.await??);
    }
    let count = u64::try_from(micros.len())?;
    let per_second = per_second(count, started.elapsed());
    Ok(Figures { cpu: Cpu::default(), per_second, p99_micros: percentile(&mut micros, 99) })
}

/// The `percent`th percentile of `values`.
pub(crate) fn percentile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let place = (values.len() * percent).div_ceil(100);
    values.get(place.saturating_sub(1)).copied().unwrap_or(0)
}

/// A command, run by redis-benchmark.
async fn redis_benchmark(
    world: &World,
    apart: &Apart,
    seconds: u64,
    words: &[String],
) -> anyhow::Result<Figures> {
    let servers = world.servers()?;
    let (host, port) = apart.address.rsplit_once(':').context("a port in redis.url")?;
    // A number of requests that takes about that time: speeds differ by less than ten times.
    let requests = seconds * 50_000;
    let mut command = Command::new("redis-benchmark");
    command
        .args(["-h", host, "-p", port, "-c", &CONNECTIONS.to_string()])
        .args(["--dbnum", &apart.database.to_string()])
        .args(["-n", &requests.to_string(), "-r", "1000000000", "--csv"])
        .args(words)
        .stderr(Stdio::inherit());
    let before = servers.read(std::process::id())?;
    let output = tokio::task::spawn_blocking(move || command.output()).await?;
    let used = servers.read(std::process::id())?.since(before).nanos_per(requests);
    let cpu = Cpu { redis: used.redis, ..Cpu::default() };
    let output = output.context("redis-benchmark cannot be run")?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().context("redis-benchmark says nothing")?;
    // "test","rps","avg","min","p50","p95","p99","max", the times in milliseconds; the name of the
    // test contains commas.
    let fields: Vec<&str> = line.rsplit(',').map(|field| field.trim_matches('"')).collect();
    let thousandths = |field: &str| -> anyhow::Result<u64> {
        let (whole, rest) = field.split_once('.').unwrap_or((field, ""));
        Ok(format!("{whole}{rest:0<3}").get(..whole.len() + 3).context("a figure")?.parse()?)
    };
    ensure!(fields.len() >= 7, "redis-benchmark says {line}");
    let per_second = thousandths(fields[6])? / 1_000;
    Ok(Figures { cpu, per_second, p99_micros: thousandths(fields[1])? })
}

/// The arguments of S1: a new call each time, on one account.
fn fixed_words() -> Vec<String> {
    let words = ["EVAL", fixed_floor::SCRIPT, "3"].into_iter().chain(FIXED_KEYS);
    words.chain([NUMBER, "20000", "1900000000000000"]).map(str::to_owned).collect()
}

/// The arguments of the command that the service sends, with a number in place of the call. They find
/// a copy of the wallet in `database`.
async fn words(url: &str, database: u8) -> anyhow::Result<Vec<String>> {
    let client = RedisClient::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let account = AccountId::parse(FLOOR_ACCOUNT)?;
    let [wallet, ..] = keys(&account);
    let (epoch, incarnation, terms_revision): (String, i64, String) = redis::cmd("HMGET")
        .arg(&wallet)
        .arg(&["epoch", "incarnation", "terms"])
        .query_async(&mut connection)
        .await
        .context("the floor's wallet is not in Redis")?;
    redis::cmd("COPY")
        .arg(&[&wallet, &wallet, "DB", &database.to_string(), "REPLACE"])
        .exec_async(&mut connection)
        .await?;
    redis::pipe()
        .cmd("SELECT")
        .arg(database)
        .cmd("HSET")
        .arg(&[&wallet, "held", "0", "holds", "0"])
        .cmd("HDEL")
        .arg(&[&wallet, "t:0", "t:1", "t:2", "t:3", "quiet_until"])
        .exec_async(&mut connection)
        .await?;
    let terms = CallTerms {
        rate: RatePerMinute::from_micros(RATE_MICROS)?,
        increments: Increments::new(60, 60)?,
        ..CallTerms::default()
    };
    let place = Place {
        account: &account,
        operation: NUMBER,
        call_sid: &CallSid::parse(&format!("CA{NUMBER}"))?,
        source: HoldSource::Authorize,
        terms_revision: &terms_revision,
        twilio_account_sid: None,
        terms: &terms,
        asked_seconds: 60,
        settings: &HoldSettings::default(),
        is_new: false,
    };
    let stamp = Stamp { epoch: epoch.into(), incarnation, offset_micros: 0 };
    let command = place.command(&stamp);
    let words = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => Ok(std::str::from_utf8(bytes)?.to_owned()),
        _ => anyhow::bail!("a word that is no text"),
    });
    words.collect()
}

/// A database of the same Redis for the floors: the service would find their many holds, and journal them.
struct Apart {
    address: String,
    database: u8,
}

impl Apart {
    fn of(url: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("redis://").context("redis.url is no redis:// URL")?;
        let (address, database) = rest.split_once('/').unwrap_or((rest, "0"));
        let database = if database == "14" { 13 } else { 14 };
        Ok(Self { address: address.to_owned(), database })
    }

    /// Removes what the floors wrote, at once: freed behind the answer, it would take time from the side that
    /// is measured next.
    async fn clear(&self) -> anyhow::Result<()> {
        let url = format!("redis://{}/{}", self.address, self.database);
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(CLEARED_WITHIN));
        let client = RedisClient::open(url)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        redis::cmd("DEL")
            .arg(&keys(&AccountId::parse(FLOOR_ACCOUNT)?))
            .arg(&FIXED_KEYS)
            .exec_async(&mut connection)
            .await
            .context("the floors' keys cannot be removed")
    }
}

impl Service {
    /// Waits until the service reports that it is ready.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut client) = Client::connect(self.address).await
                && let Ok((200, _)) = client.send("GET", "/readyz", "").await
            {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the service is not ready within 30 s");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
