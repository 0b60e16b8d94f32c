//! How long a partition waits after its meter is killed while another one is in the group.

use std::time::{Duration, Instant};

use anyhow::ensure;
use callmeter::simulate::Skew;
use callmeter::simulate::publish::Extent;

use crate::world::{World, charged};

/// Calls per second during the measurement: every partition always has new ones.
const RATE: u32 = 2_000;
/// Longest wait that is measured.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Milliseconds from kill -9 until every partition is charged again: by the remaining meter, or by
/// the one that is started at once to replace the killed one.
pub(crate) async fn measure(world: &mut World) -> anyhow::Result<u64> {
    let site = world.make_site().await?;
    let extent = Extent { calls: None, time: Some(Duration::from_secs(25)), rate: Some(RATE) };
    let killed = world.start_meter(&site)?;
    let left = world.start_meter(&site)?;
    let publishing = world.publish(&site, 1, extent, Skew::Even);
    let killing = async {
        let mut connection = world.connect(&site.database).await?;
        let started = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let offsets = charged(&mut connection, &site.calls).await?;
            let all = offsets.len() == 4 && offsets.iter().all(|offset| *offset > 0);
            if all && started.elapsed() > Duration::from_secs(5) {
                break;
            }
            ensure!(started.elapsed() < WAIT_MAX, "the meters charge nothing");
        }
        killed.kill()?;
        let killed_at = Instant::now();
        let before = charged(&mut connection, &site.calls).await?;
        let again = world.start_meter(&site)?;
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let now = charged(&mut connection, &site.calls).await?;
            if now.iter().zip(&before).all(|(now, before)| now > before) {
                break;
            }
            ensure!(killed_at.elapsed() < WAIT_MAX, "nothing is charged again");
        }
        anyhow::Ok((killed_at.elapsed(), again))
    };
    let (published, killing) = tokio::join!(publishing, killing);
    published?;
    let (waited, again) = killing?;
    again.stop()?;
    left.stop()?;
    world.drop_database(&site.database).await?;
    eprintln!("kill -9: charged again after {waited:.1?}");
    Ok(u64::try_from(waited.as_millis())?)
}
