//! Brings a refill forward, step by step, until it waits or ends.

use callmeter_core::domain::{
    DeclineClass, PaymentIntentId, RefillId, RefillStatus, RefillTrigger,
};
use callmeter_core::policy::decline;
use callmeter_core::policy::refill_state::{Failure, IntentStatus, RefillFacts, Step, next};

use chrono::TimeDelta;

use super::auto_refill::NOT_NEEDED;
use super::requests::{self, key, new_key};
use super::settle::{Ended, Settle};
use super::{PaymentError, Payments, Settled};
use crate::ledger::LedgerError;
use crate::ledger::audit::By;
use crate::ledger::payments::refill_progress::{self, Progress};
use crate::ledger::payments::refills::{self, Refill, StoredDecline};
use crate::metrics::REFILLS;
use crate::stripe::{Complaint, Deadline, PaymentIntent, StripeError};
use crate::telemetry::one_line;

/// Steps of one call; a refill takes five at most without a fault.
const STEPS_MAX: usize = 16;

/// Where a refill is after a call.
#[derive(Debug)]
pub struct Advanced {
    /// The refill as it is now.
    pub refill: Refill,
    /// Its payment intent as last read, if it was.
    pub intent: Option<PaymentIntent>,
}

impl Payments {
    /// Brings a refill forward that this process has claimed, then ends the claim. If Stripe does
    /// not answer, the refill stays as it is, and the job goes on.
    ///
    /// # Errors
    /// If the ledger cannot be read or written.
    pub async fn advance(
        &self,
        id: &RefillId,
        who: &str,
        deadline: Deadline,
    ) -> Result<Advanced, PaymentError> {
        // Boxed: its states are many, and every caller's future would hold them.
        let advanced = Box::pin(self.advance_until(id, who, deadline)).await;
        refills::release(&self.store, id, self.clock.now()).await?;
        match advanced {
            Err(
                error @ (PaymentError::Stripe(_)
                | PaymentError::OtherStripeAccount
                | PaymentError::RecoveryNeeded),
            ) => {
                let error = one_line(&error);
                tracing::warn!(refill = %id, error, "the outcome of a refill is not known yet");
                let refill = self.known(id).await?;
                count(&refill, "unknown");
                Ok(Advanced { refill, intent: None })
            }
            advanced => advanced,
        }
    }

