//! `GET /wallet/history`: every movement of money, newest first; with filters in the address, a
//! search, and the evidence of the row that is open.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use callmeter_core::domain::{
    CallSid, PaymentIntentId, TransactionKind, TransactionStatus, TransactionType,
};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};

use super::Page;
use super::error::PageError;
use super::form::{Form, Query};
use super::overview::refills_of;
use super::row::{Proof, Row, title};
use super::shell::{Entry, Shell};
use super::time::{Time, length};
use super::visit::{Look, Visit};
use crate::ledger::LedgerError;
use crate::ledger::entries::{self, Entry as LedgerEntry};
use crate::ledger::history::{self, ChargedCall, Stretch, TransactionFilter};

/// Rows of a page.
const ROWS: u16 = 50;

/// Kinds in the order of the filter.
const KINDS: [(&str, &[TransactionKind]); 2] = [
    (
        "Credits",
        &[
            TransactionKind::RefillManual,
            TransactionKind::RefillAuto,
            TransactionKind::Refund,
            TransactionKind::AdjustmentCredit,
            TransactionKind::ChargebackReversal,
            TransactionKind::RefillRefundReversal,
        ],
    ),
    (
        "Debits",
        &[
            TransactionKind::Overage,
            TransactionKind::Call,
            TransactionKind::NumberPurchase,
            TransactionKind::NumberRental,
            TransactionKind::RefillRefund,
            TransactionKind::Chargeback,
            TransactionKind::AdjustmentDebit,
        ],
    ),
];

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    shell: Shell,
    filter: Filter,
    kinds: Vec<(&'static str, Vec<KindChoice>)>,
    rows: Vec<Row>,
    /// Charged calls, those covered by the plan too, instead of rows.
    calls: Vec<CallRow>,
    /// The address of the next page.
    next: Option<String>,
    /// True if this is a later page.
    is_later: bool,
    csv: String,
    month: String,
    month_name: String,
    /// The address of this list without an open row.
    closed: String,
    joint: char,
}

#[derive(Clone, Debug)]
struct KindChoice {
    value: String,
    text: &'static str,
    is_chosen: bool,
}

/// A charged call in the list of calls.
#[derive(Clone, Debug)]
struct CallRow {
    ends: String,
    started: Time,
    lasted: String,
    billed: String,
    plan: Option<String>,
    amount: String,
    tag: Option<String>,
    call_sid: String,
}

/// What is looked for, as the address has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    kind: Option<TransactionKind>,
    status: Option<TransactionStatus>,
    direction: Option<TransactionType>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    pub(super) q: String,
    pub(super) shows_calls: bool,
    after: Option<i64>,
    open: Option<i64>,
}

impl Filter {
    /// Reads the address; what cannot be read is not filtered by.
    pub(super) fn read(query: &Form) -> Self {
        let date = |name| query.one(name).and_then(|text| text.parse::<NaiveDate>().ok());
        let number = |name| query.one(name).and_then(|text| text.parse::<i64>().ok());
        let within = |date: &NaiveDate| (1900..=9998).contains(&date.year());
        Self {
            kind: query.one("kind").and_then(|word| TransactionKind::parse(word).ok()),
            status: query.one("status").and_then(|word| TransactionStatus::parse(word).ok()),
            direction: query.one("type").and_then(|word| TransactionType::parse(word).ok()),
            from: date("from").filter(within),
            to: date("to").filter(within),
            q: query.text("q").chars().take(200).collect(),
            shows_calls: query.one("plan").is_some(),
            after: number("after").filter(|after| *after > 0),
            open: number("open"),
        }
    }

    /// The filter of the ledger.
    pub(super) fn of_ledger(&self) -> TransactionFilter {
        TransactionFilter { direction: self.direction, kind: self.kind, status: self.status }
    }

    /// The stretch of the list; `to` is a day, and included.
    pub(super) fn stretch(&self, limit: u16) -> Stretch {
        let start = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
        let end = self.to.and_then(|to| to.checked_add_days(Days::new(1)));
        let (from, to) = (self.from.map(start), end.map(start));
        Stretch { below: self.after, from, to, limit }
    }

