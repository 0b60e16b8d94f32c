//! Requests as Twilio posts them: forms and arrays of events. The signature is computed here from
//! Twilio's documentation, without code of the program.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::api::{Answer, Api};

/// The URL that Twilio was given; requests reach the service at another one.
pub(crate) const PUBLIC_URL: &str = "https://wallet.example.com";
/// The token in the settings.
pub(crate) const DEFAULT_TOKEN: &str = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf";

/// The header that names the signing shared key.
pub(crate) const SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// The value that Twilio writes into that header.
pub(crate) fn settings_of(id: &str) -> String {
    format!("key={id},algorithm=HMAC_SHA256")
}

/// A request before signing.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    /// The parameters of a form; none for JSON.
    pub(crate) form: Option<Vec<(String, String)>>,
}

/// A call's parameters as the form of a status callback.
pub(crate) fn voice(query: &str, parameters: &Value) -> Post {
    let fields = parameters.as_object().expect("an object").iter();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    form(query, fields.map(|(key, value)| (key.clone(), text(value))).collect())
}

/// A form of these parameters in this order.
pub(crate) fn form(query: &str, form: Vec<(String, String)>) -> Post {
    let body = form.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value)));
    let body = body.collect::<Vec<_>>().join("&").into_bytes();
    Post { path: format!("/webhooks/twilio/voice{query}"), body, form: Some(form) }
}

/// A body posted to the sink's URL.
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
    /// The URL with the hash of a JSON body, and the signature of an auth token over it.
    pub(crate) fn sign(&self, base: &str, token: &str) -> (String, String) {
        self.sign_with(base, token, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)
    }

    /// Like [`Self::sign`], with any algorithm.
    pub(crate) fn sign_with(
        &self,
        base: &str,
        secret: &str,
        algorithm: hmac::Algorithm,
    ) -> (String, String) {
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
        let key = hmac::Key::new(algorithm, secret.as_bytes());
        (path, STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    }

    /// Signs and posts the request.
    pub(crate) async fn send(&self, api: &Api, token: &str) -> Answer {
        let (path, signature) = self.sign(PUBLIC_URL, token);
        self.send_to(api, &path, Some(&signature)).await
    }

    /// Posts the request with this signature, or with none.
    pub(crate) async fn send_to(&self, api: &Api, path: &str, signature: Option<&str>) -> Answer {
        let headers = signature.map(|signature| ("x-twilio-signature", signature));
        let headers: Vec<_> = headers.into_iter().collect();
        self.send_with(api, path, &headers).await
    }

    /// Signs the request with a shared key and posts it.
    pub(crate) async fn send_by_key(&self, api: &Api, id: &str, secret: &str) -> Answer {
        let (path, signature) = self.sign_with(PUBLIC_URL, secret, hmac::HMAC_SHA256);
        self.send_named(api, &path, &signature, &settings_of(id)).await
    }

    /// Posts the request with this signature and this settings header.
    pub(crate) async fn send_named(
        &self,
        api: &Api,
        path: &str,
        signature: &str,
        settings: &str,
    ) -> Answer {
        let headers = [("x-twilio-signature", signature), (SETTINGS, settings)];
        self.send_with(api, path, &headers).await
    }

    /// Posts the request with these headers.
    pub(crate) async fn send_with(
        &self,
        api: &Api,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let content_type = match self.form {
            Some(_) => "application/x-www-form-urlencoded; charset=UTF-8",
            None => "application/json",
        };
        let sent = api.post_as(path, content_type, headers, self.body.clone()).await;
        sent.unwrap_or_else(|error| panic!("{path}: {error:#}"))
    }
}
