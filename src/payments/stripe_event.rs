//! Takes what Stripe's web hooks report (<https://docs.stripe.com/webhooks>). A succeeded payment is
//! credited in the transaction that notes the event; any other news makes this look at Stripe.

use callmeter_core::domain::{PaymentMethodId, RefillId, StripeCustomerId};

use super::settle::{Ended, Settle};
use super::{PaymentError, Payments, Settled};
use crate::ledger::LedgerError;
use crate::ledger::payments::refills::{self, Refill, Which};
use crate::ledger::payments::unmatched::{self, Mismatch, Unmatched};
use crate::ledger::payments::{card_setups, cards, events};
use crate::stripe::{Event, PaymentIntent, PaymentMethod, SetupIntent, signature};

const WHO: &str = "stripe:webhook";

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// It changed something, or made us look.
    Applied,
    /// It was applied before.
    Repeated,
    /// It is about something of somebody else.
    Foreign,
    /// It reports a payment that fits none of our refills.
    Mismatch,
    /// It is of a type that concerns no payment.
    Ignored,
}

impl EventOutcome {
    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Repeated => "repeated",
            Self::Foreign => "foreign",
            Self::Mismatch => "mismatch",
            Self::Ignored => "ignored",
        }
    }
}

/// Why an event is not taken.
#[derive(Debug, thiserror::Error)]
pub enum EventRefusal {
    /// No secret of web hooks is set.
    #[error("STRIPE_WEBHOOK_SECRET is not set")]
    NotConfigured,
    /// The signature is missing, wrong, or too old or too new.
    #[error("the signature is missing or wrong, or its time is more than 300 seconds off")]
    BadSignature,
    /// The body is no event.
    #[error("the body is no event of Stripe's")]
    Unparsable,
    /// The event is of the other mode than the key.
    #[error("the event is of the other mode (live or test) than the key")]
    OtherMode,
    /// Stripe or the ledger failed: Stripe delivers the event again.
    #[error(transparent)]
    Failed(#[from] PaymentError),
}

impl From<LedgerError> for EventRefusal {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.into())
    }
}

/// The type of an event; `other` if it is none that is known here.
pub(super) const KNOWN: [&str; 21] = [
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.canceled",
    "payment_intent.requires_action",
    "setup_intent.succeeded",
    "setup_intent.setup_failed",
    "payment_method.attached",
    "payment_method.detached",
    "payment_method.updated",
    "payment_method.automatically_updated",
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
];

impl Payments {
    /// Takes a delivery: checks its signature, then applies the event once. Returns its type, or
    /// `other`, and what became of it.
    ///
    /// # Errors
    /// See [`EventRefusal`]. Nothing was changed, or the next delivery changes nothing again.
    pub async fn take_event(
        &self,
        signature: Option<&str>,
        body: &[u8],
    ) -> Result<(&'static str, EventOutcome), EventRefusal> {
        let secrets = &self.settings.webhook_secrets;
        if secrets.is_empty() {
            return Err(EventRefusal::NotConfigured);
        }
        let header = signature.ok_or(EventRefusal::BadSignature)?;
        signature::verify(header, body, secrets, self.clock.unmoved())
            .map_err(|_| EventRefusal::BadSignature)?;
        let event = Event::parse(body).map_err(|_| EventRefusal::Unparsable)?;
        if event.livemode != self.settings.is_live {
            return Err(EventRefusal::OtherMode);
        }
        let known = KNOWN.into_iter().find(|known| *known == event.kind);
        // A connected account is not ours.
        let Some(kind) = known.filter(|_| event.account.is_none()) else {
            return Ok(("other", EventOutcome::Ignored));
        };
        let mut connection = self.store.read().await.map_err(LedgerError::from)?;
        let is_repeated = events::is_known(&mut connection, &event.id).await;
        drop(connection);
        if is_repeated.map_err(LedgerError::from)? {
            return Ok((kind, EventOutcome::Repeated));
        }
        let outcome = match kind.split_once('.').map_or(kind, |(object, _)| object) {
            "refund" => self.take_refund(&event).await?,
            "charge" => match kind {
                "charge.refunded" => self.take_charge(&event).await?,
                "charge.refund.updated" => self.take_refund(&event).await?,
                _ => self.take_dispute(&event).await?,
            },
            "payment_intent" => self.take_payment(&event).await?,
            "setup_intent" => {
                let setup: SetupIntent = event.object().map_err(|_| EventRefusal::Unparsable)?;
                if kind == "setup_intent.setup_failed" {
                    return Ok((kind, self.take_failed_setup(&event, &setup).await?));
                }
                self.take_card(&event, setup.customer.as_deref(), None).await?
            }
            _ => {
                let method: PaymentMethod = event.object().map_err(|_| EventRefusal::Unparsable)?;
                self.take_card(&event, method.customer.as_deref(), Some(&method.id)).await?
            }
        };
        Ok((kind, outcome))
    }

