//! Numbers and names are taken out of the ledger after their time, or at once for one account; amounts
//! stay, and the ledger still proves itself.

use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{
    account, call_sid, completed, now, on_calls, on_rentals, rental, subscribed,
};
use crate::harness::system::System;
use crate::model::account::Account;
use crate::model::read::Topic;
use crate::model::time::DAY;

const NUMBERS: [&str; 4] = ["5005550001", "2125550123", "2071838750", "5005550006"];

/// Which of the numbers stand anywhere in the database, with the table.
async fn numbers_left(sql: &mut PgConnection) -> Vec<String> {
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    let tables = sqlx::query(tables).fetch_all(&mut *sql).await.expect("the tables");
    let mut left = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let texts = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} AS t");
        let text: String = sqlx::query(&texts).fetch_one(&mut *sql).await.expect("rows").get(0);
        let bytes = |number: &str| hex::encode(number);
        let found = NUMBERS.iter().filter(|it| text.contains(**it) || text.contains(&bytes(it)));
        left.extend(found.map(|number| format!("{table}: {number}")));
    }
    left
}

async fn amounts(api: &Api, account: &str) -> Vec<Value> {
    let path = format!("/v1/accounts/{account}/calls");
    let mut calls = api.items(&path, 100).await.expect("a list");
    for call in &mut calls {
        let call = call.as_object_mut().expect("an object");
        call.remove("from");
        call.remove("to");
    }
    let wallet = api.get(&format!("/v1/accounts/{account}/wallet")).await.expect(200);
    calls.push(wallet["balance"].clone());
    calls
}

/// Calls of every kind of end, a rent, an adjustment that names a number, and a reject.
async fn filled() -> (System, Api) {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 5_000_000);
    let globex = subscribed(account("globex", 5_000_000), "starter", now() - 40 * DAY);
    system.open(&api, [&acme, &globex]).await;
    let mut records = Vec::new();
    for (number, (seconds, account)) in
        [(61, &acme), (481, &globex), (901, &acme), (1_321, &globex), (1_741, &acme)]
            .into_iter()
            .enumerate()
    {
        let mut call = completed(account, &call_sid(number), seconds, now());
        match number {
            0 => call["To"] = json!("+442071838750"),
            1 => call["Direction"] = json!("inbound"),
            2 => call["To"] = json!("client:alice"),
            3 => call["From"] = json!("anonymous"),
            _ => drop(call.as_object_mut().expect("an object").remove("From")),
        }
        records.push(on_calls(0, &call));
    }
    let mut odd = completed(&acme, &call_sid(9), 61, now());
    odd["CallDuration"] = json!("+15005550001");
    records.push(on_calls(0, &odd));
    records.push(on_rentals(0, &rental(&acme, "PN1", "2026-01-01", Some("0.77"))));
    system.produce(&records).await;
    let correction =
        json!({"type": "credit", "amount": "0.5", "description": "For +15005550001, sorry"});
    let key = [("idempotency-key", "sorry")];
    let body = Some(correction.to_string().into_bytes());
    let path = "/v1/accounts/acme/adjustments";
    let sent = api.send(reqwest::Method::POST, path, &key, body).await;
    assert_eq!(sent.expect("an answer").status, 201);
    let address = json!({"email": "alice@example.com", "name": "Alice Liddell"});
    api.patch("/v1/accounts/acme", &address).await.expect(200);
    system.settle(&api).await;
    (system, api)
}

#[tokio::test]
async fn what_is_old_loses_its_numbers_and_keeps_its_amounts() {
    let (system, api) = filled().await;
    let mut sql = system.sql().await;
    let before = [amounts(&api, "acme").await, amounts(&api, "globex").await];
    assert!(numbers_left(&mut sql).await.len() > 4);
    let blank = "SELECT blank_before(now() + $1::interval, 64)";
    // Nothing is old yet.
    let more = sqlx::query(blank).bind("-1 hour").fetch_one(&mut sql).await.expect("it runs");
    assert!(!more.get::<bool, _>(0));
    assert!(numbers_left(&mut sql).await.len() > 4);
    // As if a month had passed, and a bit: now all of it is.
    let mut steps = 0;
    while sqlx::query(blank).bind("40 days").fetch_one(&mut sql).await.expect("it runs").get(0) {
        steps += 1;
        assert!(steps < 100, "it comes to an end");
    }
    let left = numbers_left(&mut sql).await;
    assert!(left.iter().all(|it| it.starts_with("idempotency_keys")), "{left:?}");
    assert_eq!(before, [amounts(&api, "acme").await, amounts(&api, "globex").await]);
    let calls = api.items("/v1/accounts/acme/calls", 100).await.expect("a list");
    assert!(calls.iter().all(|call| call["from"].is_null() && call["to"].is_null()), "{calls:?}");
    let transactions = api.get("/v1/accounts/acme/transactions").await.text;
    assert!(transactions.contains("For (blanked), sorry"), "{transactions}");
    system.verify();
}

