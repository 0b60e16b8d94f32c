//! Proves the model: it accepts a ledger calculated by hand, and detects every wrong figure.

use super::account::Account;
use super::check::{Model, Reported, Wallet};
use super::evidence::{Charge, Transaction};
use super::money::Micros;
use super::read::{Record, Topic};
use super::time::{At, DAY, HOUR, SECOND};
use crate::harness::samples::{account, catalog, completed, now, rental, subscribed};
use serde_json::Value;

/// A fault, and the change that causes it.
type Wrong = (&'static str, fn(&mut Reported));

fn record(topic: Topic, offset: i64, event: &Value) -> Record {
    let payload = Some(event.to_string().into_bytes());
    Record { topic, partition: 0, offset, timestamp_ms: now() / 1_000, payload }
}

/// Two calls and a rental, as calculated by hand.
fn by_hand(start: At, account: &Account, changed: impl FnOnce(&mut Reported)) -> Reported {
    let charge = |sid: &str, seconds, split: (i64, i64), amount, number| Charge {
        call_sid: sid.into(),
        parent_call_sid: None,
        from: Some("+15005550001".into()),
        to: Some("+12125550123".into()),
        direction: Some("outbound-api".into()),
        started_at: start,
        seconds,
        billed_seconds: split.0 + split.1,
        allowance_seconds: split.0,
        wallet_seconds: split.1,
        rate: 9_000,
        amount,
        plan: Some("team".into()),
        cycle_start: Some(account.changes[0].starts_at),
        number,
        transaction_id: Some(format!("t{}", number + 1)),
    };
    let row = |sequence: i64, kind: &str, amount: Micros, before: Micros, sid: Option<&str>| {
        let credit = kind == "adjustment_credit";
        Transaction {
            id: format!("t{sequence}"),
            sequence,
            at: start + sequence,
            credit,
            kind: kind.into(),
            amount,
            balance_before: before,
            balance_after: if credit { before + amount } else { before - amount },
            status: "completed".into(),
            call_sid: sid.map(str::to_owned),
        }
    };
    let cycle = account.changes[0].starts_at;
    let mut reported = Reported {
        charges: vec![
            charge("CA1", 601, (600, 60), 9_000, 1),
            charge("CA2", 61, (0, 120), 18_000, 2),
        ],
        transactions: vec![
            row(1, "adjustment_credit", 2_000_000, 0, None),
            row(2, "overage", 9_000, 2_000_000, Some("CA1")),
            row(3, "overage", 18_000, 1_991_000, Some("CA2")),
            row(4, "number_rental", 1_150_000, 1_973_000, None),
        ],
        wallet: Wallet {
            balance: 823_000,
            as_of: now(),
            allowance: Some(("team".into(), cycle, 600, 600, 0)),
        },
    };
    changed(&mut reported);
    reported
}

#[test]
fn the_model_accepts_a_ledger_kept_by_hand_and_sees_every_wrong_figure() {
    let now = now();
    let account = subscribed(account("pencil", 2_000_000), "team", now - DAY);
    let start = now - HOUR;
    let records = [
        record(Topic::Calls, 0, &completed(&account, "CA1", 601, start + 601 * SECOND)),
        record(Topic::Calls, 1, &completed(&account, "CA2", 61, start + 61 * SECOND)),
        record(Topic::Calls, 2, &completed(&account, "CA2", 62, start + 62 * SECOND)),
        record(Topic::Rentals, 0, &rental(&account, "PN1", "2026-01-31", None)),
    ];
    let versions = [catalog()];
    let accounts = [account.clone()];
    let model = Model::new(&versions, &accounts, &records);
    let differences = |changed: fn(&mut Reported)| {
        model.differences(&account, &by_hand(start, &account, changed))
    };
    assert_eq!(differences(|_| {}), Vec::<String>::new());
    let wrongs: [Wrong; 22] = [
        ("a charge is missing", |it| drop(it.charges.pop())),
        ("a charge too many", |it| it.charges.push(it.charges[0].clone())),
        ("swapped", |it| {
            it.charges[0].number = 2;
            it.charges[1].number = 1;
        }),
        ("a gap", |it| it.charges[1].number = 3),
        ("seconds of the later event", |it| it.charges[1].seconds = 62),
        ("start", |it| it.charges[0].started_at += 1),
        ("billed", |it| it.charges[0].billed_seconds += 60),
        ("allowance", |it| it.charges[0].allowance_seconds -= 1),
        ("amount", |it| it.charges[0].amount += 1),
        ("rate", |it| it.charges[0].rate += 1),
        ("plan", |it| it.charges[0].plan = None),
        ("cycle", |it| it.charges[0].cycle_start = None),
        ("far end", |it| it.charges[0].to = None),
        ("transaction of a charge", |it| it.charges[0].transaction_id = None),
        ("kind", |it| it.transactions[1].kind = "call".into()),
        ("chain", |it| it.transactions[2].balance_before += 1),
        ("time falls", |it| it.transactions[2].at = 0),
        ("opening balance", |it| it.transactions[0].kind = "refill_manual".into()),
        ("unpaid rental", |it| it.transactions[3].status = "failed".into()),
        ("rental's price", |it| it.transactions[3].amount += 1),
        ("balance", |it| it.wallet.balance += 1),
        ("allowance now", |it| it.wallet.allowance = None),
    ];
    for (what, wrong) in wrongs {
        assert!(!differences(wrong).is_empty(), "not seen: {what}");
    }
}
