//! A number of the account, as it is listed.

use callmeter_core::domain::{NumberStatus, PhoneNumberSid};
use chrono::TimeDelta;

use super::names;
use crate::ledger::numbers::Number;
use crate::ledger::rentals::Unpaid;
use crate::page::Page;
use crate::page::money::exact;
use crate::page::time::Time;

/// A number of the account.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) id: String,
    pub(super) phone_number: String,
    pub(super) kind: String,
    pub(super) status: &'static str,
    pub(super) tone: &'static str,
    pub(super) note: Option<String>,
    /// `renews` or `next try`.
    pub(super) when_label: &'static str,
    pub(super) when: Option<Time>,
    pub(super) monthly: String,
    pub(super) can_release: bool,
    /// The amount of a refill that keeps it.
    pub(super) keep_with: Option<String>,
}

impl Owned {
    pub(super) fn new(page: &Page, number: Number, unpaid: &[Unpaid], suggestion: &str) -> Self {
        let sid = number.sid.as_ref().map(PhoneNumberSid::as_str);
        let late = unpaid.iter().find(|unpaid| Some(unpaid.sid.as_str()) == sid);
        let late = late.filter(|_| number.status == NumberStatus::Unpaid);
        let (status, tone, note) = match number.status {
            NumberStatus::Pending => ("Being bought", "info", None),
            NumberStatus::Active => ("Active", "good", None),
            NumberStatus::Unpaid => ("Renewal unpaid", "warn", late.map(|it| attempts(page, it))),
            NumberStatus::Suspended => {
                let note = "its renewal was not paid in time; its release is asked for";
                ("Suspended", "bad", Some(note.to_owned()))
            }
            NumberStatus::Releasing => ("Being released", "info", None),
            NumberStatus::Released => ("Released", "", None),
            NumberStatus::Failed => ("Not bought", "bad", None),
        };
        let when = late.map(|late| late.next_attempt_at).or(number.next_due_at);
        Self {
            id: number.id.to_string(),
            kind: names::both(&number.country, number.number_type),
            phone_number: number.phone_number,
            status,
            tone,
            note,
            when_label: if late.is_some() { "next try" } else { "renews" },
            when: when.map(Time::date),
            monthly: exact(number.monthly),
            can_release: matches!(
                number.status,
                NumberStatus::Active | NumberStatus::Unpaid | NumberStatus::Suspended
            ),
            keep_with: late.map(|_| suggestion.to_owned()),
        }
    }
}

fn attempts(page: &Page, late: &Unpaid) -> String {
    let last = Time::date(late.first_attempt_at + TimeDelta::days(page.retry_days.into()));
    let attempts = if late.attempts == 1 {
        "1 attempt so far".to_owned()
    } else {
        format!("{} attempts so far", late.attempts)
    };
    format!("{attempts}; one a day until {}, then suspended", last.utc())
}