#[tokio::test]
async fn an_account_is_redacted_at_once_and_no_other() {
    let (system, api) = filled().await;
    let mut sql = system.sql().await;
    let before = [amounts(&api, "acme").await, amounts(&api, "globex").await];
    assert_eq!(system.run(&["account", "redact", "acme"]).code, Some(2), "a reason is needed");
    assert_eq!(system.run(&["account", "redact", "nobody", "--reason", "x"]).code, Some(1));
    let asked = ["account", "redact", "acme", "--reason", "she asked for it"];
    for calls in [3, 0] {
        let said = system.run(&asked).expect_success().stdout;
        assert!(said.contains(&format!("; {calls} charged calls")), "{said}");
    }
    assert_eq!(before, [amounts(&api, "acme").await, amounts(&api, "globex").await]);
    let shown = api.get("/v1/accounts/acme").await.expect(200);
    assert_eq!((&shown["name"], &shown["email"]), (&json!("(redacted)"), &Value::Null));
    let globex = api.items("/v1/accounts/globex/calls", 100).await.expect("a list");
    assert!(globex.iter().all(|call| call["to"] == "+12125550123"), "{globex:?}");
    // Whatever is left is the other accounts'.
    let left = numbers_left(&mut sql).await;
    for table in ["accounts", "idempotency_keys", "rejects", "audit"] {
        assert!(!left.iter().any(|it| it.starts_with(table)), "{left:?}");
    }
    for table in ["charges", "transactions", "rental_periods"] {
        let own = format!(
            "SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} AS t
             JOIN accounts USING (account_key) WHERE id = 'acme'"
        );
        let own: String = sqlx::query(&own).fetch_one(&mut sql).await.expect("rows").get(0);
        assert!(!NUMBERS.iter().any(|number| own.contains(number)), "{table}: {own}");
    }
    let audit = api.get("/v1/audit?action=account_redacted").await.expect(200);
    assert_eq!(audit["items"][0]["why"], "she asked for it", "{audit}");
    let told = audit.to_string();
    assert!(!told.contains("Liddell") && !told.contains("alice@"), "{told}");
    system.verify();
}

#[tokio::test]
async fn a_redaction_finds_rejects_however_they_name_the_account() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let (acme, globex) = (account("acme", 0), account("globex", 0));
    system.open(&api, [&acme, &globex]).await;
    let escaped = |sid: &str| format!("\\u{:04x}{}", u32::from(sid.as_bytes()[0]), &sid[1..]);
    let odd = |account: &Account, number: usize| {
        let mut call = completed(account, &call_sid(number), 61, now());
        call["CallDuration"] = json!("+15005550001");
        call
    };
    let truncated = |account: &Account| {
        let whole = odd(account, 1).to_string();
        let whole = whole.replace(&account.sid, "AC1");
        whole[..whole.len() - 3].to_owned().into_bytes()
    };
    let mut records = Vec::new();
    for account in [&acme, &globex] {
        let mut push = |key: Option<&str>, payload: Vec<u8>| {
            let mut record = on_calls(0, &odd(account, 2));
            record.key = key.map(|key| key.as_bytes().to_vec());
            record.payload = Some(payload);
            records.push(record);
        };
        push(Some(&account.sid), truncated(account));
        push(None, odd(account, 3).to_string().into_bytes());
        let plain = odd(account, 4).to_string();
        push(None, plain.replace(&account.sid, &escaped(&account.sid)).into_bytes());
        let held = json!({"request": {"parameters": odd(account, 5)}}).to_string();
        let held = held.replace(&account.sid, &escaped(&account.sid));
        let event = json!({"specversion": "1.0", "data": held,
            "type": "com.twilio.voice.status-callback.call.completed"});
        push(Some("another key"), event.to_string().into_bytes());
        let rent = rental(account, "PN1", "never", None).to_string();
        let mut rent_record = on_rentals(0, &rental(account, "PN1", "never", None));
        rent_record.key = None;
        rent_record.payload = Some(rent.replace(&account.sid, &escaped(&account.sid)).into());
        records.push(rent_record);
    }
    system.produce(&records).await;
    system.settle(&api).await;
    let mut sql = system.sql().await;
    let kept = "SELECT count(*) FILTER (WHERE record_value IS NOT NULL), count(*),
        count(*) FILTER (WHERE detail = '') FROM rejects";
    let row = sqlx::query(kept).fetch_one(&mut sql).await.expect("a count");
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (10, 10));
    system.run(&["account", "redact", "acme", "--reason", "she asked"]).expect_success();
    let row = sqlx::query(kept).fetch_one(&mut sql).await.expect("a count");
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(2)), (5, 5), "hers, and no other's");
}

