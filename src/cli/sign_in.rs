//! `callmeter account sign-in`: a link that signs a customer in to the wallet page.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use super::actor::{Reason, one_line};
use super::error::{refused, unknown};
use super::{CommandError, print};
use crate::accounts::UnknownAccount;
use crate::accounts::sign_in::{CreateSignInLink, page_path};
use crate::change::Changes;
use crate::config::Settings;
use crate::keys::{Token, TokenKind};
use crate::ledger::wallet_sessions::Visitor;

/// Makes a sign-in link.
#[derive(Debug, Args)]
pub(super) struct SignIn {
    /// The account's id
    id: AccountId,
    /// The customer's user; stands in the audit of each act
    #[arg(long, value_name = "NAME", value_parser = one_line, conflicts_with = "operator")]
    user: Option<String>,
    /// Who looks at the page for the customer: may change nothing, and sees no card
    #[arg(long, value_name = "NAME", value_parser = one_line)]
    operator: Option<String>,
    /// Where the page begins, such as /wallet/add-funds
    #[arg(long, value_name = "PATH")]
    next: Option<String>,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl SignIn {
    pub(super) async fn run(
        self,
        settings: &Settings,
        changes: &Changes,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let http = &settings.http;
        let next = match self.next.as_deref() {
            None => None,
            Some(address) => {
                let path = page_path(address, http.public_url.as_deref());
                let problem = || format!("--next {address:?} is no path of this service");
                Some(path.ok_or_else(|| CommandError::Usage(problem()))?)
            }
        };
        let token = Token::random(TokenKind::SignInLink);
        let token = token.ok_or_else(|| refused("the system has no random bytes"))?;
        let visitor = self.operator.map_or(Visitor::Customer(self.user), Visitor::Operator);
        let change = CreateSignInLink::new(self.id.clone(), visitor, next, &token);
        let created = changes.run(change, self.why.by(now)).await?;
        let expires_at = created.map_err(|UnknownAccount| unknown(&self.id))?;
        let base = http.public_url.as_ref().map_or_else(
            || format!("http://{}", http.listen),
            |url| url.trim_end_matches('/').to_owned(),
        );
        let url = format!("{base}/wallet/sign-in?link={}", token.expose());
        if self.json {
            return print(&json!({ "url": url, "expires_at": expires_at }).to_string());
        }
        print(&format!("{url}\nopens the wallet once, until {expires_at}"))
    }
}
