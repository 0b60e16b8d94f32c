//! Shared-key signatures, compared with Twilio's official SDKs: every request that they sign is
//! accepted, however odd; a changed request is accepted exactly if an SDK accepts it by SHA-256.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::accounts::{call, charged, served};
use super::post::{PUBLIC_URL, Post, event, events, form, settings_of};
use super::signers::{Sdk, Signed, check, sign_with};
use crate::harness::api::Api;
use crate::harness::samples::account;
use crate::harness::system::System;
use crate::model::account::Account;

const ID: &str = "webhooks_sharedkey_01kb2x8t5vq3m9r7w6y4z0n1ce";
const SECRET: &str = "dGhlIHNlY3JldCBvZiBhIHNoYXJlZCBrZXk/+w==";

/// Texts that are hard to encode, sort or tell apart.
const ODD: [&str; 14] = [
    "",
    " ",
    "São Paulo & Zürich",
    "深圳",
    "\u{1f600}",
    "\u{fffd}\u{1f600}",
    "e\u{301}",
    "\u{0}",
    "a=b&c=d",
    "100%25",
    "it's \"so\"",
    "+15005550006",
    "\r\n",
    "~!*()'-._",
];
const QUERIES: [&str; 9] = [
    "",
    "?tag=spring",
    "?tag=spring%20sale&x=1",
    "?tag=a+b",
    "?x=%C3%A9",
    "?tag=it's",
    "?tag=it%27s",
    "?a=1&a=2&b",
    "?x=",
];

/// A form of a call with an odd text in a value, in a key, and repeated.
fn odd_form(account: &Account, number: usize) -> Post {
    let (odd, next) = (ODD[number % ODD.len()], ODD[(number + 1) % ODD.len()]);
    let parameters = call(account, number);
    let fields = parameters.as_object().expect("an object").iter();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut fields: Vec<_> = fields.map(|(key, value)| (key.clone(), text(value))).collect();
    for value in [odd, next, odd, "last"] {
        fields.push(("ToCity".to_owned(), value.to_owned()));
        fields.insert(0, ("Ab".to_owned(), format!("{value}{number}")));
    }
    if !odd.is_empty() {
        fields.push((format!("X{odd}"), odd.to_owned()));
    }
    fields.push(("A".to_owned(), String::new()));
    form(QUERIES[number % QUERIES.len()], fields)
}

/// An array of a call with an odd text.
fn odd_events(account: &Account, number: usize) -> Post {
    let mut told = event(&call(account, number));
    told["source"] = json!(ODD[number % ODD.len()]);
    let mut array = vec![told];
    if number.is_multiple_of(3) {
        array.push(json!({"specversion": "1.0", "type": "com.twilio.other", "x": [1.0e2, null]}));
    }
    let body = json!(array).to_string();
    // JSON as other libraries write it: with spaces, and only ASCII.
    let body = match number % 4 {
        0 => body.replace(",\"", " ,\n\t\""),
        1 => body.replace('é', "\\u00e9"),
        _ => body,
    };
    events(QUERIES[number % QUERIES.len()], body)
}

async fn with_key(system: &mut System, acme: &Account) -> Api {
    let keys = format!("{ID}={SECRET}");
    let settings = [("CALLMETER__HTTP__PUBLIC_URL", PUBLIC_URL), ("TWILIO_SHARED_KEYS", &keys)];
    served(system, &settings, &[acme]).await
}

#[tokio::test]
async fn what_the_sdks_sign_by_a_shared_key_is_taken_however_odd_it_is() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = with_key(&mut system, &acme).await;
    let posts: Vec<_> = (0..126)
        .map(|number| match number % 2 {
            0 => odd_form(&acme, number),
            _ => odd_events(&acme, number),
        })
        .collect();
    let asked: Vec<_> = posts.iter().map(|post| (post, SECRET)).collect();
    for sdk in [Sdk::Python, Sdk::Node] {
        for base in [PUBLIC_URL, "https://wallet.example.com:443"] {
            let signed = sign_with(sdk, base, &asked, "HMAC_SHA256");
            for (post, (path, signature)) in posts.iter().zip(signed) {
                let answer = post.send_named(&api, &path, &signature, &settings_of(ID)).await;
                assert_eq!(answer.status, 204, "{sdk:?} {base} {path} {post:?} {answer:?}");
            }
        }
    }
    let expected: Vec<_> = (0..126).collect();
    assert_eq!(charged(&mut system, &api, &acme).await, expected, "each once");
}

/// Other values of the header.
const SETTINGS: [&str; 12] = [
    "key={},algorithm=HMAC_SHA256",
    " algorithm = hmac_sha256 , key = {} ",
    "key={},version=2,algorithm=HMAC_SHA256,,",
    "key={},algorithm=HMAC_SHA512",
    "key={},algorithm=HMAC_SHA256x",
    "key={},algorithm=SHA256",
    "key={},Algorithm=HMAC_SHA256",
    "key={};algorithm=HMAC_SHA256",
    "key={},algorithm:HMAC_SHA256",
    "key={}",
    "key={},algorithm=",
    "algorithm",
];

