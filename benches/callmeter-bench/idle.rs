//! The CPU time of an idle `callmeter serve`, and how soon it charges once it is ready.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use serde_json::json;

use crate::cpu;
use crate::world::{Site, World, charged};

/// All roles.
const ROLES: &str = "meter,api,jobs";
/// The work of a start is done after this time.
const SETTLED: Duration = Duration::from_secs(5);
/// Duration of the measurement.
const IDLE: Duration = Duration::from_secs(20);
/// A call that is not charged within this time fails the measurement.
const CHARGED_MAX: Duration = Duration::from_secs(20);

/// Milliseconds from the first 200 of `/readyz`, when a call is published, to its charge.
pub(crate) struct First {
    pub(crate) on_new_topics: u64,
    pub(crate) after_restart: u64,
}

/// Milliseconds of a core that idle `serve` takes in 20 s, and how soon it charges its first call;
/// the same two processes give both.
pub(crate) async fn measure(world: &mut World) -> anyhow::Result<(u64, First)> {
    let site = world.make_site_without_topics().await?;
    let producer = producer(world)?;
    let service = world.start(&site, ROLES)?;
    service.ready().await?;
    let on_new_topics = first_call(world, &producer, &site, 1).await?;
    service.process.stop()?;
    let service = world.start(&site, ROLES)?;
    service.ready().await?;
    let after_restart = first_call(world, &producer, &site, 2).await?;
    tokio::time::sleep(SETTLED).await;
    let before = cpu::milliseconds(service.process.id())?;
    tokio::time::sleep(IDLE).await;
    let idle = cpu::milliseconds(service.process.id())? - before;
    service.process.stop()?;
    world.drop_database(&site.database).await?;
    eprintln!("idle: {idle} ms of {IDLE:.0?}; first calls {on_new_topics} and {after_restart} ms");
    Ok((idle, First { on_new_topics, after_restart }))
}

/// A producer that is connected already: that takes a new client longer than the charge.
fn producer(world: &World) -> anyhow::Result<FutureProducer> {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", world.brokers())
        .set("acks", "all")
        .set("linger.ms", "0")
        .create()?;
    producer.client().fetch_metadata(None, CHARGED_MAX)?;
    Ok(producer)
}

/// Publishes a call and waits for its charge.
async fn first_call(
    world: &World,
    producer: &FutureProducer,
    site: &Site,
    number: u64,
) -> anyhow::Result<u64> {
    producer.client().fetch_metadata(Some(&site.calls), CHARGED_MAX)?;
    let sid = "AC000000000000000000000000000000ff";
    let event = json!({
        "AccountSid": sid, "CallSid": format!("CA{number:032x}"), "CallStatus": "completed",
        "CallDuration": "60", "Direction": "outbound-api", "From": "+15005550001",
        "To": "+12125550123",
    });
    let event = event.to_string();
    let began = Instant::now();
    let record = FutureRecord::to(&site.calls).key(sid).payload(&event);
    let delivered = producer.send_result(record).map_err(|(error, _)| error)?;
    delivered.await?.map_err(|(error, _)| error)?;
    let acknowledged = began.elapsed();
    let mut connection = world.connect(&site.database).await?;
    loop {
        let offsets = charged(&mut connection, &site.calls).await?;
        if u64::try_from(offsets.iter().sum::<i64>())? >= number {
            break;
        }
        ensure!(began.elapsed() < CHARGED_MAX, "the first call is not charged");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = began.elapsed();
    eprintln!("  acknowledged by Kafka after {acknowledged:.0?}, charged after {took:.0?}");
    Ok(u64::try_from(took.as_millis())?)
}