    async fn take_payment(&self, event: &Event) -> Result<EventOutcome, EventRefusal> {
        let intent: PaymentIntent = event.object().map_err(|_| EventRefusal::Unparsable)?;
        let deadline = self.deadline();
        let ledger = self.ledger_id().await?;
        if intent.metadata.get("callmeter_ledger").map(String::as_str) != Some(ledger) {
            return Ok(EventOutcome::Foreign);
        }
        let Some(refill) = self.refill_of(&intent).await? else {
            if intent.status == "succeeded" {
                self.keep_unknown(event, &intent).await?;
                return Ok(EventOutcome::Mismatch);
            }
            return Ok(EventOutcome::Foreign);
        };
        if intent.status == "succeeded" {
            let paid = self.paid(&refill, &intent, deadline).await;
            let change = Settle {
                refill: refill.id.clone(),
                account: refill.account.clone(),
                ended: Ended::Paid(paid),
                event: Some((event.id.clone(), event.kind.clone())),
                public_url: self.settings.public_url.clone(),
                backoff: self.settings.auto_limits.backoff,
            };
            return Ok(match self.run_settle(&refill, change, WHO).await? {
                Settled::Mismatch { .. } => EventOutcome::Mismatch,
                Settled::Before => EventOutcome::Repeated,
                Settled::Credited | Settled::Failed => EventOutcome::Applied,
            });
        }
        if refill.is_finished() {
            return Ok(EventOutcome::Repeated);
        }
        // Events come late and out of order: Stripe says how it is now.
        self.advance_if_free(&refill.id, WHO, deadline).await?;
        self.note_event(event, "applied").await?;
        Ok(EventOutcome::Applied)
    }

    /// The refill of a payment, by the payment's id or its metadata.
    pub(super) async fn refill_of(
        &self,
        intent: &PaymentIntent,
    ) -> Result<Option<Refill>, PaymentError> {
        let mut connection = self.store.read().await?;
        if let Some(refill) = refills::find(&mut connection, Which::Intent(&intent.id)).await? {
            return Ok(Some(refill));
        }
        let named = intent.metadata.get("callmeter_refill").map(|id| RefillId::parse(id));
        match named {
            Some(Ok(id)) => Ok(refills::find(&mut connection, Which::Id(&id)).await?),
            _ => Ok(None),
        }
    }

    /// A card was declined while it was set up: it counts as a declined payment does.
    async fn take_failed_setup(
        &self,
        event: &Event,
        setup: &SetupIntent,
    ) -> Result<EventOutcome, EventRefusal> {
        let (setup, now) = (setup.id.clone(), self.clock.now());
        let (id, kind) = (event.id.clone(), event.kind.clone());
        let noted = self.store.transact("card_setups::declined", move |connection| {
            let (setup, id, kind) = (setup.clone(), id.clone(), kind.clone());
            Box::pin(async move {
                if !events::note(connection, (&id, &kind), "applied", now).await? {
                    return Ok::<_, LedgerError>(Err(EventOutcome::Repeated));
                }
                let account = card_setups::declined(connection, &setup, now).await?;
                Ok(account.ok_or(EventOutcome::Foreign))
            })
        });
        match noted.await? {
            Ok(account_key) => {
                self.cancel_after_declines(account_key, self.deadline()).await?;
                Ok(EventOutcome::Applied)
            }
            Err(outcome) => Ok(outcome),
        }
    }

    async fn take_card(
        &self,
        event: &Event,
        customer: Option<&str>,
        card: Option<&PaymentMethodId>,
    ) -> Result<EventOutcome, EventRefusal> {
        let customer = customer.and_then(|id| StripeCustomerId::parse(id).ok());
        let mut connection = self.store.read().await.map_err(LedgerError::from)?;
        // A detached card names no customer any more.
        let owner = match (customer, card) {
            (Some(customer), _) => cards::owner(&mut connection, &customer).await,
            (None, Some(card)) => cards::holder(&mut connection, card).await,
            (None, None) => Ok(None),
        };
        drop(connection);
        let owner = owner.map_err(LedgerError::from)?;
        let Some(account_key) = owner else { return Ok(EventOutcome::Foreign) };
        self.renew_cards(account_key, self.deadline()).await?;
        self.note_event(event, "applied").await?;
        Ok(EventOutcome::Applied)
    }

    /// Keeps a payment of a refill that the ledger does not have.
    async fn keep_unknown(
        &self,
        event: &Event,
        intent: &PaymentIntent,
    ) -> Result<(), EventRefusal> {
        let (intent, id, kind) = (intent.clone(), event.id.clone(), event.kind.clone());
        tracing::error!(payment_intent = %intent.id, "a payment is of no refill of this ledger");
        let now = self.clock.now();
        let kept = self.store.transact("unmatched::keep", move |connection| {
            let (intent, id, kind) = (intent.clone(), id.clone(), kind.clone());
            Box::pin(async move {
                let payment = Unmatched {
                    payment_intent: intent.id.as_str(),
                    refill: intent.metadata.get("callmeter_refill").map(String::as_str),
                    reason: Mismatch::UnknownRefill,
                    amount: intent.amount_received,
                    currency: &intent.currency,
                    customer: intent.customer.as_deref(),
                };
                unmatched::keep(connection, &payment, now).await?;
                events::note(connection, (&id, &kind), "mismatch", now).await?;
                Ok::<_, LedgerError>(())
            })
        });
        Ok(kept.await?)
    }

    async fn note_event(&self, event: &Event, outcome: &'static str) -> Result<(), EventRefusal> {
        let (id, kind, now) = (event.id.clone(), event.kind.clone(), self.clock.now());
        let noted = self.store.transact("events::note", move |connection| {
            let (id, kind) = (id.clone(), kind.clone());
            Box::pin(async move {
                Ok::<_, LedgerError>(events::note(connection, (&id, &kind), outcome, now).await?)
            })
        });
        noted.await?;
        Ok(())
    }
}
