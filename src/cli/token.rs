//! `callmeter account token`: sets or forgets the auth token of a Twilio account. It must never
//! read the token from an argument, which other users of the machine can see; only from standard
//! input or a file.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use chrono::{DateTime, Utc};
use clap::Args;

use super::actor::Reason;
use super::error::{refused, unknown};
use super::{CommandError, print};
use crate::accounts::token::{NewToken, SetToken, TokenRefused};
use crate::change::Changes;
use crate::config::{Secret, Settings};
use crate::ledger::tokens::{self, TwilioTokens};

/// Most bytes to read; a token has 32 characters, a shared key's secret a few more.
const BYTES_MAX: u64 = 256;

#[derive(Debug, Args)]
pub(super) struct Token {
    /// The account's id
    id: AccountId,
    /// The Twilio account (AC...) of the token; default: the account's first
    #[arg(long, value_name = "SID", value_parser = TwilioAccountSid::parse_issued)]
    twilio_account_sid: Option<TwilioAccountSid>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    why: Reason,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Reads the token from standard input
    #[arg(long)]
    stdin: bool,
    /// Reads the token from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Forgets the token and the one before it
    #[arg(long)]
    forget: bool,
}

impl Token {
    pub(super) async fn run(
        self,
        settings: &Settings,
        changes: &Changes,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let Self { id, twilio_account_sid, source, why } = self;
        let token = NewToken { account_sid: twilio_account_sid.clone(), token: source.read()? };
        let forgotten = token.token.is_none();
        let tokens = Arc::new(TwilioTokens::from_settings(settings));
        let change = SetToken { tokens, account: id.clone(), token };
        match changes.run(change, why.by(now)).await? {
            Ok(()) if forgotten => print(&format!("the token of {id} is forgotten")),
            Ok(()) => print(&format!("the token of {id} is set")),
            Err(TokenRefused::UnknownAccount) => Err(unknown(&id)),
            Err(TokenRefused::NotConfigured) => {
                Err(refused("no key to seal it with; set secrets.key"))
            }
            Err(TokenRefused::NotLinked) => Err(refused(format!(
                "{} is not a Twilio account of {id}",
                twilio_account_sid.as_ref().map_or("", TwilioAccountSid::as_str)
            ))),
        }
    }
}

impl Source {
    /// The token; none: forget it.
    fn read(&self) -> Result<Option<Secret>, CommandError> {
        if self.forget {
            return Ok(None);
        }
        let token = tokens::read_token(&read_line(self.file.as_deref(), "token")?);
        let fault = || CommandError::Usage(format!("the token {}", tokens::NOT_A_TOKEN));
        Ok(Some(token.ok_or_else(fault)?))
    }
}

/// Reads a secret of one line from a file, or from standard input.
pub(super) fn read_line(file: Option<&Path>, what: &str) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = match file {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(BYTES_MAX + 2).read_to_string(&mut text)),
        None => std::io::stdin().take(BYTES_MAX + 2).read_to_string(&mut text),
    };
    read.map_err(|error| CommandError::Usage(format!("the {what} cannot be read: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
