//! Auth tokens of Twilio accounts: written, kept sealed, and never returned.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};

use serde_json::json;
use sqlx::{PgConnection, Row as _};

use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, account_sid};
use crate::harness::system::System;

const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const NEXT: &str = "ffeeddccbbaa99887766554433221100";

/// Every row of every table, as text.
pub(crate) async fn everything(sql: &mut PgConnection) -> String {
    let dump = "SELECT coalesce(string_agg(query_to_xml(
            format('SELECT * FROM %I', tablename), true, false, '')::text, ''), '')
        FROM pg_tables WHERE schemaname = 'public'";
    sqlx::query(dump).fetch_one(sql).await.expect("the tables").get(0)
}

pub(crate) fn feed(mut command: Command, text: &str) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that refuses its arguments ends without reading.
    if let Err(error) = stdin.write_all(text.as_bytes()) {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn an_auth_token_is_written_and_seen_nowhere_again() {
    let mut system = System::new().await;
    let api = system.serve("api,jobs").await;
    let acme = account("acme", 0);
    system.open(&api, [&acme]).await;
    let path = "/v1/accounts/acme";
    let body = json!({"twilio_auth_token": TOKEN, "name": "Acme"}).to_string().into_bytes();
    let key = [("idempotency-key", "token-1")];
    for replayed in [false, true] {
        let sent = api.send(reqwest::Method::PATCH, path, &key, Some(body.clone())).await;
        let answer = sent.expect("an answer");
        assert_eq!(answer.expect(200)["name"], "Acme");
        assert_eq!(answer.replayed, replayed);
        assert!(!answer.text.contains(TOKEN) && !answer.text.contains("token"), "{answer:?}");
    }
    api.patch(path, &json!({"twilio_auth_token": TOKEN})).await.expect(200);
    let mut sql = system.sql().await;
    let row = sqlx::query("SELECT sealed, previous_sealed FROM twilio_tokens").fetch_one(&mut sql);
    let row = row.await.expect("one token");
    let sealed: Vec<u8> = row.get(0);
    assert_eq!(sealed.len(), 12 + TOKEN.len() + 16);
    assert_eq!(row.get::<Option<Vec<u8>>, _>(1), None, "the same token again replaces nothing");
    api.patch(path, &json!({"twilio_auth_token": NEXT})).await.expect(200);
    let row = sqlx::query("SELECT previous_sealed FROM twilio_tokens").fetch_one(&mut sql);
    assert_eq!(row.await.expect("one token").get::<Vec<u8>, _>(0), sealed);
    let stored = everything(&mut sql).await;
    let shown = api.get(path).await.text + &system.run(&["account", "show", "acme"]).stdout;
    for place in [stored, shown, system.services[0].log_text()] {
        for token in [TOKEN, NEXT] {
            let written = [token.to_owned(), hex::encode(token)];
            assert!(!written.iter().any(|text| place.contains(text.as_str())), "{place}");
        }
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_one_is_refused_without_being_repeated() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    let refused =
        [json!(""), json!("two words"), json!("h\u{e9}"), json!("x".repeat(257)), json!(7)];
    for token in refused {
        let answer = api.patch("/v1/accounts/acme", &json!({"twilio_auth_token": token})).await;
        assert_eq!(answer.expect(400)["errors"][0]["field"], "twilio_auth_token");
        let repeated = token.as_str().is_some_and(|it| !it.is_empty() && answer.text.contains(it));
        assert!(!repeated, "{answer:?}");
    }
    let foreign = json!({"twilio_auth_token": TOKEN, "twilio_account_sid": account_sid(77)});
    assert_eq!(api.patch("/v1/accounts/acme", &foreign).await.problem(400), "not_linked");
    let aimless = json!({"twilio_account_sid": account_sid(77)});
    assert_eq!(api.patch("/v1/accounts/acme", &aimless).await.problem(400), "invalid_request");
    let unknown = json!({"twilio_auth_token": TOKEN});
    assert_eq!(api.patch("/v1/accounts/nobody", &unknown).await.problem(404), "unknown_account");
    let mut sql = system.sql().await;
    let count = sqlx::query("SELECT count(*) FROM twilio_tokens").fetch_one(&mut sql).await;
    assert_eq!(count.expect("a count").get::<i64, _>(0), 0);
}

#[tokio::test]
async fn a_token_is_set_by_command_through_standard_input_or_a_file_only() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    system.run(&["account", "link", "acme", &account_sid(2)]).expect_success();
    let command = |more: &[&str]| system.command(&[&["account", "token"], more].concat());
    let (code, said) = feed(command(&["acme", "--stdin"]), &format!("{TOKEN}\n"));
    assert_eq!((code, said.trim()), (Some(0), "the token of acme is set"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), NEXT).expect("it is written");
    let path = file.path().to_str().expect("UTF-8");
    let sub = ["--twilio-account-sid", &account_sid(2)];
    let (code, said) = feed(command(&[&["acme", "--file", path], &sub[..]].concat()), "");
    assert_eq!(code, Some(0), "{said}");
    let mut sql = system.sql().await;
    let count = "SELECT count(DISTINCT twilio_account_key) FROM twilio_tokens";
    let counted = sqlx::query(count).fetch_one(&mut sql).await.expect("a count");
    assert_eq!(counted.get::<i64, _>(0), 2, "each Twilio account has its own");
    let refused: [(&[&str], &str, i32); 5] = [
        (&["acme"], "", 2),
        (&["acme", "--stdin"], "", 2),
        (&["acme", "--stdin"], "two words", 2),
        (&["nobody", "--stdin"], TOKEN, 1),
        (&["acme", "--stdin", "--twilio-account-sid", &account_sid(9)], TOKEN, 1),
    ];
    for (arguments, text, code) in refused {
        let (found, said) = feed(command(arguments), text);
        assert_eq!(found, Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("two words") && !said.contains(TOKEN), "{said}");
    }
    let (code, said) = feed(command(&["acme", "--forget"]), "");
    assert_eq!(code, Some(0), "{said}");
    let counted = sqlx::query(count).fetch_one(&mut sql).await.expect("a count");
    assert_eq!(counted.get::<i64, _>(0), 1);
}

#[tokio::test]
async fn a_new_key_seals_anew_what_the_old_one_sealed() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    let mut sql = system.sql().await;
    for token in ["the first one", TOKEN, NEXT].map(|token| token.replace(' ', "-")) {
        api.patch("/v1/accounts/acme", &json!({"twilio_auth_token": token})).await.expect(200);
    }
    let ids = "SELECT min(key_id), max(key_id), count(*) FROM twilio_tokens_of_all_times";
    let row = sqlx::query(ids).fetch_one(&mut sql).await.expect("three tokens");
    let (key_id, another): (String, String) = (row.get(0), row.get(1));
    assert_eq!((&key_id, row.get::<i64, _>(2)), (&another, 3));
    // Until now they were sealed with the admin key.
    system.start("jobs", &[("CALLMETER__SECRETS__KEY", "a-key-of-its-own-0123456789-0123456789")]);
    let renewed = until("the tokens are sealed anew", SOON, async || {
        let row = sqlx::query(ids).fetch_one(&mut sql).await.expect("one token");
        let (now, before): (String, String) = (row.get(0), row.get(1));
        (now != key_id && before == now).then_some(now)
    });
    let renewed = renewed.await;
    // An unrelated key opens neither, reports it, and leaves them unchanged.
    let stranger = [
        ("CALLMETER__SECRETS__KEY", "quite-another-key-0123456789-0123456789"),
        ("CALLMETER__HTTP__ADMIN_KEY", "quite-another-key-of-admins-0123456789"),
    ];
    let index = system.start("jobs", &stranger);
    until("the loss is told", SOON, async || {
        system.services[index].log_text().contains("sealed by a key that is not set").then_some(())
    })
    .await;
    let row = sqlx::query(ids).fetch_one(&mut sql).await.expect("one token");
    assert_eq!(row.get::<String, _>(0), renewed);
}
