//! Errors in settings. Each is one line: the fault, its place, and the remedy.

use std::path::PathBuf;

/// The settings are wrong and nothing was started. The process ends with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file that was named cannot be read.
    #[error("{}, named by {origin}, cannot be read ({source}); correct the path or its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Who named it.
        origin: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{}, line {line}: {problem}; correct the TOML there", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's message.
        problem: String,
    },
    /// A required key is not set.
    #[error(
        "{key} is not set; give it as environment variable {variable} or in a file by --config"
    )]
    Missing {
        /// The key.
        key: &'static str,
        /// Its plain environment variable.
        variable: &'static str,
    },
    /// A key that does not exist.
    #[error("{key}, from {origin}, is not a setting; {remedy}")]
    Unknown {
        /// The key as it was given.
        key: String,
        /// Where it was given.
        origin: String,
        /// What to do.
        remedy: String,
    },
    /// Two sources of the same rank disagree.
    #[error("{first} and {second} both give {key} and differ; unset one of them")]
    Contradiction {
        /// The key.
        key: String,
        /// One variable.
        first: String,
        /// The other.
        second: String,
    },
    /// A value that the key does not allow.
    #[error("{key}, from {origin}: {problem}; {remedy}")]
    Invalid {
        /// The key.
        key: String,
        /// Where it was given.
        origin: String,
        /// What is wrong; never repeats a secret.
        problem: String,
        /// What to do.
        remedy: String,
    },
}

/// Why a value is wrong, and what to do.
pub(super) struct Problem {
    pub(super) key: &'static str,
    pub(super) fault: String,
    pub(super) remedy: &'static str,
}

/// Refuses the value of a key.
pub(super) fn refuse(
    key: &'static str,
    fault: impl Into<String>,
    remedy: &'static str,
) -> Result<(), Problem> {
    Err(Problem { key, fault: fault.into(), remedy })
}
