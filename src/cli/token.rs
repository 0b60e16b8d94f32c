//! `callmeter account token`: sets or forgets the auth token of a Twilio account. The token is read
//! from standard input or a file, never from an argument, which other users of the machine can see.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use callmeter_core::domain::{AccountId, TwilioAccountSid};
use chrono::{DateTime, Utc};
use clap::Args;
use futures::FutureExt;

use super::account::{refused, unknown};
use super::who::Why;
use super::{CommandError, print};
use crate::config::{Secret, Settings};
use crate::ledger::store::Store;
use crate::ledger::tokens::{self, TokenChanged, TwilioTokens};

/// Most bytes that are read; a token has 32 characters.
const BYTES_MAX: u64 = 256;

#[derive(Debug, Args)]
pub(super) struct Token {
    /// The account's id
    id: AccountId,
    /// The Twilio account (AC...) whose token it is; the account's first where absent
    #[arg(long, value_name = "SID", value_parser = TwilioAccountSid::parse_issued)]
    twilio_account_sid: Option<TwilioAccountSid>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    why: Why,
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
    /// Forgets the token, and the one before it
    #[arg(long)]
    forget: bool,
}

impl Token {
    pub(super) async fn run(
        self,
        settings: &Settings,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<(), CommandError> {
        let token = self.source.read()?;
        let tokens = TwilioTokens::of(settings);
        if token.is_some() && !tokens.can_be_set() {
            return Err(refused("no key to seal it with; set secrets.key"));
        }
        let forgotten = token.is_none();
        let Self { id, twilio_account_sid: sid, why, .. } = self;
        let by = Arc::new(why.by(now));
        let set = store.transact("tokens::set", |connection| {
            let (tokens, id, sid, token) = (tokens.clone(), id.clone(), sid.clone(), token.clone());
            let by = Arc::clone(&by);
            async move { tokens.set(connection, &id, sid.as_ref(), token.as_ref(), &by).await }
                .boxed()
        });
        match set.await? {
            TokenChanged::Done if forgotten => print(&format!("the token of {id} is forgotten")),
            TokenChanged::Done => print(&format!("the token of {id} is set")),
            TokenChanged::UnknownAccount => Err(unknown(&id)),
            TokenChanged::NotLinked => Err(refused(format!(
                "{} is no Twilio account of {id}",
                sid.as_ref().map_or("", TwilioAccountSid::as_str)
            ))),
        }
    }
}

impl Source {
    /// The token; none: it is to be forgotten.
    fn read(&self) -> Result<Option<Secret>, CommandError> {
        if self.forget {
            return Ok(None);
        }
        let mut text = String::new();
        let read = match &self.file {
            Some(path) => std::fs::File::open(path)
                .and_then(|file| file.take(BYTES_MAX + 2).read_to_string(&mut text)),
            None => std::io::stdin().take(BYTES_MAX + 2).read_to_string(&mut text),
        };
        read.map_err(|error| CommandError::Usage(format!("the token cannot be read: {error}")))?;
        let token = text.trim_end_matches(['\r', '\n']);
        let token = tokens::read_token(token);
        let fault = || CommandError::Usage(format!("the token {}", tokens::NOT_A_TOKEN));
        Ok(Some(token.ok_or_else(fault)?))
    }
}
