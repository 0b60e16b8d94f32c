//! Events, read again by their id.

use super::{Deadline, Event, StripeClient, StripeError};

impl StripeClient {
    /// Reads an event, which is kept for 30 days.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn event(&self, id: &str, deadline: Deadline) -> Result<Event, StripeError> {
        self.object("events", id, deadline).await
    }
}
