//! Twilio's official SDKs sign and check (tests/sdks/sign.*).

use serde_json::{Value, json};

use super::post::{PUBLIC_URL, Post};
use crate::harness::sdk;
pub(crate) use crate::harness::sdk::Sdk;

/// Signs each request with its token; returns path and signature of each.
pub(crate) fn sign(sdk: Sdk, posts: &[(&Post, &str)]) -> Vec<(String, String)> {
    sign_with(sdk, PUBLIC_URL, posts, "HMAC_SHA1")
}

/// Signs each request with its secret for a service at this URL; returns path and signature of
/// each.
pub(crate) fn sign_with(
    sdk: Sdk,
    base: &str,
    posts: &[(&Post, &str)],
    algorithm: &str,
) -> Vec<(String, String)> {
    let requests = posts.iter().map(|(post, secret)| {
        let mut request = request(post, secret, algorithm);
        request["url"] = json!(format!("{base}{}", post.path));
        request
    });
    let answers = sdk::ask(sdk, "sign", &requests.collect::<Vec<_>>());
    answers.iter().map(|answer| signed(base, answer)).collect()
}

/// A request as it reaches a service, checked by the SDK instead.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) post: Post,
    /// Path and query, with the hash of a JSON body.
    pub(crate) path: String,
    pub(crate) signature: String,
    /// The header that names the shared key.
    pub(crate) settings: String,
}

/// Whether the SDK, given each secret, accepts the request as Twilio's.
pub(crate) fn check(sdk: Sdk, requests: &[(&Signed, &str)]) -> Vec<bool> {
    let requests = requests.iter().map(|(signed, secret)| {
        let mut request = request(&signed.post, secret, "");
        request["url"] = json!(format!("{PUBLIC_URL}{}", signed.path));
        request["signature"] = json!(signed.signature);
        request["settings"] = json!(signed.settings);
        request
    });
    let answers = sdk::ask(sdk, "sign", &requests.collect::<Vec<_>>());
    answers.iter().map(|answer| answer["valid"].as_bool().expect("a verdict")).collect()
}

fn request(post: &Post, secret: &str, algorithm: &str) -> Value {
    let mut request = json!({"secret": secret, "algorithm": algorithm});
    match &post.form {
        Some(form) => request["form"] = json!(form),
        None => request["json"] = json!(str::from_utf8(&post.body).expect("the SDKs sign text")),
    }
    request
}

fn signed(base: &str, answer: &Value) -> (String, String) {
    let url = answer["url"].as_str().expect("a URL");
    let path = url.strip_prefix(base).expect("the address").to_owned();
    (path, answer["signature"].as_str().expect("a signature").to_owned())
}
