//! The wallet, live: server-sent events.

use crate::authorizations::{allowed, ask};
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now, on_calls};
use crate::harness::system::System;
use crate::keys::{make, revoke};
use reqwest::Response;
use serde_json::{Value, json};

pub(crate) const PATH: &str = "/v1/accounts/acme/events";

/// One stream, event by event.
pub(crate) struct Events {
    response: Response,
    text: String,
}

impl Events {
    pub(crate) fn of(response: Response) -> Events {
        assert_eq!(response.status(), 200);
        Events { response, text: String::new() }
    }

    /// The next event's wallet; `None` at the end of the stream. Other events are left out.
    async fn next(&mut self) -> Option<Value> {
        self.next_of("wallet").await
    }

    /// The data of the next event of a name; `None` at the end of the stream.
    pub(crate) async fn next_of(&mut self, name: &str) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let Some(data) = line("data: ") else { continue };
                let kind = line("event: ").expect("a name");
                if kind != name {
                    assert!(
                        ["wallet", "refill", "transaction", "alert", "budget"].contains(&kind),
                        "{event}"
                    );
                    continue;
                }
                if name != "wallet" {
                    assert!(line("id: ").is_some(), "{event}");
                    return Some(serde_json::from_str(data).expect("JSON"));
                }
                let micros: i64 = line("id: ").expect("an id").parse().expect("micro-seconds");
                assert!(micros > now() - 60_000_000, "{event}");
                return Some(serde_json::from_str(data).expect("JSON"));
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// Reads the next bytes, even a comment, which must come soon; false at the end of the stream.
    pub(crate) async fn read(&mut self) -> bool {
        let chunk = tokio::time::timeout(SOON, self.response.chunk());
        match chunk.await.expect("something comes") {
            Ok(Some(bytes)) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
            Ok(None) | Err(_) => return false,
        }
        true
    }

    /// Reads until the wallet has these values; returns the number of events.
    pub(crate) async fn until(&mut self, balance: &str, held: &str) -> usize {
        let mut events = 0;
        loop {
            events += 1;
            let wallet = self.next().await.expect("an event");
            if wallet["balance"] == balance && wallet["held"] == held {
                return events;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_the_wallet_is_told_whoever_made_it() {
    let mut system = System::new().await;
    let watched = system.serve("api").await;
    let other = system.serve("meter,api").await;
    let acme = account("acme", 10_000_000);
    system.open(&other, [&acme]).await;
    let mut events = Events::of(watched.stream(PATH).await);
    let first = events.next().await.expect("how it stands");
    let mut shown = watched.get("/v1/accounts/acme/wallet").await.expect(200);
    shown["as_of"] = first["as_of"].clone();
    assert_eq!(first, shown, "what GET wallet answers");
    allowed(&ask(&other, "acme", &call_sid(1), 60).await);
    events.until("10.000000", "0.020000").await;
    system.produce(&[on_calls(0, &completed(&acme, &call_sid(1), 61, now()))]).await;
    events.until("9.960000", "0.000000").await;
    let credit = json!({"type": "credit", "amount": "5", "description": "meanwhile"});
    other.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
    events.until("14.960000", "0.000000").await;
    // Many changes are merged into few events.
    let calls = (2..502).map(|number| {
        let partition = i32::try_from(number % 4).expect("small");
        on_calls(partition, &completed(&acme, &call_sid(number), 60, now()))
    });
    system.produce(&calls.collect::<Vec<_>>()).await;
    let told = events.until("4.960000", "0.000000").await;
    assert!(told < 250, "{told} events of 500 charges");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_key_and_with_the_process() {
    let mut system = System::new().await;
    let api = system.serve("api").await;
    system.open(&api, &[account("acme", 1_000_000), account("other", 0)]).await;
    let (id, key) = make(&api, "account", Some("acme")).await;
    let own = api.with_key(Some(&key));
    assert_eq!(own.stream("/v1/accounts/other/events").await.status(), 404);
    assert_eq!(api.with_key(None).stream(PATH).await.status(), 401);
    let mut of_key = Events::of(own.stream(PATH).await);
    let mut of_admin = Events::of(api.stream(PATH).await);
    for events in [&mut of_key, &mut of_admin] {
        events.until("1.000000", "0.000000").await;
    }
    assert_eq!(revoke(&api, &id).await.status, 204);
    let credit = json!({"type": "credit", "amount": "1", "description": "more"});
    api.post("/v1/accounts/acme/adjustments", &credit).await.expect(201);
    of_admin.until("2.000000", "0.000000").await;
    assert_eq!(of_key.next().await, None, "nothing is told to a revoked key");
    system.services[0].terminate();
    assert_eq!(of_admin.next().await, None);
}

#[tokio::test]
async fn an_account_and_a_process_have_so_many_streams_and_a_closed_one_makes_room() {
    let mut system = System::new().await;
    let index = system.start(
        "api",
        &[
            ("CALLMETER__WALLET__ACCOUNT_WATCHERS_MAX", "4"),
            ("CALLMETER__WALLET__WATCHERS_MAX", "6"),
        ],
    );
    let api = system.ready(index).await;
    system.open(&api, &[account("acme", 1_000_000), account("other", 0)]).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(Events::of(api.stream(PATH).await));
    }
    assert_eq!(api.get(PATH).await.problem(503), "overloaded");
    let other = PATH.replace("acme", "other");
    for _ in 0..2 {
        streams.push(Events::of(api.stream(&other).await));
    }
    assert_eq!(api.get(&other).await.problem(503), "overloaded");
    let metrics = api.get("/metrics").await.text;
    assert!(metrics.contains("callmeter_live_streams 6\n"), "{metrics}");
    assert!(metrics.contains("callmeter_live_streams_refused_total 2\n"), "{metrics}");
    drop(streams);
    until("there is room again", SOON, async || {
        (api.stream(PATH).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_and_alerts_are_told_with_their_rows() {
    let mut system = System::new().await;
    let api = system.serve("api,jobs").await;
    system.open(&api, [&account("acme", 10_000_000)]).await;
    let mut events = Events::of(api.stream(PATH).await);
    events.next().await.expect("how it stands");
    let debit = |amount: &'static str| json!({"type": "debit", "amount": amount, "description": "A correction"});
    let path = "/v1/accounts/acme/adjustments";
    api.post(path, &debit("4.00")).await.expect(201);
    // From then on the stream is read in rounds; events before may be missing.
    events.until("6.000000", "0.000000").await;
    let row = api.post(path, &debit("6.50")).await.expect(201);
    let told = loop {
        let told = events.next_of("transaction").await.expect("it is told");
        if told["id"] == row["id"] {
            break told;
        }
    };
    assert_eq!((&told["account"], &told["amount"]), (&json!("acme"), &json!("6.500000")), "{told}");
    let told = events.next_of("alert").await.expect("it is told");
    assert_eq!(told["transaction_id"], row["id"], "{told}");
    assert_eq!(told["balance_after"], "-0.500000", "{told}");
}
