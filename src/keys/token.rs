//! Tokens of the wallet page: a sign-in link, and the cookie of a session. Each is created from
//! random bytes, handed out once, and stored as its digest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;
/// Characters behind the mark.
const CHARACTERS: usize = 43;

/// What a token is for. Its text begins with the mark, so that a leaked one is recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Begins a session, once.
    SignInLink,
    /// The cookie of a session.
    Session,
}

impl TokenKind {
    const fn mark(self) -> &'static str {
        match self {
            Self::SignInLink => "cml_",
            Self::Session => "cms_",
        }
    }
}

/// A token as its holder has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Creates a token from random bytes of the operating system; `None` if it has none.
    pub fn random(kind: TokenKind) -> Option<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(format!("{}{}", kind.mark(), URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Reads a token of this kind; `None`: the text is none.
    pub fn parse(kind: TokenKind, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(kind.mark())?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let is_token = rest.len() == CHARACTERS && rest.bytes().all(allowed);
        is_token.then(|| Self(text.to_owned()))
    }

    /// The whole text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256, which is stored.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// The text that a form of this session must carry. It cannot be derived from what is stored.
    pub fn form_token(&self) -> String {
        let digest = Sha256::new_with_prefix(b"callmeter: forms of a session\0")
            .chain_update(&self.0)
            .finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// Compares a form's text in constant time.
    pub fn is_form_token(&self, text: &str) -> bool {
        self.form_token().as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::{Token, TokenKind};

    #[test]
    fn a_token_is_random_of_one_kind_and_never_printed() {
        let kinds = [TokenKind::SignInLink, TokenKind::Session];
        for kind in kinds {
            let (one, other) = (Token::random(kind).unwrap(), Token::random(kind).unwrap());
            assert_ne!(one, other);
            assert_eq!(Token::parse(kind, one.expose()), Some(one.clone()));
            let wrong_kind = kinds.into_iter().find(|it| *it != kind).unwrap();
            assert_eq!(Token::parse(wrong_kind, one.expose()), None);
            assert!(!format!("{one:?}").contains(&one.expose()[4..]));
            assert!(one.is_form_token(&one.form_token()));
            assert!(!one.is_form_token(&other.form_token()));
            assert!(!one.is_form_token(""));
        }
        for wrong in ["", "cms_", "cms_short", &format!("cms_{}", "%".repeat(43))] {
            assert_eq!(Token::parse(TokenKind::Session, wrong), None, "{wrong}");
        }
    }
}
