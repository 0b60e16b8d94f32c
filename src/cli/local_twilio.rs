//! `callmeter simulate twilio`: a local Twilio, to try the sweep without the real one.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{CommandError, print};
use crate::clock::Clock;
use crate::config::Settings;
use crate::simulate::twilio::{self, Behaviour, Subscriber};

#[derive(Debug, Args)]
pub(super) struct LocalTwilio {
    /// Address and port; `twilio.api_base` is http:// and this, for whoever asks
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Answers 429 to every n-th request
    #[arg(long, value_name = "REQUESTS", default_value_t = 0)]
    busy_every: u64,
    /// Answers 500 to every n-th request
    #[arg(long, value_name = "REQUESTS", default_value_t = 0)]
    broken_every: u64,
}

/// Serves until a signal: the account of the settings, and every other account as its sub-account.
pub(super) async fn run(command: &LocalTwilio, settings: &Settings) -> Result<(), CommandError> {
    let owner = settings.twilio.account_sid.clone().zip(settings.twilio.auth_token.as_ref());
    let Some((account_sid, token)) = owner else {
        let problem = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are its credentials; set both";
        return Err(CommandError::Usage(problem.to_owned()));
    };
    let behaviour = Behaviour {
        busy_every: command.busy_every,
        broken_every: command.broken_every,
        ..Behaviour::default()
    };
    let local = twilio::LocalTwilio::new(Clock::system(), behaviour);
    local.adopt_as(&account_sid);
    let auth_token = token.expose().to_owned();
    local.subscribe(Subscriber { account_sid, auth_token, parent: None });
    let listener = TcpListener::bind(command.listen).await;
    let refused = |error: std::io::Error| {
        CommandError::Refused(format!("{} cannot be listened on: {error}", command.listen))
    };
    let listener = listener.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    print(&format!("a local Twilio at http://{address}; Ctrl-C ends it"))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(CommandError::Runtime)?;
    let ended = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    twilio::serve(local, listener, ended).await.map_err(refused)
}
