//! What payouts contain: this ledger's payments and those of others.

use std::collections::HashSet;

use callmeter_core::domain::Money;
use chrono::{DateTime, Utc};

use super::compare::of_units;
use super::report::{PayoutRow, Sums};
use super::theirs::instant;
use super::{Books, BooksError, PAGE_MAX, ours, store};
use crate::stripe::{Created, Movement, Payout};

/// Payments looked up in the ledger at once.
const AT_ONCE: usize = 1_000;

/// Payouts, and what they contain.
#[derive(Debug, Default)]
pub(super) struct Payouts {
    pub(super) rows: Vec<PayoutRow>,
    /// Charges in them.
    pub(super) charges: HashSet<String>,
}

impl Books {
    /// Reads the payouts of a time, and notes which charges each contains.
    pub(super) async fn payouts(
        &self,
        created: Created,
        now: DateTime<Utc>,
    ) -> Result<Payouts, BooksError> {
        let mut found = Payouts::default();
        for payout in self.stripe.payouts_created(created, PAGE_MAX).await? {
            let movements = if payout.automatic {
                self.stripe.movements_of(&payout, PAGE_MAX).await?
            } else {
                Vec::new()
            };
            let is_sent = !matches!(payout.status.as_str(), "failed" | "canceled");
            let charges: Vec<String> = movements
                .iter()
                .filter(|movement| is_sent && category(movement) == "charge")
                .filter_map(|movement| Some(movement.source.as_ref()?.id.clone()))
                .collect();
            store::keep_payout(&self.store, &payout.id, &charges, now).await?;
            found.charges.extend(charges);
            let known = self.known(&movements).await?;
            found.rows.push(row(&payout, &movements, &known, created.from));
        }
        found.rows.reverse();
        Ok(found)
    }

    async fn known(&self, movements: &[Movement]) -> Result<HashSet<String>, BooksError> {
        let mut known = HashSet::new();
        let payments: Vec<&str> = movements.iter().filter_map(payment).collect();
        for ids in payments.chunks(AT_ONCE) {
            known.extend(ours::known(&mut *self.store.read().await?, ids).await?);
        }
        Ok(known)
    }
}

fn row(
    payout: &Payout,
    movements: &[Movement],
    known: &HashSet<String>,
    from: DateTime<Utc>,
) -> PayoutRow {
    let (mut ours, mut others, mut earlier) = (Sums::default(), Sums::default(), 0_i64);
    for movement in movements.iter().filter(|movement| movement.kind != "payout") {
        let is_ours = payment(movement).is_some_and(|id| known.contains(id));
        add(if is_ours { &mut ours } else { &mut others }, movement, &payout.currency);
        if is_ours && category(movement) == "charge" && movement.created < from.timestamp() {
            earlier = earlier.saturating_add(movement.amount);
        }
    }
    PayoutRow {
        payout: payout.id.clone(),
        currency: payout.currency.clone(),
        amount: of_units(payout.amount, &payout.currency),
        status: payout.status.clone(),
        automatic: payout.automatic,
        created_at: instant(payout.created),
        arrives_at: instant(payout.arrival_date),
        ours,
        others,
        earlier: of_units(earlier, &payout.currency),
    }
}

fn add(sums: &mut Sums, movement: &Movement, currency: &str) {
    let plus = |sum: &mut Money, units: i64| {
        let more = of_units(units, currency).micros();
        *sum = Money::from_micros(sum.micros().saturating_add(more));
    };
    match category(movement) {
        "charge" => plus(&mut sums.gross, movement.amount),
        "refund" | "refund_failure" => plus(&mut sums.refunds, -movement.amount),
        "dispute" | "dispute_reversal" => plus(&mut sums.disputes, -movement.amount),
        _ => plus(&mut sums.other, movement.amount),
    }
    plus(&mut sums.fees, movement.fee);
    plus(&mut sums.net, movement.net);
}

fn category(movement: &Movement) -> &str {
    movement.reporting_category.as_deref().unwrap_or(&movement.kind)
}

fn payment(movement: &Movement) -> Option<&str> {
    movement.source.as_ref()?.payment_intent.as_deref()
}
