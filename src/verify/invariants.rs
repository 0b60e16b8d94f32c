//! The invariants of a ledger, one sentence each, and the statements that find violations.

/// A statement about the ledger that is always true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invariant {
    /// Its name, for programs.
    pub name: &'static str,
    /// The statement, for people.
    pub sentence: &'static str,
}

macro_rules! invariants {
    ($($name:ident: $sentence:literal;)+) => {
        &[$(Invariant { name: stringify!($name), sentence: $sentence }),+]
    };
}

/// Every invariant, in the order of the report.
pub const INVARIANTS: &[Invariant] = invariants! {
    transaction_sequences_have_no_gap:
        "A wallet's transactions are numbered 1, 2, 3 … without a gap.";
    balances_chain:
        "Each transaction begins at the balance where the one before it ended.";
    transaction_times_never_fall:
        "No transaction is earlier than the one before it.";
    only_completed_transactions_move_money:
        "A completed transaction moves the balance by its amount, a pending or failed one not at all.";
    kinds_have_their_direction:
        "The kind of a transaction decides whether it is a credit or a debit.";
    accounts_have_a_wallet:
        "Every account has one wallet, and every row belongs to an account.";
    balances_are_credits_less_debits:
        "A balance is the sum of the completed credits less that of the completed debits.";
    wallets_are_within_their_range:
        "A balance, with the credit limit or without, is within plus and minus 2^53 micro-dollars.";
    balances_end_the_chain:
        "A balance is where the last transaction ended.";
    wallets_count_their_transactions:
        "A wallet's sequence is that of its last transaction.";
    wallets_count_their_charges:
        "A wallet's charge sequence is that of its last charge.";
    wallet_times_never_fall:
        "A wallet's last change is not before its last row.";
    charge_sequences_have_no_gap:
        "An account's charges are numbered 1, 2, 3 … without a gap.";
    charge_times_never_fall:
        "No charge is earlier than the one before it.";
    charges_keep_the_order_of_their_transactions:
        "Transactions of charges are numbered in the order of the charges, one each.";
    charges_belong_to_the_account_of_their_account_sid:
        "A charge belongs to the account that its AccountSid belongs to.";
    charges_of_zero_have_no_transaction:
        "A charge has a transaction where its amount is not zero, and only there.";
    charges_have_their_transaction:
        "The transaction that a charge names is one of a call.";
    call_transactions_have_their_charge:
        "Every transaction of a call has a charge.";
    charges_and_transactions_agree:
        "A charge and its transaction have the same call, amount and time, and the kind of the plan.";
    overshoot_is_within_the_debit:
        "A charge overshoots by no more than it takes the balance below zero.";
    call_keys_have_their_charge:
        "Every key of a charged call has its charge.";
    charges_have_their_call_key:
        "Every charge has its key, so that the call is not charged again.";
    call_keys_and_charges_agree:
        "A key and its charge are of the same call and duration.";
    cycles_sum_their_charges:
        "A cycle's used allowance is the sum over its charges.";
    allowance_is_of_a_plan:
        "Allowance is used under a plan only, and never more than was left.";
    charges_are_rated_by_their_evidence:
        "Rated again from its evidence, every charge has the same plan, cycle, split, rate and amount.";
    paid_rentals_have_their_transaction:
        "Every paid period of a number that costs something has a completed transaction.";
    rental_transactions_have_their_period:
        "Every completed transaction of a rental pays a period.";
    paid_rentals_cost_their_price:
        "A paid period cost its price.";
    one_transaction_pays_one_period:
        "No transaction pays two periods.";
    failed_rentals_have_their_attempts:
        "An unpaid period that costs something has a failed transaction as its first attempt.";
    refills_have_their_pending_transaction:
        "A refill has a pending transaction of its amount.";
    ended_refills_have_their_outcome:
        "An ended refill has a completed or failed transaction of its amount and payment.";
    credited_payments_have_their_refill:
        "Every credited payment is that of a refill.";
    refunds_have_their_rows:
        "A refund to a card has a debit of its amount, and a failed one its reversal.";
    reserved_money_is_that_of_open_refunds:
        "What a wallet has reserved is the sum of its refunds and purchases that are not booked.";
    numbers_have_their_debit:
        "A number that Twilio was asked for has a debit of its price.";
    failed_purchases_are_given_back:
        "A purchase that failed has given its price back, and no other has.";
    purchase_transactions_have_their_number:
        "Every completed transaction of a purchase is that of a number.";
    bought_numbers_have_their_first_period:
        "The first period of a number is paid by its purchase.";
    disputes_have_their_rows:
        "A dispute that moved money has its chargeback, and its reversal names that.";
    watched_levels_are_those_of_auto_refill:
        "Charging watches the threshold of auto-refill while it is enabled.";
    one_automatic_refill_at_a_time:
        "An account has at most one automatic refill in progress.";
    spending_is_that_of_its_rows:
        "What a wallet spent in a month is the sum of that month's debits, less its refunds.";
    spending_is_of_the_month_of_its_last_row:
        "A wallet's spending is of the UTC month of the last row that it counts.";
    insights_are_the_sums_of_their_rows:
        "The sums behind the insights are those of the rows that they count.";
    insights_count_rows_of_their_wallet:
        "The sums behind the insights count no row that a wallet does not have.";
    references_name_an_older_row:
        "A transaction refers to older ones of its own wallet only.";
    refunds_give_back_a_debit:
        "A refund gives back a completed debit.";
    no_more_is_given_back_than_was_taken:
        "Refunds of a debit, and of a refill, never sum to more than it.";
    campaigns_are_sums_of_their_charges:
        "A campaign is the sum of the charges with its tag, as far as they are counted.";
    events_are_posted_to_their_accounts_endpoints:
        "An event is posted to endpoints of its account, or of all accounts, only.";
    replays_sum_up_to_what_the_audit_tells:
        "What replays debited, by kind, is what the audit tells of them.";
};

/// Limits the violations of each invariant to one more than are shown.
macro_rules! query {
    ($file:literal) => {
        concat!(
            "SELECT invariant, violation FROM (SELECT invariant, violation, row_number() \
            OVER (PARTITION BY invariant) AS place FROM (\n",
            include_str!($file),
            "\n) AS broken (invariant, violation)) AS numbered WHERE place <= 21"
        )
    };
}

/// Each returns rows of (name of the invariant, violation).
pub(super) const QUERIES: &[&str] = &[
    query!("transactions.sql"),
    query!("wallets.sql"),
    query!("charges.sql"),
    query!("charge_transactions.sql"),
    query!("call_keys.sql"),
    query!("cycles.sql"),
    query!("rentals.sql"),
    query!("refills.sql"),
    query!("auto_refills.sql"),
    query!("refunds.sql"),
    query!("numbers.sql"),
    query!("budgets.sql"),
    query!("campaigns.sql"),
    query!("insights.sql"),
    query!("references.sql"),
    query!("replays.sql"),
    query!("webhooks.sql"),
];
