use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn moved(cents: i64, second: i64) -> Moved {
    Moved { amount: of_cents(cents), at: at(second) }
}

fn paid(cents: i64) -> AtStripe {
    AtStripe {
        payment_intent: "pi_1".to_owned(),
        paid_at: at(0),
        paid: of_cents(cents),
        currency: USD.to_owned(),
        refunds: Vec::new(),
        disputes: Vec::new(),
    }
}

fn credited(cents: i64) -> InLedger {
    InLedger { credit: Some(moved(cents, 1)), ..InLedger::default() }
}

/// Reason, our cents, Stripe's cents.
fn told(theirs: &AtStripe, ours: &InLedger) -> Vec<(&'static str, i64, i64)> {
    let cents = |amount: Money| amount.micros() / MICROS_PER_CENT;
    let found = explain(theirs, ours, at(1_000));
    found.iter().map(|it| (it.reason.as_str(), cents(it.ours), cents(it.stripe))).collect()
}

fn refund(id: &str, cents: i64, second: i64, is_good: bool) -> StripeRefund {
    StripeRefund { id: id.to_owned(), moved: moved(cents, second), is_good }
}

#[test]
fn an_amount_has_the_places_of_its_currency() {
    let shown = |units, currency| of_units(units, currency).to_string();
    assert_eq!(shown(1_234, "usd"), of_cents(1_234).to_string());
    assert_eq!(shown(1_234, "eur"), "12.340000");
    assert_eq!(shown(1_234, "jpy"), "1234.000000");
    assert_eq!(shown(-1_234, "kwd"), "-1.234000");
    // Stripe writes it with two places, though it has none.
    assert_eq!(shown(1_234, "ugx"), "12.340000");
}

#[test]
fn a_payment_is_credited_once_and_with_its_amount() {
    assert_eq!(told(&paid(500), &credited(500)), []);
    assert_eq!(told(&paid(500), &credited(400)), [("amount", 400, 500)]);
    assert_eq!(told(&paid(500), &InLedger::default()), [("not_in_ledger", 0, 500)]);
    let kept = |is_open| InLedger { unmatched: Some(is_open), ..InLedger::default() };
    assert_eq!(told(&paid(500), &kept(true)), [("unmatched", 0, 500)]);
    assert_eq!(told(&paid(500), &kept(false)), []);
    let euro = AtStripe { currency: "eur".to_owned(), ..paid(500) };
    assert_eq!(told(&euro, &InLedger::default()), [("currency", 0, 500)]);
    assert_eq!(told(&euro, &credited(500)), [("currency", 500, 500)]);
}

#[test]
fn a_payment_that_was_refunded_before_it_was_credited_is_no_difference() {
    let mut theirs = paid(500);
    theirs.refunds.push(refund("re_1", 200, 5, true));
    assert_eq!(told(&theirs, &InLedger::default()), [("not_in_ledger", 0, 300)]);
    theirs.refunds.push(refund("re_2", 300, 5, true));
    theirs.refunds.push(refund("re_3", 500, 5, false));
    assert_eq!(told(&theirs, &InLedger::default()), []);
}

#[test]
fn refunds_are_compared_one_by_one_and_told_by_reason() {
    let mut theirs = paid(500);
    theirs.refunds = vec![
        refund("re_same", 100, 5, true),
        refund("re_lost", 20, 5, true),
        refund("re_lost_too", 3, 5, true),
        refund("re_young", 60, 2_000, true),
        refund("re_other", 70, 5, true),
        refund("re_failed", 90, 5, false),
    ];
    let mut ours = credited(500);
    ours.refunds = vec![
        ("re_same".to_owned(), moved(100, 6)),
        ("re_other".to_owned(), moved(71, 6)),
        ("re_failed".to_owned(), moved(90, 6)),
        ("re_unknown".to_owned(), moved(8, 6)),
        ("re_just_made".to_owned(), moved(9, 2_000)),
    ];
    let expected =
        [("refund_not_booked", 0, 23), ("refund_amount", 71, 70), ("refund_not_at_stripe", 98, 0)];
    assert_eq!(told(&theirs, &ours), expected);
    let found = explain(&theirs, &ours, at(1_000));
    assert_eq!(found[0].objects, ["re_lost", "re_lost_too"]);
    assert_eq!(found[0].drift(), of_cents(23));
}

#[test]
fn both_directions_of_a_dispute_are_compared() {
    let theirs = |withdrawn: Option<i64>, reinstated: Option<i64>| {
        let moved = |cents: Option<i64>| cents.map(|cents| moved(cents, 5));
        let (withdrawn, reinstated) = (moved(withdrawn), moved(reinstated));
        let dispute = StripeDispute { id: "du_1".to_owned(), withdrawn, reinstated };
        AtStripe { disputes: vec![dispute], ..paid(500) }
    };
    let ours = |withdrawn: Option<i64>, reinstated: Option<i64>| {
        let moved = |cents: Option<i64>| cents.map(|cents| moved(cents, 5));
        let (withdrawn, reinstated) = (moved(withdrawn), moved(reinstated));
        let dispute = OurDispute { id: "du_1".to_owned(), withdrawn, reinstated };
        InLedger { disputes: vec![dispute], ..credited(500) }
    };
    assert_eq!(told(&theirs(None, None), &credited(500)), [], "an inquiry");
    let both = Some(500);
    assert_eq!(told(&theirs(both, both), &ours(both, both)), []);
    assert_eq!(told(&theirs(both, None), &credited(500)), [("chargeback_not_booked", 0, 500)]);
    let reversed = told(&theirs(both, both), &ours(both, None));
    assert_eq!(reversed, [("reversal_not_booked", 0, 500)]);
    let unknown = told(&paid(500), &ours(both, None));
    assert_eq!(unknown, [("chargeback_not_at_stripe", 500, 0)]);
    let other = told(&theirs(both, None), &ours(Some(400), None));
    assert_eq!(other, [("chargeback_amount", 400, 500)]);
}
