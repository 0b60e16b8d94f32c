//! How long an account's insights take over HTTP, with many charges in the ledger.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::try_join_all;

use crate::client::Client;
use crate::stored;
use crate::world::{WALLETS, World};

/// Connections that ask at the same time.
const CONNECTIONS: u32 = 4;
/// Questions before those that count.
const WARM: u32 = 20;

/// Times of questions, in microseconds, and how long the job took before them.
pub(crate) struct Times {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) job: Duration,
}

/// Asks for the insights of accounts with `stored` charges in all, over as many days as there are
/// million charges, after the job has added them up.
pub(crate) async fn measure(
    world: &mut World,
    stored: u64,
    questions: u32,
) -> anyhow::Result<Times> {
    let site = world.make_site().await?;
    stored::fill(world, &site, stored, stored::Days::Apart).await?;
    let began = Instant::now();
    world.run(&site, &["insights", "update"])?;
    let job = began.elapsed();
    eprintln!("  the sums of {stored} charges took {job:.1?}");
    let service = world.start(&site, "api")?;
    service.ready().await?;
    let clients = (0..CONNECTIONS).map(|number| ask(service.address, number, questions));
    let mut times: Vec<u64> = try_join_all(clients).await?.concat();
    service.process.stop()?;
    world.drop_database(&site.database).await?;
    times.sort_unstable();
    let at = |thousandths: usize| times[(times.len() - 1) * thousandths / 1_000];
    Ok(Times { p50: at(500), p99: at(990), job })
}

/// Asks about one account after the other on a connection; returns the microseconds of each answer.
async fn ask(address: SocketAddr, number: u32, questions: u32) -> anyhow::Result<Vec<u64>> {
    let mut client = Client::connect(address).await?;
    let mut times = Vec::new();
    for question in 0..WARM + questions {
        let account = (question * CONNECTIONS + number) % WALLETS;
        let path = format!("/v1/accounts/sim-{:04}/insights", account + 1);
        let began = Instant::now();
        let (status, body) = client.send("GET", &path, "").await?;
        let took = began.elapsed();
        ensure!(status == 200, "{path}: {status} {body}");
        ensure!(!body.contains("\"calls\":0,\"average"), "{path} has no call: {body}");
        if question >= WARM {
            times.push(u64::try_from(took.as_micros()).context("microseconds")?);
        }
    }
    Ok(times)
}
