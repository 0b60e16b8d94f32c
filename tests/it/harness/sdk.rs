//! Official SDKs of others: programs that answer line by line (tests/sdks).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The SDK to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sdk {
    Python,
    Node,
}

/// The packages for Python; each has a folder of its own.
const PYTHON: [&str; 3] = ["twilio", "stripe", "typing_extensions"];

/// Passes all requests to an SDK's program; returns its answers.
pub(crate) fn ask(sdk: Sdk, program: &str, requests: &[Value]) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sdks = root.join(".local/cache/sdks");
    assert!(sdks.join("node_modules/stripe").exists(), "the SDKs are missing: run script/sdks");
    let mut command = match sdk {
        Sdk::Python => Command::new("python3"),
        Sdk::Node => Command::new(sdks.join("node")),
    };
    command.arg(root.join("tests/sdks").join(match sdk {
        Sdk::Python => format!("{program}.py"),
        Sdk::Node => format!("{program}.js"),
    }));
    let folders = PYTHON.map(|name| sdks.join("python").join(name));
    let path = std::env::join_paths(folders).expect("no colon in a path");
    command.env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
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
