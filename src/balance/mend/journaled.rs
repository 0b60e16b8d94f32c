//! Holds of the journal, and which of them Redis lacks.

use std::collections::HashMap;

use callmeter_core::domain::{AccountId, CallSid};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row;

use super::super::error::BalanceError;
use super::super::hold::Hold;
use super::super::journal::LateChange;
use super::super::scripts::Missing;
use super::super::snapshot::read_sid;
use super::super::stage::Balance;
use super::share;

/// A hold that is due so soon may be released by Redis's clock already.
const DUE_SOON: TimeDelta = TimeDelta::seconds(5);

/// Pages of the journal's holds of some accounts that are not due.
pub(in crate::balance) struct JournalPages {
    /// The accounts that have more, and the hold after which to read on.
    left: Vec<(AccountId, DateTime<Utc>, String)>,
}

/// Some calls of each account that hold something by the journal.
pub(in crate::balance) type JournalPage = HashMap<AccountId, Vec<CallSid>>;

impl JournalPages {
    pub(in crate::balance) fn of(accounts: Vec<AccountId>, now: DateTime<Utc>) -> Self {
        let begin = now + DUE_SOON;
        Self { left: accounts.into_iter().map(|it| (it, begin, String::new())).collect() }
    }

    /// Reads the next page; `None`: there is no more.
    pub(in crate::balance) async fn next(
        &mut self,
        balance: &Balance,
    ) -> Result<Option<JournalPage>, BalanceError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let most = share(self.left.len());
        let ids: Vec<&str> = self.left.iter().map(|(account, ..)| account.as_str()).collect();
        let instants: Vec<DateTime<Utc>> = self.left.iter().map(|(_, at, _)| *at).collect();
        let after: Vec<&str> = self.left.iter().map(|(.., after)| after.as_str()).collect();
        let rows = sqlx::query(
            "-- balance::mend, the journal's holds
             SELECT n.place, j.call_sid, j.expires_at
             FROM unnest($1::text[], $2::timestamptz[], $3::text[]) WITH ORDINALITY
                 AS n (id, expires_at, call_sid, place) JOIN accounts AS a ON a.id = n.id
             CROSS JOIN LATERAL (
                 SELECT call_sid, expires_at FROM hold_journal
                 WHERE account_key = a.account_key AND hold IS NOT NULL
                   AND (expires_at, call_sid) > (n.expires_at, n.call_sid)
                 ORDER BY expires_at, call_sid LIMIT $4) AS j
             ORDER BY n.place, j.expires_at, j.call_sid",
        )
        .bind(&ids)
        .bind(&instants)
        .bind(&after)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut *balance.0.store.read().await?)
        .await?;
        let mut page = JournalPage::new();
        let mut more = Vec::new();
        for row in rows {
            let place = usize::try_from(row.try_get::<i64, _>("place")? - 1).unwrap_or(usize::MAX);
            let Some((account, ..)) = self.left.get(place) else { continue };
            let call_sid = read_sid(row.try_get("call_sid")?)?;
            let calls = page.entry(account.clone()).or_default();
            if calls.len() + 1 == most {
                let after = call_sid.as_str().to_owned();
                more.push((account.clone(), row.try_get("expires_at")?, after));
            }
            calls.push(call_sid);
        }
        self.left = more;
        Ok(Some(page))
    }
}

/// The holds of a page that Redis lacks: it has the wallet, knows nothing of the call, and the call is
/// not charged.
pub(in crate::balance) async fn lacking(
    balance: &Balance,
    page: &JournalPage,
) -> Result<Vec<LateChange>, BalanceError> {
    let asked: Vec<_> =
        page.iter().map(|(account, call_sids)| Missing { account, call_sids }).collect();
    let (mut ids, mut sids) = (Vec::new(), Vec::new());
    for (missing, answer) in asked.iter().zip(balance.bulk_many(&asked).await?) {
        for call_sid in answer? {
            ids.push(missing.account.as_str());
            sids.push(call_sid);
        }
    }
    if sids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "-- balance::mend, what redis lacks
         SELECT a.id, j.call_sid, j.hold
         FROM unnest($1::text[], $2::text[]) AS n (id, call_sid) JOIN accounts AS a ON a.id = n.id
         JOIN hold_journal AS j ON j.account_key = a.account_key AND j.call_sid = n.call_sid
         WHERE j.hold IS NOT NULL AND NOT EXISTS (
             SELECT FROM twilio_accounts AS t JOIN call_keys AS k USING (account_key, twilio_account_key)
             WHERE t.account_key = a.account_key AND k.call_key = call_key_of(j.call_sid))",
    )
    .bind(&ids)
    .bind(&sids)
    .fetch_all(&mut *balance.0.store.read().await?)
    .await?;
    let changes = rows.iter().map(|row| {
        let id: &str = row.try_get("id")?;
        let Some((account, _)) = page.get_key_value(id) else { return Ok(None) };
        let call_sid = read_sid(row.try_get("call_sid")?)?;
        let hold = Some(Hold::unpack(row.try_get("hold")?)?);
        Ok(Some(LateChange { account: account.clone(), call_sid, hold }))
    });
    changes.filter_map(Result::transpose).collect()
}
