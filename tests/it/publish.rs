//! `callmeter publish`: events in a file or a stream become records, or one line gives the reason.

use std::fs::File;
use std::io::{Write as _, pipe};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::command::{Ran, finish};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, rental};
use crate::harness::service::free_port;
use crate::harness::system::{Setup, System};
use crate::model::account::Account;
use crate::model::read::Topic;

fn call(account: &Account, number: usize) -> String {
    completed(account, &call_sid(number), 61, now()).to_string()
}

fn cloud_event(account: &Account, number: usize) -> String {
    json!({
        "specversion": "1.0",
        "type": "com.twilio.voice.status-callback.call.completed",
        "source": "a test",
        "id": "EZ1",
        "data": {"request": {"parameters": completed(account, &call_sid(number), 61, now())}},
    })
    .to_string()
}

fn rent(account: &Account) -> String {
    rental(account, "PN1", "2026-11-01", Some("1.15")).to_string()
}

/// An event of a type that is not charged.
fn foreign(account: &Account) -> String {
    let mut event: Value = serde_json::from_str(&cloud_event(account, 1)).expect("JSON");
    event["type"] = json!("com.twilio.messaging.message.sent");
    event.to_string()
}

/// Publishes a file.
fn publish(system: &System, arguments: &[&str], text: &str) -> Ran {
    let path = system.catalog_path().with_file_name("events.jsonl");
    std::fs::write(&path, text).expect("the file is written");
    let path = path.to_str().expect("UTF-8");
    system.run(&[&["publish", path], arguments].concat())
}

/// Publishes from standard input that cannot be read twice.
fn publish_stream(system: &System, text: &str) -> Ran {
    let (reader, mut writer) = pipe().expect("a pipe");
    let mut command = system.command(&["publish"]);
    command.stdin(reader);
    let text = text.to_owned();
    let writing = std::thread::spawn(move || drop(writer.write_all(text.as_bytes())));
    let ran = finish(command);
    writing.join().expect("all is written");
    ran
}

fn records(system: &System, topic: Topic) -> Vec<(Option<String>, Vec<u8>)> {
    system.kafka.records(&system.topic(topic))
}

#[track_caller]
fn assert_refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{words:?}: {ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(ran.stdout.is_empty() && ran.stderr.len() < 500, "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {ran:?}");
    }
}

#[tokio::test]
async fn events_go_where_they_belong_and_are_charged_once() {
    let mut system = System::new().await;
    let api = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&api, [&acme]).await;
    let (call, event, rent) = (call(&acme, 1), cloud_event(&acme, 2), rent(&acme));
    let text = format!("\u{feff}{call}\r\n\n  {event}  \n{rent}");
    let (calls, rentals) = (system.topic(Topic::Calls), system.topic(Topic::Rentals));
    let ran = publish(&system, &[], &text).expect_success();
    assert_eq!(ran.stdout, format!("published 2 to {calls}, 1 to {rentals}\n"));
    assert_eq!(ran.stderr, "");
    let key = Some(acme.sid.clone());
    let mut found = records(&system, Topic::Calls);
    found.sort();
    let mut expected = [(key.clone(), call.into_bytes()), (key.clone(), event.into_bytes())];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(records(&system, Topic::Rentals), [(key, rent.into_bytes())]);
    system.settle(&api).await;
    let balance = api.get("/v1/accounts/acme/wallet").await.expect(200)["balance"].clone();
    assert_eq!(balance, "8.770000");
    let ran = publish(&system, &["--json"], &text).expect_success();
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told, json!({"published": 3, "skipped": 0, "topics": {calls: 2, rentals: 1}}));
    system.settle(&api).await;
    let wallet = api.get("/v1/accounts/acme/wallet").await.expect(200);
    assert_eq!(wallet["balance"], balance);
}

#[tokio::test]
async fn a_file_with_a_bad_line_is_refused_as_a_whole() {
    let system = System::new().await;
    let acme = account("acme", 0);
    let good = call(&acme, 1);
    let without = |name: &str| {
        let mut event: Value = serde_json::from_str(&good).expect("JSON");
        event.as_object_mut().expect("an object").remove(name);
        event.to_string()
    };
    let odd = good.replace("\"completed\"", "\"+15005550001\"");
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(950_000));
    for (line, word) in [
        ("{", "JSON"),
        ("[]", "JSON"),
        ("no JSON", "JSON"),
        (&long[..], "longer than 950000 bytes"),
        (&without("CallSid")[..], "CallSid"),
        (&without("CallDuration")[..], "CallDuration"),
        (&without("AccountSid")[..], "AccountSid"),
        (&odd[..], "CallStatus"),
        (&rent(&acme).replace("2026-11-01", "November")[..], "PeriodStart"),
        (&foreign(&acme)[..], "type"),
    ] {
        let ran = publish(&system, &[], &format!("{good}\n\n{line}\n{good}\n"));
        assert_refused(&ran, 2, &["line 3 of ", "events.jsonl: ", word, "nothing was published"]);
    }
    assert_eq!(records(&system, Topic::Calls), []);
    assert_eq!(records(&system, Topic::Rentals), []);
    // Standard input is read twice if possible.
    let path = system.catalog_path().with_file_name("events.jsonl");
    std::fs::write(&path, format!("{good}\n{{")).expect("the file is written");
    let mut command = system.command(&["publish", "-"]);
    command.stdin(Stdio::from(File::open(path).expect("the file is there")));
    assert_refused(&finish(command), 2, &["line 2 of standard input", "nothing was published"]);
    assert_eq!(records(&system, Topic::Calls), []);
}

