//! A key as text: made of random bytes, shown once, kept as its digest.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How every key begins, so that a key that went astray is known for what it is.
const MARK: &str = "cmk_";
/// Random bytes of a key.
const RANDOM_BYTES: usize = 32;
/// Characters by which a key is recognized: the mark, and 36 of its 256 random bits.
const PREFIX_CHARACTERS: usize = MARK.len() + 6;

/// A key as its holder sees it, once.
pub struct KeyText(String);

impl KeyText {
    /// Makes a key of random bytes of the operating system; `None` where it has none to give.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Gives the text away.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How it begins.
    pub fn prefix(&self) -> &str {
        &self.0[..PREFIX_CHARACTERS]
    }

    /// What is kept of it.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.0)
    }
}

impl std::fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyText")
    }
}

/// SHA-256 of a key: what is compared and kept, so that no key lies around in memory.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Digests a key.
    pub fn of(key: &str) -> Self {
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

/// What seals an answer that is kept for the holder of a key: only who has the key can open it, and
/// what is kept of keys opens nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// Derives it from a key; nothing that is kept of the key leads to it.
    pub fn of(key: &str) -> Self {
        Self(
            Sha256::new_with_prefix(b"callmeter: kept answers\0")
                .chain_update(key)
                .finalize()
                .into(),
        )
    }

    /// Seals a text; `None` where the system has no random bytes.
    pub fn seal(&self, text: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut bytes = text.as_bytes().to_vec();
        let at = Nonce::assume_unique_for_key(nonce);
        self.key()?.seal_in_place_append_tag(at, Aad::empty(), &mut bytes).ok()?;
        Some(STANDARD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// Opens what was sealed; `None` where it was sealed by another key, or altered.
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
        assert!(one.digest().is(KeyDigest::of(one.expose())));
        assert!(!one.digest().is(other.digest()));
        assert!(!format!("{one:?}{:?}", one.digest()).contains(&one.expose()[4..]));
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_key_alone() {
        let key = SealingKey::of("one");
        let sealed = key.seal("secret").unwrap();
        assert!(!sealed.contains("secret"));
        assert_ne!(sealed, key.seal("secret").unwrap());
        assert_eq!(key.open(&sealed).as_deref(), Some("secret"));
        assert_eq!(SealingKey::of("other").open(&sealed), None);
        for wrong in ["", "AAAA", "?", &sealed[4..], &sealed.replacen(|_| true, "A", 20)] {
            assert_eq!(key.open(wrong), None);
        }
    }
}
