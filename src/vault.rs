//! The vault: seals secrets for Postgres, and opens them.
//!
//! Beside the flow. A sealed secret can be read only with a key in the settings, and only as the
//! secret of the owner that it was sealed for: ChaCha20-Poly1305 with the owner's name as
//! associated data. Each key is derived from a text by HKDF-SHA256 and has an id, so that older
//! keys still open what they sealed. Nothing here may write a secret in the clear.

use ring::aead::{self, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::{Secret, Settings};

/// Purpose of the derived keys; another purpose has another text, and so other keys.
const KEY_PURPOSE: &[u8] = b"callmeter vault: key, version 1";
const KEY_ID_PURPOSE: &[u8] = b"callmeter vault: key id, version 1";

/// A sealed secret: useless without the vault's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key that sealed it.
    pub key_id: String,
    /// Nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Why a secret cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// The settings do not have the key that sealed it.
    #[error("it was sealed by key {key_id}, which is neither secrets.key nor secrets.previous_key")]
    UnknownKey {
        /// Id of the key.
        key_id: String,
    },
    /// The bytes were changed, or belong to another owner.
    #[error("its sealed bytes are not what was sealed for this owner")]
    Damaged,
    /// The system provides no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// The keys in the settings.
#[derive(Clone)]
pub struct Vault {
    /// The first one seals; all open.
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    key: LessSafeKey,
}

impl Vault {
    /// Takes the keys from the settings: `secrets.key`, or the admin key if it is not set; then the
    /// previous keys. `None`: there is no key to seal with.
    pub fn from_settings(settings: &Settings) -> Option<Self> {
        let secrets = &settings.secrets;
        let texts = [&secrets.key, &settings.http.admin_key, &secrets.previous_key];
        let mut keys = Vec::<Key>::new();
        for text in texts.into_iter().flatten() {
            let key = Key::derive(text);
            if keys.iter().all(|other| other.id != key.id) {
                keys.push(key);
            }
        }
        let has_current = secrets.key.is_some() || settings.http.admin_key.is_some();
        has_current.then_some(Self { keys })
    }

    /// Ids of all keys, the sealing one first.
    pub fn key_ids(&self) -> Vec<&str> {
        self.keys.iter().map(|key| key.id.as_str()).collect()
    }

    /// Ids of the keys that only open.
    pub fn older_key_ids(&self) -> Vec<&str> {
        self.key_ids().split_off(1)
    }

    /// Seals a secret for its owner.
    ///
    /// # Errors
    /// `NoRandomness` if the system provides no random numbers.
    pub fn seal(&self, owner: &str, secret: &Secret) -> Result<Sealed, VaultError> {
        let key = self.keys.first().ok_or(VaultError::NoRandomness)?;
        let mut nonce = [0; aead::NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::NoRandomness)?;
        let mut sealed = secret.expose().as_bytes().to_vec();
        let bound = Aad::from(owner.as_bytes());
        key.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut sealed)
            .map_err(|_| VaultError::NoRandomness)?;
        let bytes = [nonce.as_slice(), &sealed].concat();
        Ok(Sealed { key_id: key.id.clone(), bytes })
    }

    /// Opens a secret sealed for this owner.
    ///
    /// # Errors
    /// `UnknownKey` or `Damaged`.
    pub fn open(&self, owner: &str, sealed: &Sealed) -> Result<Secret, VaultError> {
        let key = self.keys.iter().find(|key| key.id == sealed.key_id);
        let key = key.ok_or_else(|| VaultError::UnknownKey { key_id: sealed.key_id.clone() })?;
        let (nonce, sealed) =
            sealed.bytes.split_at_checked(aead::NONCE_LEN).ok_or(VaultError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Damaged)?;
        let mut bytes = sealed.to_vec();
        let opened = key.key.open_in_place(nonce, Aad::from(owner.as_bytes()), &mut bytes);
        let length = opened.map_err(|_| VaultError::Damaged)?.len();
        bytes.truncate(length);
        String::from_utf8(bytes).map(Secret::from).map_err(|_| VaultError::Damaged)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl Key {
    fn derive(text: &Secret) -> Self {
        let source = Salt::new(HKDF_SHA256, &[]).extract(text.expose().as_bytes());
        let derive = |purpose: &[u8]| {
            let mut bytes = [0; 32];
            let purpose = [purpose];
            let derived = source.expand(&purpose, HKDF_SHA256);
            let filled = derived.and_then(|derived| derived.fill(&mut bytes));
            filled.expect("HKDF-SHA256 gives 32 bytes at once");
            bytes
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, &derive(KEY_PURPOSE));
        Self {
            id: hex::encode(&derive(KEY_ID_PURPOSE)[..8]),
            key: LessSafeKey::new(key.expect("the key has the cipher's 32 bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    fn vault(changes: &[(&str, &str)]) -> Option<Vault> {
        let required = [
            ("DATABASE_URL", "postgres://callmeter@127.0.0.1/x"),
            ("REDIS_URL", "redis://127.0.0.1"),
            ("KAFKA_BROKERS", "127.0.0.1:9092"),
        ];
        let variables = required.iter().chain(changes);
        let variables = variables.map(|(name, value)| ((*name).into(), (*value).into()));
        Vault::from_settings(&load_from(None, variables).unwrap())
    }

    const FIRST: &str = "the-first-key-is-long-enough-0123456789";
    const SECOND: &str = "the-second-key-is-long-enough-012345678";

    fn secret() -> Secret {
        Secret::from("an auth token".to_owned())
    }

    #[test]
    fn what_is_sealed_is_opened_for_its_owner_only() {
        let vault = vault(&[("CALLMETER__SECRETS__KEY", FIRST)]).unwrap();
        let sealed = vault.seal("AC1", &secret()).unwrap();
        assert_eq!(vault.open("AC1", &sealed).unwrap().expose(), "an auth token");
        assert_eq!(vault.open("AC2", &sealed).unwrap_err(), VaultError::Damaged);
        assert_ne!(vault.seal("AC1", &secret()).unwrap(), sealed, "a nonce is used once");
        for at in 0..sealed.bytes.len() {
            let mut damaged = sealed.clone();
            damaged.bytes[at] ^= 1;
            assert_eq!(vault.open("AC1", &damaged).unwrap_err(), VaultError::Damaged);
            damaged.bytes.truncate(at);
            assert_eq!(vault.open("AC1", &damaged).unwrap_err(), VaultError::Damaged);
        }
        let text = format!("{vault:?} {sealed:?} {}", String::from_utf8_lossy(&sealed.bytes));
        assert!(!text.contains(FIRST) && !text.contains("an auth token"), "{text}");
    }

    #[test]
    fn an_older_key_still_opens_and_a_lost_one_is_named() {
        let with_admin_key = vault(&[("CALLMETER__HTTP__ADMIN_KEY", FIRST)]).unwrap();
        let sealed = with_admin_key.seal("AC1", &secret()).unwrap();
        let followers: [&[(&str, &str)]; 3] = [
            &[("CALLMETER__HTTP__ADMIN_KEY", FIRST), ("CALLMETER__SECRETS__KEY", SECOND)],
            &[("CALLMETER__SECRETS__PREVIOUS_KEY", FIRST), ("CALLMETER__SECRETS__KEY", SECOND)],
            &[("CALLMETER__SECRETS__KEY", FIRST)],
        ];
        for settings in followers {
            let vault = vault(settings).unwrap();
            assert_eq!(vault.open("AC1", &sealed).unwrap().expose(), "an auth token");
        }
        let other = vault(&[("CALLMETER__SECRETS__KEY", SECOND)]).unwrap();
        let key_id = sealed.key_id.clone();
        assert!(!other.key_ids().contains(&key_id.as_str()));
        assert_eq!(other.open("AC1", &sealed).unwrap_err(), VaultError::UnknownKey { key_id });
        assert!(vault(&[]).is_none());
        assert!(vault(&[("CALLMETER__SECRETS__PREVIOUS_KEY", FIRST)]).is_none());
    }
}
