//! The sums equal those of the ledger's rows, wherever the job stands, whoever adds, and whatever dies.

use std::collections::BTreeMap;
use std::process::Stdio;

use callmeter::ledger::insights::read::{self, Usage};
use callmeter::ledger::insights::{Days, fold};
use callmeter::ledger::store::{Begin, Store};
use callmeter::verify;
use callmeter::wallet::insights::sum_up;
use callmeter_core::domain::{AccountId, Money, TransactionKind, TransactionType};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{Connection as _, PgConnection};

use crate::harness::poll::{SOON, until};
use crate::harness::system::{Setup, System};

const ACCOUNTS: i32 = 5;
const KINDS: [TransactionKind; 13] = [
    TransactionKind::Call,
    TransactionKind::Overage,
    TransactionKind::NumberPurchase,
    TransactionKind::NumberRental,
    TransactionKind::Refund,
    TransactionKind::RefillManual,
    TransactionKind::RefillAuto,
    TransactionKind::RefillRefund,
    TransactionKind::RefillRefundReversal,
    TransactionKind::Chargeback,
    TransactionKind::ChargebackReversal,
    TransactionKind::AdjustmentCredit,
    TransactionKind::AdjustmentDebit,
];

/// A row of the ledger, as the test remembers it.
#[derive(Clone, Debug)]
enum Row {
    Spending { at: DateTime<Utc>, kind: TransactionKind, micros: i64 },
    Charge { at: DateTime<Utc>, seconds: i64, billed: i64, wallet: i64, rate: i64 },
}

fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 9, 28).expect("a day")
}

async fn system() -> System {
    System::with(Setup { verified: false, partitions: None, ..Setup::default() }).await
}

async fn make_accounts(sql: &mut PgConnection, count: i32) {
    let made = "INSERT INTO accounts (id, name, created_at)
        SELECT 'a' || n, 'A', '2026-01-01Z' FROM generate_series(1, $1) AS n ORDER BY n";
    sqlx::query(made).bind(count).execute(&mut *sql).await.expect("accounts");
    let wallets = "INSERT INTO wallets (account_key, last_at)
        SELECT account_key, '2026-01-01Z' FROM accounts";
    sqlx::query(wallets).execute(&mut *sql).await.expect("wallets");
    for month in ["2026-09-01Z", "2026-10-01Z"] {
        let made = "SELECT ensure_charges_partition($1::text::timestamptz)";
        sqlx::query(made).bind(month).execute(&mut *sql).await.expect("a partition");
    }
}

/// Writes a random row of an account, as a batch does: with its wallet's numbers.
async fn write(sql: &mut PgConnection, random: &mut StdRng, account: i32) -> Option<Row> {
    let at = first_day().and_hms_opt(0, 0, 0).expect("midnight").and_utc()
        + TimeDelta::seconds(random.random_range(0..6 * 86_400));
    let mut transaction = sql.begin().await.expect("a transaction");
    let row = if random.random_bool(0.5) {
        let kind = KINDS[random.random_range(0..KINDS.len())];
        let status = ["completed", "completed", "pending", "failed"][random.random_range(0..4)];
        let micros = random.random_range(1..5_000_000_i64);
        let is_credit = kind.transaction_type() == TransactionType::Credit;
        let after = match (status, is_credit) {
            ("completed", true) => micros,
            ("completed", false) => -micros,
            _ => 0,
        };
        sqlx::query(
            "WITH head AS (UPDATE wallets SET sequence = sequence + 1 WHERE account_key = $1 RETURNING sequence)
             INSERT INTO transactions (account_key, sequence, at, amount_micros,
                 balance_before_micros, balance_after_micros, type, kind, status)
             SELECT $1, sequence, $2, $3, 0, $4, $5::text::transaction_type,
                 $6::text::transaction_kind, $7::text::transaction_status FROM head",
        )
        .bind(account)
        .bind(at)
        .bind(micros)
        .bind(after)
        .bind(kind.transaction_type().as_str())
        .bind(kind.as_str())
        .bind(status)
        .execute(&mut *transaction)
        .await
        .expect("a transaction row");
        let spent = match kind {
            TransactionKind::Refund => -micros,
            TransactionKind::Call
            | TransactionKind::Overage
            | TransactionKind::NumberPurchase
            | TransactionKind::NumberRental => micros,
            _ => 0,
        };
        (status == "completed" && spent != 0).then_some(Row::Spending { at, kind, micros: spent })
    } else {
        let seconds = random.random_range(0..400_i64);
        let billed = if random.random_bool(0.1) { 0 } else { (seconds + 59) / 60 * 60 };
        let wallet = random.random_range(0..=billed);
        let rate = random.random_range(0..50_000_i64);
        sqlx::query(
            "WITH head AS (UPDATE wallets SET charge_sequence = charge_sequence + 1
                 WHERE account_key = $1 RETURNING charge_sequence)
             INSERT INTO charges (account_key, twilio_account_key, charge_sequence, charged_at,
                 started_at, allowance_before_seconds, rate_micros, amount_micros, overshoot_micros,
                 transaction_sequence, record_offset, stream_key, catalog_version, seconds,
                 billed_seconds, allowance_seconds, wallet_seconds, call_sid)
             SELECT $1, 1, charge_sequence, $2, $2, 100000, $6, ($6 * $5 * 2 + 60) / 120, 0,
                 CASE WHEN ($6 * $5 * 2 + 60) / 120 = 0 THEN NULL ELSE 1 END, 0, 1, 1, $3::bigint,
                 $4::bigint, $4 - $5, $5::bigint, 'CA' || charge_sequence FROM head",
        )
        .bind(account)
        .bind(at)
        .bind(seconds)
        .bind(billed)
        .bind(wallet)
        .bind(rate)
        .execute(&mut *transaction)
        .await
        .expect("a charge");
        Some(Row::Charge { at, seconds, billed, wallet, rate })
    };
    transaction.commit().await.expect("it is committed");
    row
}

