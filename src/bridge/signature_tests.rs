//! Signatures as Twilio's own SDKs compute them (`twilio` 9.13 for Python, 6.3 for Node), and what
//! must not pass for one.

use super::*;

const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const SIMPLE: &str = "CallSid=CA1&AccountSid=AC1&From=%2B14158675310&To=%2B18005551212\
    &ToCity=S%C3%A3o+Paulo&ToZip=";
const VOICE: &str = "https://wallet.example.com/webhooks/twilio/voice";

fn by_sha1(signature: &str) -> Proof<'_> {
    Proof { signature, algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY }
}

fn signed_form(address: &str, form: &str, signature: &str, token: &str) -> bool {
    let signed = Signed::form(&[address.to_owned()], &pairs(form.as_bytes()), by_sha1(signature));
    signed.is_signed_by(&Secret::from(token.to_owned()))
}

#[track_caller]
fn check(address: &str, form: &str, signature: &str) {
    assert!(signed_form(address, form, signature, TOKEN), "{address} {form}");
    assert!(!signed_form(address, form, signature, "another token"), "{address} {form}");
    let longer = format!("{form}&a=");
    assert!(!signed_form(address, &longer, signature, TOKEN), "{address} {form}");
}

#[test]
fn forms_are_signed_as_the_sdks_sign_them() {
    check(VOICE, SIMPLE, "CdYlF4qKdhTVklQTtkqx5R9Bfkw=");
    let repeated = "b=2&b=1&a=x&Ab=&b=2&A=y";
    check(VOICE, repeated, "4JEyMnstbFq8JMrVYHH6M6Um2b4=");
    let odd = "https://wallet.example.com:443/webhooks/twilio/voice?x=1&tag=a%27b";
    check(odd, "e=%F0%9F%98%80&e=%00", "nyvaXavHnoVsHky0Qd9/8nLytyg=");
}

#[test]
fn the_port_may_be_signed_or_not() {
    let signature = "PxmTs8pEqUYNkOpJ1CtGAOgtAnQ=";
    let with = "https://wallet.example.com:8443/webhooks/twilio/voice?tag=spring%20sale";
    check(with, SIMPLE, signature);
    let without = with.replace(":8443", "");
    assert!(!signed_form(&without, SIMPLE, signature, TOKEN), "443 is not 8443");
    check(
        "https://wallet.example.com:8443/webhooks/twilio/voice",
        SIMPLE,
        "CdYlF4qKdhTVklQTtkqx5R9Bfkw=",
    );
    let signed_with_443 = "https://wallet.example.com/webhooks/twilio/voice?x=1&tag=a%27b";
    check(signed_with_443, "e=%F0%9F%98%80&e=%00", "nyvaXavHnoVsHky0Qd9/8nLytyg=");
}

#[test]
fn a_query_may_be_signed_as_it_came_or_escaped_anew() {
    let came = format!("{VOICE}?tag=it%27s+so%20(1)");
    assert!(signed_form(&came, "", "CH+LGGngXS7YnfJ0Hc1WlWQBWmM=", TOKEN));
    assert!(!signed_form(VOICE, "", "CH+LGGngXS7YnfJ0Hc1WlWQBWmM=", TOKEN));
    // The SDK for Node escapes the query again and signs: tag=it's%20so%20(1)
    assert!(signed_form(&came, "", "t4O5tEli7aWdk58lQM3RxyzCPj8=", TOKEN));
}

#[test]
fn json_is_signed_by_the_hash_in_its_address() {
    let hash = "d645b041f2cba348e36a9424dfaf5018df526c5ceb02d939e9bea428cce188d1";
    let signature = "Jl41hruWYu4zQtUbzDExMZMi9Aw=";
    let events = "http://wallet.example.com:80/webhooks/twilio/events";
    let signed = |query: &str, body: &str, signature: &str| {
        let address = [format!("{events}?{query}")];
        Signed::json(&address, query, body.as_bytes(), by_sha1(signature))
            .is_some_and(|signed| signed.is_signed_by(&Secret::from(TOKEN.to_owned())))
    };
    let query = format!("bodySHA256={hash}");
    let body = "[{\"é\":1}]";
    assert!(signed(&query, body, signature));
    assert!(!signed(&query, "[{\"é\":2}]", signature), "another body");
    assert!(!signed(&query, body, "CdYlF4qKdhTVklQTtkqx5R9Bfkw="), "another signature");
    assert!(!signed(&format!("{query}&x=1"), body, signature), "another address");
    // The hash of the other body, which is not signed.
    let other = hex::encode(Sha256::digest("[{\"é\":2}]"));
    assert!(!signed(&format!("bodySHA256={other}"), "[{\"é\":2}]", signature));
    for query in ["", "bodySHA256=", "bodySHA256=xyz", "bodysha256=00"] {
        assert!(!signed(query, body, signature), "{query}");
    }
}

