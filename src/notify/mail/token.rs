//! Tokens that unsubscribe one address from one kind of mails. A token is sealed by the vault, so it
//! needs no row, tells nobody the address, and cannot be made by others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callmeter_core::domain::AccountId;

use crate::config::{Secret, Settings};
use crate::ledger::mail::Unsubscription;
use crate::vault::{Sealed, Vault};

/// What a token is bound to, so that nothing else that is sealed can be one.
const BOUND_TO: &str = "unsubscription of a mail";
/// Separates the parts; none of them may contain it.
const BETWEEN: char = '\n';

/// Makes and reads tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    vault: Option<Vault>,
}

impl Tokens {
    /// By the keys of the settings.
    pub fn from_settings(settings: &Settings) -> Self {
        Self { vault: Vault::from_settings(settings) }
    }

    /// The token of an unsubscription; `None` if there is no key to seal with.
    pub(super) fn seal(&self, unsubscription: &Unsubscription) -> Option<String> {
        let Unsubscription { account, address, kind } = unsubscription;
        let parts = [account.as_str(), kind, address];
        if parts.iter().any(|part| part.contains(BETWEEN)) {
            return None;
        }
        let text = Secret::from(parts.join(&BETWEEN.to_string()));
        let sealed = self.vault.as_ref()?.seal(BOUND_TO, &text).ok()?;
        Some(format!("{}.{}", sealed.key_id, URL_SAFE_NO_PAD.encode(sealed.bytes)))
    }

    /// Reads a token; `None` if it is none of ours.
    pub fn open(&self, token: &str) -> Option<Unsubscription> {
        let (key_id, bytes) = token.split_once('.')?;
        let sealed =
            Sealed { key_id: key_id.to_owned(), bytes: URL_SAFE_NO_PAD.decode(bytes).ok()? };
        let text = self.vault.as_ref()?.open(BOUND_TO, &sealed).ok()?;
        let mut parts = text.expose().splitn(3, BETWEEN);
        let account = AccountId::parse(parts.next()?).ok()?;
        let (kind, address) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Unsubscription { account, address, kind })
    }
}
