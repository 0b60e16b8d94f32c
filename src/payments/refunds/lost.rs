//! Books refunds and disputes whose web hooks were lost: those that Stripe created lately, and those
//! disputes that the ledger takes for open, however old they are.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Booked;
use crate::ledger::payments::disputes;
use crate::payments::{PaymentError, Payments};
use crate::stripe::{Created, Deadline, StripeError};

/// The longest time of one page of a listing.
const PAGE_MAX: Duration = Duration::from_secs(30);
/// Old disputes that are asked about one by one.
const OPEN_MAX: i64 = 1_000;

impl Payments {
    /// Books every refund and dispute that Stripe created at `since` or later, and the end of each
    /// dispute that is open here; returns how many changed something.
    ///
    /// # Errors
    /// If Stripe or the ledger does not answer: run it again.
    pub async fn book_lost(&self, since: DateTime<Utc>) -> Result<usize, PaymentError> {
        self.check_own_account(Deadline::after(PAGE_MAX)).await?;
        let to = self.clock.now() + self.clock.offset().abs() + chrono::TimeDelta::days(1);
        let created = Created { from: since - self.clock.offset().abs(), to };
        let mut found = 0;
        for refund in self.stripe.refunds_created(created, PAGE_MAX).await?.iter().rev() {
            found += usize::from(self.book_refund(refund, None).await? == Booked::Changed);
        }
        let disputes = self.stripe.disputes_created(created, PAGE_MAX).await?;
        for dispute in disputes.iter().rev() {
            found += usize::from(self.book_dispute(dispute, None).await? == Booked::Changed);
        }
        // A dispute may take months, and its end moves money.
        let open = disputes::open(&mut *self.store.read().await?, OPEN_MAX).await?;
        for id in open.iter().filter(|id| !disputes.iter().any(|listed| listed.id == **id)) {
            let dispute = match self.stripe.dispute(id, Deadline::after(PAGE_MAX)).await {
                Ok(dispute) => dispute,
                Err(StripeError::NotFound { .. }) => {
                    tracing::error!(dispute = %id, "stripe does not know a dispute any more");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            found += usize::from(self.book_dispute(&dispute, None).await? == Booked::Changed);
        }
        Ok(found)
    }
}
