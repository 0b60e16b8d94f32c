//! Which account pays for a Twilio account: one, and permanently once a call under it is charged.

use std::collections::HashMap;

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, Row};

use super::accounts;
use super::audit::{Action, By};
use super::error::{LedgerError, Refusable};
use super::wallets;

/// The result of linking a Twilio account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linked {
    /// The account pays for it now.
    Linked,
    /// It did already.
    AlreadyLinked,
    /// Another account paid for it without a charged call: the link was moved.
    Moved {
        /// The other account.
        from: AccountId,
    },
}

/// Why a Twilio account is not linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotLinked {
    /// Another account was charged for its calls: the link stays.
    Charged {
        /// The other account.
        by: AccountId,
    },
    /// There is no such account.
    UnknownAccount,
}

/// The accounts that pay for Twilio accounts, by `AccountSid`; unlinked ones are left out.
///
/// # Errors
/// `Unreadable` if an id is invalid.
pub async fn payers(
    connection: &mut PgConnection,
    sids: &[&TwilioAccountSid],
) -> Result<HashMap<TwilioAccountSid, AccountId>, LedgerError> {
    let words: Vec<&str> = sids.iter().map(|sid| sid.as_str()).collect();
    let rows = sqlx::query(
        "-- links::payers
         SELECT t.twilio_account_sid, a.id
         FROM twilio_accounts AS t JOIN accounts AS a USING (account_key)
         WHERE t.twilio_account_sid = ANY($1)",
    )
    .bind(&words)
    .fetch_all(connection)
    .await?;
    let payers = rows.iter().map(|row| {
        let sid = TwilioAccountSid::parse(row.try_get("twilio_account_sid")?)
            .map_err(|error| LedgerError::unreadable("an AccountSid", error))?;
        let payer = AccountId::parse(row.try_get("id")?)
            .map_err(|error| LedgerError::unreadable("an account's id", error))?;
        Ok((sid, payer))
    });
    payers.collect()
}

/// Links a Twilio account to the account that pays for it.
///
/// Both wallets are locked, in order of their keys. So a charge under the Twilio account is either
/// committed before and found here, or it reads the link afterwards.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn link(
    connection: &mut PgConnection,
    id: &AccountId,
    sid: &TwilioAccountSid,
    by: &By,
) -> Refusable<Linked, NotLinked> {
    let linked = link_unnoted(connection, id, sid, by.at).await?;
    let before = match &linked {
        Ok(Linked::Linked) => None,
        Ok(Linked::AlreadyLinked) => Some(id),
        Ok(Linked::Moved { from }) => Some(from),
        Err(_) => return Ok(linked),
    };
    let account = accounts::find_known(connection, id).await?;
    let change = (
        json!({ "twilio_account_sid": sid, "account": before }),
        json!({ "twilio_account_sid": sid, "account": id }),
    );
    accounts::note(connection, by, Action::TwilioAccountLinked, &account, change).await?;
    Ok(linked)
}

async fn link_unnoted(
    connection: &mut PgConnection,
    id: &AccountId,
    sid: &TwilioAccountSid,
    now: DateTime<Utc>,
) -> Refusable<Linked, NotLinked> {
    let Some(account_key) = accounts::key_of(connection, id).await? else {
        return Ok(Err(NotLinked::UnknownAccount));
    };
    let Some(holder) = holder_of(connection, sid).await? else {
        let head = wallets::lock(connection, account_key).await?;
        insert(connection, account_key, sid, now).await?;
        raise(connection, head).await?;
        return Ok(Ok(Linked::Linked));
    };
    if holder.account_key == account_key {
        return Ok(Ok(Linked::AlreadyLinked));
    }
    let mut heads = Vec::with_capacity(2);
    for key in [account_key.min(holder.account_key), account_key.max(holder.account_key)] {
        heads.push(wallets::lock(connection, key).await?);
    }
    let charged: bool = sqlx::query_scalar(
        "-- links::link, whether a call was charged, or a number bought
         SELECT EXISTS (SELECT FROM call_keys WHERE account_key = $1 AND twilio_account_key = $2)
             OR EXISTS (SELECT FROM numbers WHERE account_key = $1 AND twilio_account_sid = $3
                 AND status NOT IN ('released', 'failed'))",
    )
    .bind(holder.account_key)
    .bind(holder.twilio_account_key)
    .bind(sid.as_str())
    .fetch_one(&mut *connection)
    .await?;
    if charged {
        return Ok(Err(NotLinked::Charged { by: holder.account }));
    }
    let moved = sqlx::query(
        "-- links::link, move
         UPDATE twilio_accounts SET account_key = $3, linked_at = $4
         WHERE twilio_account_key = $1 AND account_key = $2",
    )
    .bind(holder.twilio_account_key)
    .bind(holder.account_key)
    .bind(account_key)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() != 1 {
        // Moved by another transaction since it was read: report a conflict, so that this runs
        // again.
        return Err(LedgerError::Store(super::store::StoreError::Conflict(
            sqlx::Error::RowNotFound,
        )));
    }
    for head in heads {
        raise(connection, head).await?;
    }
    Ok(Ok(Linked::Moved { from: holder.account }))
}

/// True if an account pays for one of these Twilio accounts.
///
/// # Errors
/// If Postgres fails, or holds a value that cannot be read.
pub async fn any_linked(
    connection: &mut PgConnection,
    sids: &[TwilioAccountSid],
) -> Result<bool, LedgerError> {
    let sids: Vec<&str> = sids.iter().map(TwilioAccountSid::as_str).collect();
    let linked = sqlx::query_scalar(
        "-- links::any_linked
         SELECT EXISTS (SELECT FROM twilio_accounts WHERE twilio_account_sid = ANY ($1))",
    )
    .bind(sids)
    .fetch_one(connection)
    .await?;
    Ok(linked)
}

/// Raises the version, so that the projection reads the links again.
async fn raise(
    connection: &mut PgConnection,
    head: Option<wallets::WalletHead>,
) -> Result<(), LedgerError> {
    let mut head = head.ok_or_else(|| LedgerError::unreadable("an account", "it has no wallet"))?;
    wallets::raise_version(connection, &mut head).await
}

struct Holder {
    twilio_account_key: i32,
    account_key: i32,
    account: AccountId,
}

async fn holder_of(
    connection: &mut PgConnection,
    sid: &TwilioAccountSid,
) -> Result<Option<Holder>, LedgerError> {
    let row = sqlx::query(
        "-- links::holder_of
         SELECT t.twilio_account_key, t.account_key, a.id
         FROM twilio_accounts AS t JOIN accounts AS a USING (account_key)
         WHERE t.twilio_account_sid = $1",
    )
    .bind(sid.as_str())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Holder {
        twilio_account_key: row.try_get("twilio_account_key")?,
        account_key: row.try_get("account_key")?,
        account: AccountId::parse(row.try_get("id")?)
            .map_err(|error| LedgerError::unreadable("an account id", error))?,
    }))
}

async fn insert(
    connection: &mut PgConnection,
    account_key: i32,
    sid: &TwilioAccountSid,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "-- links::insert
         INSERT INTO twilio_accounts (account_key, twilio_account_sid, linked_at)
         VALUES ($1, $2, $3)",
    )
    .bind(account_key)
    .bind(sid.as_str())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