#[test]
fn a_shared_key_signs_the_same_text_by_another_algorithm() {
    let key = Secret::from("c2VjcmV0LW9mLWEtc2hhcmVkLWtleQ==".to_owned());
    let signed_by = |address: &str, form: &str, signature: &str, algorithm| {
        let proof = Proof { signature, algorithm };
        Signed::form(&[address.to_owned()], &pairs(form.as_bytes()), proof).is_signed_by(&key)
    };
    let quoted = format!("{VOICE}?x=1&tag=a%27b");
    let cases = [
        (VOICE, SIMPLE, "Xg6z9x57887MG4b+I7qlqqHuypi/hdNQfefQxX11DkM="),
        (VOICE, "b=2&b=1&a=x&Ab=&b=2&A=y", "yJE4AWH53Z0ZP2TX8RFHnb6PwiWHSiJXx8Yc10M+Sec="),
        (&quoted, "e=%F0%9F%98%80&e=%00", "bP2tAK872iOvlKJ1eibU3AULI7ZJq7ZLQinmaMkSCFk="),
    ];
    for (address, form, signature) in cases {
        assert!(signed_by(address, form, signature, hmac::HMAC_SHA256), "{form}");
        assert!(!signed_by(address, form, signature, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY));
        assert!(!signed_by(address, &format!("{form}&a="), signature, hmac::HMAC_SHA256));
        // A part of the right signature, as long as one of the other algorithm.
        let short = STANDARD.encode(&STANDARD.decode(signature).unwrap()[..20]);
        assert!(!signed_by(address, form, &short, hmac::HMAC_SHA256));
    }
    let hash = "d645b041f2cba348e36a9424dfaf5018df526c5ceb02d939e9bea428cce188d1";
    let query = format!("bodySHA256={hash}");
    let address = [format!("http://wallet.example.com:80/webhooks/twilio/events?{query}")];
    let signature = "+xpqc2PO0rs3taBIJ8/TIFRBJMuXyouO9jDHoV8W6qs=";
    let proof = Proof { signature, algorithm: hmac::HMAC_SHA256 };
    let signed = |body: &str| Signed::json(&address, &query, body.as_bytes(), proof);
    assert!(signed("[{\"é\":1}]").is_some_and(|signed| signed.is_signed_by(&key)));
    assert!(signed("[{\"é\":2}]").is_none(), "another body");
}

#[test]
fn values_are_sorted_as_either_sdk_sorts_them() {
    let key = Secret::from("c2VjcmV0LW9mLWEtc2hhcmVkLWtleQ==".to_owned());
    let values = pairs(b"e=%F0%9F%98%80&e=%EF%BF%BD");
    let (python, node) = (
        "3u1VkOEB2hrdqYypsrS1z8y+xF4Hl/Hwrag0FfcG5jw=",
        "r8QRWILjNDDd7hMcptJ0zF4i2eB1ohtHMaaqUrs87Gs=",
    );
    for signature in [python, node] {
        let proof = Proof { signature, algorithm: hmac::HMAC_SHA256 };
        assert!(Signed::form(&[VOICE.to_owned()], &values, proof).is_signed_by(&key));
    }
}

#[test]
fn what_is_no_signature_signs_nothing() {
    for signature in ["", " ", "CdYlF4qKdhTVklQTtkqx5R9Bfkw", "CdYl", "====", "%", "\u{e9}"] {
        assert!(!signed_form(VOICE, SIMPLE, signature, TOKEN), "{signature}");
    }
}

#[test]
fn a_port_is_found_in_every_address() {
    let cases = [
        ("https://h/p:1", "https://h/p:1", "https://h:443/p:1"),
        ("http://h:8080/p", "http://h/p", "http://h:8080/p"),
        ("https://u:p@h/x@y", "https://u:p@h/x@y", "https://u:p@h:443/x@y"),
        ("https://[::1]/p", "https://[::1]/p", "https://[::1]:443/p"),
        ("https://[::1]:9/p", "https://[::1]/p", "https://[::1]:9/p"),
        ("http://h", "http://h", "http://h:80"),
    ];
    for (address, without, with) in cases {
        assert_eq!(without_port(address), without);
        assert_eq!(with_port(address), with);
    }
}
