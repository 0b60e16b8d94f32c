//! `callmeter key …`: keys of the API, for who sits at the machine.

use std::sync::Arc;

use callmeter_core::domain::AccountId;
use clap::{Args, Subcommand, ValueEnum};
use futures::FutureExt;
use serde_json::json;

use super::who::{Why, printable};
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::balance::Balance;
use crate::clock::Clock;
use crate::config::Settings;
use crate::http::keys::KeyJson;
use crate::keys::{Believed, KeyText};
use crate::ledger::history::Stretch;
use crate::ledger::keys::{self, Key, KeyId, NewKey, Scope};
use crate::ledger::schema;
use crate::ledger::store::Store;

/// Keys read at once.
const PAGE: u16 = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Makes a key and prints it, this once
    Create(Create),
    /// Lists keys, newest first, revoked ones too
    List(List),
    /// Revokes a key; answers when no process lets it pass any more
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What people call it
    #[arg(long)]
    name: String,
    /// What it may do
    #[arg(long, value_enum, required_unless_present = "account", conflicts_with = "account")]
    scope: Option<WideScope>,
    /// The one account that it is for
    #[arg(long, value_name = "ID")]
    account: Option<AccountId>,
    #[command(flatten)]
    why: Why,
    /// Answers in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WideScope {
    /// Everything
    Admin,
    /// Authorizations of every account, and nothing else
    Authorize,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this account only
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
    why: Why,
}

pub(super) async fn run(command: Keys, settings: &Settings) -> Result<(), CommandError> {
    let store = open(settings)?;
    schema::check(&store).await?;
    match command {
        Keys::Create(command) => create(command, &store).await,
        Keys::List(command) => list(&command, &store).await,
        Keys::Revoke(command) => revoke(command, store, settings).await,
    }
}

async fn create(command: Create, store: &Store) -> Result<(), CommandError> {
    let scope = match (command.account, command.scope) {
        (Some(account), _) => Scope::Account(account),
        (None, Some(WideScope::Admin)) => Scope::Admin,
        (None, _) => Scope::Authorize,
    };
    let text = KeyText::random();
    let text = text.ok_or_else(|| refused("the system gives no random bytes"))?;
    let new = NewKey {
        name: printable(&command.name, "--name")?,
        scope: scope.clone(),
        prefix: text.prefix().to_owned(),
        sha256: *text.digest().bytes(),
    };
    let by = Arc::new(command.why.by(Clock::system().now()));
    let created = store.transact("keys::create", move |connection| {
        let (new, by) = (new.clone(), Arc::clone(&by));
        async move { keys::create(connection, &new, &by).await }.boxed()
    });
    let Some(key) = created.await? else {
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

async fn revoke(command: Revoke, store: Store, settings: &Settings) -> Result<(), CommandError> {
    let clock = Clock::system();
    let (id, by) = (command.id, Arc::new(command.why.by(clock.now())));
    let revoked = store.transact("keys::revoke", move |connection| {
        let by = Arc::clone(&by);
        async move { keys::revoke(connection, id, &by).await }.boxed()
    });
    if revoked.await?.is_none() {
        return Err(refused(format!("there is no key {id}")));
    }
    let balance = Balance::from_settings(settings, clock.clone())
        .map_err(|error| refused(one_line(&error)))?;
    Believed::new(store, balance, clock).until_disbelieved(id).await;
    print(&format!("{id} is revoked"))
}

fn refused(why: impl Into<String>) -> CommandError {
    CommandError::Refused(why.into())
}

fn in_text(key: &Key) -> String {
    let scope = match key.scope.account() {
        Some(account) => format!("account {account}"),
        None => key.scope.as_str().to_owned(),
    };
    let used = key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
    let revoked = key.revoked_at.map(|at| format!(", revoked {at}")).unwrap_or_default();
    let (id, prefix, name) = (key.id, &key.prefix, &key.name);
    format!("{id}  {prefix}...  {scope}  {name}  (made {}, {used}{revoked})", key.created_at)
}
