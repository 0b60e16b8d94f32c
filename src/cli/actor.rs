//! The actor of a command, for the audit: the system user, by name if it has one.

use std::os::unix::fs::MetadataExt as _;

use chrono::{DateTime, Utc};
use clap::Args;

use super::CommandError;
use crate::ledger::audit::By;

/// Why something is done.
#[derive(Clone, Debug, Args)]
pub(super) struct Reason {
    /// Reason; kept in the audit
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    reason: Option<String>,
}

impl Reason {
    /// The user of this command, with the given reason.
    pub(super) fn by(self, now: DateTime<Utc>) -> By {
        By::new(user(), now).because(self.reason)
    }
}

/// The user of this command, with this reason.
pub(super) fn by_user(now: DateTime<Utc>, reason: Option<&str>) -> By {
    By::new(user(), now).because(reason.map(str::to_owned))
}

/// Reads one line of text.
pub(super) fn one_line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 500 || text.chars().any(char::is_control) {
        return Err("is empty, longer than 500 characters, or not printable".to_owned());
    }
    Ok(text.to_owned())
}

/// Refuses a name that is empty or not printable.
pub(super) fn printable(name: &str, argument: &str) -> Result<String, CommandError> {
    one_line(name).map_err(|fault| CommandError::Usage(format!("{argument} {fault}")))
}

fn user() -> String {
    // The owner of a process's own folder is the user of the process.
    let Ok(uid) = std::fs::metadata("/proc/self").map(|folder| folder.uid()) else {
        return "cli".to_owned();
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    format!("cli:{}", named.unwrap_or_else(|| uid.to_string()))
}
