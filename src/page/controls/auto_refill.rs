//! Refilling the wallet by itself: the form, and what it does in a sentence.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use callmeter_core::domain::{Money, PaymentMethodId, RefillStatus};
use callmeter_core::policy::auto_refill::RefillSize;
use chrono::{DateTime, Utc};

use super::{Faults, FieldError, Given, saved, show};
use crate::json::{AutoRefillJson, AutoRefillState};
use crate::ledger::history::Stretch;
use crate::ledger::payments::cards::{self, SavedCard};
use crate::ledger::payments::refills;
use crate::page::Page;
use crate::page::decline::face;
use crate::page::error::PageError;
use crate::page::form::{self, Form};
use crate::page::money::{exact, field};
use crate::page::time::Time;
use crate::page::visit::{Act, Visit};
use crate::payments::{
    AutoRefillRequest, CapGiven, CardGiven, NotSet, SetAutoRefill, auto_refill_view,
};
use crate::recent::Recent;
use crate::wallet::Told;

/// The fields of the form, as they are shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) is_enabled: bool,
    pub(super) threshold: String,
    pub(super) is_target: bool,
    pub(super) amount: String,
    pub(super) cap: String,
    pub(super) card: String,
}

/// A saved card in a list of choices.
#[derive(Clone, Debug)]
pub(super) struct CardChoice {
    pub(super) id: String,
    pub(super) name: String,
}

/// By account, and whether an operator looks, who sees no card; with the number of events that were told
/// before.
pub(in crate::page) type AutoRefillSummaries = Recent<(i32, bool), (u64, AutoRefillSummary)>;

/// How long a summary stands without an event.
pub(in crate::page) const SUMMARY_STANDS: Duration = Duration::from_secs(5);

/// Auto-refill in a sentence.
#[derive(Clone, Debug, Default)]
pub(in crate::page) struct AutoRefillSummary {
    pub(in crate::page) state: &'static str,
    pub(in crate::page) tone: &'static str,
    pub(in crate::page) sentence: String,
    pub(in crate::page) problem: Option<Problem>,
}

/// Why auto-refill does not refill, and the way out.
#[derive(Clone, Debug)]
pub(in crate::page) struct Problem {
    pub(in crate::page) title: String,
    pub(in crate::page) text: String,
    pub(in crate::page) link: String,
    pub(in crate::page) action: &'static str,
}

/// `POST /wallet/auto-refill`
pub(in crate::page) async fn set(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    let values = Values {
        is_enabled: form.is_checked("enabled"),
        threshold: form.text("threshold"),
        is_target: form.one("size") == Some("target"),
        amount: form.text("amount"),
        cap: form.text("monthly_cap"),
        card: form.text("payment_method"),
    };
    let request = match read(&page, &form, &values) {
        Ok(request) => request,
        Err(errors) => return show(&page, &visit, Given::AutoRefill(values), errors).await,
    };
    if request.is_enabled && page.payments.is_none() {
        return Err(PageError::Unavailable("Payments by card are not set up here."));
    }
    let change = SetAutoRefill {
        account: visit.session.account.clone(),
        request,
        default_cap: page.monthly_cap,
        limits: page.auto_limits,
        address: visit.address.map(|address| address.to_string()),
    };
    match page.changes.run(change, visit.by(&page)).await? {
        Ok(_) => Ok(saved(&page, "auto-refill")),
        Err(refusal) => {
            let message = match refusal {
                NotSet::UnknownAccount => return Err(PageError::Internal),
                NotSet::AccountClosed => "The account is closed: nothing is refilled.",
                NotSet::NoPaymentMethod => "Add a card first.",
                NotSet::UnknownPaymentMethod => "This card was removed. Choose another one.",
            };
            let error = FieldError::new("payment_method", message);
            show(&page, &visit, Given::AutoRefill(values), vec![error]).await
        }
    }
}

