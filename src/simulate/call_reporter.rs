//! Reports simulated calls to a local Twilio, so that it can be queried about them.

use std::sync::Mutex;

use reqwest::{Client, Url};
use serde_json::value::RawValue;
use tokio::runtime::Handle;

/// Calls reported in one request.
const CALLS_AT_ONCE: usize = 500;

/// Why a report to the local Twilio failed.
#[derive(Debug, thiserror::Error)]
pub enum CallReporterError {
    /// The address cannot be used.
    #[error("--twilio needs an address such as http://127.0.0.1:8090")]
    Address,
    /// It does not answer, or refuses.
    #[error("the local Twilio does not take the calls; `callmeter simulate twilio` is one")]
    Refused(#[source] reqwest::Error),
}

/// A client of the local Twilio, for a thread that may block.
#[derive(Debug)]
pub struct CallReporter {
    client: Client,
    url: Url,
    runtime: Handle,
    waiting: Mutex<Vec<Box<RawValue>>>,
}

impl CallReporter {
    /// Prepares a client of the local Twilio at `base`, on the present runtime.
    ///
    /// # Errors
    /// If `base` is not a valid URL.
    pub fn open(base: &str) -> Result<Self, CallReporterError> {
        let url = Url::parse(base).and_then(|base| base.join("/simulated/calls"));
        let client =
            crate::http_client::client(|client| client).map_err(CallReporterError::Refused)?;
        Ok(Self {
            client,
            url: url.map_err(|_| CallReporterError::Address)?,
            runtime: Handle::current(),
            waiting: Mutex::default(),
        })
    }

    /// Takes one record of a call; reports many at once.
    pub(super) fn tell(&self, record: &[u8]) -> Result<(), CallReporterError> {
        // Every record of a call that happened is JSON.
        let Ok(record) = serde_json::from_slice::<Box<RawValue>>(record) else { return Ok(()) };
        let is_full = {
            let mut waiting = self.lock();
            waiting.push(record);
            waiting.len() >= CALLS_AT_ONCE
        };
        if is_full { self.finish() } else { Ok(()) }
    }

    /// Reports the records that still wait.
    pub(super) fn finish(&self) -> Result<(), CallReporterError> {
        let calls = std::mem::take(&mut *self.lock());
        if calls.is_empty() {
            return Ok(());
        }
        let told = self.client.post(self.url.clone()).json(&calls).send();
        let told = self.runtime.block_on(told).and_then(reqwest::Response::error_for_status);
        told.map(drop).map_err(CallReporterError::Refused)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Box<RawValue>>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
