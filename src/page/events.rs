//! `GET /wallet/events`: which parts of a page are to be fetched again, as server-sent events.
//!
//! The same news as `GET /v1/accounts/{id}/events`. An event `parts` has names, separated by commas;
//! `as-of` has the time at which the shown figures were still right. The page's script fetches the
//! parts, so that one set of templates writes them.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Page;
use super::error::PageError;
use super::streams::Stream;
use super::visit::Visit;
use crate::wallet::{LiveEvent, News, WalletView, Watcher};

/// Time between two comments that keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest silence: then the page hears that its figures are still right.
const AS_OF_EVERY: Duration = Duration::from_secs(10);
/// Time that a browser waits before it reconnects.
const RECONNECT: Duration = Duration::from_secs(2);
/// Events that a slow browser may be behind; then its stream waits.
const EVENTS_KEPT: usize = 8;

/// What changes with a wallet.
const OF_A_WALLET: &str = "notices,balance,plan,calls,recent,refused,campaign";

/// Streams the names of changed parts until the session ends.
pub(super) async fn events(
    State(page): State<Page>,
    visit: Visit,
) -> Result<impl IntoResponse, PageError> {
    let account = &visit.session.account;
    let watcher = page.live.watch(account).ok_or(PageError::Overloaded)?;
    let stream = page.streams.open(visit.session.session_key);
    let (sender, receiver) = mpsc::channel(EVENTS_KEPT);
    // On the page's runtime: the connection's own task only passes the events on.
    let runtime = page.runtime.clone();
    runtime.spawn(tell(page, visit, watcher, stream, sender));
    let events = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|event| (Ok::<Event, Infallible>(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Sends events until the session ends, the process shuts down, or nobody listens.
async fn tell(
    page: Page,
    visit: Visit,
    mut watcher: Watcher,
    stream: Stream,
    sender: mpsc::Sender<Event>,
) {
    let ended = stream.ended.clone();
    let told = ended.run_until_cancelled(async {
        let mut last = None;
        loop {
            let event = match next(&page, &visit, &mut watcher, &mut last).await {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(?error, "a watched wallet cannot be read");
                    continue;
                }
            };
            if sender.send(event.retry(RECONNECT)).await.is_err() {
                return;
            }
        }
    });
    if told.await.is_none() {
        // The page shows at once that the session has ended.
        drop(sender.send(Event::default().event("signed-out").data("1")).await);
    }
}

/// The next event; `None`: the process shuts down.
async fn next(
    page: &Page,
    visit: &Visit,
    watcher: &mut Watcher,
    last: &mut Option<WalletView>,
) -> Result<Option<Event>, PageError> {
    if last.is_some() {
        match watcher.next(AS_OF_EVERY).await {
            None => return Ok(None),
            Some(News::Event(told)) => return Ok(Some(of_event(&told))),
            Some(News::Wallet) => {}
        }
    }
    let now = page.clock.now();
    let view = page.wallets.view(&visit.session.account, now).await?;
    let view = view.ok_or(PageError::Internal)?;
    let is_same = last.as_ref().is_some_and(|last| is_same(last, &view));
    let event =
        if is_same { as_of(now) } else { Event::default().event("parts").data(OF_A_WALLET) };
    *last = Some(view);
    Ok(Some(event))
}

fn as_of(now: DateTime<Utc>) -> Event {
    Event::default().event("as-of").data(now.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// The parts that an event of the outbox changes.
fn of_event(told: &LiveEvent) -> Event {
    let refill = told.data["id"].as_str().filter(|_| told.name == "refill");
    let parts = match refill {
        Some(id) => format!("{OF_A_WALLET},refill-{id}"),
        None => OF_A_WALLET.to_owned(),
    };
    debug_assert!(matches!(told.data, Value::Object(_)), "an event has members");
    Event::default().event("parts").data(parts)
}

/// Whether two states of a wallet are equal except for their time.
fn is_same(one: &WalletView, other: &WalletView) -> bool {
    let timeless = |view: &WalletView| WalletView { as_of: DateTime::UNIX_EPOCH, ..view.clone() };
    timeless(one) == timeless(other)
}
