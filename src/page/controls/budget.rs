//! The monthly budget: the form, what is spent of it, and what happens when it is.

use axum::extract::State;
use axum::response::Response;
use callmeter_core::domain::Money;
use callmeter_core::policy::budget::Budget;
use chrono::{DateTime, Utc};

use super::{Faults, FieldError, Given, saved, show};
use crate::accounts::UnknownAccount;
use crate::accounts::budget::{PERCENT_MAX, PERCENTS_MAX, SetBudget};
use crate::json::BudgetJson;
use crate::ledger::watched::Watched;
use crate::page::Page;
use crate::page::error::PageError;
use crate::page::form::{self, Form};
use crate::page::money::{cents, exact, field};
use crate::page::visit::Act;

/// Percents that a new budget is offered.
const PERCENTS: &str = "50, 80, 100";
const TENTHS: i64 = 1_000;

/// The form as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) values: Values,
    pub(super) spent: String,
    /// Of the month's spending, where there is a budget.
    pub(super) of: Option<Of>,
    pub(super) forecast: Option<String>,
    pub(super) sentence: String,
}

/// How much of the budget is spent.
#[derive(Clone, Debug)]
pub(in crate::page) struct Of {
    pub(in crate::page) monthly: String,
    pub(in crate::page) percent: i64,
    /// The bar's width in percent of the whole.
    pub(in crate::page) width: String,
    pub(in crate::page) tone: &'static str,
}

/// The fields of the form.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) monthly: String,
    pub(super) percents: String,
    pub(super) stops: bool,
}

impl Shown {
    /// The budget in force, or what was typed.
    pub(super) fn new(
        watched: &Watched,
        given: Option<Values>,
        is_faulty: bool,
        now: DateTime<Utc>,
    ) -> Self {
        let view = BudgetJson::new(watched, now);
        let sentence = match &given {
            Some(_) if is_faulty => "Correct what is marked to see what will happen.".to_owned(),
            _ => sentence(watched.budget.as_ref()),
        };
        let values = given.unwrap_or_else(|| Values {
            monthly: view.monthly.map(field).unwrap_or_default(),
            percents: if view.monthly.is_none() {
                PERCENTS.to_owned()
            } else {
                let percents = view.warn_at_percent.iter().map(i16::to_string);
                percents.collect::<Vec<_>>().join(", ")
            },
            stops: view.stop,
        });
        let forecast = view.forecast.filter(|forecast| *forecast > Money::ZERO);
        Self {
            values,
            spent: exact(view.spent),
            of: view.monthly.map(|monthly| Of::new(view.spent, monthly)),
            forecast: forecast.map(cents),
            sentence,
        }
    }
}

impl Of {
    pub(in crate::page) fn new(spent: Money, monthly: Money) -> Self {
        // A budget is above zero.
        let tenths = i128::from(spent.micros().max(0)) * i128::from(TENTHS)
            / i128::from(monthly.micros().max(1));
        let tenths = i64::try_from(tenths).unwrap_or(i64::MAX);
        let bar = tenths.min(TENTHS);
        Self {
            monthly: exact(monthly),
            percent: tenths / 10,
            width: format!("{}.{}", bar / 10, bar % 10),
            tone: if tenths >= TENTHS { "f2" } else { "f1" },
        }
    }
}

/// What the budget does, with its own values.
fn sentence(budget: Option<&Budget>) -> String {
    let Some(budget) = budget else {
        return "There is no budget: nothing warns you, and nothing stops calls but the balance."
            .to_owned();
    };
    let marks: Vec<String> =
        budget.warn_at_percent.iter().map(|percent| exact(mark(budget, *percent))).collect();
    let warned = match marks.as_slice() {
        [] => "We tell you when it is spent".to_owned(),
        [one] => format!("We warn you at {one}"),
        [rest @ .., last] => format!("We warn you at {} and {last}", rest.join(", ")),
    };
    let monthly = exact(budget.monthly);
    if budget.stop {
        format!("{warned}; when {monthly} is spent, new calls are refused until the next month.")
    } else {
        format!("{warned}; calls go on.")
    }
}

