//! The secrets that may sign a message: auth tokens, or the shared keys of the id that it names.

use std::collections::HashMap;

use callmeter_core::domain::TwilioAccountSid;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::error::Refusal;
use super::scheme::Scheme;
use super::signature::Signed;
use crate::config::Secret;
use crate::ledger::shared_keys::{SharedKeys, UnopenedKey};
use crate::ledger::tokens::{Signer, TokenError, TwilioTokens, UnopenedToken};

/// The secrets of all accounts.
#[derive(Clone, Debug)]
pub(super) struct Signers {
    pub(super) tokens: TwilioTokens,
    pub(super) keys: SharedKeys,
}

/// A secret that may have signed a message and cannot be opened.
#[derive(Clone, Debug)]
pub(super) enum Unopened {
    Token(UnopenedToken),
    Key(UnopenedKey),
}

impl From<Unopened> for Refusal {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Token(token) => TokenError::from(token).into(),
            Unopened::Key(key) => Self::SharedKey(key),
        }
    }
}

/// The secrets that may sign for a Twilio account.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    pub(super) secrets: Vec<Secret>,
    pub(super) unopened: Option<Unopened>,
    /// True if no secret of this scheme is set for it.
    pub(super) is_mute: bool,
}

/// Whether anybody's secret signed a message.
#[derive(Clone, Debug)]
pub(super) enum Anybody {
    Signed,
    Nobody,
    Unopened(Unopened),
}

impl Signers {
    /// Why no message of a scheme can be checked; none: messages can be checked.
    pub(super) async fn why_none(
        &self,
        connection: &mut PgConnection,
        is_by_key: bool,
    ) -> Result<Option<&'static str>, Refusal> {
        Ok(if is_by_key {
            let none = "no shared key is set to check it with";
            (!self.keys.exist(connection).await?).then_some(none)
        } else {
            let none = "no auth token is set to check it with";
            (!self.tokens.exist(connection).await?).then_some(none)
        })
    }

    /// The secrets that may sign for each of `sids`.
    pub(super) async fn of_each(
        &self,
        connection: &mut PgConnection,
        scheme: Scheme<'_>,
        sids: &[TwilioAccountSid],
        now: DateTime<Utc>,
    ) -> Result<HashMap<TwilioAccountSid, Candidates>, Refusal> {
        Ok(match scheme {
            Scheme::Token => {
                let speaking = self.tokens.speaking_for(connection, sids, now).await?.into_iter();
                let candidates = speaking.map(|(sid, speaking)| {
                    let is_mute = speaking.tokens.is_empty();
                    let secrets = speaking.tokens.into_iter().map(|token| token.token).collect();
                    let unopened = speaking.unopened.map(Unopened::Token);
                    (sid, Candidates { secrets, unopened, is_mute })
                });
                candidates.collect()
            }
            Scheme::SharedKey(id) => {
                let signing = self.keys.signing_for(connection, id, sids, now).await?.into_iter();
                let candidates = signing.map(|(sid, keys)| {
                    let (secrets, is_mute) = (keys.secrets, !keys.any);
                    let unopened = keys.unopened.map(Unopened::Key);
                    (sid, Candidates { secrets, unopened, is_mute })
                });
                candidates.collect()
            }
        })
    }

    /// Searches all accounts for the secret that signed a message.
    pub(super) async fn anybody(
        &self,
        connection: &mut PgConnection,
        scheme: Scheme<'_>,
        signed: &Signed,
        now: DateTime<Utc>,
    ) -> Result<Anybody, Refusal> {
        match scheme {
            Scheme::Token => {
                let is_it = |secret: &Secret| signed.is_signed_by(secret);
                let found = self.tokens.any(connection, now, |token| is_it(&token.token)).await?;
                Ok(match found {
                    Signer::Found => Anybody::Signed,
                    Signer::Nobody => Anybody::Nobody,
                    Signer::Unopened(token) => Anybody::Unopened(Unopened::Token(token)),
                })
            }
            Scheme::SharedKey(id) => {
                let mut found = Anybody::Nobody;
                for key in self.keys.of_id(connection, id).await? {
                    match key {
                        Ok(secret) if signed.is_signed_by(&secret) => return Ok(Anybody::Signed),
                        Ok(_) => {}
                        Err(unopened) => found = Anybody::Unopened(Unopened::Key(unopened)),
                    }
                }
                Ok(found)
            }
        }
    }

    /// Whether a secret of another account signed a message, or the key that it names is known:
    /// then the message is forged, and no secret that is set later makes it right.
    pub(super) async fn is_anothers(
        &self,
        connection: &mut PgConnection,
        scheme: Scheme<'_>,
        signed: &Signed,
        now: DateTime<Utc>,
    ) -> Result<bool, Refusal> {
        match scheme {
            Scheme::Token => {
                let found = self.anybody(connection, scheme, signed, now).await?;
                Ok(matches!(found, Anybody::Signed))
            }
            Scheme::SharedKey(id) => Ok(self.keys.is_known(connection, id).await?),
        }
    }
}
