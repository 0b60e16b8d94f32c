//! What Stripe's web hooks report about money that goes back. A refund in an event is booked as it
//! is there; a dispute is read again, because its rows in the balance are not in every event.

use super::Booked;
use crate::payments::stripe_event::EventOutcome;
use crate::payments::{EventRefusal, PaymentError, Payments};
use crate::stripe::{Charge, Dispute, Event, Refund, StripeError};

impl Payments {
    /// Takes an event about a refund.
    pub(in crate::payments) async fn take_refund(
        &self,
        event: &Event,
    ) -> Result<EventOutcome, EventRefusal> {
        let refund: Refund = event.object().map_err(|_| EventRefusal::Unparsable)?;
        // Events come late and out of order: Stripe says how it is now.
        let refund = match self.stripe.refund(&refund.id, self.deadline()).await {
            Ok(now) => now,
            Err(StripeError::NotFound { .. }) => return Ok(EventOutcome::Foreign),
            Err(error) => return Err(PaymentError::from(error).into()),
        };
        let booked = self.book_refund(&refund, Some((event.id.clone(), event.kind.clone()))).await;
        Ok(outcome(booked?))
    }

    /// Takes a refunded charge, which does not carry its refunds in the present API version.
    pub(in crate::payments) async fn take_charge(
        &self,
        event: &Event,
    ) -> Result<EventOutcome, EventRefusal> {
        let charge: Charge = event.object().map_err(|_| EventRefusal::Unparsable)?;
        let listed = self.stripe.refunds_of(&charge.id, self.deadline()).await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(StripeError::NotFound { .. }) => return Ok(EventOutcome::Foreign),
            Err(error) => return Err(PaymentError::from(error).into()),
        };
        let mut all = EventOutcome::Foreign;
        for refund in listed.iter().rev() {
            match self.book_refund(refund, None).await? {
                Booked::Changed => all = EventOutcome::Applied,
                Booked::Before if all == EventOutcome::Foreign => all = EventOutcome::Repeated,
                Booked::Before | Booked::Foreign => {}
            }
        }
        Ok(all)
    }

    /// Takes an event about a dispute.
    pub(in crate::payments) async fn take_dispute(
        &self,
        event: &Event,
    ) -> Result<EventOutcome, EventRefusal> {
        let dispute: Dispute = event.object().map_err(|_| EventRefusal::Unparsable)?;
        let dispute = match self.stripe.dispute(&dispute.id, self.deadline()).await {
            Ok(now) => now,
            Err(StripeError::NotFound { .. }) => return Ok(EventOutcome::Foreign),
            Err(error) => return Err(PaymentError::from(error).into()),
        };
        let event = Some((event.id.clone(), event.kind.clone()));
        Ok(outcome(self.book_dispute(&dispute, event).await?))
    }
}

fn outcome(booked: Booked) -> EventOutcome {
    match booked {
        Booked::Changed => EventOutcome::Applied,
        Booked::Before => EventOutcome::Repeated,
        Booked::Foreign => EventOutcome::Foreign,
    }
}
