//! Shared keys, with which Twilio signs webhooks instead of an auth token: an id, which each
//! webhook names, and a secret.
//!
//! Pure. The settings, the API and the command line read shared keys with this code. No message may
//! repeat a secret, or a text that could be one.

use super::Secret;

/// Why a text cannot be a key's id; never repeats the text.
pub const NOT_A_KEY_ID: &str =
    "is not 1 to 128 visible ASCII characters without spaces, ',' and '='";
/// Why a text cannot be a key's secret; never repeats the text.
pub const NOT_A_KEY_SECRET: &str = "is not 1 to 256 visible ASCII characters without spaces";
/// Most keys of one account, and most in the settings.
pub const SHARED_KEYS_MAX: usize = 20;

/// A key with its secret.
#[derive(Clone, Debug)]
pub struct SharedKey {
    /// The id from Twilio.
    pub id: String,
    /// The secret that Twilio signs with.
    pub secret: Secret,
}

/// Whether a text can be the id of a key ([`NOT_A_KEY_ID`]).
pub fn is_key_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b',' && byte != b'=';
    (1..=128).contains(&text.len()) && text.bytes().all(fits)
}

/// Reads the secret of a key; none: the text cannot be one ([`NOT_A_KEY_SECRET`]).
pub fn read_key_secret(text: &str) -> Option<Secret> {
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret::from(text.to_owned()))
}

/// Reads `id=secret`, or several with commas. A secret may contain `=`, as base64 does.
///
/// # Errors
/// What is wrong, with the place in the list.
pub(super) fn read_list(text: &str) -> Result<Vec<SharedKey>, String> {
    let mut keys = Vec::<SharedKey>::new();
    for (index, item) in text.split(',').enumerate() {
        let place = index + 1;
        if place > SHARED_KEYS_MAX {
            return Err(format!("has more than {SHARED_KEYS_MAX} keys"));
        }
        let Some((id, secret)) = item.split_once('=') else {
            return Err(format!("has a key {place} that is not id=secret"));
        };
        let (id, secret) = (id.trim(), secret.trim());
        if !is_key_id(id) {
            return Err(format!("has a key {place} whose id {NOT_A_KEY_ID}"));
        }
        if keys.iter().any(|key| key.id == id) {
            return Err(format!("has a key {place} with the id of an earlier one"));
        }
        let secret = read_key_secret(secret);
        let secret =
            secret.ok_or_else(|| format!("has a key {place} whose secret {NOT_A_KEY_SECRET}"))?;
        keys.push(SharedKey { id: id.to_owned(), secret });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_commas_between_and_spaces_around_them() {
        let read = |text: &str| -> Vec<(String, String)> {
            let keys = read_list(text).unwrap().into_iter();
            keys.map(|key| (key.id, key.secret.expose().to_owned())).collect()
        };
        let pair = |id: &str, secret: &str| (id.to_owned(), secret.to_owned());
        assert_eq!(read("a=b"), [pair("a", "b")]);
        assert_eq!(
            read(" k_1 = Zm9v/+== ,\nk-2=x=y"),
            [pair("k_1", "Zm9v/+=="), pair("k-2", "x=y")]
        );
        assert_eq!(read("a=b,A=c"), [pair("a", "b"), pair("A", "c")]);
    }

    #[test]
    fn what_is_no_list_of_keys_is_told_by_its_place_and_not_repeated() {
        let many = (0..=20).map(|n| format!("k{n}=hunter2")).collect::<Vec<_>>().join(",");
        let (long_id, long_secret) = ("x".repeat(129), "hunter2".repeat(37));
        let cases = [
            ("hunter2", "key 1"),
            ("a=hunter2,", "key 2"),
            (",a=hunter2", "key 1"),
            ("a=", "key 1"),
            ("=hunter2", "key 1"),
            ("a=b,a=hunter2", "earlier"),
            ("a b=hunter2", "id"),
            ("a=hunter2 hunter2", "secret"),
            ("\u{e9}=hunter2", "id"),
            ("a=hunter2\u{e9}", "secret"),
            (&many, "more than 20"),
            (&format!("{long_id}=hunter2"), "id"),
            (&format!("a={long_secret}"), "secret"),
        ];
        for (text, word) in cases {
            let fault = read_list(text).unwrap_err();
            assert!(fault.contains(word) && !fault.contains("hunter2"), "{text}: {fault}");
            assert!(!fault.contains('\n'), "{fault}");
        }
    }
}