    /// True if a row is one of those that are looked for, whatever is searched.
    fn fits(&self, row: &history::Transaction) -> bool {
        let (stretch, at) = (self.stretch(1), row.at);
        self.kind.is_none_or(|kind| kind == row.kind)
            && self.status.is_none_or(|status| status == row.status)
            && self.direction.is_none_or(|direction| direction == row.direction)
            && stretch.from.is_none_or(|from| at >= from)
            && stretch.to.is_none_or(|to| at < to)
    }

    fn status_is(&self, word: &str) -> bool {
        self.status.is_some_and(|status| status.as_str() == word)
    }

    fn date(date: Option<NaiveDate>) -> String {
        date.map(|date| date.to_string()).unwrap_or_default()
    }

    fn first_day(&self) -> String {
        Self::date(self.from)
    }

    fn last_day(&self) -> String {
        Self::date(self.to)
    }

    /// The filter as an address has it, without page and open row.
    fn address(&self) -> form_urlencoded::Serializer<'static, String> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut add = |name: &str, value: String| {
            if !value.is_empty() {
                query.append_pair(name, &value);
            }
        };
        add("kind", self.kind.map(|kind| kind.to_string()).unwrap_or_default());
        add("status", self.status.map(|status| status.to_string()).unwrap_or_default());
        add("type", self.direction.map(|it| it.to_string()).unwrap_or_default());
        add("from", self.first_day());
        add("to", self.last_day());
        add("q", self.q.clone());
        add("plan", if self.shows_calls { "1".to_owned() } else { String::new() });
        query
    }
}

/// What a list has.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<Row>,
    calls: Vec<CallRow>,
    next: Option<i64>,
}

/// `GET /wallet/history?kind=&status=&from=&to=&q=&plan=&after=&open=`
pub(super) async fn history(
    State(page): State<Page>,
    Look(visit): Look,
    Query(query): Query,
) -> Result<Response, PageError> {
    let (shell, _) = page.shell(&visit, Entry::History, "History").await?;
    let filter = Filter::read(&query);
    let mut found = find(&page, &visit, &filter).await?;
    for row in &mut found.rows {
        row.is_open |= Some(row.sequence) == filter.open;
    }
    let list = |with: &[(&str, String)]| {
        let mut query = filter.address();
        for (name, value) in with {
            query.append_pair(name, value);
        }
        let query = query.finish();
        let joint = if query.is_empty() { "" } else { "?" };
        format!("{}/history{joint}{query}", page.at)
    };
    let next = found.next.map(|next| list(&[("after", next.to_string())]));
    let here = filter.after.map(|after| ("after", after.to_string()));
    let closed = list(here.as_slice());
    let last_month = last_month(page.clock.now());
    let csv = filter.address().finish();
    let shown = HistoryPage {
        kinds: kinds(filter.kind),
        rows: found.rows,
        calls: found.calls,
        next,
        is_later: filter.after.is_some(),
        csv: format!("{}/history.csv?{csv}", page.at),
        month: last_month.format("%Y-%m").to_string(),
        month_name: last_month.format("%B").to_string(),
        joint: if closed.contains('?') { '&' } else { '?' },
        closed,
        shell,
        filter,
    };
    Ok(super::html(&shown).into_response())
}