/// What the rows of some days sum up to.
fn plain(rows: &[Row], days: Days) -> (BTreeMap<(NaiveDate, TransactionKind), i64>, Usage) {
    let (mut spent, mut usage, mut rounding) = (BTreeMap::new(), Usage::default(), 0);
    for row in rows {
        let (Row::Spending { at, .. } | Row::Charge { at, .. }) = row;
        if *at < days.begins_at() || *at >= days.ends_at() {
            continue;
        }
        match *row {
            Row::Spending { at, kind, micros } => {
                *spent.entry((at.date_naive(), kind)).or_insert(0) += micros;
            }
            Row::Charge { seconds, billed, wallet, rate, .. } => {
                usage.calls += 1;
                usage.seconds += seconds;
                usage.talked_seconds += if billed > 0 { seconds } else { 0 };
                usage.billed_seconds += billed;
                let unused = (billed - seconds).clamp(0, wallet);
                rounding += (2 * rate * unused + 60) / 120;
            }
        }
    }
    usage.rounding = Money::from_micros(rounding);
    (spent, usage)
}

/// What the program reads of the same days.
async fn told(
    store: &Store,
    account: i32,
    days: Days,
) -> (BTreeMap<(NaiveDate, TransactionKind), i64>, Usage) {
    let mut reserved = store.for_transaction().await.expect("a connection");
    let mut snapshot = reserved.begin(Begin::Snapshot).await.expect("a snapshot");
    let id = AccountId::parse(&format!("a{account}")).expect("an id");
    let counted = read::counted(&mut snapshot, &id).await.expect("it is read").expect("an account");
    let spent = read::spending_by_day(&mut snapshot, counted, days).await.expect("it is read");
    let usage = read::usage(&mut snapshot, counted, days).await.expect("it is read");
    snapshot.rollback().await.expect("it ends");
    (spent.iter().map(|of| ((of.day, of.kind), of.amount.micros())).collect(), usage)
}

