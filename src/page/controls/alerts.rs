//! Low balance alerts: the form, and when the customer hears from us.

use std::collections::HashSet;

use axum::extract::State;
use axum::response::Response;
use callmeter_core::domain::Money;

use super::{Faults, FieldError, Given, saved, show};
use crate::accounts::UnknownAccount;
use crate::accounts::alerts::{SetAlerts, THRESHOLDS_MAX};
use crate::page::Page;
use crate::page::error::PageError;
use crate::page::form;
use crate::page::money::{exact, field};
use crate::page::visit::Act;

/// Empty fields behind those that are set.
const FREE: usize = 2;

/// The form as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) fields: Vec<Field>,
    pub(super) sentence: String,
}

/// A field of the form.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) value: String,
}

impl Shown {
    /// The thresholds in force, or what was typed.
    pub(super) fn new(thresholds: &[Money], given: Option<Vec<String>>, is_faulty: bool) -> Self {
        let mut sorted = thresholds.to_vec();
        sorted.sort_unstable_by(|one, next| next.cmp(one));
        let sentence = match &given {
            Some(_) if is_faulty => "Correct what is marked to see what will happen.".to_owned(),
            _ => sentence(&sorted),
        };
        let mut texts = given.unwrap_or_else(|| sorted.into_iter().map(field).collect());
        let count = (texts.iter().rposition(|text| !text.is_empty()).map_or(0, |last| last + 1)
            + FREE)
            .min(THRESHOLDS_MAX);
        texts.resize(count.max(texts.len().min(THRESHOLDS_MAX)), String::new());
        let fields = texts.into_iter().enumerate().map(|(place, value)| Field {
            id: id(place),
            label: if value.is_empty() {
                "Another, below".to_owned()
            } else {
                format!("Alert {}, below", place + 1)
            },
            value,
        });
        Self { fields: fields.collect(), sentence }
    }
}

fn id(place: usize) -> String {
    format!("threshold-{}", place + 1)
}

/// When the customer hears from us; thresholds from the highest.
fn sentence(thresholds: &[Money]) -> String {
    let [first, rest @ ..] = thresholds else {
        return "You hear from us when the balance is empty.".to_owned();
    };
    let mut sentence =
        format!("You hear from us once when the balance falls below {}", exact(*first));
    for threshold in rest {
        sentence = format!("{sentence}, once below {}", exact(*threshold));
    }
    sentence + ", and when it is empty. Each is armed again when the balance is back above it."
}

/// `POST /wallet/alerts`
pub(in crate::page) async fn set(
    State(page): State<Page>,
    Act(visit, form): Act,
) -> Result<Response, PageError> {
    let texts: Vec<String> = form.all("threshold").map(str::to_owned).collect();
    let (mut thresholds, mut seen) = (Vec::new(), HashSet::new());
    let mut errors = Faults::new();
    for (place, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        match form::amount(text) {
            Ok(threshold) if !seen.insert(threshold) => {
                let message = format!("{} stands here twice.", exact(threshold));
                errors.push(FieldError::new(id(place), message));
            }
            Ok(threshold) => thresholds.push(threshold),
            Err(message) => errors.push(FieldError::new(id(place), message)),
        }
    }
    if thresholds.len() > THRESHOLDS_MAX {
        let message = format!("At most {THRESHOLDS_MAX} alerts.");
        errors.push(FieldError::new(id(0), message));
    }
    if !errors.is_empty() {
        return show(&page, &visit, Given::Alerts(texts), errors).await;
    }
    let change = SetAlerts { account: visit.session.account.clone(), thresholds };
    let set = page.changes.run(change, visit.by(&page)).await?;
    set.map_err(|UnknownAccount| PageError::Internal)?;
    Ok(saved(&page, "alerts"))
}

#[cfg(test)]
mod tests {
    use super::{Shown, sentence};
    use callmeter_core::domain::Money;

    #[test]
    fn the_sentence_names_each_threshold_and_two_fields_are_free() {
        let dollars = |dollars: i64| Money::from_micros(dollars * 1_000_000);
        assert_eq!(sentence(&[]), "You hear from us when the balance is empty.");
        let shown = Shown::new(&[dollars(5), dollars(20)], None, false);
        let values: Vec<&str> = shown.fields.iter().map(|field| field.value.as_str()).collect();
        assert_eq!(values, ["20.00", "5.00", "", ""]);
        assert!(shown.sentence.contains("below $20.00, once below $5.00, and when it is empty"));
        let full: Vec<Money> = (1..=20).map(dollars).collect();
        assert_eq!(Shown::new(&full, None, false).fields.len(), 20);
        let typed = Some(vec![String::new(), "x".to_owned()]);
        assert_eq!(Shown::new(&[], typed, true).fields.len(), 4);
    }
}