#[tokio::test]
async fn of_a_stream_with_a_bad_line_the_events_before_it_are_published() {
    let system = System::new().await;
    let acme = account("acme", 0);
    let (first, second) = (call(&acme, 1), call(&acme, 2));
    let ran = publish_stream(&system, &format!("{{\n{first}\n"));
    assert_refused(&ran, 2, &["line 1 of standard input", "nothing was published"]);
    assert_eq!(records(&system, Topic::Calls), []);
    let ran = publish_stream(&system, &format!("{first}\n{second}\nx\n{first}\n"));
    assert_refused(&ran, 1, &["line 3 of standard input", "2 events before it were published"]);
    assert_eq!(records(&system, Topic::Calls).len(), 2);
    // More than is sent at once.
    let many: Vec<String> = (0..2_500).map(|number| call(&acme, number)).collect();
    let ran = publish_stream(&system, &many.join("\n")).expect_success();
    assert_eq!(ran.stdout, format!("published 2500 to {}\n", system.topic(Topic::Calls)));
    assert_eq!(records(&system, Topic::Calls).len(), 2_502);
    let ran = publish_stream(&system, "\n\n").expect_success();
    assert_eq!(ran.stdout, "no event was published\n");
}

#[tokio::test]
async fn a_line_is_published_as_soon_as_it_is_there() {
    let setup = Setup { partitions: None, ..Setup::default() };
    let system = System::with(setup).await;
    let (reader, mut writer) = pipe().expect("a pipe");
    let mut command = system.command(&["publish"]);
    command.stdin(reader);
    let running = std::thread::spawn(move || finish(command));
    let acme = account("acme", 0);
    for number in 1..=3 {
        writeln!(writer, "{}", call(&acme, number)).expect("it reads on");
        until("the record is there", SOON, async || {
            (records(&system, Topic::Calls).len() == number).then_some(())
        })
        .await;
    }
    drop(writer);
    let ran = running.join().expect("it ends").expect_success();
    assert_eq!(ran.stdout, format!("published 3 to {}\n", system.topic(Topic::Calls)));
    assert_eq!(system.kafka.partitions(&system.topic(Topic::Calls)), 4, "it was created");
}

#[tokio::test]
async fn a_topic_takes_what_belongs_there_and_what_belongs_nowhere() {
    let system = System::new().await;
    let acme = account("acme", 0);
    let (calls, rentals) = (system.topic(Topic::Calls), system.topic(Topic::Rentals));
    let both = format!("{}\n{}\n", call(&acme, 1), foreign(&acme));
    let ran = publish(&system, &["--topic", &calls], &both).expect_success();
    assert_eq!(ran.stdout, format!("published 2 to {calls}; 1 of a type that is not charged\n"));
    assert_eq!(records(&system, Topic::Calls).len(), 2);
    for (topic, event, word) in [
        (&calls[..], rent(&acme), &format!("belongs to the topic {rentals}")[..]),
        (&rentals, cloud_event(&acme, 1), &format!("belongs to the topic {calls}")),
        (&rentals, call(&acme, 1), "type"),
        ("another", call(&acme, 1), "--topic another is not read"),
    ] {
        assert_refused(&publish(&system, &["--topic", topic], &event), 2, &[word]);
    }
    let folder = system.catalog_path();
    let folder = folder.parent().and_then(|folder| folder.to_str()).expect("UTF-8");
    assert_refused(&system.run(&["publish", "/no/such/file"]), 2, &["/no/such/file"]);
    assert_refused(&system.run(&["publish", folder]), 2, &["nothing was published"]);
    assert_eq!(records(&system, Topic::Calls).len(), 2);
    assert_eq!(records(&system, Topic::Rentals), []);
}

#[tokio::test]
async fn without_kafka_nothing_is_said_to_be_published() {
    let system = System::new().await;
    let mut command = system.command(&["publish"]);
    command.env("KAFKA_BROKERS", format!("127.0.0.1:{}", free_port()));
    let (reader, mut writer) = pipe().expect("a pipe");
    writeln!(writer, "{}", call(&account("acme", 0), 1)).expect("there is room");
    drop(writer);
    command.stdin(reader);
    let ran = finish(command);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    let last = ran.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("Kafka at 127.0.0.1"), "{ran:?}");
}
