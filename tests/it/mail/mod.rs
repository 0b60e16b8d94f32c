//! E-mail to customers, taken by a real mail server.

mod server;

use crate::harness::api::Api;
use crate::harness::certificate::Certificate;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::account;
use crate::harness::service::free_port;
use crate::harness::system::System;
use serde_json::{Value, json};
use server::{MailServer, header};

const PUBLIC_URL: &str = "https://wallet.example.com";
const ADDRESS: &str = "ada@customer.example";

/// Starts `serve` with a mail server's address, and an account that has one.
async fn world(url: &str, more: &[(&str, &str)]) -> (System, Api) {
    let mut system = System::new().await;
    let mut settings = vec![
        ("CALLMETER__MAIL__SMTP_URL", url),
        ("CALLMETER__MAIL__FROM", "Example Calls <wallet@example.com>"),
        ("CALLMETER__HTTP__PUBLIC_URL", PUBLIC_URL),
    ];
    settings.extend(more);
    let index = system.start("api,jobs", &settings);
    let admin = system.ready(index).await;
    system.open(&admin, [&account("acme", 0)]).await;
    admin.patch("/v1/accounts/acme", &json!({"email": ADDRESS})).await.expect(200);
    (system, admin)
}

/// Makes the balance cross zero.
async fn cross(admin: &Api, cents: u32) {
    for (direction, amount) in [("credit", "1.00".to_owned()), ("debit", format!("1.{cents:02}"))] {
        let body = json!({"type": direction, "amount": amount, "description": "A move"});
        admin.post("/v1/accounts/acme/adjustments", &body).await.expect(201);
    }
}

/// Changes what is always mailed.
async fn set_auto_refill(admin: &Api, amount: &str) {
    let body = json!({"enabled": false, "threshold": "20.00", "amount": amount});
    admin.put("/v1/accounts/acme/auto-refill", &body).await.expect(200);
}

