//! Where nothing is posted to: addresses that are not allowed, however a name leads there.

use super::receivers::{Behaviour, Receiver};
use super::{World, until_hooks};
use crate::harness::poll::{SOON, until};
use serde_json::json;
use std::net::Ipv4Addr;

const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);
const FORBIDDEN: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_and_no_spelling_leads_to_an_address_that_is_not_allowed() {
    let world = World::start("api,jobs", "1,1,600").await;
    let good = Receiver::start(1, 1, Behaviour::Answers(200)).await;
    let port = good.address.port();
    let watched = Receiver::start_at(2, 1, port, Behaviour::Answers(200)).await;
    let create =
        async |url: &str| world.own.post("/v1/webhook-endpoints", &json!({"url": url})).await;
    world.dns.name("forbidden.example", &[&[FORBIDDEN]]);
    world.dns.name("both.example", &[&[ALLOWED, FORBIDDEN]]);
    world.dns.name("private.example", &[&[Ipv4Addr::new(10, 0, 0, 1)]]);
    world.dns.name("empty.example", &[&[]]);
    let hosts = [
        "127.0.2.1",
        "0x7f.0.2.1",
        "2130706945",
        "127.1",
        "[::1]",
        "[::ffff:127.0.1.1]",
        "[::ffff:7f00:201]",
        "[64:ff9b::7f00:201]",
        "[2002:7f00:201::]",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "224.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "forbidden.example",
        "both.example",
        "private.example",
        "empty.example",
        "unknown.example",
        "localhost",
        "forbidden.example.",
        "me@127.0.1.1",
        "me:secret@127.0.1.1",
        "8.8.8.8",
    ];
    for host in hosts {
        let answer = create(&format!("http://{host}:{port}/hooks")).await;
        assert_eq!(answer.problem(422), "target_not_allowed", "{host}");
    }
    for host in ["127.0.2.1", "forbidden.example", "[::1]"] {
        let answer = create(&format!("https://{host}:{port}/hooks")).await;
        assert_eq!(answer.problem(422), "target_not_allowed", "{host}");
    }
    // Allowed when it is created; each later question leads to the forbidden address.
    world.dns.name("rebinding.example", &[&[ALLOWED], &[FORBIDDEN]]);
    let rebinding = create(&format!("http://rebinding.example:{port}/hooks")).await.expect(201);
    // It alternates: a check that asks apart from the connection would be deceived.
    let turns: Vec<&[Ipv4Addr]> = vec![&[ALLOWED], &[FORBIDDEN], &[ALLOWED], &[FORBIDDEN]];
    world.dns.name("alternating.example", &turns);
    create(&format!("http://alternating.example:{port}/hooks")).await.expect(201);
    world.dns.name("good.example", &[&[ALLOWED]]);
    create(&format!("http://good.example:{port}/hooks")).await.expect(201);
    world.event().await;
    // The good name at once, the alternating one at its second attempt.
    until_hooks(&good, 2).await;
    let id = super::text(&rebinding, "id");
    let refused = until("it was refused twice", SOON, async || {
        let delivery = world.deliveries(&id).await.pop()?;
        (delivery["attempts"].as_i64() >= Some(2)).then_some(delivery)
    })
    .await;
    let error = super::text(&refused, "error");
    assert!(error.starts_with("target_not_allowed"), "{refused}");
    assert!(refused["answer_status"].is_null(), "{refused}");
    assert_eq!(watched.connections(), 0, "nothing reached the forbidden address");
    until("the refusals are counted", SOON, async || {
        let outcome = [("outcome", "not_allowed")];
        let counted = world.admin.metric("callmeter_webhook_deliveries_total", &outcome).await;
        (counted >= Some(3)).then_some(())
    })
    .await;
    let log = world.system.services[0].log_text();
    assert!(!log.contains("/hooks"), "no path is logged: {log}");
}
