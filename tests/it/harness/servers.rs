//! The real servers: one set shared by all tests, and two for tests that break them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};
use std::time::Duration;

/// URLs of Postgres, Redis and Kafka.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    pub(crate) kafka_brokers: String,
}

impl Servers {
    /// The servers that `script/test` started.
    #[expect(clippy::disallowed_methods, reason = "script/test tells it so")]
    pub(crate) fn shared() -> Servers {
        let address = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: run script/test, or script/up and `source .local/env`")
            })
        };
        Servers {
            database_url: address("DATABASE_URL"),
            redis_url: address("REDIS_URL"),
            kafka_brokers: address("KAFKA_BROKERS"),
        }
    }
}

/// Sets of servers that may be stopped. Two tests that break theirs run at a time, so that the
/// others need not wait behind them.
const SETS: usize = 2;

/// A set of servers that a test may stop; one test at a time uses it.
pub(crate) struct Breakable {
    pub(crate) servers: Servers,
    instance: &'static Instance,
    _turn: MutexGuard<'static, ()>,
}

impl Breakable {
    /// Starts the set, or those of its servers that an earlier test left stopped.
    pub(crate) fn take() -> Breakable {
        static TURNS: [Mutex<()>; SETS] = [const { Mutex::new(()) }; SETS];
        static INSTANCES: [OnceLock<Instance>; SETS] = [const { OnceLock::new() }; SETS];
        let (number, turn) = loop {
            let free = TURNS.iter().enumerate().find_map(|(number, turn)| match turn.try_lock() {
                Ok(turn) => Some((number, turn)),
                Err(TryLockError::Poisoned(turn)) => Some((number, turn.into_inner())),
                Err(TryLockError::WouldBlock) => None,
            });
            match free {
                Some(free) => break free,
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let instance = INSTANCES[number].get_or_init(|| Instance::new(number));
        instance.run("up", &[]);
        Breakable { servers: instance.addresses(), instance, _turn: turn }
    }

    /// Runs an action of `script/server` on one server; returns when it is done.
    pub(crate) async fn server(&self, name: &'static str, action: &'static str) {
        let instance = self.instance;
        let done = tokio::task::spawn_blocking(move || instance.run("server", &[name, action]));
        done.await.expect("the script succeeds");
    }

    /// The file with the first records of a partition in Kafka.
    pub(crate) fn first_segment(&self, topic: &str, partition: i32) -> PathBuf {
        let folder = self.instance.folder.join("kafka").join("data");
        folder.join(format!("{topic}-{partition}")).join("00000000000000000000.log")
    }

    /// Copies the data of Postgres, which must be stopped.
    pub(crate) fn keep_postgres(&self) {
        let folder = self.instance.folder.join("postgres");
        copy(&folder.join("data"), &folder.join("backup"));
    }

    /// Replaces the data of Postgres, which must be stopped, with the copy.
    pub(crate) fn bring_back_postgres(&self) {
        let folder = self.instance.folder.join("postgres");
        std::fs::remove_dir_all(folder.join("data")).expect("the data are removed");
        copy(&folder.join("backup"), &folder.join("data"));
        std::fs::remove_dir_all(folder.join("backup")).expect("the copy is removed");
    }
}

/// Copies a folder with its owners and modes.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(done.success(), "{} is copied", from.display());
}

/// The folder of a set. A child waits for the end of this process and takes the servers down.
struct Instance {
    folder: PathBuf,
    _janitor: Child,
}

impl Instance {
    fn new(number: usize) -> Instance {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let name = format!("test-faults-{number}-{}", std::process::id());
        let folder = root.join(".local").join(name);
        let janitor = Command::new("setsid")
            .args(["sh", "-c", "cat; script/down && rm -rf \"$CALLMETER_LOCAL\""])
            .current_dir(root)
            .env("CALLMETER_LOCAL", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setsid and sh run");
        Instance { folder, _janitor: janitor }
    }

    fn run(&self, script: &str, arguments: &[&str]) {
        let output = Command::new(format!("script/{script}"))
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CALLMETER_LOCAL", &self.folder)
            .stdin(Stdio::null())
            .output()
            .expect("the script runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "script/{script} {arguments:?}: {said}");
    }

    fn addresses(&self) -> Servers {
        let text = std::fs::read_to_string(self.folder.join("env")).expect("script/up writes env");
        let address = |name: &str| {
            let prefix = format!("export {name}=");
            let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
        };
        Servers {
            database_url: address("DATABASE_URL"),
            redis_url: address("REDIS_URL"),
            kafka_brokers: address("KAFKA_BROKERS"),
        }
    }
}
