//! What a process saw of the ledger at its last look, and for how long it may rely on it: Redis has
//! every change, except those of the accounts noted here (decision 0041).
//!
//! Data only; `projection/renewal.rs` looks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use callmeter_core::domain::AccountId;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ledger::unprojected::LEASE;

/// Noted wallets that a process keeps; if there are more, every account is projected again.
pub(crate) const NOTED_MAX: usize = 10_000;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    seen: Mutex<Seen>,
    /// Held by the one caller that looks when the lease has run out.
    pub turn: tokio::sync::Mutex<()>,
    /// The last look was not answered.
    is_unanswered: AtomicBool,
    /// A look found accounts that are noted.
    found: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// When the look began.
    asked_at: Option<Instant>,
    /// Accounts whose wallet in Redis may be old, with the version that Redis lacks.
    noted: HashMap<AccountId, i64>,
    /// There are more than those.
    has_more: bool,
}

impl Lease {
    /// The last look is too old, and another may be answered.
    pub(crate) fn is_due(&self) -> bool {
        let is_old = self.lock().asked_at.is_none_or(|at| at.elapsed() > LEASE);
        is_old && !self.is_unanswered.load(Ordering::Acquire)
    }

    /// There was a look that was answered.
    pub(crate) fn was_ever_seen(&self) -> bool {
        self.lock().asked_at.is_some()
    }

    pub(crate) fn is_noted(&self, account: &AccountId) -> bool {
        let seen = self.lock();
        seen.has_more || seen.noted.contains_key(account)
    }

    /// Returns when a look found accounts that are noted.
    pub(crate) async fn found(&self) {
        self.found.notified().await;
    }

    pub(crate) fn noted(&self) -> Vec<AccountId> {
        self.lock().noted.keys().cloned().collect()
    }

    /// A look was answered, or not.
    pub(crate) fn answered(&self, was: bool) {
        self.is_unanswered.store(!was, Ordering::Release);
    }

    /// Stores the result of a look that began at `asked_at`.
    pub(crate) fn saw(&self, asked_at: Instant, mut wallets: Vec<(AccountId, i64)>) {
        let mut seen = self.lock();
        if seen.asked_at.is_some_and(|at| at > asked_at) {
            return;
        }
        if !wallets.is_empty() {
            self.found.notify_one();
        }
        let has_more = wallets.len() > NOTED_MAX;
        wallets.truncate(NOTED_MAX);
        *seen = Seen { asked_at: Some(asked_at), noted: wallets.into_iter().collect(), has_more };
    }

    /// Redis has the account at this version: notes up to it are done.
    pub(crate) fn caught_up(&self, account: &AccountId, version: i64) {
        let noted = &mut self.lock().noted;
        if noted.get(account).is_some_and(|lacking| *lacking <= version) {
            noted.remove(account);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
