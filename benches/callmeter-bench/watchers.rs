//! Wallet pages that are open while calls are made: sessions that hold the live stream and fetch the
//! parts that it names, as the page's script does.
//!
//! Shown: from the answer of an authorization until a session has the text with the call. The
//! sessions run in this process, on the machine that they measure, but in a thread of their own and of low
//! priority: who asks for authorizations does not wait for them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callmeter::clock::Clock;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::authorization::percentile;
use crate::browser::Browser;
use crate::client::Client;
use crate::report::median;
use crate::world::{Site, World};

const ACCOUNTS: usize = 500;
/// Sessions of each account.
const SESSIONS: usize = 4;
/// Calls that begin in a second.
const RATE: u64 = 200;
/// Connections that ask for them.
const CALLERS: u64 = 8;
/// How long a call lasts.
const CALL: Duration = Duration::from_secs(3);
/// The page's script fetches at most so often.
const FETCH_EVERY: Duration = Duration::from_millis(400);
/// The page's script fetches again after so long what was refused.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Calls of an account that its sessions look for.
const KEPT: usize = 16;
/// The parts of the overview.
const PARTS: [&str; 6] = ["notices", "balance", "plan", "calls", "recent", "refused"];

/// What was measured; times in microseconds.
pub(crate) struct Watched {
    pub(crate) shown_p50: u64,
    pub(crate) shown_p99: u64,
    /// Authorizations with and without open pages.
    pub(crate) asked_p99: u64,
    pub(crate) asked_p99_alone: u64,
    /// What a real browser showed, in milliseconds after it began: the calls, the median, the slowest.
    pub(crate) browser: (usize, u64, u64),
    /// Fetched parts in a second.
    pub(crate) fetched: u64,
    /// Percent of a core by process.
    pub(crate) cpu: String,
}

/// When the calls of the browser's account began, in milliseconds since 1970, by `CallSid`.
type BrowsersCalls = Arc<Mutex<HashMap<String, u64>>>;

/// Calls of one account that began, with their numbers.
type Begun = Arc<Mutex<VecDeque<(u64, Instant)>>>;

/// The runtime of the sessions, until dropped.
struct Apart(Option<Runtime>);

