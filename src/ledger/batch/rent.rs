//! Phase 3, rents: enters the months of rented numbers that are due. No I/O.

use callmeter_core::domain::money::Money;
use callmeter_core::domain::transaction::{TransactionKind, TransactionStatus};
use chrono::{NaiveTime, TimeDelta};

use super::Outcome;
use super::charge::{Books, Entered, beyond_range, saturating_sum, wallet};
use super::load::KnownRental;
use super::rows::{RentalRow, TransactionRow};
use crate::ingest::decode::{RejectReason, Rejection, RentalDue};
use crate::ledger::rentals::description;

impl<'a> Books<'a> {
    /// Debits a month's rent once, or enters the failed attempt.
    pub(super) fn enter_rental(&mut self, index: usize, rental: &'a RentalDue) -> Entered {
        let owner = self.owner(index, rental.twilio_account_sid.as_str())?;
        let price = self.rental_price(rental)?;
        let identity = (rental.phone_number_sid.clone(), rental.period_start);
        let known = self.rentals.get(&identity).or_else(|| self.snapshot.rentals.get(&identity));
        if let Some(known) = known {
            if known.is_paid && known.price != price {
                return Err(Rejection {
                    reason: RejectReason::Conflict,
                    detail: format!(
                        "the period of {} from {} was paid at {}, and came again at {price}",
                        rental.phone_number_sid, rental.period_start, known.price
                    ),
                });
            }
            // One that failed is tried again by its own schedule, not by its event.
            return Ok(Outcome::Duplicate);
        }
        let head = wallet(&mut self.wallets, owner.account_key)?;
        let before = head.balance;
        let funds =
            before.checked_add(head.credit_limit).ok_or_else(|| beyond_range("the funds"))?;
        let is_paid = funds >= price;
        let after = if is_paid {
            before.checked_sub(price).ok_or_else(|| beyond_range("the balance"))?
        } else {
            before
        };
        let at = self.now.max(head.last_at);
        head.last_at = at;
        head.version += 1;
        let sequence = if price.is_zero() {
            None
        } else {
            head.sequence += 1;
            head.balance = after;
            self.rows.transactions.push(TransactionRow {
                account_key: owner.account_key,
                sequence: head.sequence,
                at,
                amount: price,
                balance_before: before,
                balance_after: after,
                kind: TransactionKind::NumberRental,
                status: if is_paid {
                    TransactionStatus::Completed
                } else {
                    TransactionStatus::Failed
                },
                description: Some(description(
                    rental.phone_number.as_deref(),
                    &rental.phone_number_sid,
                    rental.period_start,
                )),
                call_sid: None,
            });
            Some(head.sequence)
        };
        let retry = TimeDelta::seconds(self.policy.rental_retry_seconds.into());
        self.rows.rentals.push(RentalRow {
            account_key: owner.account_key,
            rental,
            price,
            is_paid,
            attempted_at: at,
            next_attempt_at: (!is_paid).then_some(at + retry),
            sequence,
        });
        self.touched_wallets.insert(owner.account_key);
        self.rentals.insert(identity, KnownRental { price, is_paid });
        if !is_paid {
            return Ok(Outcome::Unpaid);
        }
        self.committed.rental_amount = saturating_sum(self.committed.rental_amount, price);
        Ok(Outcome::Charged)
    }

    /// The event's own price, else the catalog's at the start of the period.
    fn rental_price(&self, rental: &RentalDue) -> Result<Money, Rejection> {
        if let Some(price) = rental.monthly_price {
            return Ok(price);
        }
        let country = rental.country.as_deref().unwrap_or_default();
        let number_type = rental.number_type.as_deref().unwrap_or_default();
        let starts_at = rental.period_start.and_time(NaiveTime::MIN).and_utc();
        let catalog = &self.snapshot.catalogs.at(starts_at).catalog;
        catalog.number_price(country, number_type).map(|price| price.monthly).ok_or_else(|| {
            Rejection::invalid(format!(
                "the catalog has no price for a number of country {country:?} and type {number_type:?}"
            ))
        })
    }
}
