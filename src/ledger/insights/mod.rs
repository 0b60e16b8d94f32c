//! The read models of the insights: what an account spent by day and kind, how its calls were
//! rounded, the overage of its cycles, and how the plans compare.
//!
//! Beside the flow: jobs keep the sums ([`fold`]), and a reader adds the rows that they do not count
//! yet ([`read`]), so an answer is exact at once. Nothing here writes a wallet, a transaction or a
//! charge, or takes a lock that charging waits for.

pub mod comparisons;
mod days;
pub mod fold;
pub mod read;

pub use days::{DAYS_MAX, Days, NotDays, USUAL_DAYS};

/// The micro-dollars by which a transaction raises what an account spent, and the kinds that do: as
/// `spending_of` in the core, of completed rows alone.
macro_rules! spending {
    (micros) => {
        "CASE kind WHEN 'refund' THEN -amount_micros ELSE amount_micros END"
    };
    (is_counted) => {
        "status = 'completed'
            AND kind IN ('call', 'overage', 'number_purchase', 'number_rental', 'refund')"
    };
}

/// What the sums need of a charge.
macro_rules! usage {
    () => {
        "(charged_at AT TIME ZONE 'UTC')::date AS day, subscription_id, cycle_start, seconds,
            CASE WHEN billed_seconds > 0 THEN seconds ELSE 0 END AS talked_seconds,
            billed_seconds, wallet_seconds, amount_micros,
            -- The last billed seconds are those that nobody talked, and the wallet pays last.
            (rate_micros * least(greatest(billed_seconds - seconds, 0), wallet_seconds) * 2 + 60)
                / 120 AS rounding_micros"
    };
}

use {spending, usage};