/// Fails if a sum behind the insights is wrong. The histories here have no balances, so nothing else
/// is proven.
async fn prove_sums(store: &Store) {
    let report = verify::verify(store).await.expect("the ledger is read");
    let of_sums = report.invariants.iter().filter(|found| found.name.starts_with("insights_"));
    let wrong: Vec<_> = of_sums.filter(|found| !found.violations.is_empty()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_and_rest_are_those_of_random_histories_wherever_the_job_stands() {
    let system = system().await;
    let store = Store::open(&system.database_url(), 4).expect("a URL");
    let mut sql = system.sql().await;
    make_accounts(&mut sql, ACCOUNTS).await;
    let mut random = StdRng::seed_from_u64(69);
    let mut rows: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
    for round in 0..600 {
        let account = random.random_range(1..=ACCOUNTS);
        let written = write(&mut sql, &mut random, account).await;
        rows.entry(account).or_default().extend(written);
        if random.random_bool(0.03) {
            fold::begin(&store).await.expect("it begins");
            let above = random.random_range(0..ACCOUNTS);
            fold::fold(&store, above).await.expect("it is added");
        }
        if round % 20 == 0 || round == 599 {
            let first = first_day() + TimeDelta::days(random.random_range(0..4));
            let last = first + TimeDelta::days(random.random_range(0..4));
            let days = Days::new(Some(first), Some(last), last).expect("days");
            for (account, rows) in &rows {
                let told = told(&store, *account, days).await;
                assert_eq!(told, plain(rows, days), "account {account}, {days:?}, round {round}");
            }
        }
    }
    sum_up(&store).await.expect("everything is added");
    prove_sums(&store).await;
}

/// Writes many rows of each account at once.
async fn write_many(sql: &mut PgConnection, rows: i32) {
    for statement in [
        "INSERT INTO transactions (account_key, sequence, at, amount_micros, balance_before_micros,
             balance_after_micros, type, kind, status)
         SELECT account_key, sequence + n, '2026-10-01Z'::timestamptz + n % 9 * interval '7 hours', n, 0, -n,
             'debit', CASE n % 3 WHEN 0 THEN 'call' ELSE 'overage' END::transaction_kind, 'completed'
         FROM wallets, generate_series(1, $1) AS n",
        "INSERT INTO charges (account_key, twilio_account_key, charge_sequence, charged_at,
             started_at, allowance_before_seconds, rate_micros, amount_micros, overshoot_micros,
             transaction_sequence, record_offset, stream_key, catalog_version, seconds,
             billed_seconds, allowance_seconds, wallet_seconds, call_sid, plan, subscription_id,
             cycle_start)
         SELECT account_key, 1, charge_sequence + n, '2026-10-01Z'::timestamptz + n % 9 * interval '7 hours',
             '2026-10-01Z', 0, n, n, 0, sequence + n, 0, 1, 1, n % 61, 60, 0, 60, 'CA' || n, 'starter', 1,
             '2026-10-01Z'::timestamptz + n % 2 * interval '31 days'
         FROM wallets, generate_series(1, $1) AS n",
        "UPDATE wallets SET sequence = sequence + $1, charge_sequence = charge_sequence + $1",
    ] {
        sqlx::query(statement).bind(rows).execute(&mut *sql).await.expect(statement);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_counted_once_by_many_at_once_while_rows_come() {
    let system = system().await;
    let store = Store::open(&system.database_url(), 8).expect("a URL");
    let mut sql = system.sql().await;
    make_accounts(&mut sql, 40).await;
    write_many(&mut sql, 300).await;
    let adds = async || {
        for _ in 0..6 {
            sum_up(&store).await.expect("rows are added");
        }
    };
    let writes = async {
        for _ in 0..10 {
            let mut batch = sql.begin().await.expect("a transaction");
            write_many(&mut batch, 20).await;
            batch.commit().await.expect("it is committed");
        }
    };
    let (_, ()) = tokio::join!(join_all([adds(), adds(), adds()]), writes);
    let summed = sum_up(&store).await.expect("the rest is added");
    assert!(summed.rows <= 40 * 2 * 200, "{summed:?}");
    prove_sums(&store).await;
    let again = sum_up(&store).await.expect("there is no more");
    assert_eq!(again.rows, 0);
    let calls: i64 = sqlx::query_scalar("SELECT sum(calls)::bigint FROM usage_days")
        .fetch_one(&mut system.sql().await)
        .await
        .expect("a sum");
    assert_eq!(calls, 40 * 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_counted_once_however_often_the_adding_processes_are_killed() {
    let system = system().await;
    let store = Store::open(&system.database_url(), 2).expect("a URL");
    let mut sql = system.sql().await;
    make_accounts(&mut sql, 1_000).await;
    write_many(&mut sql, 60).await;
    let mut counted = vec![0];
    for _ in 0..6 {
        let mut command = system.command(&["insights", "update"]);
        let mut spawn = || command.stdout(Stdio::null()).spawn().expect("it starts");
        let mut processes = [spawn(), spawn()];
        // Both die in the middle of what comes after the next commit.
        let last = *counted.last().expect("a sum");
        let calls = until("some more rows are added", SOON, async || {
            let calls = "SELECT coalesce(sum(calls), 0)::bigint FROM usage_days";
            let calls: i64 = sqlx::query_scalar(calls).fetch_one(&mut sql).await.ok()?;
            (calls > last || calls == 60_000).then_some(calls)
        })
        .await;
        counted.push(calls);
        for process in &mut processes {
            drop(process.kill());
            process.wait().expect("it ends");
        }
    }
    assert!(counted.iter().any(|calls| (1..60_000).contains(calls)), "in the middle: {counted:?}");
    system.run(&["insights", "update"]).expect_success();
    prove_sums(&store).await;
    let behind = "SELECT count(*) FROM wallets LEFT JOIN insight_progress AS p USING (account_key)
        WHERE wallets.charge_sequence IS DISTINCT FROM p.charge_sequence
            OR wallets.sequence IS DISTINCT FROM p.transaction_sequence";
    let behind: i64 = sqlx::query_scalar(behind).fetch_one(&mut sql).await.expect("a count");
    assert_eq!(behind, 0);
}
