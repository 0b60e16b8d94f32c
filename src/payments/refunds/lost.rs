//! Books refunds and disputes whose web hooks were lost.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Booked;
use crate::payments::{PaymentError, Payments};
use crate::stripe::Created;

/// The longest time of one page of a listing.
const PAGE_MAX: Duration = Duration::from_secs(30);

impl Payments {
    /// Books every refund and dispute that Stripe created at `since` or later; returns how many the
    /// ledger lacked.
    ///
    /// # Errors
    /// If Stripe or the ledger does not answer: run it again.
    pub async fn book_lost(&self, since: DateTime<Utc>) -> Result<usize, PaymentError> {
        self.check_own_account(crate::stripe::Deadline::after(PAGE_MAX)).await?;
        let to = self.clock.now() + self.clock.offset().abs() + chrono::TimeDelta::days(1);
        let created = Created { from: since - self.clock.offset().abs(), to };
        let mut found = 0;
        for refund in self.stripe.refunds_created(created, PAGE_MAX).await?.iter().rev() {
            found += usize::from(self.book_refund(refund, None).await? == Booked::Changed);
        }
        for dispute in self.stripe.disputes_created(created, PAGE_MAX).await?.iter().rev() {
            found += usize::from(self.book_dispute(dispute, None).await? == Booked::Changed);
        }
        Ok(found)
    }
}
