//! Sets auto-refill, with the customer's consent.

use callmeter_core::domain::{AccountId, AccountStatus, EventType, Money, PaymentMethodId};
use callmeter_core::policy::auto_refill::{AutoRefillLimits, AutoRefillTerms, RefillSize};
use serde_json::json;
use sqlx::PgConnection;

use super::view::view;
use crate::change::{Affected, Change};
use crate::json::AutoRefillJson;
use crate::ledger::audit::{self, Action, AuditEntry, By};
use crate::ledger::outbox::{self, Fact};
use crate::ledger::payments::auto_refills::{self, Consent};
use crate::ledger::payments::cards::{self, SavedCard};
use crate::ledger::{LedgerError, Refusable, accounts};

/// The version of the sentence of consent; a new wording has another one.
const CONSENT_VERSION: &str = "2026-11";

/// The monthly cap that a request gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapGiven {
    /// None: the default of the settings.
    Default,
    /// This one.
    Cap(Money),
    /// No limit; an administrator's act.
    Unlimited,
}

/// The card that a request gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CardGiven {
    /// None: the default card at the time.
    Default,
    /// This one; `None`: its id is none of Stripe's.
    Named(Option<PaymentMethodId>),
}

/// What an account asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AutoRefillRequest {
    /// Threshold and size; `None` only where it is switched off.
    pub terms: Option<(Money, RefillSize)>,
    /// The cap.
    pub monthly_cap: CapGiven,
    /// The card.
    pub card: CardGiven,
    /// On or off.
    pub is_enabled: bool,
}

/// Sets auto-refill.
#[derive(Clone, Debug)]
pub(crate) struct SetAutoRefill {
    /// The account.
    pub account: AccountId,
    /// What is asked for.
    pub request: AutoRefillRequest,
    /// The cap where none is given.
    pub default_cap: Money,
    /// The limits.
    pub limits: AutoRefillLimits,
    /// The client's address.
    pub address: Option<String>,
}

/// Why auto-refill is not set. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSet {
    /// There is no such account.
    UnknownAccount,
    /// The account is closed.
    AccountClosed,
    /// No card is named, and the account has no default.
    NoPaymentMethod,
    /// The card is not the account's.
    UnknownPaymentMethod,
}

impl Change for SetAutoRefill {
    type Done = AutoRefillJson;
    type Refusal = NotSet;
    const NAME: &'static str = "payments::set_auto_refill";

    async fn apply(
        &self,
        connection: &mut PgConnection,
        by: &By,
    ) -> Refusable<AutoRefillJson, NotSet> {
        let Some(head) = accounts::lock(connection, &self.account).await? else {
            return Ok(Err(NotSet::UnknownAccount));
        };
        let account_key = head.account_key;
        let Some(account) = accounts::find(connection, &self.account).await? else {
            return Ok(Err(NotSet::UnknownAccount));
        };
        let request = &self.request;
        if request.is_enabled && account.status == AccountStatus::Closed {
            return Ok(Err(NotSet::AccountClosed));
        }
        let saved = cards::list(connection, account_key).await?;
        let card = match &request.card {
            CardGiven::Named(named) => {
                let card = saved.iter().find(|card| Some(&card.id) == named.as_ref());
                if card.is_none() {
                    return Ok(Err(NotSet::UnknownPaymentMethod));
                }
                card
            }
            CardGiven::Default => saved.iter().find(|card| card.is_default),
        };
        if request.is_enabled && card.is_none() {
            return Ok(Err(NotSet::NoPaymentMethod));
        }
        let before = view(connection, account_key, &self.limits, by.at).await?;
        match request.terms {
            Some((threshold, size)) => {
                let monthly_cap = match request.monthly_cap {
                    CapGiven::Default => Some(self.default_cap),
                    CapGiven::Cap(cap) => Some(cap),
                    CapGiven::Unlimited => None,
                };
                let terms = AutoRefillTerms { threshold, size, monthly_cap };
                let named = match &request.card {
                    CardGiven::Named(named) => named.as_ref(),
                    CardGiven::Default => None,
                };
                let on = request.is_enabled;
                auto_refills::set(connection, account_key, &terms, named, on, by.at).await?;
                if let Some(card) = card.filter(|_| on) {
                    self.keep_consent(connection, account_key, &terms, card, by).await?;
                }
            }
            None => {
                auto_refills::switch_off(connection, account_key, None).await?;
            }
        }
        let after = view(connection, account_key, &self.limits, by.at).await?;
        if before == after && !request.is_enabled {
            by.changed_nothing();
            return Ok(Ok(after));
        }
        let written = |shown: &AutoRefillJson| {
            serde_json::to_value(shown)
                .map_err(|error| LedgerError::unreadable("auto-refill", error))
        };
        let (data, kind) = (Some(written(&after)?), EventType::AutoRefillChanged);
        let fact = Fact { account_key, kind, at: by.at, sequence: None, data };
        outbox::add(connection, &[fact]).await?;
        let entry = AuditEntry {
            action: Action::AutoRefillChanged,
            account_key: Some(account_key),
            subject: self.account.to_string(),
            before: written(&before)?,
            after: written(&after)?,
        };
        audit::note(connection, by, &entry).await?;
        Ok(Ok(after))
    }

