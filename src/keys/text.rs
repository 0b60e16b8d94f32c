//! A key as text: created from random bytes, shown once, stored as its digest.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Every key begins with this mark, so that a leaked key is recognized.
const MARK: &str = "cmk_";
/// Random bytes of a key.
const RANDOM_BYTES: usize = 32;
/// Characters that identify a key: the mark, and 36 of its 256 random bits.
const PREFIX_CHARACTERS: usize = MARK.len() + 6;

/// A key as its holder sees it once.
pub struct KeyText(String);

impl KeyText {
    /// Creates a key from random bytes of the operating system; `None` if it has none.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The whole text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The first characters, which identify the key.
    pub fn prefix(&self) -> &str {
        &self.0[..PREFIX_CHARACTERS]
    }

    /// The digest, which is stored.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::new(&self.0)
    }
}

impl std::fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyText")
    }
}

/// SHA-256 of a key, for comparison and storage, so that no key stays in memory.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Digests a key.
    pub fn new(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Compares in constant time.
    pub fn is(self, other: Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The digest itself.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for KeyDigest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyDigest")
    }
}

/// Seals an answer that is stored for the holder of a key. Only the key itself can open it; the
/// stored digest cannot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// Derives it from a key; it cannot be derived from the stored digest.
    pub fn new(key: &str) -> Self {
        Self(
            Sha256::new_with_prefix(b"callmeter: kept answers\0")
                .chain_update(key)
                .finalize()
                .into(),
        )
    }

    /// Seals a text; `None` if the system has no random bytes.
    pub fn seal(&self, text: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut bytes = text.as_bytes().to_vec();
        let at = Nonce::assume_unique_for_key(nonce);
        self.key()?.seal_in_place_append_tag(at, Aad::empty(), &mut bytes).ok()?;
        Some(STANDARD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// Opens a sealed text; `None` if another key sealed it or it was altered.
    pub fn open(&self, sealed: &str) -> Option<String> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = sealed.to_vec();
        let text = self.key()?.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn key(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.0).ok().map(LessSafeKey::new)
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SealingKey")
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyDigest, KeyText, SealingKey};

    #[test]
    fn a_key_is_random_and_shows_its_beginning_only() {
        let (one, other) = (KeyText::random().unwrap(), KeyText::random().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 4 + 43);
        assert!(one.expose().starts_with(one.prefix()));
        assert_eq!(one.prefix().len(), 10);
        assert!(one.digest().is(KeyDigest::new(one.expose())));
        assert!(!one.digest().is(other.digest()));
        assert!(!format!("{one:?}{:?}", one.digest()).contains(&one.expose()[4..]));
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_key_alone() {
        let key = SealingKey::new("one");
        let sealed = key.seal("secret").unwrap();
        assert!(!sealed.contains("secret"));
        assert_ne!(sealed, key.seal("secret").unwrap());
        assert_eq!(key.open(&sealed).as_deref(), Some("secret"));
        assert_eq!(SealingKey::new("other").open(&sealed), None);
        for wrong in ["", "AAAA", "?", &sealed[4..], &sealed.replacen(|_| true, "A", 20)] {
            assert_eq!(key.open(wrong), None);
        }
    }
}
