//! `callmeter account …`: what an administrator does to accounts, past the API.

use std::sync::Arc;

use callmeter_core::domain::{AccountId, AccountStatus, Money, PlanId, TwilioAccountSid};
use chrono::{DateTime, SubsecRound, Utc};
use clap::{Args, Subcommand};
use futures::FutureExt;
use serde_json::json;

use super::redact::Redact;
use super::token::Token;
use super::who::{Why, by_user, printable};
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::balance::{Balance, BalanceError};
use crate::catalog_file;
use crate::clock::Clock;
use crate::config::Settings;
use crate::http::render::AccountJson;
use crate::ledger::accounts::{self, Created, NewAccount};
use crate::ledger::links::{self, Linked};
use crate::ledger::store::Store;
use crate::ledger::subscriptions::{self, SubscriptionChanged};
use crate::ledger::{catalogs, schema};
use crate::wallet::{WalletView, Wallets};

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Makes an account and its wallet
    Create(Create),
    /// Shows an account and its wallet
    Show(Show),
    /// Puts an account on a plan from an instant on, or ends its subscription
    Subscribe(Subscribe),
    /// Closes an account: no new calls; late ones are still charged
    Close(SetStatus),
    /// Opens a closed account again
    Reopen(SetStatus),
    /// Makes an account pay for one more Twilio account
    Link(Link),
    /// Takes an account's name, address and phone numbers out, for good; amounts stay
    Redact(Redact),
    /// Sets or forgets the auth token of an account's Twilio account
    Token(Token),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The account's id: letters, digits, '.', '_' and '-'
    id: AccountId,
    /// What people call it
    #[arg(long)]
    name: String,
    /// The Twilio account (AC...) whose calls it pays for
    #[arg(long, value_name = "SID")]
    twilio_account_sid: TwilioAccountSid,
    /// Dollars to begin with
    #[arg(long, value_name = "DOLLARS", default_value = "0", value_parser = opening_balance)]
    opening_balance: Money,
    /// Where it is written to
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    why: Why,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The account's id
    id: AccountId,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SetStatus {
    /// The account's id
    id: AccountId,
    #[command(flatten)]
    why: Why,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Subscribe {
    /// The account's id
    id: AccountId,
    /// The plan's id in the catalog
    #[arg(long, required_unless_present = "end", conflicts_with = "end")]
    plan: Option<PlanId>,
    /// Ends the subscription instead
    #[arg(long)]
    end: bool,
    /// First instant, such as 2026-12-01T00:00:00Z; past ones too; now where absent
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    starts_at: Option<DateTime<Utc>>,
    #[command(flatten)]
    why: Why,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Link {
    /// The account's id
    id: AccountId,
    /// The Twilio account (AC...)
    #[arg(value_name = "SID")]
    twilio_account_sid: TwilioAccountSid,
    #[command(flatten)]
    why: Why,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn opening_balance(text: &str) -> Result<Money, String> {
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if amount.is_negative() { Err("is negative".to_owned()) } else { Ok(amount) }
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let instant = DateTime::parse_from_rfc3339(text);
    let instant = instant.map_err(|_| "is not an instant such as 2026-12-01T00:00:00Z")?;
    Ok(instant.with_timezone(&Utc).trunc_subsecs(6))
}

/// What every command of an account has at hand.
struct Desk<'a> {
    settings: &'a Settings,
    store: Store,
    balance: Balance,
    now: DateTime<Utc>,
}

pub(super) async fn run(command: Account, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let clock = Clock::system();
    let balance = Balance::from_settings(settings, clock.clone());
    let balance = balance.map_err(|error| refused(one_line(&error)))?;
    let desk = Desk { settings, store, balance, now: clock.now() };
    match command {
        Account::Create(command) => desk.create(command).await,
        Account::Show(command) => desk.show(&command.id, command.json).await,
        Account::Subscribe(command) => desk.subscribe(command).await,
        Account::Close(command) => desk.set_status(command, AccountStatus::Closed).await,
        Account::Reopen(command) => desk.set_status(command, AccountStatus::Open).await,
        Account::Link(command) => desk.link(command).await,
        Account::Redact(command) => command.run(&desk.store, desk.now).await,
        Account::Token(command) => command.run(settings, &desk.store, desk.now).await,
    }
}

impl Desk<'_> {
    async fn create(&self, command: Create) -> Result<(), CommandError> {
        let new = NewAccount {
            id: command.id,
            name: printable(&command.name, "--name")?,
            email: command.email,
            twilio_account_sid: command.twilio_account_sid,
            opening_balance: command.opening_balance,
        };
        let (id, sid) = (new.id.clone(), new.twilio_account_sid.clone());
        let by = Arc::new(command.why.by(self.now));
        let created = self.store.transact("accounts::create", move |connection| {
            let (new, by) = (new.clone(), Arc::clone(&by));
            async move { accounts::create(connection, &new, &by).await }.boxed()
        });
        match created.await? {
            Created::Created(account) => self.show(&account.id, command.json).await,
            Created::IdTaken => Err(refused(format!("account {id} exists already"))),
            Created::TwilioAccountSidTaken => {
                Err(refused(format!("another account pays for Twilio account {sid} already")))
            }
        }
    }

    async fn show(&self, id: &AccountId, as_json: bool) -> Result<(), CommandError> {
        let mut connection = self.store.read().await?;
        let account = accounts::find(&mut connection, id).await?;
        drop(connection);
        let threshold = self.settings.wallet.low_balance_threshold;
        let wallets = Wallets::new(self.store.clone(), self.balance.clone(), threshold);
        let wallet = wallets.view(id, self.now).await.map_err(|error| match error {
            BalanceError::Ledger(error) => CommandError::from(error),
            error => refused(one_line(&error)),
        });
        let (Some(account), Some(wallet)) = (account, wallet?) else {
            return Err(unknown(id));
        };
        if as_json {
            let mut shown = json!(AccountJson::from(account));
            shown["wallet"] = json!(wallet);
            return print(&shown.to_string());
        }
        print(&text(&account, &wallet))
    }

    async fn subscribe(&self, command: Subscribe) -> Result<(), CommandError> {
        self.ensure_catalog(&command.id).await?;
        let (id, plan, now) = (command.id.clone(), command.plan.clone(), self.now);
        let starts_at = command.starts_at.unwrap_or(now);
        let by = Arc::new(command.why.by(now));
        let changed = self.store.transact("subscriptions::change", move |connection| {
            let (id, plan, by) = (id.clone(), plan.clone(), Arc::clone(&by));
            async move {
                    subscriptions::change(connection, &id, plan.as_ref(), starts_at, &by).await
                }
                .boxed()
        });
        let changed = match changed.await? {
            SubscriptionChanged::Changed(_) => true,
            SubscriptionChanged::Unchanged => false,
            SubscriptionChanged::UnknownAccount => return Err(unknown(&command.id)),
            SubscriptionChanged::UnknownPlan { version } => {
                return Err(refused(match version {
                    Some(version) => format!(
                        "catalog version {version}, which counts then, lacks this plan; \
                         add it to the catalog and send SIGHUP to `callmeter serve`"
                    ),
                    None => "no catalog was accepted yet; start `callmeter serve`".to_owned(),
                }));
            }
        };
        self.tell(&command.id).await;
        if command.json {
            let (plan, id) = (command.plan, command.id);
            let shown =
                json!({ "id": id, "plan": plan, "starts_at": starts_at, "changed": changed });
            return print(&shown.to_string());
        }
        let plan = command.plan.as_ref().map_or("no plan", PlanId::as_str);
        let already = if changed { "" } else { " already" };
        print(&format!("{} is on {plan} from {starts_at}{already}", command.id))
    }

    /// Accepts the catalog's file where no version was accepted yet, so that accounts can be set up
    /// before the service first runs.
    async fn ensure_catalog(&self, id: &AccountId) -> Result<(), CommandError> {
        let mut connection = self.store.read().await?;
        if accounts::key_of(&mut connection, id).await?.is_none() {
            return Err(unknown(id));
        }
        let latest = catalogs::latest(&mut connection).await?;
        drop(connection);
        if latest.is_none() {
            let by = by_user(self.now, None);
            catalog_file::offer(&self.store, &self.settings.catalog.path, by).await?;
        }
        Ok(())
    }

    async fn set_status(
        &self,
        command: SetStatus,
        status: AccountStatus,
    ) -> Result<(), CommandError> {
        let (id, by) = (command.id.clone(), Arc::new(command.why.by(self.now)));
        let account = self.store.transact("accounts::set_status", move |connection| {
            let (id, by) = (id.clone(), Arc::clone(&by));
            async move { accounts::set_status(connection, &id, status, &by).await }.boxed()
        });
        match account.await? {
            Some(account) => {
                self.tell(&account.id).await;
                self.show(&account.id, command.json).await
            }
            None => Err(unknown(&command.id)),
        }
    }

    /// Makes a change visible to the next authorization.
    async fn tell(&self, id: &AccountId) {
        if let Err(error) = self.balance.show(id).await {
            let error = one_line(&error);
            tracing::warn!(%id, error, "authorizations may see the change a moment later");
        }
    }

    async fn link(&self, command: Link) -> Result<(), CommandError> {
        let (id, sid) = (command.id.clone(), command.twilio_account_sid.clone());
        let by = Arc::new(command.why.by(self.now));
        let linked = self.store.transact("links::link", move |connection| {
            let (id, sid, by) = (id.clone(), sid.clone(), Arc::clone(&by));
            async move { links::link(connection, &id, &sid, &by).await }.boxed()
        });
        let linked = linked.await?;
        match linked {
            Linked::Linked | Linked::AlreadyLinked | Linked::Moved { .. } => {
                if let Linked::Moved { from } = &linked {
                    self.tell(from).await;
                }
                self.tell(&command.id).await;
                self.show(&command.id, command.json).await
            }
            Linked::Charged { by } => Err(refused(format!(
                "account {by} was charged for calls of {}; it stays there for good",
                command.twilio_account_sid
            ))),
            Linked::UnknownAccount => Err(unknown(&command.id)),
        }
    }
}

pub(super) fn unknown(id: &AccountId) -> CommandError {
    refused(format!("there is no account {id}"))
}

pub(super) fn refused(why: impl Into<String>) -> CommandError {
    CommandError::Refused(why.into())
}

/// An account as people read it.
fn text(account: &accounts::Account, wallet: &WalletView) -> String {
    let sids = account.twilio_account_sids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let allowance = wallet.allowance.as_ref().map_or_else(
        || "no subscription".to_owned(),
        |allowance| {
            format!(
                "{}: {} of {} s left until {}",
                allowance.plan,
                allowance.remaining_seconds,
                allowance.included_seconds,
                allowance.cycle_end
            )
        },
    );
    let lines = [
        ("account", format!("{} ({}), {}", account.id, account.name, account.status)),
        ("e-mail", account.email.clone().unwrap_or_else(|| "-".to_owned())),
        ("Twilio", sids.join(", ")),
        ("wallet", wallet.state.to_string()),
        ("balance", wallet.balance.to_string()),
        ("credit limit", wallet.credit_limit.to_string()),
        ("held", wallet.held.to_string()),
        ("available", wallet.available.to_string()),
        ("allowance", allowance),
    ];
    let lines = lines.map(|(name, value)| format!("{name:<14}{value}"));
    lines.join("\n")
}
