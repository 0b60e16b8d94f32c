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
use chrono::SecondsFormat;
use futures::stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Page;
use super::error::PageError;
use super::streams::Stream;
use super::visit::Visit;
use crate::wallet::{LiveEvent, News, Watcher};

/// Time between two comments that keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Longest silence: then the page hears that its figures are still right.
const AS_OF_EVERY: Duration = Duration::from_secs(10);
/// In so many silences the parts are fetched once all the same: a new cycle is not seen in the wallet.
const SILENCES_MAX: u32 = 6;
/// Time that a browser waits before it reconnects.
const RECONNECT: Duration = Duration::from_secs(2);
/// Events that a slow browser may be behind; then its stream waits.
const EVENTS_KEPT: usize = 8;

/// What changes with the holds of calls.
const OF_HOLDS: &str = "notices,balance,plan,calls";
/// What changes with a wallet.
const OF_A_WALLET: &str = "notices,balance,plan,calls,recent,refused,campaign";

/// Streams the names of changed parts until the session ends.
pub(super) async fn events(
    State(page): State<Page>,
    visit: Visit,
) -> Result<impl IntoResponse, PageError> {
    let account = &visit.session.account;
    let watcher = page.live.watch(account).ok_or(PageError::Overloaded)?;
    let stream = page.streams.open(&visit.session, visit.token.sha256());
    let (sender, receiver) = mpsc::channel(EVENTS_KEPT);
    // On the page's runtime: the connection's own task only passes the events on.
    let runtime = page.runtime.clone();
    runtime.spawn(tell(page, watcher, stream, sender));
    let events = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|event| (Ok::<Event, Infallible>(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// Sends events until the session ends, the process shuts down, or nobody listens.
async fn tell(page: Page, mut watcher: Watcher, stream: Stream, sender: mpsc::Sender<Event>) {
    let ended = stream.ended.clone();
    let told = ended.run_until_cancelled(async {
        let mut silences = 0;
        while let Some(news) = watcher.next(AS_OF_EVERY).await {
            let event = match news {
                News::Event(told) => of_event(&told),
                News::Wallet => changed(OF_A_WALLET),
                News::Holds => changed(OF_HOLDS),
                // Without news from the servers, the figures keep their time.
                News::Nothing if !page.live.is_fresh() => continue,
                News::Nothing => {
                    silences = (silences + 1) % SILENCES_MAX;
                    if silences == 0 { changed(OF_A_WALLET) } else { as_of(&page) }
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

fn as_of(page: &Page) -> Event {
    let now = page.clock.now();
    Event::default().event("as-of").data(now.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn changed(parts: &str) -> Event {
    Event::default().event("parts").data(parts)
}

/// The parts that an event of the outbox changes.
fn of_event(told: &LiveEvent) -> Event {
    let refill = told.data["id"].as_str().filter(|_| told.name == "refill");
    let parts = match refill {
        Some(id) => format!("{OF_A_WALLET},refill-{id}"),
        None => OF_A_WALLET.to_owned(),
    };
    debug_assert!(matches!(told.data, Value::Object(_)), "an event has members");
    changed(&parts)
}
