//! What every page of a session has around its content.

use super::Page;
use super::assets::Assets;
use super::error::PageError;
use super::visit::Visit;
use crate::ledger::accounts::{self, Account};
use crate::ledger::wallet_sessions::Visitor;

/// The entry of the menu that is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Overview,
    AddFunds,
    History,
    Campaigns,
    Insights,
    AutoRefill,
    Cards,
    Numbers,
}

/// What every page of a session has around its content.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) at: String,
    pub(super) assets: Assets,
    pub(super) title: String,
    pub(super) entry: Entry,
    /// The account's display name.
    pub(super) name: String,
    /// The operator who looks at the page, by name.
    pub(super) operator: Option<String>,
    /// Each form carries it.
    pub(super) form_token: String,
    pub(super) back_url: Option<String>,
    pub(super) support_url: Option<String>,
}

impl Shell {
    /// `page` where the entry is marked.
    pub(super) fn current(&self, name: &str) -> &'static str {
        let marked = match self.entry {
            Entry::Overview => "overview",
            Entry::AddFunds => "add-funds",
            Entry::History => "history",
            Entry::Campaigns => "campaigns",
            Entry::Insights => "insights",
            Entry::AutoRefill => "auto-refill",
            Entry::Cards => "cards",
            Entry::Numbers => "numbers",
        };
        if marked == name { "page" } else { "false" }
    }
}

impl Page {
    /// The shell of a page of the visit's account, and the account.
    pub(super) async fn shell(
        &self,
        visit: &Visit,
        entry: Entry,
        title: impl Into<String>,
    ) -> Result<(Shell, Account), PageError> {
        let mut connection = self.store.read().await?;
        let account = accounts::find(&mut connection, &visit.session.account).await?;
        // Accounts are never deleted.
        let account = account.ok_or(PageError::Internal)?;
        let operator = match &visit.session.visitor {
            Visitor::Operator(name) => Some(name.clone()),
            Visitor::Customer(_) => None,
        };
        let shell = Shell {
            at: self.at.clone(),
            assets: self.assets(),
            title: title.into(),
            entry,
            name: account.name.clone(),
            operator,
            form_token: visit.token.form_token(),
            back_url: self.settings.back_url.clone(),
            support_url: self.settings.support_url.clone(),
        };
        Ok((shell, account))
    }
}