    /// Brings a refill forward unless another process works on it.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub async fn advance_if_free(
        &self,
        id: &RefillId,
        who: &str,
        deadline: Deadline,
    ) -> Result<Option<Advanced>, PaymentError> {
        let now = self.clock.now();
        let until = now + self.claim_time();
        if !refills::claim(&self.store, id, now, until).await? {
            return Ok(None);
        }
        self.advance(id, who, deadline).await.map(Some)
    }

    async fn known(&self, id: &RefillId) -> Result<Refill, PaymentError> {
        let refill = self.refill(id).await?;
        refill.ok_or_else(|| LedgerError::unreadable("a refill", "it vanished").into())
    }

    async fn advance_until(
        &self,
        id: &RefillId,
        who: &str,
        deadline: Deadline,
    ) -> Result<Advanced, PaymentError> {
        let mut refill = self.known(id).await?;
        let mut intent: Option<PaymentIntent> = None;
        self.check_account(deadline).await?;
        for _ in 0..STEPS_MAX {
            if refill.is_finished() {
                break;
            }
            if let Some(read) = &intent {
                self.note_decline(&refill, read, deadline).await?;
                refill = self.known(id).await?;
            }
            let status = intent.as_ref().map(|read| IntentStatus::parse(&read.status));
            let facts = RefillFacts {
                trigger: refill.trigger,
                has_new_card: refill.has_new_card,
                has_intent: refill.payment_intent.is_some(),
                is_canceling: refill.is_canceling,
                declines: refill.declines,
                needs_customer: needs_customer(&refill),
                is_needed: self.is_needed(&refill).await?,
                age: self.clock.now() - refill.created_at,
            };
            let step = next(&facts, status, self.settings.limits);
            if matches!(step, Step::CreateIntent | Step::Confirm) {
                self.check_recovery().await?;
            }
            match step {
                Step::CreateIntent => intent = self.create_intent(&refill, deadline).await?,
                Step::FindIntent => match self.find_intent(&refill, deadline).await? {
                    Some(found) => intent = Some(found),
                    None => self.fail(&refill, Failure::NotSent, who).await?,
                },
                Step::ReadIntent => {
                    let id = intent_of(&refill)?;
                    intent = Some(self.stripe.payment_intent(&id, deadline).await?);
                }
                Step::Confirm => intent = self.confirm(&refill, deadline).await?,
                Step::Cancel(_) => {
                    let id = intent_of(&refill)?;
                    refill_progress::note(&self.store, &refill.id, &Progress::Canceling).await?;
                    let key = new_key(self.ledger_id().await?);
                    // Refused: it was paid or canceled meanwhile. The next step reads it.
                    intent = match self.stripe.cancel(&id, &key, deadline).await {
                        Ok(canceled) => Some(canceled),
                        Err(StripeError::Refused(_)) => None,
                        Err(error) => return Err(error.into()),
                    };
                }
                Step::Complete => {
                    let Some(succeeded) = &intent else { break };
                    let paid = self.paid(&refill, succeeded, deadline).await;
                    let settled = self.settle(&refill, Ended::Paid(paid), who).await?;
                    if let Settled::Mismatch { .. } = settled {
                        // An administrator decides.
                        break;
                    }
                }
                Step::Fail(failure) => self.fail(&refill, failure, who).await?,
                Step::AwaitCard => {
                    self.wait(&refill, RefillStatus::RequiresPaymentMethod, None).await?;
                    return Ok(Advanced { refill: self.known(id).await?, intent });
                }
                Step::AwaitAction => {
                    let url = intent.as_ref().and_then(redirect_url);
                    self.wait(&refill, RefillStatus::RequiresAction, url).await?;
                    return Ok(Advanced { refill: self.known(id).await?, intent });
                }
                Step::AwaitBank => {
                    self.wait(&refill, RefillStatus::Pending, None).await?;
                    return Ok(Advanced { refill: self.known(id).await?, intent });
                }
            }
            refill = self.known(id).await?;
        }
        Ok(Advanced { refill, intent })
    }

    /// Confirms the payment. Its outcome is read by id, unless Stripe answers with it.
    async fn confirm(
        &self,
        refill: &Refill,
        deadline: Deadline,
    ) -> Result<Option<PaymentIntent>, PaymentError> {
        let (id, form) = (intent_of(refill)?, requests::confirm(refill));
        let key = key(self.ledger_id().await?, refill, "confirm");
        match self.stripe.confirm(&id, &form, &key, deadline).await {
            Ok(confirmed) => Ok(Some(confirmed)),
            Err(StripeError::Card(_)) => Ok(None),
            // The card was removed meanwhile, say: it will never be confirmed.
            Err(StripeError::Refused(complaint)) => {
                self.declined(refill, stored(&complaint), deadline).await?;
                refill_progress::note(&self.store, &refill.id, &Progress::Canceling).await?;
                Ok(None)
            }
            Err(StripeError::Server { .. }) => {
                let read = self.stripe.payment_intent(&id, deadline).await?;
                if IntentStatus::parse(&read.status) == IntentStatus::RequiresConfirmation {
                    // Stripe keeps its failure under this key: the next attempt has another one.
                    refill_progress::note(&self.store, &refill.id, &Progress::NextAttempt).await?;
                }
                Ok(Some(read))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Creates the payment intent and stores its id. If the key answers a stored 5xx and the
    /// customer has no such payment, the next attempt has a new key.
    async fn create_intent(
        &self,
        refill: &Refill,
        deadline: Deadline,
    ) -> Result<Option<PaymentIntent>, PaymentError> {
        let (account, account_key) = (refill.account.as_str(), refill.account_key);
        let customer = self.customer(account, account_key, deadline).await?;
        let ledger = self.ledger_id().await?;
        let form = requests::create(ledger, refill, &customer)?;
        let key = key(ledger, refill, "create");
        let mut created = self.stripe.create_payment_intent(&form, &key, deadline).await;
        if let Err(StripeError::Server { .. }) = &created {
            created = self.stripe.create_payment_intent(&form, &key, deadline).await;
        }
        let intent = match created {
            Ok(intent) => Some(intent),
            Err(StripeError::Server { .. }) => {
                let found = self.find_intent(refill, deadline).await?;
                if found.is_none() {
                    refill_progress::note(&self.store, &refill.id, &Progress::NextAttempt).await?;
                }
                found
            }
            // The card was removed at Stripe, or cannot be used: no payment was made.
            Err(StripeError::Refused(complaint) | StripeError::Card(complaint)) => {
                self.refuse(refill, &complaint).await?;
                return Ok(None);
            }
            Err(StripeError::NotFound { param }) if param.as_deref() == Some("payment_method") => {
                let code = Some("resource_missing".to_owned());
                self.refuse(refill, &Complaint { code, ..Complaint::default() }).await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(intent) = &intent {
            self.keep_intent(refill, intent).await?;
        }
        Ok(intent)
    }

    async fn keep_intent(
        &self,
        refill: &Refill,
        intent: &PaymentIntent,
    ) -> Result<(), PaymentError> {
        let progress = Progress::Intent(intent.id.clone());
        Ok(refill_progress::note(&self.store, &refill.id, &progress).await?)
    }

    /// Looks for the refill's payment among the customer's: by listing, since a search lags.
    async fn find_intent(
        &self,
        refill: &Refill,
        deadline: Deadline,
    ) -> Result<Option<PaymentIntent>, PaymentError> {
        let Some(customer) = self.stored_customer(refill.account_key).await? else {
            return Ok(None);
        };
        let since = refill.created_at - self.clock.offset().abs() - TimeDelta::hours(1);
        let listed = self.stripe.payment_intents_of(&customer, since, deadline).await?;
        let found = listed.into_iter().find(|intent| {
            intent.metadata.get("callmeter_refill").map(String::as_str) == Some(refill.id.as_str())
        });
        if let Some(intent) = &found {
            self.keep_intent(refill, intent).await?;
        }
        Ok(found)
    }

    /// Notes a decline that the refill does not know yet.
    async fn note_decline(
        &self,
        refill: &Refill,
        intent: &PaymentIntent,
        deadline: Deadline,
    ) -> Result<(), PaymentError> {
        let Some(error) = &intent.last_payment_error else { return Ok(()) };
        let decline = stored(error);
        if refill.decline.as_ref() == Some(&decline) {
            return Ok(());
        }
        self.declined(refill, decline, deadline).await
    }

    /// Stripe refused to make the payment: nothing can be charged, and the refill fails.
    async fn refuse(&self, refill: &Refill, complaint: &Complaint) -> Result<(), PaymentError> {
        let ended = Ended::Failed { payment_intent: None, decline: stored(complaint) };
        self.settle(refill, ended, "stripe").await.map(|_| ())
    }

    async fn wait(
        &self,
        refill: &Refill,
        status: RefillStatus,
        redirect_url: Option<String>,
    ) -> Result<(), PaymentError> {
        if refill.status == status && refill.redirect_url == redirect_url {
            return Ok(());
        }
        if status == RefillStatus::RequiresAction {
            return self.require_action(refill, redirect_url).await;
        }
        let progress = Progress::Waits { status, redirect_url };
        Ok(refill_progress::note(&self.store, &refill.id, &progress).await?)
    }

    async fn fail(&self, refill: &Refill, failure: Failure, who: &str) -> Result<(), PaymentError> {
        let word = match failure {
            Failure::Declined => None,
            Failure::NotConfirmed => Some("not_confirmed"),
            Failure::NotSent => Some("not_sent"),
            Failure::NotNeeded => Some(NOT_NEEDED),
        };
        let decline = match word {
            Some(word) => StoredDecline { code: Some(word.to_owned()), ..StoredDecline::default() },
            None => refill.decline.clone().unwrap_or_default(),
        };
        let payment_intent = refill.payment_intent.clone();
        self.settle(refill, Ended::Failed { payment_intent, decline }, who).await.map(|_| ())
    }

    async fn settle(
        &self,
        refill: &Refill,
        ended: Ended,
        who: &str,
    ) -> Result<Settled, PaymentError> {
        let change = Settle {
            refill: refill.id.clone(),
            account: refill.account.clone(),
            ended,
            event: None,
            public_url: self.settings.public_url.clone(),
            backoff: self.settings.auto_limits.backoff,
        };
        self.run_settle(refill, change, who).await
    }

    /// Ends a refill and counts what became of it.
    pub(super) async fn run_settle(
        &self,
        refill: &Refill,
        change: Settle,
        who: &str,
    ) -> Result<Settled, PaymentError> {
        let by = By::new(who, self.clock.now());
        let settled = self.changes.run(change, by).await?;
        let settled = settled.unwrap_or(Settled::Before);
        match settled {
            Settled::Credited => count(refill, "completed"),
            Settled::Failed => count(refill, "failed"),
            Settled::Before | Settled::Mismatch { is_new: false, .. } => {}
            Settled::Mismatch { reason, .. } => {
                let reason = reason.as_str();
                tracing::error!(refill = %refill.id, reason, "a payment does not fit its refill");
            }
        }
        Ok(settled)
    }
}

/// The bank's page, where `return_url` was given.
fn redirect_url(intent: &PaymentIntent) -> Option<String> {
    intent.next_action.as_ref()?.redirect_to_url.as_ref()?.url.clone()
}

/// True if the bank wants the customer of an automatic refill to confirm it.
fn needs_customer(refill: &Refill) -> bool {
    let stored = refill.decline.as_ref().filter(|_| refill.trigger == RefillTrigger::Auto);
    stored.is_some_and(|stored| {
        let told = decline(stored.decline_code.as_deref(), stored.code.as_deref());
        told.class == DeclineClass::OnSession
    })
}

pub(super) fn count(refill: &Refill, outcome: &'static str) {
    let trigger = refill.trigger.as_str();
    metrics::counter!(REFILLS, "trigger" => trigger, "outcome" => outcome).increment(1);
}

fn stored(error: &Complaint) -> StoredDecline {
    StoredDecline {
        charge: error.charge.clone(),
        code: error.code.clone(),
        decline_code: error.decline_code.clone(),
        retry_at: None,
    }
}

fn intent_of(refill: &Refill) -> Result<PaymentIntentId, LedgerError> {
    let intent = refill.payment_intent.clone();
    intent.ok_or_else(|| LedgerError::unreadable("a refill", "it has no payment intent"))
}
