//! `callmeter publish`: publishes events to Kafka, one JSON object per line.
//!
//! Before the flow, for producers without a Kafka client. A regular file is checked to its end
//! before any event is published; of a stream, the events before a bad line are published. A
//! command that ends with exit code 2 must have published nothing.

mod judge;
mod lines;
mod sink;

use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::{CommandError, print};
use crate::config::Settings;
use judge::{Judge, Judged};
use lines::{BadLine, Lines, Source};
use sink::Sink;

/// Most events in one group.
const GROUP_EVENTS_MAX: usize = 1_000;
/// Most bytes in one group.
const GROUP_BYTES_MAX: usize = 8 << 20;

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// File with one JSON object per line; standard input if absent or "-"
    file: Option<PathBuf>,
    /// Publishes every event to this topic; without it, calls and rentals go to the topics in the
    /// settings
    #[arg(long)]
    topic: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Publish, settings: &Settings) -> Result<(), CommandError> {
    let judge = Judge::new(settings, settings.clock(), command.topic.as_deref());
    let judge = judge.map_err(CommandError::Usage)?;
    let path = command.file.filter(|path| path.as_os_str() != "-");
    let name = path.as_ref().map_or("standard input".into(), |path| path.display().to_string());
    let unreadable =
        |error: std::io::Error| CommandError::Usage(format!("{name} cannot be read: {error}"));
    let source = Source::open(path.as_deref()).map_err(unreadable)?;
    let mut sink = Sink::from_settings(settings, [judge.calls.clone(), judge.rentals.clone()]);
    let (sender, mut groups) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || {
        if source.is_regular() {
            check(source.lines()?, &judge)?;
        }
        send(source.lines()?, &judge, &sender)
    });
    while let Some(group) = groups.recv().await {
        sink.publish(group).await?;
    }
    let read = reading.await.map_err(|error| CommandError::Refused(error.to_string()))?;
    match read {
        Ok(()) => {
            let told = if command.json { sink.in_json().to_string() } else { sink.in_text() };
            print(&told)
        }
        Err(Stop::Unreadable(error)) => Err(unreadable(error)),
        Err(Stop::Bad(BadLine { number, fault })) => {
            let problem = format!("line {number} of {name}: {fault}");
            Err(match sink.published() {
                0 => CommandError::Usage(format!("{problem}; nothing was published")),
                1 => CommandError::Refused(format!("{problem}; 1 event before it was published")),
                many => CommandError::Refused(format!(
                    "{problem}; {many} events before it were published"
                )),
            })
        }
    }
}

/// Why reading stops.
enum Stop {
    Unreadable(std::io::Error),
    Bad(BadLine),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<BadLine> for Stop {
    fn from(line: BadLine) -> Self {
        Self::Bad(line)
    }
}

/// The next event; none: the source has ended.
fn next(lines: &mut Lines, judge: &Judge) -> Result<Option<Judged>, BadLine> {
    let Some((number, value)) = lines.next()? else { return Ok(None) };
    judge.judge(value).map(Some).map_err(|fault| BadLine { number, fault })
}

/// Checks every line.
fn check(mut lines: Lines, judge: &Judge) -> Result<(), BadLine> {
    while next(&mut lines, judge)?.is_some() {}
    Ok(())
}

/// Sends all events in groups. An event waits for others only if their lines are already there.
fn send(mut lines: Lines, judge: &Judge, groups: &mpsc::Sender<Vec<Judged>>) -> Result<(), Stop> {
    let mut group: Vec<Judged> = Vec::new();
    let mut bytes = 0;
    loop {
        let judged = next(&mut lines, judge);
        let is_last = !matches!(judged, Ok(Some(_)));
        if let Ok(Some(judged)) = &judged {
            bytes += judged.record.value.len();
        }
        let ended = match judged {
            Ok(Some(judged)) => {
                group.push(judged);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(line) => Err(line.into()),
        };
        let is_full = group.len() >= GROUP_EVENTS_MAX || bytes >= GROUP_BYTES_MAX;
        if is_last || is_full || !lines.another_waits() {
            bytes = 0;
            let group = std::mem::take(&mut group);
            // The receiver is gone only if Kafka failed; that error is reported instead.
            if groups.blocking_send(group).is_err() || is_last {
                return ended;
            }
        }
    }
}
