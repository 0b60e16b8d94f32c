//! Wires the wallet page.
//!
//! Its connections, requests and streams run on threads of their own: however many people look at their
//! wallets, authorizations keep theirs.

use axum::Router;
use axum::extract::Request;
use tokio::runtime::Handle;

use super::App;
use crate::change::Changes;
use crate::http;
use crate::keys::KeyCache;
use crate::page::{Client, Page, Parts};
use crate::wallet::{Live, WatchLimits};

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

    /// Opens the wallet page, which runs on this runtime.
    pub(super) fn open_page(&self, live: &Live, runtime: &Handle) -> anyhow::Result<Router> {
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
                runtime: runtime.clone(),
            },
        )?;
        let (watched, shutdown) = (page.clone(), self.shutdown.clone());
        runtime.spawn(async move { shutdown.run_until_cancelled(watched.run()).await });
        let router = page
            .router()
            .layer(axum::middleware::map_request(with_client))
            .layer(axum::middleware::map_response(async |answer| http::unbuffered(answer)));
        Ok(router)
    }
}

/// Hands the page the client's address, which the listener knows.
async fn with_client(mut request: Request) -> Request {
    if let Some(address) = http::peer_of(request.extensions()) {
        request.extensions_mut().insert(Client(address));
    }
    request
}
