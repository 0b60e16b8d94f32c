//! Tells a local Twilio of the calls that are made, so that it can be asked about them.

use std::sync::Mutex;

use reqwest::{Client, Url};
use serde_json::value::RawValue;
use tokio::runtime::Handle;

/// Calls that are told at once.
const CALLS_AT_ONCE: usize = 500;

/// Why a local Twilio was not told.
#[derive(Debug, thiserror::Error)]
pub enum CallReporterError {
    /// The address cannot be used.
    #[error("--twilio needs an address such as http://127.0.0.1:8090")]
    Address,
    /// It does not answer, or refuses.
    #[error("the local Twilio does not take the calls; `callmeter simulate twilio` is one")]
    Refused(#[source] reqwest::Error),
}

/// The way to a local Twilio. Used from a thread that may block.
#[derive(Debug)]
pub struct CallReporter {
    client: Client,
    url: Url,
    runtime: Handle,
    waiting: Mutex<Vec<Box<RawValue>>>,
}

impl CallReporter {
    /// Prepares the way to the local Twilio at `base`, on the present runtime.
    ///
    /// # Errors
    /// Where that is no address.
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

    /// Takes one record of a call; tells many at once.
    pub(super) fn tell(&self, record: &[u8]) -> Result<(), CallReporterError> {
        // What is not made up is JSON.
        let Ok(record) = serde_json::from_slice::<Box<RawValue>>(record) else { return Ok(()) };
        let is_full = {
            let mut waiting = self.lock();
            waiting.push(record);
            waiting.len() >= CALLS_AT_ONCE
        };
        if is_full { self.finish() } else { Ok(()) }
    }

    /// Tells what still waits.
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
