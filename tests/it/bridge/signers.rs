//! Twilio's official SDKs: programs that sign and check line by line (tests/signers).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::post::{PUBLIC_URL, Post};

/// The SDK to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sdk {
    Python,
    Node,
}

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
    let answers = ask(sdk, &requests.collect::<Vec<_>>());
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
    let answers = ask(sdk, &requests.collect::<Vec<_>>());
    answers.iter().map(|answer| answer["valid"].as_bool().expect("a verdict")).collect()
}

/// Passes all requests to an SDK's program; returns its answers.
fn ask(sdk: Sdk, requests: &[Value]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sdks = root.join(".local/cache/sdks");
    assert!(
        sdks.join("node_modules/twilio").exists(),
        "Twilio's SDKs are missing: run script/sdks"
    );
    let mut command = match sdk {
        Sdk::Python => Command::new("python3"),
        Sdk::Node => Command::new(sdks.join("node")),
    };
    command.arg(root.join("tests/signers").join(match sdk {
        Sdk::Python => "sign.py",
        Sdk::Node => "sign.js",
    }));
    command.env("PYTHONPATH", sdks.join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("NODE_PATH", sdks.join("node_modules"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: String = requests.iter().map(|request| request.to_string() + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{sdk:?} failed");
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), requests.len(), "{sdk:?} answers every request");
    answers
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