    fn affects(&self, _: Option<&AutoRefillJson>) -> Affected {
        // Authorizations know nothing of it.
        Affected::nothing()
    }
}

impl SetAutoRefill {
    async fn keep_consent(
        &self,
        connection: &mut PgConnection,
        account_key: i32,
        terms: &AutoRefillTerms,
        card: &SavedCard,
        by: &By,
    ) -> Result<(), LedgerError> {
        let sentence = sentence(terms, card);
        let (amount, target) = match terms.size {
            RefillSize::Amount(amount) => (Some(amount), None),
            RefillSize::Target(target) => (None, Some(target)),
        };
        let consent = Consent {
            sentence: &sentence,
            version: CONSENT_VERSION,
            who: &by.who,
            address: self.address.as_deref(),
            settings: json!({
                "threshold": terms.threshold, "amount": amount, "target": target,
                "monthly_cap": terms.monthly_cap, "payment_method": card.id,
            }),
        };
        Ok(auto_refills::keep_consent(connection, account_key, &consent, by.at).await?)
    }
}

/// What the customer agrees to.
fn sentence(terms: &AutoRefillTerms, card: &SavedCard) -> String {
    let face = format!("{} •••• {}", card.face.brand, card.face.last4);
    let charge = match terms.size {
        RefillSize::Amount(amount) => format!("we charge {face} {}", dollars(amount)),
        RefillSize::Target(target) => {
            format!("we charge {face} what brings the balance to {}", dollars(target))
        }
    };
    let cap = match terms.monthly_cap {
        Some(cap) => format!("at most {} a month", dollars(cap)),
        None => "without a monthly limit".to_owned(),
    };
    format!("When the balance falls below {}, {charge}, {cap}.", dollars(terms.threshold))
}

/// An amount in dollars and cents; every place that is not zero is shown.
fn dollars(amount: Money) -> String {
    let text = amount.to_string();
    let (whole, places) = text.split_once('.').unwrap_or((&text, "00"));
    let places = format!("{:0<2}", places.trim_end_matches('0'));
    format!("${whole}.{places}")
}

#[cfg(test)]
mod tests {
    use super::dollars;
    use callmeter_core::domain::Money;

    #[test]
    fn a_consent_names_cents_and_every_further_place() {
        for (micros, text) in [(20_000_000, "$20.00"), (20_500_000, "$20.50"), (14_000, "$0.014")] {
            assert_eq!(dollars(Money::from_micros(micros)), text);
        }
    }
}
