//! Shared keys of accounts, with which Twilio signs: written, kept sealed, and never returned.

use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};

use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::system::System;
use crate::tokens::{everything, feed};

const PATH: &str = "/v1/accounts/acme";
const FIRST: &str = "webhooks_sharedkey_01kb2x8t5vq3m9r7w6y4z0n1ce";
const SECOND: &str = "webhooks_sharedkey_01kb2x9a0b1c2d3e4f5g6h7j8k";
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const NEXT: &str = "ffeeddccbbaa99887766554433221100";

async fn ids(sql: &mut PgConnection) -> Vec<String> {
    let rows = sqlx::query("SELECT shared_key_id FROM twilio_shared_keys ORDER BY 1");
    rows.fetch_all(sql).await.expect("the keys").iter().map(|row| row.get(0)).collect()
}

async fn patch(api: &Api, keys: Value) {
    api.patch(PATH, &json!({ "twilio_shared_keys": keys })).await.expect(200);
}

#[tokio::test]
async fn a_shared_key_is_written_and_seen_nowhere_again() {
    let mut system = System::new().await;
    let api = system.serve("api,jobs").await;
    system.open(&api, [&account("acme", 0)]).await;
    let body = json!({"twilio_shared_keys": {FIRST: SECRET}, "name": "Acme"});
    let key = [("idempotency-key", "key-1")];
    for replayed in [false, true] {
        let body = Some(body.to_string().into_bytes());
        let answer = api.send(reqwest::Method::PATCH, PATH, &key, body).await.expect("an answer");
        assert_eq!(answer.expect(200)["name"], "Acme");
        assert_eq!(answer.replayed, replayed);
        assert!(!answer.text.contains(SECRET) && !answer.text.contains("shared"), "{answer:?}");
    }
    let mut sql = system.sql().await;
    let row = sqlx::query("SELECT sealed, set_at FROM twilio_shared_keys").fetch_one(&mut sql);
    let row = row.await.expect("one key");
    assert_eq!(row.get::<Vec<u8>, _>(0).len(), 12 + SECRET.len() + 16);
    patch(&api, json!({ FIRST: SECRET })).await;
    let again = sqlx::query("SELECT sealed, set_at FROM twilio_shared_keys").fetch_one(&mut sql);
    let again = again.await.expect("one key");
    assert_eq!(again.get::<Vec<u8>, _>(0), row.get::<Vec<u8>, _>(0), "the same changes nothing");
    patch(&api, json!({ FIRST: NEXT, SECOND: SECRET })).await;
    let stored = everything(&mut sql).await;
    let shown = api.get(PATH).await.text + &system.run(&["account", "show", "acme"]).stdout;
    for place in [stored, shown, system.services[0].log_text()] {
        for secret in [SECRET, NEXT] {
            let written = [secret.to_owned(), hex::encode(secret)];
            assert!(!written.iter().any(|text| place.contains(text.as_str())), "{place}");
        }
    }
    // The audit names the keys, and has no entry if nothing changed.
    patch(&api, json!({ FIRST: null, "nobody's": null })).await;
    patch(&api, json!({})).await;
    patch(&api, Value::Null).await;
    patch(&api, Value::Null).await;
    let mut noted = api.items("/v1/audit", 100).await.expect("the audit");
    noted.reverse();
    noted.retain(|row| row["action"].as_str().is_some_and(|it| it.contains("shared_key")));
    let noted: Vec<_> = noted.iter().map(|row| (&row["action"], &row["subject"])).collect();
    let (set, forgotten) = (json!("twilio_shared_key_set"), json!("twilio_shared_key_forgotten"));
    let (first, second) = (json!(FIRST), json!(SECOND));
    let expected = [
        (&set, &first),
        (&set, &first),
        (&set, &second),
        (&forgotten, &first),
        (&forgotten, &second),
    ];
    assert_eq!(noted, expected);
    assert_eq!(ids(&mut sql).await, [] as [String; 0]);
}