/// What is spent at a percent of a budget.
fn mark(budget: &Budget, percent: i16) -> Money {
    let micros = i128::from(budget.monthly.micros()) * i128::from(percent) / 100;
    Money::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// `POST /wallet/budget`
pub(in crate::page) async fn set(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    let budget = match read(&form) {
        Ok(budget) => budget,
        Err(errors) => {
            let values = Values {
                monthly: form.text("monthly"),
                percents: form.text("warn_at_percent"),
                stops: form.is_checked("stop"),
            };
            return show(&page, &visit, Given::Budget(values), errors).await;
        }
    };
    let change = SetBudget { account: visit.session.account.clone(), budget };
    let set = page.changes.run(change, visit.by(&page)).await?;
    set.map_err(|UnknownAccount| PageError::Internal)?;
    Ok(saved(&page, "budget"))
}

/// Reads the form; an empty amount removes the budget.
fn read(form: &Form) -> Result<Option<Budget>, Faults> {
    let Some(text) = form.one("monthly") else { return Ok(None) };
    let mut errors = Faults::new();
    let monthly = match form::amount(text) {
        Ok(monthly) if monthly.is_zero() => {
            Err("Enter more than $0.00, or leave it empty for no budget.".to_owned())
        }
        read => read,
    };
    let monthly = monthly.map_err(|message| errors.push(FieldError::new("monthly", message)));
    let percents = percents(form.one("warn_at_percent").unwrap_or_default())
        .map_err(|message| errors.push(FieldError::new("warn_at_percent", message)));
    match (monthly, percents) {
        (Ok(monthly), Ok(warn_at_percent)) => {
            Ok(Some(Budget { monthly, warn_at_percent, stop: form.is_checked("stop") }))
        }
        _ => Err(errors),
    }
}

/// Reads percents as people write them: `50, 80, 100`, with or without signs; sorted, each once.
fn percents(text: &str) -> Result<Vec<i16>, String> {
    let parts = text.split([',', ' ', ';']).map(|part| part.trim_end_matches('%'));
    let read = parts.filter(|part| !part.is_empty()).map(|part| {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<i16>());
        digits.and_then(Result::ok).filter(|percent| (1..=PERCENT_MAX).contains(percent))
    });
    let percents: Option<Vec<i16>> = read.collect();
    let mut percents = percents.ok_or_else(|| {
        format!("Enter whole percents from 1 to {PERCENT_MAX}, such as {PERCENTS}.")
    })?;
    percents.sort_unstable();
    percents.dedup();
    if percents.len() > PERCENTS_MAX {
        return Err(format!("At most {PERCENTS_MAX} percents."));
    }
    Ok(percents)
}

#[cfg(test)]
mod tests {
    use super::{Of, percents, sentence};
    use callmeter_core::domain::Money;
    use callmeter_core::policy::budget::Budget;

    #[test]
    fn percents_are_read_as_people_write_them() {
        let table: [(&str, &[i16]); 4] = [
            ("", &[]),
            ("50, 80, 100", &[50, 80, 100]),
            ("100% 50%", &[50, 100]),
            ("80;80", &[80]),
        ];
        for (text, read) in table {
            assert_eq!(percents(text).as_deref(), Ok(read), "{text}");
        }
        for text in ["0", "1001", "5.5", "-5", "half", "+5"] {
            assert!(percents(text).is_err(), "{text}");
        }
        let many = (1..=21).map(|percent: i16| percent.to_string()).collect::<Vec<_>>().join(",");
        assert!(percents(&many).is_err());
    }

    #[test]
    fn the_sentence_says_what_happens_and_the_bar_ends_at_the_whole() {
        let dollars = |dollars: i64| Money::from_micros(dollars * 1_000_000);
        let mut budget =
            Budget { monthly: dollars(120), warn_at_percent: vec![50, 80, 100], stop: false };
        let calm = "We warn you at $60.00, $96.00 and $120.00; calls go on.";
        assert_eq!(sentence(Some(&budget)), calm);
        budget.stop = true;
        assert!(sentence(Some(&budget)).ends_with("new calls are refused until the next month."));
        let (half, over) =
            (Of::new(dollars(60), dollars(120)), Of::new(dollars(180), dollars(120)));
        assert_eq!((half.percent, half.width.as_str(), half.tone), (50, "50.0", "f1"));
        assert_eq!((over.percent, over.width.as_str(), over.tone), (150, "100.0", "f2"));
        assert_eq!(Of::new(dollars(-3), dollars(120)).percent, 0);
    }
}