/// A change of a signed request, by the network or by an attacker.
fn change(random: &mut StdRng, signed: &mut Signed) {
    let text = |signed: &Signed| String::from_utf8(signed.post.body.clone()).expect("text");
    match random.random_range(0..8) {
        0 => signed.settings = SETTINGS[random.random_range(0..SETTINGS.len())].replace("{}", ID),
        1 => {
            let at = random.random_range(0..signed.signature.len());
            let other = if &signed.signature[at..=at] == "A" { "B" } else { "A" };
            signed.signature.replace_range(at..=at, other);
        }
        2 => signed.signature = signed.signature.trim_end_matches('=').to_owned(),
        3 => signed.path = signed.path.replacen("tag", "tog", 1),
        4 => {
            let joint = if signed.path.contains('?') { '&' } else { '?' };
            signed.path = format!("{}{joint}more=1", signed.path);
        }
        5 => match signed.post.form.clone() {
            Some(mut fields) => {
                let at = random.random_range(0..fields.len());
                fields[at].1.push('x');
                signed.post = form("", fields);
            }
            None => signed.post.body = text(signed).replace("completed", "busy").into_bytes(),
        },
        6 => match signed.post.form.clone() {
            // Neither order nor repetition is signed.
            Some(mut fields) => {
                fields.reverse();
                fields.push(fields[0].clone());
                signed.post = form("", fields);
            }
            None => signed.post.body.push(b' '),
        },
        _ => signed.path = signed.path.replace('\'', "%27"),
    }
}

#[tokio::test]
async fn of_changed_requests_just_those_are_taken_that_an_sdk_takes_by_sha256() {
    let mut system = System::new().await;
    let acme = account("acme", 0);
    let api = with_key(&mut system, &acme).await;
    let mut random = StdRng::seed_from_u64(0x0256);
    let algorithm = |number| if number % 4 == 3 { "HMAC_SHA1" } else { "HMAC_SHA256" };
    let is_by_node = |number| number % 3 == 0;
    let post = |number| if number % 2 == 0 { odd_form } else { odd_events }(&acme, number);
    let posts: Vec<_> = (0..240).map(post).collect();
    // All requests of an SDK and an algorithm at once: each call starts a process.
    let mut signatures = vec![None; posts.len()];
    for (sdk, by_node) in [(Sdk::Python, false), (Sdk::Node, true)] {
        for wanted in ["HMAC_SHA256", "HMAC_SHA1"] {
            let is_one = |number: &usize| is_by_node(*number) == by_node;
            let is_one = |number: &usize| is_one(number) && algorithm(*number) == wanted;
            let numbers: Vec<usize> = (0..posts.len()).filter(is_one).collect();
            let asked: Vec<_> = numbers.iter().map(|number| (&posts[*number], SECRET)).collect();
            let signed = sign_with(sdk, PUBLIC_URL, &asked, wanted);
            for (number, signed) in numbers.into_iter().zip(signed) {
                signatures[number] = Some(signed);
            }
        }
    }
    let mut requests = Vec::new();
    for (number, (post, signed)) in posts.into_iter().zip(signatures).enumerate() {
        let (path, signature) = signed.expect("each is signed");
        let mut signed = Signed { post, path, signature, settings: settings_of(ID) };
        if number % 16 == 3 {
            // Signed with SHA-1, and the header names no algorithm: the SDKs fall back to it.
            signed.settings = SETTINGS[9].replace("{}", ID);
        } else {
            change(&mut random, &mut signed);
        }
        requests.push(signed);
    }
    let asked: Vec<_> = requests.iter().map(|signed| (signed, SECRET)).collect();
    let verdicts: Vec<_> =
        check(Sdk::Python, &asked).into_iter().zip(check(Sdk::Node, &asked)).collect();
    let (mut taken, mut stricter) = (0, 0);
    for (signed, (python, node)) in requests.iter().zip(&verdicts) {
        // The SDKs treat a header without an algorithm, or with an odd one, as HMAC-SHA1; the
        // service never falls back to it.
        let is_sha1 = !signed.settings.to_ascii_uppercase().contains("HMAC_SHA256")
            || signed.settings.contains("Algorithm")
            || signed.settings.contains([';', ':']);
        let by_either = *python || *node;
        let Signed { post, path, signature, settings } = signed;
        let answer = post.send_named(&api, path, signature, settings).await;
        let expected = if by_either && !is_sha1 { 204 } else { 403 };
        assert_eq!(answer.status, expected, "{python} {node} {signed:?} {answer:?}");
        taken += usize::from(expected == 204);
        stricter += usize::from(by_either && is_sha1);
    }
    assert!(taken > 40 && taken < 200, "{taken} of them are taken");
    assert!(stricter > 0, "some are taken by the SDKs alone: {stricter}");
    system.settle(&api).await;
}
