//! The wallet page and its runtime.
//!
//! Its connections, requests and streams run on threads of their own: however many people look at their
//! wallets, authorizations keep theirs.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use tokio::runtime::{Builder, Handle, Runtime};

use super::App;
use crate::change::Changes;
use crate::http::{self, Apart};
use crate::keys::KeyCache;
use crate::page::{Client, Page, Parts};
use crate::wallet::{Live, WatchLimits};

/// Threads of the page's runtime.
const THREADS: usize = 2;

/// The niceness of these threads: where cores are scarce, they get a third of what others get.
const NICE: i32 = 5;

/// The page's runtime, until dropped.
#[derive(Debug)]
pub(super) struct PageRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl PageRuntime {
    /// Browsers' connections are served on it.
    pub(super) fn connections(&self) -> Apart {
        Apart { path: "/wallet", runtime: self.handle.clone() }
    }
}

impl Drop for PageRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It cannot be waited for here, in a task of another runtime.
            runtime.shutdown_background();
        }
    }
}

impl App {
    /// The wallets that are watched, by the page and the API.
    pub(super) fn open_live(&self) -> Live {
        let settings = &self.settings.wallet;
        let most = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let limits = WatchLimits {
            all: most(settings.watchers_max),
            account: most(settings.account_watchers_max),
        };
        let (store, balance) = (self.store.clone(), self.balance.clone());
        Live::new(store, balance, limits, self.shutdown.clone())
    }

    /// Opens the wallet page. Keep the runtime until no more requests come.
    pub(super) fn open_page(&self, live: &Live) -> anyhow::Result<(Router, Arc<PageRuntime>)> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("page")
            .on_thread_start(give_way)
            .enable_all()
            .build()
            .context("the threads of the wallet page cannot start")?;
        // From here on whatever fails ends it as it must be ended.
        let handle = runtime.handle().clone();
        let runtime = Arc::new(PageRuntime { handle, runtime: Some(runtime) });
        let (store, balance) = (self.store.clone(), self.balance.clone());
        let keys = KeyCache::new(store.clone(), balance.clone(), self.clock.clone());
        let page = Page::new(
            &self.settings,
            Parts {
                changes: Changes::new(store.clone(), balance.clone(), keys),
                store,
                balance,
                live: live.clone(),
                payments: self.payments.clone(),
                numbers: self.numbers.clone(),
                clock: self.clock.clone(),
                runtime: runtime.handle.clone(),
            },
        )?;
        let (watched, shutdown) = (page.clone(), self.shutdown.clone());
        runtime.handle.spawn(async move { shutdown.run_until_cancelled(watched.run()).await });
        let router = page
            .router()
            .layer(axum::middleware::map_request(with_client))
            .layer(axum::middleware::map_response(async |answer| http::unbuffered(answer)));
        Ok((router, runtime))
    }
}

/// Lowers the priority of a thread of the page: where all cores are busy, authorizations and charging
/// run first.
fn give_way() {
    // On Linux, a priority is a thread's own; elsewhere it would be that of the process.
    if cfg!(target_os = "linux")
        && let Err(error) = rustix::process::setpriority_process(None, NICE)
    {
        tracing::debug!(%error, "a thread of the page keeps its priority");
    }
}

/// Hands the page the client's address, which the listener knows.
async fn with_client(mut request: Request) -> Request {
    if let Some(address) = http::peer_of(request.extensions()) {
        request.extensions_mut().insert(Client(address));
    }
    request
}
