//! Lists for the comparison of the books: payments, refunds, disputes and payouts by their time, and
//! the rows of the balance in a payout. Each page has its own time limit.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::listing::id_part;
use super::{Dispute, ListedPayment, Movement, Payout, Refund, StripeClient, StripeError};

/// When the listed objects were created: from `from`, until before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The first instant; a second of Stripe's.
    pub from: DateTime<Utc>,
    /// The first instant that is not included.
    pub to: DateTime<Utc>,
}

impl Created {
    fn bounds(self) -> (String, String) {
        // Stripe counts whole seconds.
        let to = self.to.timestamp() + i64::from(self.to.timestamp_subsec_nanos() > 0);
        (self.from.timestamp().to_string(), to.to_string())
    }
}

impl StripeClient {
    /// Lists payments with their charges and those charges' rows in the balance.
    ///
    /// # Errors
    /// As for [`Self::list_slowly`].
    pub async fn payments_created(
        &self,
        created: Created,
        page_max: Duration,
    ) -> Result<Vec<ListedPayment>, StripeError> {
        let (from, to) = created.bounds();
        let query = [
            ("created[gte]", from.as_str()),
            ("created[lt]", to.as_str()),
            ("expand[]", "data.latest_charge.balance_transaction"),
        ];
        self.list_slowly(&["payment_intents"], &query, page_max).await
    }

    /// Lists refunds with their rows in the balance.
    ///
    /// # Errors
    /// As for [`Self::list_slowly`].
    pub async fn refunds_created(
        &self,
        created: Created,
        page_max: Duration,
    ) -> Result<Vec<Refund>, StripeError> {
        let (from, to) = created.bounds();
        let query = [
            ("created[gte]", from.as_str()),
            ("created[lt]", to.as_str()),
            ("expand[]", "data.balance_transaction"),
        ];
        self.list_slowly(&["refunds"], &query, page_max).await
    }

    /// Lists disputes; their rows in the balance are in them.
    ///
    /// # Errors
    /// As for [`Self::list_slowly`].
    pub async fn disputes_created(
        &self,
        created: Created,
        page_max: Duration,
    ) -> Result<Vec<Dispute>, StripeError> {
        let (from, to) = created.bounds();
        let query = [("created[gte]", from.as_str()), ("created[lt]", to.as_str())];
        self.list_slowly(&["disputes"], &query, page_max).await
    }

    /// Lists payouts.
    ///
    /// # Errors
    /// As for [`Self::list_slowly`].
    pub async fn payouts_created(
        &self,
        created: Created,
        page_max: Duration,
    ) -> Result<Vec<Payout>, StripeError> {
        let (from, to) = created.bounds();
        let query = [("created[gte]", from.as_str()), ("created[lt]", to.as_str())];
        self.list_slowly(&["payouts"], &query, page_max).await
    }

    /// Lists the rows of the balance that a payout contains, itself included, with what each belongs
    /// to.
    ///
    /// # Errors
    /// As for [`Self::list_slowly`].
    pub async fn movements_of(
        &self,
        payout: &Payout,
        page_max: Duration,
    ) -> Result<Vec<Movement>, StripeError> {
        let query = [("payout", id_part(&payout.id)?), ("expand[]", "data.source")];
        self.list_slowly(&["balance_transactions"], &query, page_max).await
    }
}
