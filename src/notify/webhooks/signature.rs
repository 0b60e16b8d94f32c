//! Signs web hooks as the Standard Webhooks specification says: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key, sign};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::Secret;

/// What the text of a secret begins with; base64 follows.
const PREFIX: &str = "whsec_";
/// Bytes of a secret.
const BYTES: usize = 32;

/// A new secret; `None` if the system provides no random numbers.
pub fn random_secret() -> Option<Secret> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(Secret::from(format!("{PREFIX}{}", STANDARD.encode(bytes))))
}

/// The header `webhook-signature`: a signature by each secret, the newest first; `None` if a secret
/// cannot be read.
pub(super) fn signature(secrets: &[Secret], id: &str, seconds: i64, body: &str) -> Option<String> {
    let signed = format!("{id}.{seconds}.{body}");
    let each = secrets.iter().map(|secret| {
        let bytes = STANDARD.decode(secret.expose().strip_prefix(PREFIX)?).ok()?;
        let tag = sign(&Key::new(HMAC_SHA256, &bytes), signed.as_bytes());
        Some(format!("v1,{}", STANDARD.encode(tag)))
    });
    Some(each.collect::<Option<Vec<_>>>()?.join(" "))
}

#[cfg(test)]
mod tests {
    use super::{Secret, random_secret, signature};

    /// The example of the specification's reference libraries.
    #[test]
    fn the_example_of_the_reference_libraries_has_their_signature() {
        let secret = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(std::slice::from_ref(&secret), id, 1_614_265_330, body).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let other = random_secret().unwrap();
        let both = signature(&[other, secret], id, 1_614_265_330, body).unwrap();
        assert!(both.ends_with(&format!(" {signed}")), "{both}");
    }
}