async fn until_mails(server: &MailServer, count: usize) -> Vec<Value> {
    until(&format!("{count} mails"), SOON, async || {
        let mails = server.mails();
        (mails.len() >= count).then_some(mails)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crossing_is_mailed_readably_until_the_address_is_unsubscribed_by_one_click() {
    let port = free_port();
    let server = MailServer::start(port, &[]);
    let (system, admin) = world(&format!("smtp://127.0.0.1:{port}"), &[]).await;
    // The API refuses such a name; an older row may have it.
    let mut sql = system.sql().await;
    let name = "Acme\r\nBcc: victim@other.example\r\n\r\n<script>alert(1)</script> & Sons";
    let renamed = sqlx::query("UPDATE accounts SET name = $1 WHERE id = 'acme'").bind(name);
    renamed.execute(&mut sql).await.expect("it is renamed");
    cross(&admin, 1).await;
    let mail = until_mails(&server, 1).await.remove(0);
    let event: String =
        sqlx::query_scalar("SELECT event::text FROM outbox WHERE type = 'alert.empty'")
            .fetch_one(&mut sql)
            .await
            .expect("the event");
    assert_eq!((&mail["from"], &mail["to"]), (&json!("wallet@example.com"), &json!([ADDRESS])));
    assert_eq!(header(&mail, "Message-ID"), [format!("<{event}@example.com>")]);
    assert_eq!(header(&mail, "Subject"), ["Your wallet is empty"]);
    assert_eq!(header(&mail, "From"), ["Example Calls <wallet@example.com>"]);
    assert_eq!(header(&mail, "To"), [ADDRESS]);
    assert_eq!(header(&mail, "Auto-Submitted"), ["auto-generated"]);
    assert_eq!((header(&mail, "Date").len(), header(&mail, "Bcc").len()), (1, 0), "{mail}");
    assert_eq!(mail["type"], "multipart/alternative");
    let (body, html) = (mail["text"].as_str().expect("text"), mail["html"].as_str().expect("HTML"));
    assert!(body.contains("Your balance is -$0.01; before, it was $1.00."), "{body}");
    assert!(!body.lines().any(|line| line.starts_with("Bcc")), "one line: {body}");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    assert!(body.lines().all(|line| line.len() < 400), "{body}");
    // One click: a GET, which scanners send, changes nothing; a POST does.
    let link = header(&mail, "List-Unsubscribe").remove(0);
    assert_eq!(header(&mail, "List-Unsubscribe-Post"), ["List-Unsubscribe=One-Click"]);
    let link = link.trim_matches(['<', '>']);
    assert!(body.contains(link) && !link.contains("ada"), "{link}");
    let path = link.strip_prefix(PUBLIC_URL).expect("our address");
    let anybody = admin.with_key(None);
    let page = anybody.get(path).await;
    assert_eq!((page.status, page.content_type.as_str()), (200, "text/html"));
    cross(&admin, 2).await;
    until_mails(&server, 2).await;
    let clicked = anybody.post_as(
        path,
        "application/x-www-form-urlencoded",
        &[],
        b"List-Unsubscribe=One-Click".to_vec(),
    );
    assert_eq!(clicked.await.expect("an answer").status, 200);
    cross(&admin, 3).await;
    // What is about charging a card is mailed all the same, and says how to stop it.
    set_auto_refill(&admin, "50.00").await;
    let mails = until_mails(&server, 3).await;
    let subject = header(&mails[2], "Subject");
    assert_eq!(subject, ["The automatic refills of your wallet were changed"]);
    assert_eq!(header(&mails[2], "List-Unsubscribe"), [] as [String; 0]);
    assert!(mails[2]["text"].as_str().is_some_and(|it| it.contains("to stop automatic refills")));
    // A mail has arrived a moment before it is noted as sent.
    until("one mail that was given up", SOON, async || {
        let unsent = sqlx::query_scalar("SELECT error FROM mails WHERE sent_at IS NULL");
        let unsent: Vec<Option<String>> = unsent.fetch_all(&mut sql).await.expect("rows");
        (unsent == [Some("the address is unsubscribed".to_owned())]).then_some(())
    })
    .await;
    for token in ["", "?token=x", "?token=a.b"] {
        let answer = anybody.get(&format!("/mail/unsubscribe{token}")).await;
        assert!(matches!(answer.status, 400 | 404), "{answer:?}");
    }
    let audited = admin.get("/v1/audit?action=mail_unsubscribed").await.expect(200);
    assert_eq!(audited["items"].as_array().map(Vec::len), Some(1), "{audited}");
    let log = system.services[0].log_text();
    assert!(!log.contains(ADDRESS) && !log.contains("token="), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_waits_for_its_server_which_has_tls_and_a_password_and_delays_nothing_else() {
    let certificate = Certificate::make();
    let ca_file = certificate.path("ca.pem").display().to_string();
    let templates = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let template = "Subject: Empty, {{ name }}\n\nBefore: {{ data.balance_before | dollars }}";
    std::fs::write(templates.path().join("alert.txt"), template).expect("a template");
    let folder = templates.path().display().to_string();
    let port = free_port();
    let url = format!("smtp://wallet:hunter2@localhost:{port}");
    let more = [
        ("CALLMETER__MAIL__CA_FILE", ca_file.as_str()),
        ("CALLMETER__MAIL__TEMPLATES", folder.as_str()),
    ];
    let (system, admin) = world(&url, &more).await;
    cross(&admin, 1).await;
    let mut sql = system.sql().await;
    until("the mail failed once", SOON, async || {
        let failed = "SELECT count(*) FROM mails WHERE error IS NOT NULL AND due_at IS NOT NULL";
        let count: i64 = sqlx::query_scalar(failed).fetch_one(&mut sql).await.ok()?;
        (count == 1).then_some(())
    })
    .await;
    // Kafka and web hooks have gone on meanwhile.
    until("the events are published", SOON, async || {
        let behind = "SELECT count(*) FROM outbox WHERE position > (
             SELECT min(position) FROM outbox_consumers)";
        let count: i64 = sqlx::query_scalar(behind).fetch_one(&mut sql).await.ok()?;
        (count == 0).then_some(())
    })
    .await;
    let paths = ["certificate.pem", "key.pem"].map(|name| certificate.path(name));
    let [chain, key] = paths.each_ref().map(|path| path.to_str().expect("UTF-8"));
    let server = MailServer::start(port, &[chain, key, "wallet", "hunter2"]);
    let mail = until_mails(&server, 1).await.remove(0);
    assert_eq!(header(&mail, "Subject"), ["Empty, A customer"]);
    let body = mail["text"].as_str().expect("text");
    assert!(body.starts_with("Before: $1.00"), "{body}");
    until("it is noted", SOON, async || {
        let status = system.run(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&status).ok()?;
        (status["webhooks"]["mails"] == 0).then_some(())
    })
    .await;
}
