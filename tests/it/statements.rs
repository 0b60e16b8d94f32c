//! Statements of months, and exports, over HTTP.

use crate::harness::api::Answer;
use crate::harness::api::Api;
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use callmeter::ledger::LedgerError;
use callmeter::ledger::adjustments::{Adjustment, adjust};
use callmeter::ledger::audit::By;
use callmeter_core::domain::{AccountId, Money, TransactionType};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgConnection;

/// Rows of two past months: kind, status, time, amount and balance after in micro-dollars.
const ROWS: [(&str, &str, &str, i64, i64); 6] = [
    ("adjustment_credit", "completed", "2025-01-01T00:00:00Z", 10_000_000, 10_000_000),
    ("chargeback", "completed", "2025-01-31T23:59:59.999999Z", 250_000, 9_750_000),
    ("chargeback", "completed", "2025-02-01T00:00:00Z", 1_000_001, 8_749_999),
    ("number_purchase", "failed", "2025-02-02T00:00:00Z", 1_150_000, 8_749_999),
    ("refill_manual", "pending", "2025-02-02T00:00:00Z", 5_000_000, 8_749_999),
    ("adjustment_debit", "completed", "2025-02-28T23:59:59Z", 9_000_000, -250_001),
];

async fn write_history(sql: &mut PgConnection) {
    let mut before = 0;
    for (number, (kind, status, at, amount, after)) in (1_i64..).zip(ROWS) {
        let direction =
            if matches!(kind, "adjustment_credit" | "refill_manual") { "credit" } else { "debit" };
        let written = sqlx::query(
            "INSERT INTO transactions (account_key, sequence, at, amount_micros,
                 balance_before_micros, balance_after_micros, type, kind, status)
             SELECT account_key, $1, $2::timestamptz, $3, $4, $5, $6::transaction_type,
                 $7::transaction_kind, $8::transaction_status FROM accounts WHERE id = 'acme'",
        );
        let written = written.bind(number).bind(at).bind(amount).bind(before).bind(after);
        let written = written.bind(direction).bind(kind).bind(status).execute(&mut *sql).await;
        assert_eq!(written.expect("a row").rows_affected(), 1);
        before = after;
    }
    let moved = sqlx::query(
        "UPDATE wallets SET sequence = 6, balance_micros = $1, version = version + 6,
             last_at = '2025-02-28T23:59:59Z'
         WHERE account_key = (SELECT account_key FROM accounts WHERE id = 'acme')",
    );
    moved.bind(before).execute(sql).await.expect("the wallet");
}

async fn statement(api: &Api, month: &str) -> Answer {
    api.get(&format!("/v1/accounts/acme/statements/{month}")).await
}

async fn in_csv(api: &Api, path: &str) -> String {
    let sent = api.send(Method::GET, path, &[("accept", "text/csv")], None).await;
    let answer = sent.expect("an answer");
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "text/csv"));
    answer.text
}

#[tokio::test]
async fn a_statement_tells_opening_totals_and_closing_of_its_month() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    write_history(&mut system.sql().await).await;
    let december = statement(&api, "2024-12").await.expect(200);
    assert_eq!(december["closing"], "0.000000");
    assert_eq!(december["totals"], json!([]));
    let january = statement(&api, "2025-01").await.expect(200);
    assert_eq!(january["status"], "closed");
    assert_eq!(
        (&january["opening"], &january["closing"]),
        (&json!("0.000000"), &json!("9.750000"))
    );
    let february = statement(&api, "2025-02").await.expect(200);
    let expected = json!({
        "account": "acme", "month": "2025-02", "status": "closed", "currency": "USD",
        "opening": "9.750000", "credits": "0.000000", "debits": "10.000001",
        "closing": "-0.250001",
        "totals": [
            {"type": "debit", "kind": "chargeback", "transactions": 1, "amount": "1.000001"},
            {"type": "debit", "kind": "adjustment_debit", "transactions": 1, "amount": "9.000000"},
        ],
    });
    assert_eq!(february, expected);
    let text = in_csv(&api, "/v1/accounts/acme/statements/2025-02").await;
    assert_eq!(
        text,
        "account,month,status,line,type,kind,transactions,amount\r\n\
         acme,2025-02,closed,opening,,,,9.750000\r\n\
         acme,2025-02,closed,total,debit,chargeback,1,1.000001\r\n\
         acme,2025-02,closed,total,debit,adjustment_debit,1,9.000000\r\n\
         acme,2025-02,closed,credits,,,,0.000000\r\n\
         acme,2025-02,closed,debits,,,,10.000001\r\n\
         acme,2025-02,closed,closing,,,,-0.250001\r\n"
    );
    for month in ["2025-13", "2025-1", "9999-12", "soon", "2025-01-01", "%00"] {
        let answer = statement(&api, month).await;
        assert_eq!(answer.problem(404), "unknown_statement", "{month}");
    }
    api.get("/v1/accounts/nobody/statements/2025-01").await.problem(404);
    let listed = async |query: &str| {
        let path = format!("/v1/accounts/acme/transactions?{query}");
        let rows = api.items(&path, 2).await.expect("a list");
        rows.iter().map(|row| row["sequence"].as_i64().expect("a number")).collect::<Vec<_>>()
    };
    assert_eq!(listed("from=2025-02-01&to=2025-02-02").await, [3]);
    assert_eq!(listed("to=2025-02-01").await, [2, 1]);
    assert_eq!(listed("from=2025-02-02T00:00:00Z").await, [6, 5, 4]);
    assert!(listed("from=2025-03-01").await.is_empty());
    assert!(listed("to=2025-01-01").await.is_empty());
}

