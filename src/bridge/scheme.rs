//! How a message is signed: with an account's auth token, or with a shared key that a header names
//! (<https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys>).
//!
//! Pure. Twilio adds `X-Twilio-Webhooks-Signature-Settings: key=ID,algorithm=HMAC_SHA256` to a
//! message that a shared key signs; the signature is in `X-Twilio-Signature` as always. The header
//! is not signed, so anybody may change it. If the header is there, only a shared key with
//! HMAC-SHA256 counts: no fault in it must ever make an auth token's signature acceptable.

use ring::hmac;

use crate::config::is_key_id;

/// The only algorithm that a shared key may use.
const ALGORITHM: &str = "HMAC_SHA256";
/// Bytes of the longest header; a key's id has at most 128.
const BYTES_MAX: usize = 512;

/// How a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme<'a> {
    /// With an auth token and HMAC-SHA1.
    Token,
    /// With the shared key of this id and HMAC-SHA256.
    SharedKey(&'a str),
}

/// Why a message with the header cannot be checked: no signature counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it comes more than once")]
    Twice,
    #[error("it is longer than 512 bytes")]
    TooLong,
    #[error("it is not printable ASCII")]
    Unprintable,
    #[error("it names its key or its algorithm more than once")]
    Ambiguous,
    #[error("it names no key")]
    NoKey,
    #[error("its algorithm is not HMAC_SHA256")]
    Algorithm,
}

impl<'a> Scheme<'a> {
    /// Reads all headers of that name in a message.
    pub(super) fn read(headers: &[&'a [u8]]) -> Result<Self, Fault> {
        let header = match headers {
            [] => return Ok(Self::Token),
            [header] => *header,
            _ => return Err(Fault::Twice),
        };
        if header.len() > BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let is_printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text =
            str::from_utf8(header).ok().filter(|text| text.bytes().all(|b| is_printable(&b)));
        let text = text.ok_or(Fault::Unprintable)?;
        let parameters = || text.split(',').filter_map(|part| part.split_once('='));
        let value_of = |wanted: &str| {
            let mut values = parameters().filter(|(name, _)| name.trim() == wanted);
            match (values.next(), values.next()) {
                (Some(_), Some(_)) => Err(Fault::Ambiguous),
                (first, _) => Ok(first.map(|(_, value)| value.trim())),
            }
        };
        let (key, algorithm) = (value_of("key")?, value_of("algorithm")?);
        if !algorithm.is_some_and(|algorithm| algorithm.eq_ignore_ascii_case(ALGORITHM)) {
            return Err(Fault::Algorithm);
        }
        key.filter(|key| is_key_id(key)).map(Self::SharedKey).ok_or(Fault::NoKey)
    }

    /// The algorithm of its signatures.
    pub(super) fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Token => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::SharedKey(_) => hmac::HMAC_SHA256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Result<Scheme<'_>, Fault> {
        Scheme::read(&[header.as_bytes()])
    }

    #[test]
    fn the_header_names_a_key_and_without_it_a_token_signs() {
        assert_eq!(Scheme::read(&[]), Ok(Scheme::Token));
        let key = Ok(Scheme::SharedKey("webhooks_sharedkey_01ABC"));
        for header in [
            "key=webhooks_sharedkey_01ABC,algorithm=HMAC_SHA256",
            " algorithm = HMAC_SHA256 , key = webhooks_sharedkey_01ABC ",
            "key=webhooks_sharedkey_01ABC,algorithm=hmac_sha256,version=2,,x",
        ] {
            assert_eq!(read(header), key, "{header}");
        }
        let longest = "k".repeat(128);
        let header = format!("key={longest},algorithm=HMAC_SHA256");
        assert_eq!(read(&header), Ok(Scheme::SharedKey(&longest)));
    }

    #[test]
    fn no_odd_header_makes_a_message_one_that_a_token_may_sign() {
        let cases = [
            ("", Fault::Algorithm),
            (" ", Fault::Algorithm),
            ("key=k", Fault::Algorithm),
            ("key=k,algorithm=", Fault::Algorithm),
            ("key=k,algorithm=HMAC_SHA1", Fault::Algorithm),
            ("key=k,algorithm=HMAC_SHA512", Fault::Algorithm),
            ("key=k,algorithm=HMAC_SHA256;q=1", Fault::Algorithm),
            ("key=k,Algorithm=HMAC_SHA256", Fault::Algorithm),
            ("key=k;algorithm=HMAC_SHA256", Fault::Algorithm),
            ("algorithm=HMAC_SHA256", Fault::NoKey),
            ("key=,algorithm=HMAC_SHA256", Fault::NoKey),
            ("key=a b,algorithm=HMAC_SHA256", Fault::NoKey),
            ("key=a=b,algorithm=HMAC_SHA256", Fault::NoKey),
            ("Key=k,algorithm=HMAC_SHA256", Fault::NoKey),
            ("key=k,key=k,algorithm=HMAC_SHA256", Fault::Ambiguous),
            ("key=k,algorithm=HMAC_SHA256,algorithm=HMAC_SHA1", Fault::Ambiguous),
            ("key=k,algorithm=,algorithm=HMAC_SHA256", Fault::Ambiguous),
            ("key=k\u{e9},algorithm=HMAC_SHA256", Fault::Unprintable),
            ("key=k\t,algorithm=HMAC_SHA256", Fault::Unprintable),
            ("key=k\r\nx: y,algorithm=HMAC_SHA256", Fault::Unprintable),
        ];
        for (header, fault) in cases {
            assert_eq!(read(header), Err(fault), "{header:?}");
        }
        let id = "k".repeat(129);
        assert_eq!(read(&format!("key={id},algorithm=HMAC_SHA256")), Err(Fault::NoKey));
        let id = "k".repeat(512);
        assert_eq!(read(&format!("key={id},algorithm=HMAC_SHA256")), Err(Fault::TooLong));
        assert_eq!(Scheme::read(&[b"key=\xff,algorithm=HMAC_SHA256"]), Err(Fault::Unprintable));
        let header: &[u8] = b"key=k,algorithm=HMAC_SHA256";
        assert_eq!(Scheme::read(&[header, header]), Err(Fault::Twice));
        assert_eq!(Scheme::read(&[header, b""]), Err(Fault::Twice));
    }
}
