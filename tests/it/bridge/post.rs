//! Requests as Twilio posts them: forms and arrays of events, with a signature computed here, from
//! Twilio's documentation and without a line of the program.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::api::{Answer, Api};

/// The address that Twilio was given; requests go to the service by another.
pub(crate) const PUBLIC_URL: &str = "https://wallet.example.com";
/// The token of the settings.
pub(crate) const DEFAULT_TOKEN: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf";

/// A request before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// The parameters of a form; none: JSON.
    pub(crate) form: Option<Vec<(String, String)>>,
}

/// A call's parameters as the form of a status callback.
pub(crate) fn voice(query: &str, parameters: &Value) -> Post {
    let fields = parameters.as_object().expect("an object").iter();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let form: Vec<_> = fields.map(|(key, value)| (key.clone(), text(value))).collect();
    let body = form.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value)));
    let body = body.collect::<Vec<_>>().join("&").into_bytes();
    Post { path: format!("/webhooks/twilio/voice{query}"), body, form: Some(form) }
}

/// A body for the sink's address.
pub(crate) fn events(query: &str, body: impl Into<Vec<u8>>) -> Post {
    Post { path: format!("/webhooks/twilio/events{query}"), body: body.into(), form: None }
}

/// A call's parameters as an event of a sink.
pub(crate) fn event(parameters: &Value) -> Value {
    json!({
        "specversion": "1.0",
        "type": "com.twilio.voice.status-callback.call.completed",
        "source": "/2010-04-01/Accounts",
        "id": format!("EZ{}", parameters["CallSid"].as_str().unwrap_or_default()),
        "datacontenttype": "2025-10-08T07:17:02.363Z",
        "data": {"request": {"method": "POST", "url": "https://dialer.example.com/status",
            "parameters": parameters}},
    })
}

fn escape(text: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let escaped = text.bytes().map(|byte| match byte {
        b' ' => "+".to_owned(),
        byte if kept(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    escaped.collect()
}

impl Post {
    /// The address with the hash of a JSON body, and the signature over it.
    pub(crate) fn sign(&self, base: &str, token: &str) -> (String, String) {
        let mut path = self.path.clone();
        let mut signed = format!("{base}{path}");
        if let Some(form) = &self.form {
            let mut form = form.clone();
            form.sort();
            form.dedup();
            signed.extend(form.into_iter().map(|(key, value)| key + &value));
        } else {
            let sign = if path.contains('?') { '&' } else { '?' };
            let hash = hex::encode(Sha256::digest(&self.body));
            path = format!("{path}{sign}bodySHA256={hash}");
            signed = format!("{base}{path}");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
        (path, STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    }

    /// Signs and posts it.
    pub(crate) async fn send(&self, api: &Api, token: &str) -> Answer {
        let (path, signature) = self.sign(PUBLIC_URL, token);
        self.send_to(api, &path, Some(&signature)).await
    }

    /// Posts it with this signature, or none.
    pub(crate) async fn send_to(&self, api: &Api, path: &str, signature: Option<&str>) -> Answer {
        let content_type = match self.form {
            Some(_) => "application/x-www-form-urlencoded; charset=UTF-8",
            None => "application/json",
        };
        let headers = signature.map(|signature| ("x-twilio-signature", signature));
        let headers: Vec<_> = headers.into_iter().collect();
        let sent = api.post_as(path, content_type, &headers, self.body.clone()).await;
        sent.unwrap_or_else(|error| panic!("{path}: {error:#}"))
    }
}
