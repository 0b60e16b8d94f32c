//! Numbers and names are redacted from the ledger after their time, or at once for one account;
//! amounts stay, and the ledger still verifies.

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

/// The numbers that remain anywhere in the database, with the table.
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

/// Calls with every kind of end, a rent, an adjustment that names a number, and a reject.
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
    // As if a month and a bit had passed: now everything is old.
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
    // The remaining numbers belong to other accounts.
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
async fn a_redaction_finds_kept_answers_however_their_path_was_written() {
    let (system, api) = filled().await;
    let named = Some(json!({"name": "Alice +15005550001"}).to_string().into_bytes());
    for (key, path) in [("one", "/v1/accounts/%61cme"), ("two", "/v1/accounts/a%63me")] {
        let key = [("idempotency-key", key)];
        let sent = api.send(reqwest::Method::PATCH, path, &key, named.clone()).await;
        sent.expect("an answer").expect(200);
    }
    // The same path in other spellings has the same keys.
    let key = [("idempotency-key", "one")];
    let again = api.send(reqwest::Method::PATCH, "/v1/accounts/acme", &key, named).await;
    assert!(again.expect("an answer").replayed);
    let mut sql = system.sql().await;
    let empty = "INSERT INTO idempotency_keys
        SELECT credential, '/v1/accounts/acme/silent', key, body_sha256, 204, '', created_at
        FROM idempotency_keys WHERE key = 'one'";
    sqlx::raw_sql(empty).execute(&mut sql).await.expect("an empty answer is kept");
    system.run(&["account", "redact", "acme", "--reason", "she asked"]).expect_success();
    let kept = "SELECT string_agg(response, ' ') FROM idempotency_keys";
    let kept: String = sqlx::query(kept).fetch_one(&mut sql).await.expect("answers").get(0);
    assert!(!kept.contains("Alice") && kept.contains("(redacted)"), "{kept}");
}

#[tokio::test]
async fn a_row_that_is_too_young_keeps_no_other_from_being_blanked() {
    let system = System::new().await;
    let mut sql = system.sql().await;
    // A month of charges, 30 rows a block; some rows of its end reuse the space of others.
    sqlx::raw_sql(
        "CREATE TABLE a_month AS
         SELECT CASE WHEN n IN (1, 700, 1500) THEN timestamptz '2020-01-30' + n * interval '1 s'
                ELSE timestamptz '2020-01-01' + n * interval '10 minutes' END AS charged_at,
             '+15005550001' AS call_from, NULL::text AS call_to, repeat('x', 220) AS evidence
         FROM generate_series(1, 3000) AS n",
    )
    .execute(&mut sql)
    .await
    .expect("a table");
    // The cutoff, and the number of rows that are not blanked for it.
    for (before, left) in [
        ("2020-01-01", 3_000),
        ("2020-01-05", 3_000 - 575 + 1),
        ("2020-01-05 01:00", 3_000 - 581 + 1),
        ("2020-01-20", 3_000 - 2_735 + 3),
        ("2020-01-30 00:12", 1),
        ("2020-02-01", 0),
    ] {
        let step = "SELECT blank_charges_of('a_month', '2020-02-01', $1::timestamptz, 8)";
        let mut steps = 0;
        while sqlx::query(step).bind(before).fetch_one(&mut sql).await.expect("it runs").get(0) {
            steps += 1;
            assert!(steps < 100, "it comes to an end");
        }
        let count = "SELECT count(*) FROM a_month WHERE call_from <> ''";
        let found: i64 = sqlx::query(count).fetch_one(&mut sql).await.expect("rows").get(0);
        assert_eq!(found, left, "{before}");
    }
    let done = "SELECT is_done FROM blanked_partitions WHERE partition_name = 'a_month'";
    assert!(sqlx::query(done).fetch_one(&mut sql).await.expect("a row").get::<bool, _>(0));
}

#[tokio::test]
async fn blanking_looks_only_for_what_is_left_to_be_blanked() {
    let (system, _) = filled().await;
    let mut sql = system.sql().await;
    sqlx::raw_sql("SET enable_seqscan = off").execute(&mut sql).await.expect("a hint");
    for (statement, index) in [
        (
            "SELECT account_key FROM transactions
             WHERE at < now() AND description ~ '\\+[0-9]{7,15}' ORDER BY at LIMIT 9",
            "transactions_with_numbers",
        ),
        (
            "SELECT period_start FROM rental_periods WHERE first_attempt_at < now()
                 AND phone_number <> '' AND next_attempt_at IS NULL LIMIT 9",
            "rental_periods_to_be_blanked",
        ),
        (
            "SELECT reject_id FROM rejects WHERE rejected_at < now()
                 AND (record_key IS NOT NULL OR record_value IS NOT NULL OR detail <> '') LIMIT 9",
            "rejects_to_be_blanked",
        ),
    ] {
        let explain = format!("EXPLAIN {statement}");
        let plan = sqlx::query(&explain).fetch_all(&mut sql).await.expect("a plan");
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
    }
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
    let arguments = [&offsets[..], &["--offset", "0", "--reason", reason]].concat();
    system.run(&arguments).expect_success();
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
    let first = system.start("jobs", &[("CALLMETER__PRIVACY__RETENTION_MONTHS", "1")]);
    until("the reject is blanked", SOON, async || {
        let row = sqlx::query("SELECT record_value IS NULL AND detail = '' FROM rejects");
        row.fetch_one(&mut sql).await.expect("one reject").get::<bool, _>(0).then_some(())
    })
    .await;
    assert!(numbers_left(&mut sql).await.iter().any(|it| it.starts_with("charges")), "not old yet");
    // Turned off, it leaves no record that would be late for ever.
    system.services[first].kill();
    system.start("jobs", &[]);
    until("only the other jobs have a record", SOON, async || {
        let row = sqlx::query("SELECT count(*) FROM jobs WHERE name = 'blanking'");
        (row.fetch_one(&mut sql).await.expect("a number").get::<i64, _>(0) == 0).then_some(())
    })
    .await;
}
