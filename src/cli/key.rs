//! `callmeter key …`: API keys, for users of the machine.

use callmeter_core::domain::AccountId;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::actor::{Reason, printable};
use super::error::refused;
use super::{CommandError, changes, open, open_balance, print};
use crate::accounts::keys::{CreateKey, RevokeKey, UnknownKey};
use crate::change::Changes;
use crate::config::Settings;
use crate::json::KeyJson;
use crate::keys::KeyText;
use crate::ledger::history::Stretch;
use crate::ledger::keys::{self, Key, KeyId, Scope};
use crate::ledger::schema;
use crate::ledger::store::Store;

/// Keys in one page.
const PAGE: u16 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Creates a key and prints it once
    Create(Create),
    /// Lists keys, newest first, including revoked ones
    List(List),
    /// Revokes a key; returns when every process refuses it
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Display name
    #[arg(long)]
    name: String,
    /// What it may do
    #[arg(long, value_enum, required_unless_present = "account", conflicts_with = "account")]
    scope: Option<WideScope>,
    /// The account that the key is limited to
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// The key reads the account, and changes nothing
    #[arg(long, requires = "account")]
    read: bool,
    #[command(flatten)]
    why: Reason,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WideScope {
    /// Everything
    Admin,
    /// Authorizations of every account, nothing else
    Authorize,
    /// Signing customers in to the wallet page, nothing else
    #[value(name = "sign_in")]
    SignIn,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only keys of this account
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The key's id, as `key list` shows it
    id: KeyId,
    #[command(flatten)]
    why: Reason,
}

pub(super) async fn run(command: Keys, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    let clock = settings.clock();
    let changes = || open_balance(settings, &clock).map(|it| changes(&store, &it, &clock));
    match command {
        Keys::Create(command) => create(command, &changes()?, clock.now()).await,
        Keys::List(command) => list(&command, &store).await,
        Keys::Revoke(command) => revoke(command, &changes()?, clock.now()).await,
    }
}

async fn create(
    command: Create,
    changes: &Changes,
    now: DateTime<Utc>,
) -> Result<(), CommandError> {
    let scope = match (command.account, command.scope) {
        (Some(account), _) if command.read => Scope::Read(account),
        (Some(account), _) => Scope::Account(account),
        (None, Some(WideScope::Admin)) => Scope::Admin,
        (None, Some(WideScope::SignIn)) => Scope::SignIn,
        (None, _) => Scope::Authorize,
    };
    let text = KeyText::random();
    let text = text.ok_or_else(|| refused("the system has no random bytes"))?;
    let change = CreateKey::new(printable(&command.name, "--name")?, scope.clone(), &text);
    let created = changes.run(change, command.why.by(now)).await?;
    let Ok(key) = created else {
        let account = scope.account().map(ToString::to_string).unwrap_or_default();
        return Err(refused(format!("there is no account {account}")));
    };
    if command.json {
        let mut shown = json!(KeyJson::from(key));
        shown["key"] = json!(text.expose());
        return print(&shown.to_string());
    }
    print(&format!("{}\n{}", in_text(&key), text.expose()))
}

async fn list(command: &List, store: &Store) -> Result<(), CommandError> {
    let mut stretch = Stretch { below: None, from: None, to: None, limit: PAGE };
    let mut connection = store.read().await?;
    loop {
        let page = keys::list(&mut connection, command.account.as_ref(), &stretch).await?;
        for key in page.items {
            let as_json = command.json;
            let line = if as_json { json!(KeyJson::from(key)).to_string() } else { in_text(&key) };
            print(&line)?;
        }
        let Some(next) = page.next else { return Ok(()) };
        stretch.below = Some(next);
    }
}

async fn revoke(
    command: Revoke,
    changes: &Changes,
    now: DateTime<Utc>,
) -> Result<(), CommandError> {
    let id = command.id;
    match changes.run(RevokeKey(id), command.why.by(now)).await? {
        Ok(_) => print(&format!("{id} is revoked")),
        Err(UnknownKey) => Err(refused(format!("there is no key {id}"))),
    }
}

fn in_text(key: &Key) -> String {
    let scope = match key.scope.account() {
        Some(account) => format!("{} {account}", key.scope.as_str()),
        None => key.scope.as_str().to_owned(),
    };
    let used = key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
    let revoked = key.revoked_at.map(|at| format!(", revoked {at}")).unwrap_or_default();
    let (id, prefix, name) = (key.id, &key.prefix, &key.name);
    format!("{id}  {prefix}...  {scope}  {name}  (made {}, {used}{revoked})", key.created_at)
}