async fn find(page: &Page, visit: &Visit, filter: &Filter) -> Result<Found, PageError> {
    let account_key = visit.session.account_key;
    let is_operator = visit.session.visitor.is_operator();
    let mut connection = page.store.read().await?;
    if !filter.q.is_empty() {
        let (entries, free) = search(&mut connection, account_key, filter).await?;
        let refills = refills_of(&mut connection, account_key, &entries).await?;
        let rows = entries.into_iter().map(|entry| {
            let row = Row::new(entry, &refills, is_operator);
            Row { is_open: true, ..row }
        });
        let rows = rows.chain(free.into_iter().map(free_call)).collect();
        return Ok(Found { rows, ..Found::default() });
    }
    let stretch = filter.stretch(ROWS);
    if filter.shows_calls {
        let found = history::calls(&mut connection, account_key, None, &stretch).await?;
        let calls = found.items.into_iter().map(call_row).collect();
        return Ok(Found { calls, next: found.next, ..Found::default() });
    }
    let of_ledger = filter.of_ledger();
    let found = entries::entries(&mut connection, account_key, &of_ledger, &stretch).await?;
    let refills = refills_of(&mut connection, account_key, &found.items).await?;
    let rows = found.items.into_iter().map(|entry| Row::new(entry, &refills, is_operator));
    Ok(Found { rows: rows.collect(), next: found.next, ..Found::default() })
}

/// Rows of the payment or the call that is searched, and the calls that cost nothing.
pub(super) async fn search(
    connection: &mut sqlx::PgConnection,
    account_key: i32,
    filter: &Filter,
) -> Result<(Vec<LedgerEntry>, Vec<entries::Evidence>), LedgerError> {
    let q = &filter.q;
    if let Ok(payment) = PaymentIntentId::parse(q) {
        let mut found = entries::entries_of_payment(connection, account_key, &payment).await?;
        found.retain(|entry| filter.fits(&entry.transaction));
        return Ok((found, Vec::new()));
    }
    let Ok(call_sid) = CallSid::parse(q) else { return Ok((Vec::new(), Vec::new())) };
    let (mut rows, mut free) = (Vec::new(), Vec::new());
    for (charge, row) in entries::charges_of_call(connection, account_key, &call_sid).await? {
        match row {
            Some(transaction) if !filter.fits(&transaction) => {}
            Some(transaction) => rows.push(LedgerEntry { transaction, charge: Some(charge) }),
            None => free.push(charge),
        }
    }
    Ok((rows, free))
}

/// A call that the plan paid: it has evidence, and no row of its own.
fn free_call(charge: entries::Evidence) -> Row {
    let (at, call) = (charge.charged_at, charge.call.clone());
    Row {
        sequence: 0,
        title: "Call covered by the plan",
        about: ends(&call),
        minute: Time::minute(at),
        second: Time::second(at),
        direction: "Debit",
        status: "Completed",
        tone: "good",
        amount: super::money::exact(call.amount),
        has_moved: true,
        is_credit: false,
        before: String::new(),
        after: String::new(),
        payment: None,
        refill: None,
        refers_to: None,
        evidence: Some(Proof::new(charge)),
        is_open: true,
    }
}

fn call_row(call: ChargedCall) -> CallRow {
    CallRow {
        ends: ends(&call),
        started: Time::second(call.started_at),
        lasted: length(call.seconds.into()),
        billed: length(call.billed_seconds.into()),
        plan: (call.allowance_seconds > 0).then(|| length(call.allowance_seconds.into())),
        amount: super::money::exact(call.amount),
        tag: call.tag,
        call_sid: call.call_sid,
    }
}

fn ends(call: &ChargedCall) -> String {
    let end = |end: &Option<String>| end.clone().unwrap_or_else(|| "unknown".to_owned());
    format!("{} → {}", end(&call.from), end(&call.to))
}

fn kinds(chosen: Option<TransactionKind>) -> Vec<(&'static str, Vec<KindChoice>)> {
    let choices = |kinds: &[TransactionKind]| {
        let choice = |kind: &TransactionKind| KindChoice {
            value: kind.to_string(),
            text: title(*kind),
            is_chosen: chosen == Some(*kind),
        };
        kinds.iter().map(choice).collect()
    };
    KINDS.iter().map(|(group, kinds)| (*group, choices(kinds))).collect()
}

/// The UTC month before the present one.
fn last_month(now: DateTime<Utc>) -> NaiveDate {
    let first = now.date_naive().with_day(1).unwrap_or_default();
    first.checked_sub_days(Days::new(1)).and_then(|day| day.with_day(1)).unwrap_or(first)
}
