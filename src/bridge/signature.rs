//! Checks that Twilio signed a request: `X-Twilio-Signature`, as Twilio's SDKs compute it
//! (<https://www.twilio.com/docs/usage/security#validating-requests>).
//!
//! Pure. The signature is base64 of HMAC-SHA1 with the account's auth token, or of HMAC-SHA256 with
//! a shared key. For a form it covers the address and each key with its value, in the order of the
//! keys. For JSON it covers only the address, which contains the hash of the body. A signature
//! contains no time, so it never expires.
//!
//! No check may reveal how much of a wrong signature is right: comparisons take constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use ring::hmac;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// Parameter of the address with the hash of a JSON body.
const BODY_HASH: &str = "bodySHA256";

/// The characters that JavaScript's `encodeURIComponent` escapes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The signed parts of a request.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    /// Every text that may have been signed: each form of the address with the parameters.
    texts: Vec<Vec<u8>>,
    /// The signature, decoded; none: it is not base64.
    signature: Option<Vec<u8>>,
    algorithm: hmac::Algorithm,
}

/// The claimed proof of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof<'a> {
    /// The signature, in base64.
    pub(super) signature: &'a str,
    /// Its algorithm.
    pub(super) algorithm: hmac::Algorithm,
}

impl Signed {
    /// A form: the address and all parameters are signed.
    pub(super) fn form(
        addresses: &[String],
        parameters: &[(Vec<u8>, Vec<u8>)],
        proof: Proof<'_>,
    ) -> Self {
        let lossy = lossy(parameters);
        let mut suffixes = vec![suffix(&lossy)];
        // The signer signs text: bytes that are not UTF-8 are replacement characters there. The SDK
        // for Node sorts by UTF-16, the others sort by code points.
        for other in [suffix(parameters), suffix_by_utf_16(&lossy)] {
            if !suffixes.contains(&other) {
                suffixes.push(other);
            }
        }
        let texts = forms(addresses).into_iter().flat_map(|address| {
            suffixes.iter().map(|suffix| [address.as_bytes(), suffix].concat()).collect::<Vec<_>>()
        });
        Self {
            texts: texts.collect(),
            signature: decoded(proof.signature),
            algorithm: proof.algorithm,
        }
    }

    /// JSON: the address is signed, and contains the hash of the body. None: the hash is wrong or
    /// missing.
    pub(super) fn json(
        addresses: &[String],
        query: &str,
        body: &[u8],
        proof: Proof<'_>,
    ) -> Option<Self> {
        let (_, hash) =
            pairs(query.as_bytes()).into_iter().find(|(k, _)| k == BODY_HASH.as_bytes())?;
        let hash = hex::decode(hash).ok()?;
        if !bool::from(hash.ct_eq(Sha256::digest(body).as_slice())) {
            return None;
        }
        let texts = forms(addresses).into_iter().map(String::into_bytes).collect();
        Some(Self { texts, signature: decoded(proof.signature), algorithm: proof.algorithm })
    }

    /// Whether this token or shared key signed it.
    pub(super) fn is_signed_by(&self, secret: &Secret) -> bool {
        let Some(signature) = &self.signature else { return false };
        let key = hmac::Key::new(self.algorithm, secret.expose().as_bytes());
        self.texts.iter().any(|text| hmac::verify(&key, text, signature).is_ok())
    }
}

/// The pairs of a form or a query, decoded.
pub(super) fn pairs(form: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |text: &[u8]| {
        let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        percent_decode(&spaced).collect::<Vec<u8>>()
    };
    let parts = form.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    let parts = parts.map(|part| {
        let mut halves = part.splitn(2, |byte| *byte == b'=');
        let key = halves.next().unwrap_or_default();
        (decode(key), decode(halves.next().unwrap_or_default()))
    });
    parts.collect()
}

fn decoded(signature: &str) -> Option<Vec<u8>> {
    STANDARD.decode(signature.trim()).ok()
}

fn lossy(parameters: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_bytes();
    parameters.iter().map(|(key, value)| (text(key), text(value))).collect()
}

/// Each key with each of its different values, sorted and concatenated.
fn suffix(parameters: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut parameters: Vec<_> = parameters.iter().collect();
    parameters.sort();
    parameters.dedup();
    parameters.into_iter().flat_map(|(key, value)| key.iter().chain(value)).copied().collect()
}

/// Like [`suffix`], in JavaScript's order of text.
fn suffix_by_utf_16(parameters: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let units = |text: &[u8]| String::from_utf8_lossy(text).encode_utf16().collect::<Vec<u16>>();
    let mut parameters: Vec<_> = parameters.iter().collect();
    parameters.sort_by_cached_key(|(key, value)| (units(key), units(value)));
    parameters.dedup();
    parameters.into_iter().flat_map(|(key, value)| key.iter().chain(value)).copied().collect()
}

/// The forms of an address that Twilio may have signed: without and with a port, and the query as
/// received, with quotes escaped, and fully escaped. Twilio is not consistent; its SDKs try all of
/// them.
fn forms(addresses: &[String]) -> Vec<String> {
    let mut forms = Vec::new();
    for address in addresses {
        let (base, query) =
            address.split_once('?').map_or((&**address, None), |(b, q)| (b, Some(q)));
        let queries = match query {
            Some(query) if !query.is_empty() => {
                vec![
                    format!("?{query}"),
                    format!("?{}", query.replace('\'', "%27")),
                    escaped(query),
                ]
            }
            _ => vec![address[base.len()..].to_owned()],
        };
        for query in queries {
            for base in [without_port(base), with_port(base)] {
                let form = base + &query;
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
    }
    forms
}

/// A query with every key and value escaped again.
fn escaped(query: &str) -> String {
    let escape =
        |text: Vec<u8>| utf8_percent_encode(&String::from_utf8_lossy(&text), COMPONENT).to_string();
    let pairs = pairs(query.as_bytes()).into_iter();
    let pairs = pairs.map(|(key, value)| format!("{}={}", escape(key), escape(value)));
    format!("?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// Splits into scheme and authority up to the port, the port with its colon, and the path.
fn split(address: &str) -> (&str, &str, &str) {
    let authority = address.find("://").map_or(0, |at| at + 3);
    let path = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    let host = address[authority..path].rfind('@').map_or(authority, |at| authority + at + 1);
    // A colon begins the port only after the bracket of an IPv6 address.
    let bracket = address[host..path].rfind(']').map_or(host, |at| host + at);
    let port = address[bracket..path].find(':').map_or(path, |at| bracket + at);
    (&address[..port], &address[port..path], &address[path..])
}

fn without_port(address: &str) -> String {
    let (host, _, path) = split(address);
    format!("{host}{path}")
}

fn with_port(address: &str) -> String {
    let (host, port, path) = split(address);
    if !port.is_empty() {
        return address.to_owned();
    }
    let port = if host.starts_with("https://") { ":443" } else { ":80" };
    format!("{host}{port}{path}")
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