#[tokio::test]
async fn a_reason_that_names_a_number_is_kept_without_it() {
    let (system, api) = filled().await;
    let reason = "caller +15005550001 asked";
    let header = [("x-reason", reason)];
    let body = Some(json!({"name": "Acme"}).to_string().into_bytes());
    let sent = api.send(reqwest::Method::PATCH, "/v1/accounts/acme", &header, body).await;
    sent.expect("an answer").expect(200);
    system.run(&["account", "redact", "acme", "--reason", reason]).expect_success();
    let offsets = ["offsets", "set", "--topic", &system.topic(Topic::Calls), "--partition", "0"];
    let set = [&offsets[..], &["--offset", "0", "--reason", reason]].concat();
    let _ = system.run(&set);
    let audit = api.get("/v1/audit").await.expect(200);
    let whys: Vec<_> = audit["items"].as_array().expect("rows").iter().collect();
    let told = whys.iter().filter(|row| row["why"] == "caller +15*******01 asked").count();
    assert!(told >= 2, "{audit}");
    let mut sql = system.sql().await;
    let left = numbers_left(&mut sql).await;
    assert!(!left.iter().any(|it| it.starts_with("audit") || it.starts_with("offset")), "{left:?}");
}

#[tokio::test]
async fn the_database_lets_rows_lose_their_numbers_and_nothing_else() {
    let (system, _) = filled().await;
    let mut sql = system.sql().await;
    for refused in [
        "UPDATE charges SET call_to = '+1999'",
        "UPDATE charges SET call_to = NULL",
        "UPDATE charges SET call_from = '', call_to = call_from",
        "UPDATE charges SET call_to = '', amount_micros = amount_micros",
        "UPDATE charges SET call_from = '' WHERE call_from IS NULL",
        "UPDATE transactions SET description = ''",
        "UPDATE transactions SET description = 'For somebody' WHERE description IS NOT NULL",
        "UPDATE transactions SET description = 'x' WHERE description IS NULL",
        "UPDATE transactions SET amount_micros = amount_micros WHERE false",
    ] {
        let done = sqlx::raw_sql(refused).execute(&mut sql).await;
        let error = done.expect_err(refused).to_string();
        assert!(error.contains("append-only"), "{refused}: {error}");
    }
    let allowed = "UPDATE charges SET call_from = '' WHERE call_from IS NOT NULL";
    sqlx::raw_sql(allowed).execute(&mut sql).await.expect("it may be blanked");
    system.verify();
}

#[tokio::test]
async fn the_jobs_blank_what_is_beyond_its_retention() {
    let (mut system, _) = filled().await;
    let mut sql = system.sql().await;
    let age = "UPDATE rejects SET rejected_at = rejected_at - interval '60 days'";
    sqlx::raw_sql(age).execute(&mut sql).await.expect("a reject grows old");
    system.start("jobs", &[("CALLMETER__PRIVACY__RETENTION_MONTHS", "1")]);
    until("the reject is blanked", SOON, async || {
        let row = sqlx::query("SELECT record_value IS NULL AND detail = '' FROM rejects");
        row.fetch_one(&mut sql).await.expect("one reject").get::<bool, _>(0).then_some(())
    })
    .await;
    assert!(numbers_left(&mut sql).await.iter().any(|it| it.starts_with("charges")), "not old yet");
}
