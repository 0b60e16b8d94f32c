//! A real mail server on its own process (`tests/receivers/smtp_server.py`).

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

pub(super) struct MailServer {
    child: Child,
    mails: Arc<Mutex<Vec<Value>>>,
}

impl MailServer {
    /// Starts at a port; with `secured` by TLS and a password: certificate, key, user, password.
    pub(super) fn start(port: u16, secured: &[&str]) -> MailServer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = root.join(".local/cache/sdks/receivers");
        assert!(packages.join("aiosmtpd").exists(), "aiosmtpd is missing: run script/sdks");
        let path = ["aiosmtpd", "atpublic", "attrs"].map(|name| packages.join(name));
        let path = std::env::join_paths(path).expect("a path");
        // If the test run is killed, the kernel kills its children too.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "python3"]);
        command.arg(root.join("tests/receivers/smtp_server.py")).arg(port.to_string());
        command.args(secured).env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let ready = lines.next().expect("a line").expect("text");
        assert_eq!(ready, "ready");
        let mails = Arc::<Mutex<Vec<Value>>>::default();
        let taken = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mail = serde_json::from_str(&line).expect("JSON");
                taken.lock().expect("no panic").push(mail);
            }
        });
        MailServer { child, mails }
    }

    pub(super) fn mails(&self) -> Vec<Value> {
        self.mails.lock().expect("no panic").clone()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The values of a header.
pub(super) fn header(mail: &Value, name: &str) -> Vec<String> {
    let headers = mail["headers"].as_array().expect("headers").iter();
    let named = headers.filter(|it| it[0].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name)));
    named.map(|it| it[1].as_str().expect("text").to_owned()).collect()
}
