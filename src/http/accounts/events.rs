//! `GET /v1/accounts/{id}/events`: the wallet, live, as server-sent events.
//!
//! The first event is the present wallet, so a client that reconnects misses nothing, and the
//! server needs no memory for `Last-Event-ID`. A stream ends with its key, its account, or the
//! process; the time limit of requests must never cut it.

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
use crate::wallet::{News, WalletView, Watcher};

/// Time between two comments that keep the connection open, and between two checks of the key.
/// Proxies cut a silent connection after 60 seconds or less.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Time that a client waits before it reconnects.
const RECONNECT: Duration = Duration::from_secs(2);

/// Streams changes of the wallet as events `wallet`, each with the data that `GET …/wallet`
/// answers; and events `refill`, `transaction`, `alert` and `budget` with the data that is published on
/// Kafka. Calls make no event `transaction`: they change the wallet.
///
/// The first event is the present wallet. Changes faster than five a second are sent as one. The `id`
/// of `wallet` is the time of the data in microseconds. After a broken connection nothing is sent again,
/// because the first event has everything.
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
        return Err(Problem::unavailable("overloaded", "Too many clients watch wallets"));
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
    /// The request, which holds the key.
    parts: Parts,
    watcher: Watcher,
    /// The last wallet sent.
    last: Option<WalletView>,
    /// The wallet to send next.
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
            let news = self.watcher.next(KEEP_ALIVE).await?;
            if !self.is_let_in().await {
                return None;
            }
            if let News::Event(told) = news {
                let event = Event::default().event(told.name).retry(RECONNECT).id(&told.id);
                return event.json_data(&told.data).ok();
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

    /// Whether the key is still valid; if a server is not available, it counts as valid.
    async fn is_let_in(&mut self) -> bool {
        match self.api.still(&self.parts).await {
            Ok(credential) => credential.require_account(&self.id).is_ok(),
            Err(problem) => problem.status().is_server_error(),
        }
    }
}

/// Whether two states of a wallet are equal except for their time.
fn is_same(one: &WalletView, other: &WalletView) -> bool {
    let timeless = |view: &WalletView| WalletView { as_of: DateTime::UNIX_EPOCH, ..view.clone() };
    timeless(one) == timeless(other)
}
