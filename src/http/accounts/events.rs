//! `GET /v1/accounts/{id}/events`: the wallet, live, as server-sent events.
//!
//! The first event is the wallet as it is, so whoever reconnects misses nothing, and its
//! `Last-Event-ID` needs no memory here. A stream ends with its key, with the account, and with the
//! process; it is never cut by the time that a request may take.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use callmeter_core::domain::AccountId;
use chrono::DateTime;
use futures::stream::{self, Stream};

use super::wallet::WalletJson;
use crate::http::Api;
use crate::http::access::{Authorized, Reader};
use crate::http::problem::Problem;
use crate::json::schema;
use crate::wallet::{WalletView, Watcher};

/// Between two comments that keep the connection open, and between two looks at the key. Proxies cut
/// a silent one after 60 seconds or less.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client waits before it connects again.
const RECONNECT: Duration = Duration::from_secs(2);

/// Streams changes of the wallet as events `wallet`, each with the data that `GET …/wallet` answers.
///
/// The first event is the wallet as it is. Changes that follow each other faster than five times a second
/// are sent as one. `id` is the instant of the data in microseconds. After a broken connection nothing is
/// sent again, because the first event has everything.
#[utoipa::path(
    get, path = "/v1/accounts/{account}/events", tag = "Accounts", operation_id = "watchWallet",
    params(("account" = schema::AccountId, Path, description = "The account's id")),
    responses((
        status = 200, description = "The wallet now, and at each change",
        body = WalletJson, content_type = "text/event-stream"
    )),
    extensions(("x-scopes" = json!(["admin", "account"])), ("x-streams" = json!(true)), ("x-problems" = json!(["unknown_account"])))
)]
pub(super) async fn events(
    State(api): State<Api>,
    Authorized(Reader(id)): Authorized<Reader>,
    request: Request,
) -> Result<impl IntoResponse, Problem> {
    let now = api.clock.now();
    let first = api.wallets.view(&id, now).await?.ok_or_else(Problem::unknown_account)?;
    let Some(watcher) = api.live.watch(&id) else {
        return Err(Problem::unavailable("overloaded", "Too many watch wallets already"));
    };
    let (parts, _) = request.into_parts();
    let watching = Watching { api, id, parts, watcher, last: None, next: Some(first) };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(watching.events()).keep_alive(keep_alive))
}

/// One stream.
struct Watching {
    api: Api,
    id: AccountId,
    /// Of the request: they hold the key.
    parts: Parts,
    watcher: Watcher,
    /// What was told last.
    last: Option<WalletView>,
    /// What is to be told.
    next: Option<WalletView>,
}

impl Watching {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watching| async move {
            let event = watching.next_event().await?;
            Some((Ok(event), watching))
        })
    }

    /// The next event; `None`: the stream ends.
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            if let Some(view) = self.next.take()
                && self.last.as_ref().is_none_or(|last| !is_same(last, &view))
            {
                let event = Event::default().event("wallet").retry(RECONNECT);
                let event = event.id(view.as_of.timestamp_micros().to_string());
                let event = event.json_data(&view).ok()?;
                self.last = Some(view);
                return Some(event);
            }
            if !self.watcher.changed(KEEP_ALIVE).await || !self.is_let_in().await {
                return None;
            }
            match self.api.wallets.view(&self.id, self.api.clock.now()).await {
                Ok(Some(view)) => self.next = Some(view),
                Ok(None) => return None,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "a watched wallet cannot be read");
                }
            }
        }
    }

    /// Whether the key still stands; while that cannot be told it does.
    async fn is_let_in(&mut self) -> bool {
        match self.api.still(&self.parts).await {
            Ok(credential) => credential.require_account(&self.id).is_ok(),
            Err(problem) => problem.status().is_server_error(),
        }
    }
}

/// Whether two states of a wallet differ in nothing but the instant.
fn is_same(one: &WalletView, other: &WalletView) -> bool {
    let timeless = |view: &WalletView| WalletView { as_of: DateTime::UNIX_EPOCH, ..view.clone() };
    timeless(one) == timeless(other)
}
