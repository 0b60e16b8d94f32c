//! A real mail server on its own process (`tests/receivers/smtp_server.py`).

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

pub(super) struct MailServer {
    child: Child,
    mails: Arc<Mutex<Vec<Value>>>,
}

/// A certificate of an authority of the test's own.
pub(super) struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    pub(super) fn make() -> Certificate {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let script = "
            openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=An authority' \
                -keyout ca.key -out ca.pem
            openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out request.pem
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >extensions
            openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
                -extfile extensions -out certificate.pem";
        let mut shell = Command::new("sh");
        let made = shell.args(["-ec", script]).current_dir(folder.path()).output();
        let made = made.expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Certificate { folder }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
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
