//! `callmeter account …`: an administrator's changes of accounts, without the API.

use callmeter_core::domain::{AccountId, AccountStatus, Money, PlanId, TwilioAccountSid};
use chrono::{DateTime, SubsecRound, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use super::account_refill::{Cards, RefillAccount};
use super::actor::{Reason, by_user, printable};
use super::budget::{AlertsArguments, BudgetArguments};
use super::error::{refused, unknown};
use super::estimate::EstimateArguments;
use super::insights::InsightsArguments;
use super::redact::Redact;
use super::shared_key::SharedKey;
use super::sign_in::SignIn;
use super::token::Token;
use super::{CommandError, changes, open, open_balance, print};
use crate::accounts::UnknownAccount;
use crate::accounts::create::CreateAccount;
use crate::accounts::link::LinkTwilioAccount;
use crate::accounts::status::SetStatus;
use crate::accounts::subscribe::Subscribe;
use crate::app::one_line;
use crate::balance::{Balance, BalanceError};
use crate::change::Changes;
use crate::config::Settings;
use crate::json::AccountJson;
use crate::ledger::accounts::{self, NewAccount, NotCreated};
use crate::ledger::links::{Linked, NotLinked};
use crate::ledger::store::Store;
use crate::ledger::subscriptions::{NotSubscribed, SubscriptionChanged};
use crate::ledger::{catalogs, schema};
use crate::operator::catalog_file;
use crate::wallet::{WalletView, Wallets};

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Creates an account with its wallet
    Create(Create),
    /// Shows an account and its wallet
    Show(Show),
    /// Sets the account's plan, effective from a given time, or ends the subscription
    Subscribe(SubscribeArguments),
    /// Closes an account: new calls are refused, late ones are still charged
    Close(StatusArguments),
    /// Reopens a closed account
    Reopen(StatusArguments),
    /// Refills an account's wallet from a saved card
    Refill(RefillAccount),
    /// Shows an account's saved cards
    #[command(subcommand)]
    Card(Cards),
    /// Links one more Twilio account, whose calls the account then pays for
    Link(Link),
    /// Shows or replaces the thresholds below which a falling balance is told
    Alerts(AlertsArguments),
    /// Shows, sets or removes what the account may spend in a month
    Budget(BudgetArguments),
    /// Estimates what calls will cost; nothing is charged
    Estimate(EstimateArguments),
    /// Shows where the money went by day, what rounding and overage cost, and the cheapest plan
    Insights(InsightsArguments),
    /// Makes a link that signs the customer in to the wallet page
    SignIn(SignIn),
    /// Removes the account's name, address and phone numbers for good; amounts stay
    Redact(Redact),
    /// Sets or forgets the auth token of an account's Twilio account
    Token(Token),
    /// Sets or forgets a shared key that Twilio signs the account's web hooks with
    SharedKey(SharedKey),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The account's id: letters, digits, '.', '_' and '-'
    id: AccountId,
    /// Display name
    #[arg(long)]
    name: String,
    /// The Twilio account (AC...) whose calls it pays for
    #[arg(long, value_name = "SID", value_parser = TwilioAccountSid::parse_issued)]
    twilio_account_sid: TwilioAccountSid,
    /// Opening balance
    #[arg(long, value_name = "DOLLARS", default_value = "0", value_parser = opening_balance)]
    opening_balance: Money,
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The account's id
    id: AccountId,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    /// The account's id
    id: AccountId,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct SubscribeArguments {
    /// The account's id
    id: AccountId,
    /// The plan's id in the catalog
    #[arg(long, required_unless_present = "end", conflicts_with = "end")]
    plan: Option<PlanId>,
    /// Ends the subscription
    #[arg(long)]
    end: bool,
    /// Start of the plan, such as 2026-12-01T00:00:00Z; may be in the past; default: now
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    starts_at: Option<DateTime<Utc>>,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Link {
    /// The account's id
    id: AccountId,
    /// The Twilio account (AC...)
    #[arg(value_name = "SID", value_parser = TwilioAccountSid::parse_issued)]
    twilio_account_sid: TwilioAccountSid,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn opening_balance(text: &str) -> Result<Money, String> {
    let amount = Money::parse(text).map_err(|error| error.to_string())?;
    if amount.is_negative() { Err("is negative".to_owned()) } else { Ok(amount) }
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let instant = DateTime::parse_from_rfc3339(text);
    let instant = instant.map_err(|_| "is not a time such as 2026-12-01T00:00:00Z")?;
    Ok(instant.with_timezone(&Utc).trunc_subsecs(6))
}

/// The state of every account command.
struct Desk<'a> {
    settings: &'a Settings,
    store: Store,
    balance: Balance,
    changes: Changes,
    now: DateTime<Utc>,
}

pub(super) async fn run(command: Account, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let clock = settings.clock();
    let balance = open_balance(settings, &clock)?;
    let changes = changes(&store, &balance, &clock);
    let desk = Desk { settings, store, balance, changes, now: clock.now() };
    match command {
        Account::Create(command) => desk.create(command).await,
        Account::Show(command) => desk.show(&command.id, command.json).await,
        Account::Subscribe(command) => desk.subscribe(command).await,
        Account::Close(command) => desk.set_status(command, AccountStatus::Closed).await,
        Account::Reopen(command) => desk.set_status(command, AccountStatus::Open).await,
        Account::Link(command) => desk.link(command).await,
        Account::Alerts(command) => command.run(&desk.changes, &desk.store, desk.now).await,
        Account::Budget(command) => command.run(&desk.changes, &desk.store, desk.now).await,
        Account::Estimate(command) => command.run(&desk.wallets(), settings, desk.now).await,
        Account::Insights(command) => {
            command.run(settings, desk.store, desk.balance, desk.now).await
        }
        Account::Refill(command) => command.run(settings, desk.now).await,
        Account::Card(command) => command.run(settings).await,
        Account::Redact(command) => {
            command.run(settings, &desk.changes, &desk.store, desk.now).await
        }
        Account::SignIn(command) => command.run(settings, &desk.changes, desk.now).await,
        Account::Token(command) => command.run(settings, &desk.changes, desk.now).await,
        Account::SharedKey(command) => command.run(settings, &desk.changes, desk.now).await,
    }
}

impl Desk<'_> {
    fn wallets(&self) -> Wallets {
        let threshold = self.settings.wallet.low_balance_threshold;
        Wallets::new(self.store.clone(), self.balance.clone(), threshold)
    }

    async fn create(&self, command: Create) -> Result<(), CommandError> {
        let new = NewAccount {
            id: command.id,
            name: printable(&command.name, "--name")?,
            email: command.email,
            twilio_account_sid: command.twilio_account_sid,
            opening_balance: command.opening_balance,
        };
        let (id, sid) = (new.id.clone(), new.twilio_account_sid.clone());
        let created = self.changes.run(CreateAccount(new), command.why.by(self.now)).await?;
        match created {
            Ok(account) => self.show(&account.id, command.json).await,
            Err(NotCreated::IdTaken) => Err(refused(format!("account {id} exists already"))),
            Err(NotCreated::TwilioAccountSidTaken) => {
                Err(refused(format!("another account pays for Twilio account {sid} already")))
            }
        }
    }

    async fn show(&self, id: &AccountId, as_json: bool) -> Result<(), CommandError> {
        let mut connection = self.store.read().await?;
        let account = accounts::find(&mut connection, id).await?;
        drop(connection);
        let wallet = self.wallets().view(id, self.now).await.map_err(|error| match error {
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

    async fn subscribe(&self, command: SubscribeArguments) -> Result<(), CommandError> {
        self.ensure_catalog(&command.id).await?;
        let starts_at = command.starts_at.unwrap_or(self.now);
        let change =
            Subscribe { account: command.id.clone(), plan: command.plan.clone(), starts_at };
        let changed = match self.changes.run(change, command.why.by(self.now)).await? {
            Ok(change) => matches!(change, SubscriptionChanged::Changed(_)),
            Err(NotSubscribed::UnknownAccount) => return Err(unknown(&command.id)),
            Err(NotSubscribed::UnknownPlan { version }) => {
                return Err(refused(match version {
                    Some(version) => format!(
                        "catalog version {version}, in force then, lacks this plan; \
                         add it to the catalog and send SIGHUP to `callmeter serve`"
                    ),
                    None => "no catalog has been accepted; start `callmeter serve`".to_owned(),
                }));
            }
        };
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

    /// Accepts the catalog's file if there is no version yet, so that accounts can be created
    /// before the first start of the service.
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
        command: StatusArguments,
        status: AccountStatus,
    ) -> Result<(), CommandError> {
        let releases_numbers = self.settings.numbers.release_on_close;
        let change = SetStatus { account: command.id.clone(), status, releases_numbers };
        match self.changes.run(change, command.why.by(self.now)).await? {
            Ok(account) => self.show(&account.id, command.json).await,
            Err(UnknownAccount) => Err(unknown(&command.id)),
        }
    }

    async fn link(&self, command: Link) -> Result<(), CommandError> {
        let change = LinkTwilioAccount {
            account: command.id.clone(),
            twilio_account_sid: command.twilio_account_sid.clone(),
        };
        match self.changes.run(change, command.why.by(self.now)).await? {
            Ok(Linked::Linked | Linked::AlreadyLinked | Linked::Moved { .. }) => {
                self.show(&command.id, command.json).await
            }
            Err(NotLinked::Charged { by }) => Err(refused(format!(
                "account {by} was charged for calls of {}, which stays with it for good",
                command.twilio_account_sid
            ))),
            Err(NotLinked::UnknownAccount) => Err(unknown(&command.id)),
        }
    }
}

/// An account as text.
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