#[tokio::test]
async fn a_shared_key_that_cannot_be_one_is_refused_unrepeated_and_changes_nothing() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    let many: serde_json::Map<_, _> = (0..41).map(|n| (format!("k{n}"), json!(NEXT))).collect();
    let refused = [
        json!(SECRET),
        json!(format!("{FIRST}={SECRET}")),
        json!([SECRET]),
        json!(7),
        json!({ FIRST: "" }),
        json!({ FIRST: "two words" }),
        json!({ FIRST: "h\u{e9}" }),
        json!({ FIRST: 7 }),
        json!({ FIRST: {} }),
        json!({ FIRST: "hunter2".repeat(37) }),
        json!({ "": SECRET }),
        json!({ "two words": SECRET }),
        json!({ "a,b": SECRET }),
        json!({ "a=b": SECRET }),
        json!({ "k\u{e9}": SECRET }),
        json!({ "k".repeat(129): SECRET }),
        json!({ FIRST: SECRET, SECOND: "two words" }),
        json!(many),
    ];
    for keys in refused {
        let body = json!({"twilio_shared_keys": keys, "twilio_auth_token": SECRET, "name": "X"});
        let answer = api.patch(PATH, &body).await;
        assert_eq!(answer.expect(400)["errors"][0]["field"], "twilio_shared_keys", "{keys}");
        assert!(!answer.text.contains(SECRET) && !answer.text.contains("hunter2"), "{answer:?}");
    }
    let unknown = json!({"twilio_shared_keys": {FIRST: SECRET}});
    assert_eq!(api.patch("/v1/accounts/nobody", &unknown).await.problem(404), "unknown_account");
    // At most twenty are kept; a refused change leaves everything as it was, including the token.
    let twenty: serde_json::Map<_, _> = (0..20).map(|n| (format!("k{n}"), json!(NEXT))).collect();
    patch(&api, json!(twenty)).await;
    for more in [json!({ FIRST: SECRET }), json!({ FIRST: SECRET, "k99": null })] {
        let body = json!({"twilio_shared_keys": more, "twilio_auth_token": SECRET, "name": "X"});
        let answer = api.patch(PATH, &body).await;
        assert_eq!(answer.expect(400)["errors"][0]["field"], "twilio_shared_keys");
    }
    let foreign = json!({"twilio_shared_keys": {"k0": null}, "twilio_auth_token": SECRET,
        "twilio_account_sid": "AC00000000000000000000000000000077"});
    assert_eq!(api.patch(PATH, &foreign).await.problem(400), "not_linked");
    let mut sql = system.sql().await;
    assert_eq!(ids(&mut sql).await.len(), 20);
    let tokens = sqlx::query("SELECT count(*) FROM twilio_tokens").fetch_one(&mut sql).await;
    assert_eq!(tokens.expect("a count").get::<i64, _>(0), 0);
    assert_ne!(api.get(PATH).await.expect(200)["name"], "X");
    patch(&api, json!({ "k0": null, FIRST: SECRET })).await;
    let kept = ids(&mut sql).await;
    assert!(kept.len() == 20 && kept.iter().any(|id| id == FIRST), "{kept:?}");
}

#[tokio::test]
async fn a_shared_key_is_set_by_command_through_standard_input_or_a_file_only() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    let command = |more: &[&str]| system.command(&[&["account", "shared-key"], more].concat());
    let (code, said) = feed(command(&["acme", FIRST, "--stdin"]), &format!("{SECRET}\n"));
    let expected = format!("the shared key {FIRST} of acme is set");
    assert_eq!((code, said.trim()), (Some(0), expected.as_str()));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), NEXT).expect("it is written");
    let path = file.path().to_str().expect("UTF-8");
    let (code, said) = feed(command(&["acme", SECOND, "--file", path, "--reason", "new"]), "");
    assert_eq!(code, Some(0), "{said}");
    let mut sql = system.sql().await;
    assert_eq!(ids(&mut sql).await, [FIRST, SECOND]);
    let refused: [(&[&str], &str, i32); 9] = [
        (&["acme", FIRST], "", 2),
        (&["acme", "--stdin"], SECRET, 2),
        (&["acme", FIRST, "--stdin"], "", 2),
        (&["acme", FIRST, "--stdin"], "two words", 2),
        (&["acme", "a=b", "--stdin"], SECRET, 2),
        (&["acme", "two words", "--stdin"], SECRET, 2),
        (&["acme", "--forget"], "", 2),
        (&["acme", FIRST, "--forget-all"], "", 2),
        (&["nobody", FIRST, "--stdin"], SECRET, 1),
    ];
    for (arguments, text, code) in refused {
        let (found, said) = feed(command(arguments), text);
        assert_eq!(found, Some(code), "{arguments:?}: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    assert_eq!(ids(&mut sql).await, [FIRST, SECOND]);
    let (code, said) = feed(command(&["acme", FIRST, "--forget"]), "");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(ids(&mut sql).await, [SECOND]);
    let (code, said) = feed(command(&["acme", "--forget-all"]), "");
    assert_eq!((code, said.trim()), (Some(0), "all shared keys of acme are forgotten"));
    assert_eq!(ids(&mut sql).await, [] as [String; 0]);
}

#[tokio::test]
async fn shared_keys_are_sealed_anew_by_a_new_key_and_need_one() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, [&account("acme", 0)]).await;
    patch(&api, json!({ FIRST: SECRET, SECOND: NEXT })).await;
    let mut sql = system.sql().await;
    let sealed_by = "SELECT min(key_id), max(key_id), count(*) FROM twilio_shared_keys";
    let row = sqlx::query(sealed_by).fetch_one(&mut sql).await.expect("two keys");
    let before: String = row.get(0);
    // Until now they were sealed with the admin key.
    system.start("jobs", &[("CALLMETER__SECRETS__KEY", "a-key-of-its-own-0123456789-0123456789")]);
    until("both are sealed by the new key", SOON, async || {
        let row = sqlx::query(sealed_by).fetch_one(&mut sql).await.expect("two keys");
        let (first, last): (String, String) = (row.get(0), row.get(1));
        (first == last && first != before && row.get::<i64, _>(2) == 2).then_some(())
    })
    .await;
    let mut command = system.command(&["account", "shared-key", "acme", FIRST, "--stdin"]);
    command.env_remove("CALLMETER__HTTP__ADMIN_KEY");
    let (code, said) = feed(command, NEXT);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("secrets.key"), "{said}");
}
