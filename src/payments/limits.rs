//! What an account may do in a while, against those who test stolen cards: declined tries, setups of
//! cards, and the sum that it pays in a day.

use callmeter_core::domain::Money;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::requests::new_key;
use super::{PaymentError, Payments};
use crate::ledger::LedgerError;
use crate::ledger::payments::card_setups;
use crate::ledger::payments::refill_progress::{self, Progress};
use crate::ledger::payments::refills::{self, Refill, StoredDecline};
use crate::stripe::{Deadline, StripeError};
use crate::telemetry::one_line;

/// The time in which declines and setups are counted.
const WHILE: TimeDelta = TimeDelta::hours(1);

/// The limit that a refill would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// The account's cards were declined too often in the last hour.
    TooManyDeclines,
    /// The account would pay more than it may in a day.
    DailyMax {
        /// What it may still pay today.
        left: Money,
    },
}

/// The limits of refills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefillRules {
    /// The least amount.
    pub minimum: Money,
    /// Declined tries of an account in an hour, of refills and of setups; `None`: no limit.
    pub declines_per_hour: Option<i64>,
    /// Setups of cards that an account may begin in an hour; `None`: no limit.
    pub setups_per_hour: Option<i64>,
    /// What an account may pay in a UTC day; `None`: no limit.
    pub daily_max: Option<Money>,
}

/// Checks what the settings allow an account lately.
pub(super) async fn check_limits(
    connection: &mut PgConnection,
    account_key: i32,
    rules: &RefillRules,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<Option<OverLimit>, LedgerError> {
    if has_too_many_declines(connection, account_key, rules, now).await? {
        return Ok(Some(OverLimit::TooManyDeclines));
    }
    let Some(daily_max) = rules.daily_max else { return Ok(None) };
    let today = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    let paid = refills::paid_since(connection, account_key, today).await?;
    let left = daily_max.checked_sub(paid).unwrap_or_default();
    Ok((amount > left).then_some(OverLimit::DailyMax {
        left: if left.is_negative() { Money::default() } else { left },
    }))
}

/// True if too many tries of an account's refills and setups were declined lately.
pub(super) async fn has_too_many_declines(
    connection: &mut PgConnection,
    account_key: i32,
    rules: &RefillRules,
    now: DateTime<Utc>,
) -> Result<bool, LedgerError> {
    let Some(most) = rules.declines_per_hour else { return Ok(false) };
    let of_refills = refills::declines_since(connection, account_key, now - WHILE).await?;
    let of_setups = card_setups::declines(connection, account_key, now - WHILE).await?;
    Ok(of_refills + of_setups >= most)
}

/// Notes that an account begins the setup of a card; false: it began too many lately. Call it under
/// the wallet's lock.
pub(super) async fn begin_setup(
    connection: &mut PgConnection,
    account_key: i32,
    request_sha256: &[u8],
    rules: &RefillRules,
    now: DateTime<Utc>,
) -> Result<bool, LedgerError> {
    let (most, since) = (rules.setups_per_hour, now - WHILE);
    Ok(card_setups::begin(connection, account_key, request_sha256, most, (since, now)).await?)
}

impl Payments {
    /// Notes that a try of a refill was declined. If it was one too many, what is open of the
    /// account is canceled.
    pub(super) async fn declined(
        &self,
        refill: &Refill,
        decline: StoredDecline,
        deadline: Deadline,
    ) -> Result<(), PaymentError> {
        let progress = Progress::Declined(decline);
        refill_progress::note(&self.store, &refill.id, &progress).await?;
        self.cancel_after_declines(refill.account_key, deadline).await
    }

    /// Cancels an account's open refills and setups if too many tries were declined lately.
    pub(super) async fn cancel_after_declines(
        &self,
        account_key: i32,
        deadline: Deadline,
    ) -> Result<(), PaymentError> {
        let (rules, now) = (self.settings.rules, self.clock.now());
        let mut connection = self.store.read().await?;
        if !has_too_many_declines(&mut connection, account_key, &rules, now).await? {
            return Ok(());
        }
        let setups = card_setups::open(&mut connection, account_key).await?;
        drop(connection);
        let canceled = self.store.transact("refills::cancel_open", move |connection| {
            Box::pin(async move { refills::cancel_open(connection, account_key).await })
        });
        canceled.await?;
        tracing::warn!(setups = setups.len(), "too many declines: open payments are canceled");
        for setup in setups {
            let key = new_key(self.ledger_id().await?);
            match self.stripe.cancel_setup_intent(&setup, &key, deadline).await {
                // Refused: it is done, or canceled before.
                Ok(_) | Err(StripeError::Refused(_) | StripeError::NotFound { .. }) => {}
                Err(error) => {
                    let error = one_line(&error);
                    tracing::warn!(error, "a setup is not canceled yet");
                    continue;
                }
            }
            let noted = self.store.transact("card_setups::canceled", move |connection| {
                let setup = setup.clone();
                Box::pin(async move { card_setups::canceled(connection, &setup, now).await })
            });
            noted.await?;
        }
        Ok(())
    }
}
