//! A thousand requests, signed by Twilio's official SDKs: valid, forged, reordered and repeated,
//! while Kafka is away for a time. Exactly the calls of the valid ones are charged, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::accounts::{served, settings};
use super::post::{DEFAULT_TOKEN, Post, event, events, voice};
use super::signers::{Sdk, sign};
use crate::harness::api::Api;
use crate::harness::poll::{SOON, until};
use crate::harness::samples::{account, call_sid, completed, now};
use crate::harness::servers::Breakable;
use crate::harness::system::{Setup, System};
use crate::model::account::Account;

const REQUESTS: usize = 1_000;
/// Requests in flight at once.
const SENDERS: usize = 12;
const TOKENS: [&str; 3] =
    ["a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf", DEFAULT_TOKEN];
/// The previous token of the first account.
const PREVIOUS: &str = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";

/// How a forged request differs from the signed one.
const FORGERIES: [&str; 8] = [
    "another value",
    "one parameter more",
    "another address",
    "another signature",
    "no signature",
    "a token of another account",
    "a token of nobody",
    "a hash of its own",
];

/// One request with its expected result.
#[derive(Clone, Debug)]
struct Case {
    post: Post,
    path: String,
    signature: Option<String>,
    forged: Option<&'static str>,
}

/// The calls to be charged: seconds by sid, for each account.
type Expected = [BTreeMap<String, i64>; 3];

/// A call with a unique length.
fn parameters(account: &Account, number: usize) -> (Value, String, i64) {
    let (sid, seconds) = (call_sid(number), i64::try_from(61 + number * 7).expect("small"));
    (completed(account, &sid, seconds, now()), sid, seconds)
}

fn with_status(parameters: &Value, status: &str, sequence: usize) -> Value {
    let mut earlier = parameters.clone();
    earlier["CallStatus"] = json!(status);
    earlier["SequenceNumber"] = json!(sequence.to_string());
    earlier.as_object_mut().expect("an object").remove("CallDuration");
    earlier
}

/// Request number `number`: every second one a form, the others arrays with events out of order.
fn post_of(number: usize, account: &Account) -> (Post, BTreeMap<String, i64>) {
    let (mut call, sid, seconds) = parameters(account, 10 * number);
    call["ToCity"] = json!(["São Paulo", "", "Zürich & Umgebung", "深圳"][number % 4]);
    let mut calls = BTreeMap::from([(sid, seconds)]);
    if number % 4 < 2 {
        let query = if number.is_multiple_of(3) { "?tag=spring%20sale" } else { "" };
        if number.is_multiple_of(9) {
            // A callback that says the call rings, at any time.
            return (voice(query, &with_status(&call, "ringing", 1)), BTreeMap::new());
        }
        return (voice(query, &call), calls);
    }
    let mut array = vec![
        event(&call),
        event(&with_status(&call, "in-progress", 2)),
        event(&with_status(&call, "initiated", 0)),
    ];
    for more in 1..=number % 3 {
        let (call, sid, seconds) = parameters(account, 10 * number + more);
        array.insert(0, event(&call));
        calls.insert(sid, seconds);
    }
    (events("", json!(array).to_string()), calls)
}

/// All signed requests, and the calls to be charged for them.
fn cases(accounts: [&Account; 3]) -> (Vec<Case>, Expected) {
    let mut expected = Expected::default();
    let mut signed: Vec<Option<Case>> = vec![None; REQUESTS];
    let drafts: Vec<_> =
        (0..REQUESTS).map(|number| draft(number, accounts, &mut expected)).collect();
    for (sdk, parity) in [(Sdk::Python, 0), (Sdk::Node, 1)] {
        let own: Vec<usize> = (0..REQUESTS).filter(|number| number % 2 == parity).collect();
        let posts: Vec<_> = own.iter().map(|it| (&drafts[*it].0, drafts[*it].1)).collect();
        for (number, (path, signature)) in own.into_iter().zip(sign(sdk, &posts)) {
            let (post, _, forged) = drafts[number].clone();
            let mut case = Case { post, path, signature: Some(signature), forged };
            if let Some(forgery) = forged {
                forge(&mut case, forgery);
            }
            signed[number] = Some(case);
        }
    }
    (signed.into_iter().flatten().collect(), expected)
}

/// A request, the token that signs it, and its forgery if any. Each SDK signs half of the requests
/// and of each kind of forgery.
fn draft(
    number: usize,
    accounts: [&Account; 3],
    expected: &mut Expected,
) -> (Post, &'static str, Option<&'static str>) {
    let whose = number % 3;
    let (post, calls) = post_of(number, accounts[whose]);
    if number.is_multiple_of(5) {
        let forgery = FORGERIES[number / 20 % FORGERIES.len()];
        let token = match forgery {
            // Not the settings' token: it still counts for a while if it served the account before.
            "a token of another account" => TOKENS[usize::from(whose == 0)],
            "a token of nobody" => "ffffffffffffffffffffffffffffffff",
            _ => TOKENS[whose],
        };
        return (post, token, Some(forgery));
    }
    expected[whose].extend(calls);
    let token = if whose == 0 && number.is_multiple_of(2) { PREVIOUS } else { TOKENS[whose] };
    (post, token, None)
}

