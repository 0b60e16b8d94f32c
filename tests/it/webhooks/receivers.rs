//! Receivers of web hooks on loopback addresses, each with its own behaviour.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a receiver does.
#[derive(Clone, Debug)]
pub(super) enum Behaviour {
    /// Answers with a status.
    Answers(u16),
    /// Takes the request, and never answers.
    Waits,
    /// Answers 200 with a body that has no end.
    Endless,
    /// Redirects to an address.
    Redirects(String),
}

/// A request that a receiver got.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Hook {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A receiver; it ends with the test.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    hooks: Arc<Mutex<Vec<Hook>>>,
    connections: Arc<AtomicUsize>,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Receiver {
    /// Listens at `127.0.network.host`, at a free port.
    pub(super) async fn start(network: u8, host: u8, behaviour: Behaviour) -> Receiver {
        Self::start_at(network, host, 0, behaviour).await
    }

    pub(super) async fn start_at(
        network: u8,
        host: u8,
        port: u16,
        behaviour: Behaviour,
    ) -> Receiver {
        let ip = Ipv4Addr::new(127, 0, network, host);
        let listener = TcpListener::bind((ip, port)).await.expect("it listens");
        let receiver = Receiver {
            address: listener.local_addr().expect("an address"),
            hooks: Arc::default(),
            connections: Arc::default(),
            behaviour: Arc::new(Mutex::new(behaviour)),
        };
        let served = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.connections.fetch_add(1, Ordering::Relaxed);
                let served = served.clone();
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        receiver
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("no panic") = behaviour;
    }

    pub(super) fn hooks(&self) -> Vec<Hook> {
        self.hooks.lock().expect("no panic").clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The ids of the events that it got.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.hooks().iter().map(|hook| hook.header("webhook-id").to_owned()).collect()
    }

    async fn serve(&self, mut stream: TcpStream) {
        while let Some(hook) = read(&mut stream).await {
            assert_eq!(hook.header("content-type"), "application/json");
            let behaviour = self.behaviour.lock().expect("no panic").clone();
            self.hooks.lock().expect("no panic").push(hook);
            let answer = match behaviour {
                Behaviour::Answers(status) => {
                    format!("HTTP/1.1 {status} X\r\ncontent-length: 4\r\n\r\nseen")
                }
                Behaviour::Redirects(to) => {
                    format!("HTTP/1.1 307 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
                }
                Behaviour::Waits => std::future::pending().await,
                Behaviour::Endless => {
                    let head = "HTTP/1.1 200 X\r\ncontent-type: text/plain\r\n\r\n";
                    drop(stream.write_all(head.as_bytes()).await);
                    while stream.write_all(&[b'x'; 8_192]).await.is_ok() {}
                    return;
                }
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Reads one request; none if the connection ends.
async fn read(stream: &mut TcpStream) -> Option<Hook> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head in ASCII");
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<_, _> =
        fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(bytes[end + 4..].to_vec()).expect("UTF-8");
    Some(Hook { headers, body })
}

/// Whether the official library, given each secret, accepts the hooks.
pub(super) fn accepted(hooks: &[(&Hook, &str)]) -> Vec<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = root.join(".local/cache/sdks/receivers/standardwebhooks");
    assert!(library.exists(), "the library of Standard Webhooks is missing: run script/sdks");
    let mut command = Command::new("python3");
    command.arg(root.join("tests/receivers/standard_webhooks.py"));
    command.env("PYTHONPATH", library).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: String = hooks
        .iter()
        .map(|(hook, secret)| {
            let request = json!({"secret": secret, "headers": hook.headers, "body": hook.body});
            request.to_string() + "\n"
        })
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "the library failed");
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    let answers = answers.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    answers.map(|answer| answer["valid"].as_bool().expect("a verdict")).collect()
}
