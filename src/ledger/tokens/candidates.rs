//! Which tokens are valid for an account, including replaced ones for a while.

use std::collections::HashMap;

use callmeter_core::domain::TwilioAccountSid;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::{TokenError, TwilioToken, TwilioTokens, UnopenedToken, read_sid};
use crate::vault::Sealed;

/// Twilio accounts whose tokens are read at once.
const PAGE: usize = 1_000;

/// The tokens valid for a Twilio account.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    /// The tokens, the most likely first.
    pub tokens: Vec<TwilioToken>,
    /// A token that may be valid for it, but cannot be opened.
    pub unopened: Option<UnopenedToken>,
    /// Since when the account has tokens of its own; `None`: it has none.
    own_since: Option<DateTime<Utc>>,
}

/// The result of a search through all tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// One of them matches.
    Found,
    /// None of them matches.
    Nobody,
    /// None of those that can be opened matches.
    Unopened(UnopenedToken),
}

impl TwilioTokens {
    /// The tokens valid for each of `sids`: its own first, then those of the account's other Twilio
    /// accounts, current ones before previous ones. The default token is valid for an account that
    /// has none, or had none until a while ago, and for an unlinked Twilio account.
    ///
    /// # Errors
    /// If Postgres fails. A token that cannot be opened is returned for the accounts it would
    /// serve.
    pub async fn speaking_for(
        &self,
        connection: &mut PgConnection,
        sids: &[TwilioAccountSid],
        now: DateTime<Utc>,
    ) -> Result<HashMap<TwilioAccountSid, Candidates>, TokenError> {
        let mut found = HashMap::<TwilioAccountSid, Candidates>::new();
        for sids in sids.chunks(PAGE) {
            let rows = sqlx::query(
                "-- tokens::speaking_for
                 SELECT asked.twilio_account_sid AS asked, owner.twilio_account_sid AS owner,
                     t.sealed, t.key_id, t.superseded_at,
                     head.first_set_at
                 FROM twilio_accounts AS asked
                 JOIN twilio_accounts AS owner USING (account_key)
                 JOIN twilio_tokens AS head ON head.twilio_account_key = owner.twilio_account_key
                 JOIN twilio_tokens_of_all_times AS t
                     ON t.twilio_account_key = owner.twilio_account_key
                 WHERE asked.twilio_account_sid = ANY ($1)
                 ORDER BY owner.twilio_account_sid <> asked.twilio_account_sid,
                     owner.twilio_account_key, t.superseded_at DESC NULLS FIRST",
            )
            .bind(sids.iter().map(TwilioAccountSid::as_str).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await?;
            for row in &rows {
                let speaking = found.entry(read_sid(row, "asked")?).or_default();
                let first_set_at: Option<_> = row.try_get("first_set_at")?;
                let first_set_at = first_set_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
                let since = speaking.own_since.get_or_insert(first_set_at);
                *since = first_set_at.min(*since);
                match self.open_row(row, now)? {
                    Some(Ok(token)) => speaking.tokens.push(token),
                    Some(Err(unopened)) => speaking.unopened = Some(unopened),
                    None => {}
                }
            }
        }
        for sid in sids {
            let speaking = found.entry(sid.clone()).or_default();
            speaking.tokens.extend(self.default_for(speaking.own_since, now));
            speaking.tokens.sort_by_key(|token| token.is_previous);
        }
        Ok(found)
    }

    /// Searches all tokens, the default one first, for a message that names no account.
    ///
    /// # Errors
    /// If Postgres fails, or holds a value that cannot be read.
    pub async fn any(
        &self,
        connection: &mut PgConnection,
        now: DateTime<Utc>,
        is_it: impl Fn(&TwilioToken) -> bool,
    ) -> Result<Signer, TokenError> {
        if self.default.as_ref().is_some_and(&is_it) {
            return Ok(Signer::Found);
        }
        let (mut after, mut nobody) = (0_i32, Signer::Nobody);
        loop {
            let rows = sqlx::query(
                "-- tokens::any
                 SELECT owner.twilio_account_key, owner.twilio_account_sid AS owner,
                     t.sealed, t.key_id, t.superseded_at
                 FROM (SELECT twilio_account_key FROM twilio_tokens
                     WHERE twilio_account_key > $1 ORDER BY twilio_account_key LIMIT $2) AS page
                 JOIN twilio_accounts AS owner USING (twilio_account_key)
                 JOIN twilio_tokens_of_all_times AS t USING (twilio_account_key)
                 ORDER BY twilio_account_key",
            )
            .bind(after)
            .bind(i64::try_from(PAGE).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await?;
            let Some(last) = rows.last() else { return Ok(nobody) };
            after = last.try_get("twilio_account_key")?;
            for row in &rows {
                match self.open_row(row, now)? {
                    Some(Ok(token)) if is_it(&token) => return Ok(Signer::Found),
                    Some(Err(unopened)) => nobody = Signer::Unopened(unopened),
                    _ => {}
                }
            }
        }
    }

    /// The default token, if it is still valid for an account with tokens of its own since then.
    fn default_for(
        &self,
        own_since: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<TwilioToken> {
        let default = self.default.clone()?;
        match own_since {
            None => Some(default),
            // Just long enough for messages that it signed before and that are posted again.
            Some(since) => (now - since < self.previous_counts_for)
                .then_some(TwilioToken { is_previous: true, ..default }),
        }
    }

    /// Opens a stored token; `None`: it has expired.
    fn open_row(
        &self,
        row: &PgRow,
        now: DateTime<Utc>,
    ) -> Result<Option<Result<TwilioToken, UnopenedToken>>, TokenError> {
        let superseded_at: Option<DateTime<Utc>> = row.try_get("superseded_at")?;
        if superseded_at.is_some_and(|at| now - at >= self.previous_counts_for) {
            return Ok(None);
        }
        let sealed = Sealed { key_id: row.try_get("key_id")?, bytes: row.try_get("sealed")? };
        Ok(Some(self.open(&read_sid(row, "owner")?, &sealed, superseded_at.is_some())))
    }
}
