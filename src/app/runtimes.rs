//! Runtimes of their own, each for one kind of connection: what others do takes no time from it.

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::config::Settings;
use crate::http::Apart;

/// Threads of the wallet page.
const PAGE_THREADS: usize = 2;

/// The niceness of the page's threads: where cores are scarce, they get a third of what others get.
const PAGE_NICE: i32 = 5;

/// The runtimes of a process that answers the API. Keep them until nothing else runs: connections to
/// Postgres and Redis that were opened on one of them end with it.
#[derive(Debug)]
pub(super) struct Runtimes {
    /// Authorizations, and their connection to Redis. A thread that finds several requests sends
    /// their commands together, so few threads do more.
    pub authorizations: Own,
    /// The wallet page.
    pub page: Own,
}

impl Runtimes {
    pub(super) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let threads = settings.http.authorization_threads;
        let authorizations =
            Own::open(Builder::new_multi_thread().worker_threads(threads), "authorizations")?;
        let mut page = Builder::new_multi_thread();
        let page = Own::open(page.worker_threads(PAGE_THREADS).on_thread_start(give_way), "page")?;
        Ok(Self { authorizations, page })
    }

    /// Which connections each of them serves.
    pub(super) fn connections(&self) -> [Apart; 2] {
        [
            Apart { path: "/v1/authorizations", runtime: self.authorizations.handle() },
            Apart { path: "/wallet", runtime: self.page.handle() },
        ]
    }
}

/// A runtime, until dropped.
#[derive(Debug)]
pub(super) struct Own(Option<Runtime>, Handle);

impl Own {
    fn open(builder: &mut Builder, name: &str) -> anyhow::Result<Self> {
        let runtime = builder.thread_name(name).enable_all().build();
        let runtime = runtime.with_context(|| format!("the threads of {name} cannot start"))?;
        let handle = runtime.handle().clone();
        Ok(Self(Some(runtime), handle))
    }

    pub(super) fn handle(&self) -> Handle {
        self.1.clone()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // It cannot be waited for here, in a task of another runtime.
            runtime.shutdown_background();
        }
    }
}

/// Lowers the priority of a thread of the page: where all cores are busy, authorizations and charging
/// run first.
fn give_way() {
    // On Linux, a priority is a thread's own; elsewhere it would be that of the process.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, PAGE_NICE)
    {
        tracing::debug!(%error, "a thread of the page keeps its priority");
    }
}