impl Apart {
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> anyhow::Result<JoinHandle<T>> {
        Ok(self.0.as_ref().context("it is open")?.spawn(work))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It cannot be waited for in a task of another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What sessions have seen.
#[derive(Default)]
struct Seen {
    micros: Mutex<Vec<u64>>,
    fetched: AtomicU64,
    refused: AtomicU64,
    ends: AtomicBool,
}

/// Measures authorizations alone, then the same with open pages.
pub(crate) async fn measure(world: &mut World, seconds: u64) -> anyhow::Result<Watched> {
    let site = world.make_site().await?;
    let settings =
        [("CALLMETER__HTTP__CONNECTIONS_MAX", "8192"), ("CALLMETER__WALLET__WATCHERS_MAX", "4000")];
    let service = world.start_with(&site, "api,meter", &settings)?;
    service.ready().await?;
    let servers = world.servers()?;
    let accounts = accounts(service.address).await?;
    let begun: Vec<Begun> = (0..ACCOUNTS).map(|_| Begun::default()).collect();
    let time = Duration::from_secs(seconds);
    let mut callers = Callers::new(world, &site, service.address, accounts, begun.clone())?;
    callers.call(Duration::from_secs(3)).await?;
    let mut alone = callers.call(time).await?;

    let seen = Arc::new(Seen::default());
    let mut browsers = Builder::new_multi_thread();
    browsers.worker_threads(1).enable_all().on_thread_start(|| {
        // They stand for other machines.
        if let Err(error) = rustix::process::setpriority_process(None, 10) {
            eprintln!("watchers: the sessions keep their priority: {error}");
        }
    });
    let browsers = browsers.build()?;
    let browsers = Apart(Some(browsers));
    let mut sessions = Vec::new();
    for number in 0..ACCOUNTS * SESSIONS {
        let place = number % ACCOUNTS;
        let cookie = sign_in(service.address, place).await?;
        let (begun, seen) = (Arc::clone(&begun[place]), Arc::clone(&seen));
        sessions.push(browsers.spawn(watch(service.address, cookie, begun, seen))?);
    }
    let browser = Browser::open(service.address).await?;
    eprintln!("watchers: {} sessions and a browser are open", sessions.len());
    callers.call(Duration::from_secs(5)).await?;
    lock(&callers.of_browser).clear();
    let refused = seen.refused.swap(0, Ordering::Relaxed);
    eprintln!("watchers: {refused} fetches were refused while they opened");
    lock(&seen.micros).clear();
    seen.fetched.store(0, Ordering::Relaxed);
    let before = servers.read(service.process.id())?;
    let mut asked = callers.call(time).await?;
    let used = servers.read(service.process.id())?.since(before);
    let fetched = seen.fetched.load(Ordering::Relaxed) / seconds;
    let refused = seen.refused.load(Ordering::Relaxed);
    eprintln!("watchers: {refused} fetches were refused");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let in_browser = in_browser(&browser.close().await?, &lock(&callers.of_browser))?;
    seen.ends.store(true, Ordering::Relaxed);
    for session in sessions {
        session.await??;
    }
    drop(browsers);
    service.process.stop()?;
    world.drop_database(&site.database).await?;
    let mut shown = std::mem::take(&mut *lock(&seen.micros));
    let expected = u64::try_from(asked.len() * SESSIONS)?;
    let count = u64::try_from(shown.len())?;
    // Calls of the warm-up are shown too. A call that is over before it is shown is missing.
    let shown_percent = count * 100 / expected;
    let percent = |micros: u64| micros / seconds / 10_000;
    Ok(Watched {
        shown_p50: percentile(&mut shown, 50),
        shown_p99: percentile(&mut shown, 99),
        browser: in_browser,
        asked_p99: percentile(&mut asked, 99),
        asked_p99_alone: percentile(&mut alone, 99),
        fetched,
        cpu: format!(
            "of a core: callmeter {} %, Postgres {} %, Redis {} %; {refused} fetches refused, {shown_percent} % \
             of calls shown",
            percent(used.ours),
            percent(used.postgres),
            percent(used.redis)
        ),
    })
}

/// How many calls the browser showed, and how many milliseconds after they began: the median and the
/// most.
fn in_browser(
    shown: &[(String, u64)],
    begun: &HashMap<String, u64>,
) -> anyhow::Result<(usize, u64, u64)> {
    let times = shown.iter().filter_map(|(sid, at)| Some(at.saturating_sub(*begun.get(sid)?)));
    let mut times: Vec<u64> = times.collect();
    let (count, most) =
        (times.len(), times.iter().max().copied().context("a call in the browser")?);
    ensure!(count == begun.len(), "the browser showed {count} of {} calls", begun.len());
    Ok((count, median(&mut times), most))
}

/// The Twilio accounts of the wallets.
async fn accounts(address: SocketAddr) -> anyhow::Result<Vec<String>> {
    let mut client = Client::connect(address).await?;
    let mut sids = Vec::new();
    for place in 0..ACCOUNTS {
        let (status, body) = client.send("GET", &format!("/v1/accounts/{}", id(place)), "").await?;
        ensure!(status == 200, "{status}: {body}");
        let account: Value = serde_json::from_str(body)?;
        sids.push(account["twilio_account_sid"].as_str().context("an account SID")?.to_owned());
    }
    Ok(sids)
}

fn id(place: usize) -> String {
    format!("sim-{:04}", place + 1)
}

/// Who begins calls, and ends them.
pub(crate) struct Callers {
    producer: FutureProducer,
    topic: String,
    address: SocketAddr,
    accounts: Arc<Vec<String>>,
    begun: Arc<Vec<Begun>>,
    of_browser: BrowsersCalls,
    next: u64,
}

impl Callers {
    /// Those of all accounts, whom nobody looks at.
    pub(crate) async fn of_all(
        world: &World,
        site: &Site,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let begun = (0..ACCOUNTS).map(|_| Begun::default()).collect();
        Self::new(world, site, address, accounts(address).await?, begun)
    }

    fn new(
        world: &World,
        site: &Site,
        address: SocketAddr,
        accounts: Vec<String>,
        begun: Vec<Begun>,
    ) -> anyhow::Result<Self> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", world.brokers())
            .create::<FutureProducer>()?;
        let (accounts, begun) = (Arc::new(accounts), Arc::new(begun));
        let (topic, of_browser) = (site.calls.clone(), BrowsersCalls::default());
        Ok(Self { producer, topic, address, accounts, begun, of_browser, next: 1 })
    }

    /// Begins calls for a time; returns the microseconds of each answer.
    pub(crate) async fn call(&mut self, time: Duration) -> anyhow::Result<Vec<u64>> {
        let first = self.next;
        let count = RATE * time.as_secs();
        self.next += count;
        let callers = (0..CALLERS).map(|caller| {
            let (producer, topic, address) =
                (self.producer.clone(), self.topic.clone(), self.address);
            let (accounts, begun) = (Arc::clone(&self.accounts), Arc::clone(&self.begun));
            let of_browser = Arc::clone(&self.of_browser);
            tokio::spawn(async move {
                let mut client = Client::connect(address).await?;
                let mut micros = Vec::new();
                let period =
                    Duration::from_secs(1) * u32::try_from(CALLERS)? / u32::try_from(RATE)?;
                let mut ticks = tokio::time::interval(period);
                for number in (first..first + count).filter(|number| number % CALLERS == caller) {
                    ticks.tick().await;
                    let place = usize::try_from(number)? % ACCOUNTS;
                    let asked = Instant::now();
                    let (status, answer) =
                        client.send("POST", "/v1/authorizations", &body(place, number)).await?;
                    micros.push(u64::try_from(asked.elapsed().as_micros())?);
                    ensure!(status == 200 && answer.contains("allow"), "{status}: {answer}");
                    note(&begun[place], number);
                    if place == 0 {
                        let now = Clock::system().now().timestamp_millis();
                        lock(&of_browser).insert(sid(number), u64::try_from(now)?);
                    }
                    let ends =
                        end(producer.clone(), topic.clone(), accounts[place].clone(), number);
                    tokio::spawn(ends);
                }
                anyhow::Ok(micros)
            })
        });
        let mut all = Vec::new();
        for caller in callers.collect::<Vec<_>>() {
            all.extend(caller.await??);
        }
        Ok(all)
    }
}

fn body(place: usize, number: u64) -> String {
    let account = id(place);
    format!(
        r#"{{"account":"{account}","call_sid":"{}","from":"+15005550001","to":"+12125550123","direction":"outbound-api","seconds":60}}"#,
        sid(number)
    )
}

fn sid(number: u64) -> String {
    format!("CA{number:032x}")
}

fn note(begun: &Begun, number: u64) {
    let mut begun = lock(begun);
    begun.push_back((number, Instant::now()));
    while begun.len() > KEPT {
        begun.pop_front();
    }
}

/// Publishes the end of a call, later.
async fn end(producer: FutureProducer, topic: String, account: String, number: u64) {
    tokio::time::sleep(CALL).await;
    let event = json!({
        "AccountSid": account, "CallSid": sid(number), "CallStatus": "completed",
        "CallDuration": "3", "Direction": "outbound-api", "From": "+15005550001",
        "To": "+12125550123",
    });
    let event = event.to_string();
    let record = FutureRecord::to(&topic).key(&account).payload(&event);
    if producer.send(record, Duration::from_secs(5)).await.is_err() {
        eprintln!("Kafka did not take the end of call {number}");
    }
}

/// A session's cookie.
async fn sign_in(address: SocketAddr, place: usize) -> anyhow::Result<String> {
    let mut client = Client::connect(address).await?;
    let path = format!("/v1/accounts/{}/sign-in-links", id(place));
    let (status, body) = client.send("POST", &path, "{}").await?;
    ensure!(status == 201, "{status}: {body}");
    let link: Value = serde_json::from_str(body)?;
    let url = link["url"].as_str().context("a link")?;
    let path = url.find("/wallet").map(|at| &url[at..]).context("a path")?;
    let mut connection = Connection::open(address).await?;
    let head = connection.get(path, "").await?.0;
    let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = set.and_then(|set| set.split(';').next()).context("a cookie")?;
    Ok(cookie.to_owned())
}

/// Holds the stream of a session, and fetches what it names.
async fn watch(
    address: SocketAddr,
    cookie: String,
    begun: Begun,
    seen: Arc<Seen>,
) -> anyhow::Result<()> {
    let mut stream = Connection::open(address).await?;
    stream.begin("/wallet/events", &cookie).await?;
    let mut fetching = Connection::open(address).await?;
    // Calls that began before are not looked for.
    let mut last = lock(&begun).back().map_or(0, |(number, _)| *number);
    while !seen.ends.load(Ordering::Relaxed) {
        let news = tokio::time::timeout(Duration::from_secs(1), stream.news()).await;
        let Ok(names) = news else { continue };
        let names = names?;
        if names.is_empty() {
            continue;
        }
        let path = format!("/wallet/parts?names={}", names.join(","));
        let text = loop {
            let (head, text) = fetching.get(&path, &cookie).await?;
            if head.starts_with("HTTP/1.1 200") {
                break text;
            }
            ensure!(head.starts_with("HTTP/1.1 503"), "{head}");
            seen.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(RETRY_AFTER).await;
        };
        seen.fetched.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let wanted: Vec<(u64, Instant)> =
            lock(&begun).iter().filter(|(number, _)| *number > last).copied().collect();
        for (number, at) in wanted {
            if text.contains(&sid(number)) {
                last = number;
                lock(&seen.micros).push(u64::try_from((now - at).as_micros())?);
            }
        }
        tokio::time::sleep(FETCH_EVERY).await;
    }
    Ok(())
}

/// A browser's connection.
struct Connection {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    /// Sends a request.
    async fn begin(&mut self, path: &str, cookie: &str) -> anyhow::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nCookie: {cookie}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        Ok(())
    }

    /// Reads until a stream says something; returns the parts of the page that have changed.
    async fn news(&mut self) -> anyhow::Result<Vec<&'static str>> {
        self.bytes.clear();
        // An event ends with an empty line, and the piece that carries it with another line's end.
        while !self.bytes.ends_with(b"\n\n\r\n") {
            ensure!(self.stream.read_buf(&mut self.bytes).await? > 0, "the stream ended");
        }
        let text = std::str::from_utf8(&self.bytes)?;
        let named: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .flat_map(|names| names.split(','))
            .collect();
        Ok(PARTS.into_iter().filter(|name| named.contains(name)).collect())
    }

    /// Sends a request; returns the head and the body of the answer.
    async fn get(&mut self, path: &str, cookie: &str) -> anyhow::Result<(String, String)> {
        self.begin(path, cookie).await?;
        self.bytes.clear();
        let head = loop {
            ensure!(self.stream.read_buf(&mut self.bytes).await? > 0, "the connection ended");
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.bytes[..head])?.to_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap_or("0").parse()?;
        while self.bytes.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.bytes).await? > 0, "the connection ended");
        }
        Ok((text, std::str::from_utf8(&self.bytes[head..head + length])?.to_owned()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
