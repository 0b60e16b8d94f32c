//! `callmeter reconcile stripe`: compares the ledger with Stripe's books.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::error::refused;
use super::period::{Limit, days, limit};
use super::{CommandError, open, print};
use crate::app::one_line;
use crate::books::{self, Books, BooksError, Difference, Reason, Report};
use crate::config::Settings;
use crate::jobs::JobLock;
use crate::ledger::schema;
use crate::reconcile::DayRange;

/// Longest wait for another comparison.
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Debug, Args)]
pub(super) struct Stripe {
    /// First UTC day of the payments' creation (an instant stands for its day); without it, as many
    /// days back as the settings say
    #[arg(long, value_name = "WHEN", value_parser = limit)]
    from: Option<Limit>,
    /// Last UTC day, included; without it, yesterday
    #[arg(long, value_name = "WHEN", value_parser = limit)]
    to: Option<Limit>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Stripe, settings: &Settings) -> Result<(), CommandError> {
    let clock = settings.clock();
    let usual = DayRange::before(clock.now(), settings.reconcile.days);
    let range = days(command.from, command.to, usual)?;
    let store = open(settings)?;
    schema::check(&store).await?;
    let books = Books::from_settings(settings, store.clone(), clock);
    let books = books.map_err(|error| refused(one_line(&error)))?;
    let unset = || refused("not_configured: STRIPE_API_KEY is not set".to_owned());
    let books = books.ok_or_else(unset)?;
    let Some(lock) = JobLock::wait(&store, books::NAME, PATIENCE).await? else {
        let problem = "another process has been comparing for ten minutes; try again later";
        return Err(refused(problem.to_owned()));
    };
    let Some(compared) = lock.hold(books.compare(range)).await else {
        let problem = "Postgres went away during the comparison; run it again";
        return Err(refused(problem.to_owned()));
    };
    let report = compared.map_err(|error| match error {
        BooksError::Ledger(error) => CommandError::Ledger(error),
        error => refused(one_line(&error)),
    })?;
    print(&if command.json { json!(report).to_string() } else { text(&report) })?;
    match report.differences.len() {
        0 => Ok(()),
        differences => Err(refused(format!("differences from Stripe: {differences}"))),
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let counts = report.counts;
    // Where all was settled in other currencies, there is nothing in dollars.
    let elsewhere = !report.settled.is_empty();
    let has_dollars = !elsewhere || report.settled.iter().any(|it| it.currency == "usd");
    let rows = [
        ("payments", Some(counts.payments), report.payments),
        ("refunds", Some(counts.refunds), report.refunds),
        ("disputes", Some(counts.disputes), report.disputes),
        ("fees", None, report.fees),
        ("net", None, report.net),
        ("not paid out", Some(report.not_paid_out.payments), report.not_paid_out.amount),
    ];
    for (name, count, amount) in rows {
        if matches!(name, "fees" | "net") && !has_dollars {
            continue;
        }
        let count = count.map_or_else(String::new, |count| count.to_string());
        let _ = writeln!(text, "{name:<14}{count:>10}{amount:>20}");
    }
    for settled in report.settled.iter().filter(|settled| settled.currency != "usd") {
        let (currency, paid, gross) = (&settled.currency, settled.paid, settled.gross);
        let (fees, net) = (settled.fees, settled.net);
        let _ =
            writeln!(text, "settled in {currency}: {paid} USD as {gross}, fees {fees}, net {net}");
    }
    for row in &report.payouts {
        let (payout, currency, amount, status) =
            (&row.payout, &row.currency, row.amount, &row.status);
        let (day, ours, others) = (row.arrives_at.date_naive(), row.ours.net, row.others.net);
        let _ = writeln!(
            text,
            "payout {payout} {day} {status}: {amount} {currency}, ours {ours}, others' {others}"
        );
    }
    if counts.under_way > 0 {
        let _ = writeln!(text, "{} payments under way", counts.under_way);
    }
    for difference in &report.differences {
        let _ = writeln!(text, "{}", line(difference));
    }
    if report.differences.is_empty() {
        text.push_str("no difference");
    }
    text.trim_end().to_owned()
}

fn line(difference: &Difference) -> String {
    let Difference { payment_intent, ours, stripe, reason, currency, objects, .. } = difference;
    let objects = objects.join(" ");
    let help = match reason {
        Reason::NotInLedger => format!("; `callmeter refill show {payment_intent}`"),
        _ => String::new(),
    };
    let reason = reason.as_str();
    format!(
        "! {payment_intent} {reason}: {ours} in the ledger, {stripe} {currency} at Stripe {objects}{help}"
    )
}
