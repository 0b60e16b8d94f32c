//! `callmeter simulate stripe`: a local Stripe, to try payments without the real one.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{CommandError, print};
use crate::clock::Clock;
use crate::simulate::stripe::{self, Behaviour, Keys};

#[derive(Debug, Args)]
pub(super) struct LocalStripe {
    /// Address and port; `stripe.api_base` is http:// and this, for whoever asks
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8091")]
    listen: SocketAddr,
    /// The secret key that is accepted
    #[arg(long, value_name = "KEY", default_value = "sk_test_local")]
    api_key: String,
    /// The publishable key that is accepted
    #[arg(long, value_name = "KEY", default_value = "pk_test_local")]
    publishable_key: String,
    /// Delivers all events to this address
    #[arg(long, value_name = "URL", requires = "webhook_secret")]
    webhook: Option<String>,
    /// Signs the events with this secret
    #[arg(long, value_name = "SECRET", requires = "webhook")]
    webhook_secret: Option<String>,
    /// Answers 429 to every n-th request
    #[arg(long, value_name = "REQUESTS", default_value_t = 0)]
    busy_every: u64,
    /// Seed of ids and of everything that is left to chance; the same seed makes the same ids
    #[arg(long)]
    seed: Option<u64>,
}

/// Serves until a signal.
pub(super) async fn run(command: &LocalStripe) -> Result<(), CommandError> {
    let seed = command.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let behaviour = Behaviour { seed, busy_every: command.busy_every, ..Behaviour::default() };
    let keys =
        Keys { secret: command.api_key.clone(), publishable: command.publishable_key.clone() };
    let local = stripe::LocalStripe::new(Clock::system(), behaviour, keys);
    if let Some((url, secret)) = command.webhook.as_ref().zip(command.webhook_secret.as_ref()) {
        local.register_webhook(url, secret);
    }
    let listener = TcpListener::bind(command.listen).await;
    let refused = |error: std::io::Error| {
        CommandError::Refused(format!("{} cannot be listened on: {error}", command.listen))
    };
    let listener = listener.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    print(&format!("a local Stripe at http://{address}; Ctrl-C ends it"))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(CommandError::Runtime)?;
    let ended = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    stripe::serve(local, listener, ended).await.map_err(refused)
}