#[tokio::test]
async fn a_closed_month_never_changes_even_by_a_clock_that_is_late() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 0)]).await;
    let mut sql = system.sql().await;
    write_history(&mut sql).await;
    let closed = statement(&api, "2025-03").await.expect(200);
    assert_eq!(closed["status"], "closed");
    // A transaction dated within the month that is written after the statement was read.
    let late = chrono::DateTime::parse_from_rfc3339("2025-03-31T23:59:59Z").expect("an instant");
    let by = By::new("late", late.to_utc());
    let adjustment = Adjustment {
        direction: TransactionType::Credit,
        amount: Money::from_micros(3),
        description: "Late".to_owned(),
        refers_to: None,
        reason: None,
    };
    let acme = AccountId::parse("acme").expect("an id");
    let posted: Result<Result<_, _>, LedgerError> = adjust(&mut sql, &acme, &adjustment, &by).await;
    let Ok(Ok(row)) = posted else { panic!("not posted: {posted:?}") };
    assert_eq!(row.at.to_rfc3339(), "2025-04-01T00:00:00+00:00");
    assert_eq!(statement(&api, "2025-03").await.expect(200), closed);
    let april = statement(&api, "2025-04").await.expect(200);
    assert_eq!((&april["opening"], &april["credits"]), (&json!("-0.250001"), &json!("0.000003")));
    let this_month = &crate::model::time::rfc3339(now())[..7];
    let open = statement(&api, this_month).await.expect(200);
    assert_eq!((&open["status"], &open["totals"]), (&json!("open"), &json!([])));
    let credit = json!({"type": "credit", "amount": "1", "description": "x"});
    api.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
    let open = statement(&api, this_month).await.expect(200);
    assert_eq!((&open["status"], &open["credits"]), (&json!("open"), &json!("1.000000")));
}

#[tokio::test]
async fn calls_are_exported_as_csv_and_no_text_of_theirs_is_a_formula() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    let mut event = completed(&acme, &call_sid(1), 61, now());
    event["From"] = json!("=HYPERLINK(\"http://x\",\"y\")");
    system.produce(&[on_calls(0, &event)]).await;
    system.settle(&api).await;
    let text = in_csv(&api, "/v1/accounts/acme/calls").await;
    let lines: Vec<&str> = text.trim_end().split("\r\n").collect();
    let call: Value = api.get("/v1/accounts/acme/calls").await.expect(200)["items"][0].clone();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0].split(',').count(), call.as_object().expect("a call").len());
    assert!(lines[1].contains("\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""), "{text}");
    let to = call["to"].as_str().expect("a number");
    assert!(lines[1].contains(&format!(",{to},")), "a number stays as it is: {text}");
    assert!(lines[1].contains(",61,120,0,120,0.020000,0.040000,,,1,,txn_"), "{text}");
}

#[tokio::test]
async fn a_text_that_begins_with_a_full_width_sign_is_no_formula_either() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    let signs = ['\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    for sign in signs {
        let body = json!({"type": "credit", "amount": "1", "description": format!("{sign}1+1")});
        api.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    }
    let text = in_csv(&api, "/v1/accounts/acme/transactions").await;
    for sign in signs {
        assert!(text.contains(&format!(",\"'{sign}1+1\"")), "{sign}: {text}");
    }
}
