//! Whether Redis is reliable right now: it answers, and it evicts nothing to save memory.

use std::time::Duration;

use redis::{ErrorKind, Value};

use super::Redis;
use super::link::CLUSTERED;
use crate::balance::model::BalanceError;

/// Longest wait for Redis before a start; if it is away, it is checked later.
const CHECK_MAX: Duration = Duration::from_secs(2);

/// Why Redis is not reliable; operators see the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not answer.
    #[error("redis cannot be reached: {why}")]
    Unreachable {
        /// What the client says.
        why: String,
    },
    /// Its keys lie on several nodes.
    #[error("{CLUSTERED}")]
    Clustered,
    /// It may drop holds when its memory is full.
    #[error("redis may evict holds: maxmemory-policy is {policy}; set it to noeviction")]
    MayEvict {
        /// Its policy.
        policy: String,
    },
}

impl Redis {
    /// Refuses a Redis that can never be used. One that does not answer passes.
    ///
    /// # Errors
    /// `Clustered`.
    pub async fn check(&self) -> Result<(), Fault> {
        match tokio::time::timeout(CHECK_MAX, self.probe()).await {
            Ok(Err(fault @ Fault::Clustered)) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Checks Redis once.
    ///
    /// # Errors
    /// The fault that was found.
    pub async fn probe(&self) -> Result<(), Fault> {
        let unreachable = |error: BalanceError| {
            if matches!(&error, BalanceError::Lost(it) if it.kind() == ErrorKind::InvalidClientConfig)
            {
                return Fault::Clustered;
            }
            let source = std::error::Error::source(&error).map(ToString::to_string);
            Fault::Unreachable { why: source.unwrap_or_else(|| error.to_string()) }
        };
        let session = self.bulk.session().await.map_err(unreachable)?;
        let mut info = redis::cmd("INFO");
        let answer = self.bulk.send(&session, info.arg("memory")).await.map_err(unreachable)?;
        match policy_in(&answer) {
            Some(policy) if policy != "noeviction" => Err(Fault::MayEvict { policy }),
            // A server that does not tell its policy passes.
            _ => Ok(()),
        }
    }
}

fn policy_in(answer: &Value) -> Option<String> {
    let text = match answer {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        _ => return None,
    };
    let policy = text.lines().find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
    Some(policy.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_found_among_what_redis_tells_of_its_memory() {
        let told = "# Memory\r\nused_memory:1024\r\nmaxmemory_policy:allkeys-lru\r\n";
        let found = policy_in(&Value::BulkString(told.as_bytes().to_vec()));
        assert_eq!(found.as_deref(), Some("allkeys-lru"));
        assert_eq!(policy_in(&Value::BulkString(b"# Memory\r\n".to_vec())), None);
        assert_eq!(policy_in(&Value::Nil), None);
    }
}
