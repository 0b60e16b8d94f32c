//! Phase 3, rents: charges the due months of rented numbers. No I/O.

use callmeter_core::domain::money::Money;
use callmeter_core::domain::transaction::{TransactionKind, TransactionStatus};
use callmeter_core::policy::budget::spending_of;
use chrono::{NaiveTime, TimeDelta};

use super::Outcome;
use super::charge::{Books, Entered, beyond_range, saturating_sum, wallet};
use super::load::KnownRental;
use super::rows::{RentalRow, TransactionRow};
use crate::ingest::decode::{Rejection, RentalDue};
use crate::ingest::record::Record;
use crate::ledger::outbox::Fact;
use crate::ledger::rentals::{FailedRent, description};

impl<'a> Books<'a> {
    /// Debits a month's rent once, or records the failed attempt.
    pub(super) fn enter_rental(
        &mut self,
        index: usize,
        record: &'a Record,
        rental: &'a RentalDue,
    ) -> Entered {
        let owner = self.owner(index, rental.twilio_account_sid.as_str())?;
        let identity = (rental.phone_number_sid.clone(), rental.period_start);
        let known = self.rentals.get(&identity).or_else(|| self.snapshot.rentals.get(&identity));
        if let Some(&known) = known {
            return Ok(self.enter_known_rental(record, rental, known));
        }
        let price = self.rental_price(rental)?;
        let head = wallet(&mut self.wallets, owner.account_key)?;
        let before = head.balance;
        let is_paid = head.affords(price);
        let after = if is_paid {
            head.debited(price).ok_or_else(|| beyond_range("the balance"))?
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
            let told = Fact::transaction(owner.account_key, head.sequence, at);
            self.rows.crossings.facts.push(told);
            let (kind, status) = (
                TransactionKind::NumberRental,
                if is_paid { TransactionStatus::Completed } else { TransactionStatus::Failed },
            );
            self.rows.crossings.note(head.moved_from(before, spending_of(kind, status, price)));
            self.rows.transactions.push(TransactionRow {
                account_key: owner.account_key,
                sequence: head.sequence,
                at,
                amount: price,
                balance_before: before,
                balance_after: after,
                kind,
                status,
                description: Some(description(
                    rental.phone_number.as_deref(),
                    rental.phone_number_sid.as_str(),
                    rental.period_start,
                )),
                call_sid: None,
            });
            Some(head.sequence)
        };
        let retry = TimeDelta::seconds(self.policy.rental_retry_seconds.into());
        if !is_paid {
            let failed = FailedRent {
                account_key: owner.account_key,
                sid: rental.phone_number_sid.as_str(),
                phone_number: rental.phone_number.as_deref(),
                period_start: rental.period_start,
                price,
                sequence,
                next_attempt_at: Some(at + retry),
                at,
            };
            self.rows.crossings.facts.push(failed.fact());
        }
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
        self.rentals.insert(identity, KnownRental { price });
        if !is_paid {
            return Ok(Outcome::Unpaid);
        }
        self.committed.rental_amount = saturating_sum(self.committed.rental_amount, price);
        Ok(Outcome::Charged)
    }

    /// A period that the ledger has: it is a conflict only if the event's own price differs. A
    /// failed one is retried on its own schedule, at its first price, and not because of its event.
    fn enter_known_rental(
        &mut self,
        record: &'a Record,
        rental: &RentalDue,
        known: KnownRental,
    ) -> Outcome {
        let RentalDue { phone_number_sid: sid, period_start: start, .. } = rental;
        match rental.monthly_price {
            Some(price) if price != known.price => {
                let detail = format!(
                    "the period of {sid} from {start} costs {}, and came again at {price}",
                    known.price
                );
                self.keep_conflict(record, format!("rental {sid} {start} {price}"), detail)
            }
            _ => Outcome::Duplicate,
        }
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
