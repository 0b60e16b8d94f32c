//! A listener that answers each connection as its script says, and keeps what it was sent.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a connection after its request was read.
#[derive(Clone, Debug)]
pub(super) enum Reaction {
    /// These bytes, and the connection ends.
    Bytes(Vec<u8>),
    /// No answer.
    Hang,
    /// The connection is reset.
    Reset,
    /// These bytes, and the connection is reset.
    ResetAfter(Vec<u8>),
}

/// The counterpart of a test; its listener ends with the test's runtime.
pub(super) struct Counterpart {
    pub(super) base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Counterpart {
    /// The last reaction of the script repeats.
    pub(super) async fn start(script: &[Reaction]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (requests, script) = (Arc::new(Mutex::new(Vec::new())), script.to_vec());
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let reaction = script.get(number).or(script.last()).expect("a script").clone();
                tokio::spawn(react(stream, reaction, Arc::clone(&kept)));
            }
        });
        Self { base, requests }
    }

    /// The requests as they came, heads and bodies.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

async fn react(mut stream: TcpStream, reaction: Reaction, kept: Arc<Mutex<Vec<String>>>) {
    let mut request = Vec::new();
    while !is_whole(&request) {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    kept.lock().expect("no panic").push(String::from_utf8_lossy(&request).into_owned());
    match reaction {
        // The client may have gone: it reads no answer that is too large.
        Reaction::Bytes(bytes) => drop(stream.write_all(&bytes).await),
        Reaction::Hang => std::future::pending().await,
        Reaction::Reset => stream.set_zero_linger().expect("linger"),
        Reaction::ResetAfter(bytes) => {
            stream.write_all(&bytes).await.expect("written");
            stream.flush().await.expect("flushed");
            stream.set_zero_linger().expect("linger");
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())?.ok()
    });
    body.len() >= length.unwrap_or(0)
}

/// An answer with a JSON body.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> Reaction {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n");
    Reaction::Bytes(format!("{head}{headers}\r\n{body}").into_bytes())
}
