//! A DNS server of the test's own: each name has answers, which it gives in turn; the last one stays.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

type Answers = HashMap<String, Vec<Vec<Ipv4Addr>>>;

/// The server; its thread ends with the test run.
pub(super) struct Dns {
    pub(super) address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
}

impl Dns {
    pub(super) fn start() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let answers = Arc::<Mutex<Answers>>::default();
        let address = socket.local_addr().expect("an address");
        let served = Arc::clone(&answers);
        std::thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while let Ok((length, asker)) = socket.recv_from(&mut buffer) {
                let answer = answer(&buffer[..length], &served);
                drop(socket.send_to(&answer, asker));
            }
        });
        Dns { address, answers }
    }

    /// Sets what a name leads to, answer by answer.
    pub(super) fn name(&self, name: &str, answers: &[&[Ipv4Addr]]) {
        let answers = answers.iter().map(|one| one.to_vec()).collect();
        self.answers.lock().expect("no panic").insert(name.to_owned(), answers);
    }
}

/// The answer to a question: its addresses, never to be kept.
fn answer(asked: &[u8], answers: &Mutex<Answers>) -> Vec<u8> {
    let mut at = 12;
    let mut labels = Vec::new();
    while asked[at] != 0 {
        let length = usize::from(asked[at]);
        labels.push(String::from_utf8_lossy(&asked[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let is_v4 = asked[at + 1..at + 3] == [0, 1];
    let question = &asked[12..at + 5];
    let mut known = answers.lock().expect("no panic");
    let found = match known.get_mut(&labels.join(".")) {
        // Only questions for IPv4 take the next answer.
        Some(turns) if is_v4 && turns.len() > 1 => Some(turns.remove(0)),
        Some(turns) => Some(if is_v4 { turns[0].clone() } else { Vec::new() }),
        None => None,
    };
    let addresses = found.clone().unwrap_or_default();
    let code = if found.is_some() { 0 } else { 3 };
    let mut written = asked[..2].to_vec();
    written.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(addresses.len()).expect("few")]);
    written.extend([0, 0, 0, 0]);
    written.extend(question);
    for address in addresses {
        written.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        written.extend(address.octets());
    }
    written
}
