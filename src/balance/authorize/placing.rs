//! A call whose hold is to be placed, and the steps that both ways share: by Redis, or without.

use std::sync::Arc;

use callmeter_core::domain::{AccountId, CallSid, CatalogHistory, Money};
use callmeter_core::rating::terms_at;
use tokio::time::Instant;

use super::{Ask, Decision, Payer};
use crate::balance::model::{BalanceError, CallParties, CallTerms, Denial, Document, HoldSource};
use crate::balance::state::Balance;
use crate::ledger::{LedgerError, catalogs};

/// A call to be placed, by the stream or a caller.
pub(super) struct Placing<'a> {
    pub ask: Ask<'a>,
    /// Who pays, as far as known.
    pub account: AccountId,
    pub source: HoldSource,
    pub operation: String,
    pub asked_at: Instant,
    /// The ledger and the journal know that the call has not ended.
    pub is_new: bool,
}

impl Placing<'_> {
    /// Sets the account to `payer`; false: nobody pays who may.
    pub(super) fn is_paid_by(&mut self, payer: Option<AccountId>) -> bool {
        match payer {
            Some(payer) if payer == self.account => true,
            Some(payer) if !matches!(self.ask.payer, Payer::AccountOf(..)) => {
                self.account = payer;
                true
            }
            _ => false,
        }
    }
}

impl Balance {
    pub(super) fn note_tag(&self, account_key: i32, call_sid: &CallSid, tag: Option<&str>) {
        if let Some(tag) = tag {
            self.0.journal.tagged(account_key, call_sid, tag);
        }
    }

    /// Denies, and counts the denial if a caller asked.
    pub(super) fn deny(
        &self,
        placing: &Placing<'_>,
        account_key: i32,
        reason: Denial,
        shortfall: Money,
    ) -> Decision {
        if placing.source == HoldSource::Authorize {
            self.0.denials.note(account_key, placing.ask.call_sid, reason, shortfall);
        }
        Decision::Deny { reason, shortfall }
    }

    /// The catalogs as the ledger has them.
    async fn newest_catalogs(&self) -> Result<Arc<CatalogHistory>, BalanceError> {
        let mut connection = self.0.store.read().await?;
        let missing = || LedgerError::unreadable("the catalog", "none was ever accepted");
        let stamp = catalogs::latest(&mut connection).await?.ok_or_else(missing)?;
        Ok(self.0.catalogs.at(&mut connection, stamp).await?)
    }

    pub(super) async fn terms(
        &self,
        document: &Document,
        parties: CallParties<'_>,
    ) -> Result<CallTerms, BalanceError> {
        let history = match self.0.catalogs.with(document.catalog_version) {
            Some(history) => history,
            None => Box::pin(self.newest_catalogs()).await?,
        };
        let terms = terms_at(&history, &document.timeline, self.0.clock.now())
            .map_err(|error| LedgerError::unreadable("a subscription", error))?;
        Ok(CallTerms::new(&terms, parties))
    }
}
