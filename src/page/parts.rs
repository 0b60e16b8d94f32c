//! `GET /wallet/parts`: the parts of the overview that changed, written again.
//!
//! The sessions that watch the same wallet are told of a change at once, and each fetches the same
//! text: it is written once. A text stands only until the watchers are told something new, which they
//! then fetch.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use tokio::sync::OnceCell;

use super::Page;
use super::error::PageError;
use super::form::Query;
use super::overview::{PARTS, read};
use super::visit::Watching;
use crate::wallet::Told;

/// How long a text stands at most.
const STANDS: Duration = Duration::from_secs(1);
/// With more texts than these, old ones are dropped.
const KEPT: usize = 512;

/// What a text is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    account_key: i32,
    is_operator: bool,
    /// The parts, of those that there are.
    names: Vec<&'static str>,
}

/// `GET /wallet/parts?names=balance,plan`
pub(super) async fn parts(
    State(page): State<Page>,
    Watching(visit): Watching,
    Query(query): Query,
) -> Result<Response, PageError> {
    let wanted: Vec<&str> = query.one("names").unwrap_or_default().split(',').collect();
    let names: Vec<_> = PARTS.into_iter().filter(|name| wanted.contains(name)).collect();
    let told = page.live.told(&visit.session.account);
    let write = Box::pin(async {
        let parts = read(&page, &visit, names.clone(), told).await?;
        Ok(super::html(&parts).0)
    });
    let Some(told) = told else {
        return Ok(Html(write.await?).into_response());
    };
    let subject = Subject {
        account_key: visit.session.account_key,
        is_operator: visit.session.visitor.is_operator(),
        names: names.clone(),
    };
    Ok(Html(page.shared.get(subject, told, write).await?).into_response())
}

/// The texts.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<HashMap<Subject, Text>>);

#[derive(Debug)]
struct Text {
    told: Told,
    begun: Instant,
    written: Arc<OnceCell<Bytes>>,
}

impl Shared {
    /// The text of a subject, by `write` unless another request writes or wrote it since `told`.
    /// `told` must be read before.
    ///
    /// # Errors
    /// Those of `write`, which the next request tries again.
    async fn get(
        &self,
        subject: Subject,
        told: Told,
        write: impl Future<Output = Result<String, PageError>>,
    ) -> Result<Bytes, PageError> {
        let written = {
            let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if texts.len() > KEPT {
                texts.retain(|_, text| text.begun.elapsed() < STANDS);
            }
            let fresh = || Text { told, begun: Instant::now(), written: Arc::default() };
            let text = texts.entry(subject).or_insert_with(fresh);
            if text.told != told || text.begun.elapsed() >= STANDS {
                *text = fresh();
            }
            Arc::clone(&text.written)
        };
        let written = written.get_or_try_init(|| async { write.await.map(Bytes::from) }).await?;
        Ok(written.clone())
    }
}
