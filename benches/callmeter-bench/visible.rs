//! Time from publishing a call's end until `GET wallet` shows its charge, while 1,000 other calls
//! end every second.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callmeter::simulate::Skew;
use callmeter::simulate::publish::Extent;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::authorization::percentile;
use crate::client::Client;
use crate::world::World;

/// Other calls that end every second.
const RATE: u32 = 1_000;
/// The account whose wallet is watched; its Twilio account has no other calls.
const ACCOUNT: &str = "watched";
const ACCOUNT_SID: &str = "AC00000000000000000000000000000b0b";
/// Time between two watched calls.
const EVERY: Duration = Duration::from_millis(50);
/// A call that is not shown within this time fails the measurement.
const SHOWN_MAX: Duration = Duration::from_secs(20);

/// Milliseconds, rounded up, within which 99 of 100 calls were shown.
pub(crate) async fn measure(world: &mut World, seconds: u64) -> anyhow::Result<u64> {
    let site = world.make_site().await?;
    let service = world.start(&site, "meter,api")?;
    service.ready().await?;
    let mut client = Client::connect(service.address).await?;
    let account = json!({
        "id": ACCOUNT, "name": "Watched", "twilio_account_sid": ACCOUNT_SID,
        "opening_balance": "1000.00",
    });
    let (status, answer) = client.send("POST", "/v1/accounts", &account.to_string()).await?;
    ensure!(status == 201, "{status}: {answer}");
    let extent =
        Extent { calls: None, time: Some(Duration::from_secs(seconds + 2)), rate: Some(RATE) };
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", world.brokers())
        .set("acks", "all")
        // The record must leave at once: the measurement begins here.
        .set("linger.ms", "0")
        .create()?;
    let topic = site.calls.clone();
    let watching = async move {
        // Until the traffic runs and the first calls have warmed everything.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let started = Instant::now();
        let mut micros = Vec::new();
        let mut number = 0_u64;
        while started.elapsed() < Duration::from_secs(seconds) {
            number += 1;
            let took = one_call(&mut client, &producer, &topic, number).await?;
            micros.push(u64::try_from(took.as_micros())?);
            tokio::time::sleep(EVERY).await;
        }
        anyhow::Ok(micros)
    };
    let (published, watched) = tokio::join!(world.publish(&site, 1, extent, Skew::Even), watching);
    published?;
    let mut micros = watched?;
    service.process.stop()?;
    world.drop_database(&site.database).await?;
    let p99 = percentile(&mut micros, 99).div_ceil(1_000);
    let median = percentile(&mut micros, 50).div_ceil(1_000);
    eprintln!("visible: {} calls, median {median} ms, p99 {p99} ms", micros.len());
    Ok(p99)
}

async fn one_call(
    client: &mut Client,
    producer: &FutureProducer,
    topic: &str,
    number: u64,
) -> anyhow::Result<Duration> {
    let before = balance(client).await?;
    let event = json!({
        "AccountSid": ACCOUNT_SID, "CallSid": format!("CA{number:032x}"),
        "CallStatus": "completed", "CallDuration": "60", "Direction": "outbound-api",
        "From": "+15005550001", "To": "+12125550123",
    });
    let event = event.to_string();
    let record = FutureRecord::to(topic).key(ACCOUNT_SID).payload(&event);
    let sent = Instant::now();
    let delivered = producer.send_result(record).map_err(|(error, _)| error)?;
    let shown = loop {
        if balance(client).await? != before {
            break sent.elapsed();
        }
        ensure!(sent.elapsed() < SHOWN_MAX, "call {number} is not shown");
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    delivered.await?.map_err(|(error, _)| error)?;
    Ok(shown)
}

async fn balance(client: &mut Client) -> anyhow::Result<String> {
    let path = format!("/v1/accounts/{ACCOUNT}/wallet");
    let (status, answer) = client.send("GET", &path, "").await?;
    ensure!(status == 200, "{status}: {answer}");
    let wallet: Value = serde_json::from_str(answer)?;
    Ok(wallet["balance"].as_str().context("a balance")?.to_owned())
}