/// Reads the form.
fn read(page: &Page, form: &Form, values: &Values) -> Result<AutoRefillRequest, Faults> {
    let mut errors = Vec::new();
    let mut amount = |field: &'static str, is_needed: bool| -> Option<Money> {
        let text = form.one(field);
        if text.is_none() && !is_needed {
            return None;
        }
        match form::amount(text.unwrap_or_default()) {
            Ok(amount) => Some(amount),
            Err(message) => {
                errors.push(FieldError::new(field, message));
                None
            }
        }
    };
    let threshold = amount("threshold", values.is_enabled);
    let size = amount("amount", values.is_enabled);
    let cap = amount("monthly_cap", false);
    if let Some(size) = size {
        let minimum = exact(page.minimum);
        if size < page.minimum {
            let message = format!("{} is below the minimum. Enter {minimum} or more.", exact(size));
            errors.push(FieldError::new("amount", message));
        } else if values.is_target && threshold.is_some_and(|threshold| size <= threshold) {
            let message = "The target must be above the line at which we refill.".to_owned();
            errors.push(FieldError::new("amount", message));
        } else if !values.is_target && cap.is_some_and(|cap| cap < size) {
            let message = format!("At least {}, one refill.", exact(size));
            errors.push(FieldError::new("monthly_cap", message));
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let size = size.map(|amount| {
        if values.is_target { RefillSize::Target(amount) } else { RefillSize::Amount(amount) }
    });
    Ok(AutoRefillRequest {
        terms: threshold.zip(size),
        monthly_cap: cap.map_or(CapGiven::Default, CapGiven::Cap),
        card: match form.one("payment_method") {
            None => CardGiven::Default,
            Some(id) => CardGiven::Named(PaymentMethodId::parse(id).ok()),
        },
        is_enabled: values.is_enabled,
    })
}

pub(super) fn choice(card: &SavedCard) -> CardChoice {
    CardChoice { id: card.id.to_string(), name: face(&card.face) }
}

pub(super) fn values_of(view: &AutoRefillJson) -> Values {
    let text = |amount: Option<Money>| amount.map(field).unwrap_or_default();
    Values {
        is_enabled: view.enabled,
        threshold: text(view.threshold),
        is_target: view.target.is_some(),
        amount: text(view.amount.or(view.target)),
        cap: text(view.monthly_cap),
        card: view.payment_method.clone().unwrap_or_default(),
    }
}

impl Page {
    /// The same, or what was read a moment ago, with no event told since: the rows of calls do not
    /// change it.
    pub(in crate::page) async fn recent_auto_refill_summary(
        &self,
        visit: &Visit,
        told: Option<Told>,
        now: DateTime<Utc>,
    ) -> Result<AutoRefillSummary, PageError> {
        let Some(told) = told else { return self.auto_refill_summary(visit, now).await };
        let key = (visit.session.account_key, visit.session.visitor.is_operator());
        match self.auto_refill_summaries.find(&key) {
            Some((events, summary)) if events == told.events() => Ok(summary),
            _ => {
                let summary = self.auto_refill_summary(visit, now).await?;
                self.auto_refill_summaries.keep(key, (told.events(), summary.clone()));
                Ok(summary)
            }
        }
    }

    /// Auto-refill in a sentence, and what keeps it from refilling.
    pub(in crate::page) async fn auto_refill_summary(
        &self,
        visit: &Visit,
        now: DateTime<Utc>,
    ) -> Result<AutoRefillSummary, PageError> {
        let account_key = visit.session.account_key;
        let mut connection = self.store.read().await?;
        let view = auto_refill_view(&mut connection, account_key, &self.auto_limits, now).await?;
        let saved = cards::list(&mut connection, account_key).await?;
        let mut waiting = None;
        if view.state == AutoRefillState::ActionNeeded {
            let stretch = Stretch { below: None, from: None, to: None, limit: 1 };
            let status = Some(RefillStatus::RequiresAction);
            let found = refills::list(&mut connection, account_key, status, None, &stretch).await?;
            waiting = found.items.into_iter().next().map(|refill| refill.id.to_string());
        }
        drop(connection);
        let is_operator = visit.session.visitor.is_operator();
        let named = view.payment_method.as_deref();
        let card = saved.iter().find(|card| match named {
            Some(named) => card.id.as_str() == named,
            None => card.is_default,
        });
        let card = card.filter(|_| !is_operator).map(|card| face(&card.face));
        let sentence = sentence(&view, card.as_deref());
        let (state, tone) = match view.state {
            AutoRefillState::Off => ("Off", ""),
            AutoRefillState::Ready => ("On", "good"),
            AutoRefillState::InFlight => ("Refilling now", "info"),
            AutoRefillState::BackingOff => ("Waiting", "warn"),
            AutoRefillState::Capped => ("Limit reached", "warn"),
            AutoRefillState::ActionNeeded => ("Your confirmation is needed", "warn"),
        };
        let problem = self.problem(&view, waiting);
        Ok(AutoRefillSummary { state, tone, sentence, problem })
    }

    fn problem(&self, view: &AutoRefillJson, waiting: Option<String>) -> Option<Problem> {
        let at = &self.at;
        match view.state {
            AutoRefillState::ActionNeeded => Some(Problem {
                title: "Your bank wants you to confirm an automatic refill.".to_owned(),
                text: "Nothing is charged before you do.".to_owned(),
                link: waiting.map_or_else(
                    || format!("{at}/history?status=pending"),
                    |refill| format!("{at}/refills/{refill}"),
                ),
                action: "Confirm it",
            }),
            AutoRefillState::Off => view.reason.as_deref().map(|reason| Problem {
                title: "Auto-refill switched itself off.".to_owned(),
                text: off_because(reason).to_owned(),
                link: format!("{at}/auto-refill"),
                action: "Choose a card",
            }),
            AutoRefillState::BackingOff => Some(Problem {
                title: "The last automatic refill was declined.".to_owned(),
                text: view.until.map_or_else(
                    || "We try again later.".to_owned(),
                    |until| format!("We try again at {}.", Time::minute(until).utc()),
                ),
                link: format!("{at}/add-funds"),
                action: "Add funds now",
            }),
            AutoRefillState::Capped => Some(Problem {
                title: "Auto-refill has reached its limit for this month.".to_owned(),
                text: "It goes on next month, or with a higher limit.".to_owned(),
                link: format!("{at}/auto-refill"),
                action: "Change the limit",
            }),
            AutoRefillState::Ready | AutoRefillState::InFlight => None,
        }
    }
}

fn off_because(reason: &str) -> &'static str {
    match reason {
        "expired_card" => "The card has expired. Nothing was charged.",
        "card_removed" => "Its card was removed.",
        "no_payment_method" => "There is no card to charge.",
        "chargeback" => "A payment was disputed at the bank.",
        _ => "The bank declined the card. Nothing was charged.",
    }
}

/// What auto-refill does, with its own values.
fn sentence(view: &AutoRefillJson, card: Option<&str>) -> String {
    let Some(threshold) = view.threshold else {
        return "Nothing is charged by itself.".to_owned();
    };
    let card = card.unwrap_or("your card");
    let charge = match (view.amount, view.target) {
        (Some(amount), _) => format!("we charge {card} {}", exact(amount)),
        (None, Some(target)) => {
            format!("we charge {card} what brings the balance to {}", exact(target))
        }
        (None, None) => return "Nothing is charged by itself.".to_owned(),
    };
    let cap = match view.monthly_cap {
        Some(cap) => format!("at most {} a month", exact(cap)),
        None => "without a monthly limit".to_owned(),
    };
    let rule = format!("elow {} {charge}, {cap}.", exact(threshold));
    if view.enabled {
        format!("B{rule}")
    } else {
        format!("Nothing is charged by itself. Once it is on again: b{rule}")
    }
}
