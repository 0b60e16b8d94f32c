//! A certificate for local servers, made by openssl.

use std::path::PathBuf;
use std::process::Command;

/// A certificate of an authority of the test's own.
pub(crate) struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    pub(crate) fn make() -> Certificate {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
