//! A real browser that has the wallet page open (`tests/browser/watch.mjs`).

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail, ensure};
use tokio::task::spawn_blocking;

use crate::client::KEY;

/// A call that the page showed: its `CallSid`, and milliseconds since 1970.
pub(crate) type Shown = (String, u64);

/// The browser; it closes when its input ends.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    reading: tokio::task::JoinHandle<anyhow::Result<Vec<Shown>>>,
}

impl Browser {
    /// Opens the page of the first account of the bench, and waits until it is live.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cache = root.join(".local/cache/browser");
        ensure!(cache.join("chromium").exists(), "the browser is missing: run script/browser");
        // It stands for another machine, as the sessions do.
        let mut command = Command::new("nice");
        command.args(["-n", "10"]).arg(cache.join("node"));
        command.arg(root.join("tests/browser/watch.mjs")).arg(format!("http://{address}"));
        command.arg(KEY).args([cache.join("node_modules"), cache.join("chromium")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("node")?;
        let input = child.stdin.take().context("a pipe")?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let (first, lines) = spawn_blocking(move || (lines.next(), lines)).await?;
        let first = first.transpose()?;
        ensure!(first.as_deref() == Some("watching"), "the browser said {first:?}");
        Ok(Self { child, input, reading: spawn_blocking(move || read(lines)) })
    }

    /// Closes it; returns what it showed.
    pub(crate) async fn close(mut self) -> anyhow::Result<Vec<Shown>> {
        drop(self.input);
        let shown = self.reading.await??;
        let status = spawn_blocking(move || self.child.wait()).await??;
        ensure!(status.success(), "the browser's faults are above: {status}");
        Ok(shown)
    }
}

fn read(lines: Lines<BufReader<ChildStdout>>) -> anyhow::Result<Vec<Shown>> {
    let mut shown = Vec::new();
    for line in lines {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let &["shown", call_sid, at] = words.as_slice() else { bail!("the browser said {line}") };
        shown.push((call_sid.to_owned(), at.parse()?));
    }
    Ok(shown)
}
