//! Shows the progress of a run on standard error: a bar on a terminal, else plain lines.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::progress::Progress;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The display of a run's progress.
pub struct Watch {
    bar: ProgressBar,
    /// Number of all calls, if known.
    calls: Option<u64>,
    /// Whether to print plain lines, because a bar cannot be drawn.
    lines: bool,
    started: Instant,
    line_at: Instant,
}

impl Watch {
    /// Creates the display; it shows nothing if `quiet`.
    pub fn new(calls: Option<u64>, quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let lines = !quiet && target.is_hidden();
        let bar = ProgressBar::with_draw_target(calls, target);
        let template = match calls {
            Some(_) => "{elapsed_precise} {bar:30} {human_pos}/{human_len} calls {msg}",
            None => "{elapsed_precise} {spinner} {human_pos} calls {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, calls, lines, started: now, line_at: now }
    }

    /// Prints a message.
    pub fn say(&self, text: &str) {
        if self.lines {
            write_line(text);
        } else {
            self.bar.println(text);
        }
    }

    /// Updates the display; call it a few times a second.
    pub fn look(&mut self, progress: &Progress) {
        let calls = progress.calls.load(Ordering::Relaxed);
        let records = progress.records.load(Ordering::Relaxed);
        let per_second = per_second(records, self.started.elapsed());
        self.bar.set_position(calls);
        self.bar.set_message(format!("{records} records, {per_second}/s"));
        if self.lines && self.line_at.elapsed() >= LINE_EVERY {
            self.line_at = Instant::now();
            let of = self.calls.map(|calls| format!(" of {calls}")).unwrap_or_default();
            write_line(&format!("{calls}{of} calls, {records} records, {per_second} records/s"));
        }
    }

    /// Removes the bar.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Whole records per second.
pub fn per_second(count: u64, elapsed: Duration) -> u64 {
    let nanoseconds = elapsed.as_nanos().max(1);
    u64::try_from(u128::from(count) * 1_000_000_000 / nanoseconds).unwrap_or(u64::MAX)
}

/// Ignores an error: nothing can be done if standard error is closed.
fn write_line(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
