//! Twilio's official SDKs as signers: programs that sign line by line (tests/signers).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::post::{PUBLIC_URL, Post};

/// Which SDK signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sdk {
    Python,
    Node,
}

/// Signs all requests, each by its token; answers path and signature of each.
pub(crate) fn sign(sdk: Sdk, posts: &[(&Post, &str)]) -> Vec<(String, String)> {
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
    let requests: String = posts.iter().map(|(post, token)| request(post, token) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(requests.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{sdk:?} failed");
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    let signed: Vec<_> = answers.lines().map(answer).collect();
    assert_eq!(signed.len(), posts.len(), "{sdk:?} signs every request");
    signed
}

fn request(post: &Post, token: &str) -> String {
    let mut request = json!({"url": format!("{PUBLIC_URL}{}", post.path), "token": token});
    match &post.form {
        Some(form) => request["form"] = json!(form),
        None => request["json"] = json!(str::from_utf8(&post.body).expect("the SDKs sign text")),
    }
    request.to_string()
}

fn answer(line: &str) -> (String, String) {
    let answer: Value = serde_json::from_str(line).expect("JSON");
    let url = answer["url"].as_str().expect("a URL");
    let path = url.strip_prefix(PUBLIC_URL).expect("the public URL").to_owned();
    (path, answer["signature"].as_str().expect("a signature").to_owned())
}