/// Changes a signed request into one that nobody signed.
fn forge(case: &mut Case, forgery: &str) {
    let text = String::from_utf8(case.post.body.clone()).expect("text");
    match forgery {
        "another value" => {
            let forged =
                text.replace("CallStatus=", "CallStatus=x").replace("completed", "complete");
            case.post.body = forged.into_bytes();
        }
        "one parameter more" => {
            let more = if case.post.form.is_some() { "&CallerName=x" } else { " " };
            case.post.body = (text + more).into_bytes();
        }
        "another address" => {
            let sign = if case.path.contains('?') { '&' } else { '?' };
            case.path = format!("{}{sign}tag=other", case.path);
        }
        "another signature" => {
            let signature = case.signature.take().expect("it is signed");
            let first = if signature.starts_with('A') { 'B' } else { 'A' };
            case.signature = Some(format!("{first}{}", &signature[1..]));
        }
        "no signature" => case.signature = None,
        "a hash of its own" if case.post.form.is_none() => {
            case.post.body = text.replace("completed", "busy").into_bytes();
            case.path = case.post.sign("https://elsewhere.example.com", "x").0;
        }
        "a hash of its own" => {
            case.post.body = (text + "&CallStatus=busy").into_bytes();
        }
        _ => {} // another token signed it
    }
}

/// The answers so far.
#[derive(Debug, Default)]
struct Answers {
    taken: AtomicUsize,
    refused: AtomicUsize,
    put_off: AtomicUsize,
}

/// Posts until it is accepted or refused, as Event Streams does: again after each 5xx.
async fn deliver(api: &Api, case: &Case, answers: &Answers) {
    loop {
        let answer = case.post.send_to(api, &case.path, case.signature.as_deref()).await;
        match (answer.status, case.forged) {
            (204, None) => {
                answers.taken.fetch_add(1, Ordering::Relaxed);
                return;
            }
            (403, Some(_)) => {
                answers.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
            (503, None) => {
                assert_eq!(answer.problem(503), "kafka_unavailable");
                answers.put_off.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            _ => panic!("{case:?} is answered {answer:?}"),
        }
    }
}

/// Runs all senders; each takes every twelfth case.
fn send_all(api: &Api, cases: Vec<Case>, answers: &Arc<Answers>) -> tokio::task::JoinSet<()> {
    let cases = Arc::new(cases);
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (api, cases, answers) = (api.clone(), Arc::clone(&cases), Arc::clone(answers));
        senders.spawn(async move {
            for case in cases.iter().skip(sender).step_by(SENDERS) {
                deliver(&api, case, &answers).await;
            }
        });
    }
    senders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_requests_signed_by_the_sdks_just_the_valid_ones_are_charged_once() {
    let breakable = Breakable::take();
    let setup = Setup { servers: breakable.servers.clone(), ..Setup::default() };
    let mut system = System::with(setup).await;
    let accounts = [account("acme", 0), account("globex", 0), account("plain", 0)];
    let [acme, globex, plain] = &accounts;
    let mut changed = settings();
    changed.push(("CALLMETER__HTTP__REQUEST_SECONDS_MAX", "3"));
    let api = served(&mut system, &changed, &[acme, globex, plain]).await;
    for (id, token) in [("acme", PREVIOUS), ("acme", TOKENS[0]), ("globex", TOKENS[1])] {
        let token = json!({"twilio_auth_token": token});
        api.patch(&format!("/v1/accounts/{id}"), &token).await.expect(200);
    }
    let (mut cases, expected) = cases([acme, globex, plain]);
    let forged = cases.iter().filter(|case| case.forged.is_some()).count();
    assert_eq!((cases.len(), forged), (REQUESTS, REQUESTS / 5));
    // Every seventh is sent twice, and all in random order.
    let doubled: Vec<_> = cases.iter().step_by(7).cloned().collect();
    cases.extend(doubled);
    let mut random = StdRng::seed_from_u64(0x7717);
    cases.shuffle(&mut random);
    let (total, pause) = (cases.len(), random.random_range(200..500));
    let forged = cases.iter().filter(|case| case.forged.is_some()).count();

    let answers = Arc::new(Answers::default());
    let mut senders = send_all(&api, cases, &answers);
    let taken = || answers.taken.load(Ordering::Relaxed);
    until("some are taken", SOON, async || (taken() > pause).then_some(())).await;
    breakable.server("kafka", "stop").await;
    until("some are put off", SOON, async || {
        (answers.put_off.load(Ordering::Relaxed) >= 2 * SENDERS).then_some(())
    })
    .await;
    let before = taken();
    assert!(before < total - forged, "Kafka was stopped in between");
    breakable.server("kafka", "start").await;
    while let Some(ended) = senders.join_next().await {
        ended.expect("every request is answered as it should be");
    }
    assert_eq!(taken(), total - forged);
    assert_eq!(answers.refused.load(Ordering::Relaxed), forged);

    system.settle(&api).await;
    for (account, expected) in accounts.iter().zip(&expected) {
        let charges = api.charges(&account.id).await.expect("a list");
        let found: BTreeMap<_, _> =
            charges.iter().map(|charge| (charge.call_sid.clone(), charge.seconds)).collect();
        assert_eq!(charges.len(), found.len(), "each call once");
        assert_eq!(&found, expected, "{}", account.id);
    }
    let counted = api.metric("callmeter_callbacks_total", &[("outcome", "forged")]).await;
    assert_eq!(counted, i64::try_from(forged).ok());
}
