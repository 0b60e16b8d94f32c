//! A test's own pgbouncer in front of the servers' Postgres; `script/pgbouncer` builds it.

use super::poll::{SOON, until};
use super::service::free_port;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::NamedTempFile;

/// Ends with the test, even if the test's process is killed: its shell reads a pipe of that
/// process.
pub(crate) struct Pgbouncer {
    /// The server's URL without a database name.
    address: String,
    shell: Child,
    _settings: NamedTempFile,
}

impl Pgbouncer {
    /// Starts one with `pool_size` connections to Postgres, each lent for one transaction.
    pub(crate) async fn start(database_url: &str, pool_size: u32) -> Pgbouncer {
        Pgbouncer::with(database_url, pool_size, "pool_mode = transaction").await
    }

    /// Starts one with additional settings.
    pub(crate) async fn with(database_url: &str, pool_size: u32, settings: &str) -> Pgbouncer {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join(".local/cache/pgbouncer/pgbouncer");
        assert!(program.exists(), "pgbouncer is missing: run script/pgbouncer");
        let authority = database_url.split('/').nth(2).expect("postgres://user@host:port/name");
        let (user, host) = authority.split_once('@').expect("a user");
        let (host, port) = host.rsplit_once(':').expect("a port");
        let listen_port = free_port();
        let text = format!(
            "[databases]\n* = host={host} port={port} user={user}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen_port}\nauth_type = any\n\
             unix_socket_dir =\nmax_prepared_statements = 200\nmax_client_conn = 500\n\
             default_pool_size = {pool_size}\n{settings}\n"
        );
        let mut file = tempfile::Builder::new()
            .suffix(".ini")
            .tempfile_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a file");
        file.write_all(text.as_bytes()).expect("the settings are written");
        let shell = shell(&program, file.path());
        let address = format!("postgres://{user}@127.0.0.1:{listen_port}");
        until("pgbouncer listens", SOON, async || {
            tokio::net::TcpStream::connect(("127.0.0.1", listen_port)).await.ok().map(drop)
        })
        .await;
        Pgbouncer { address, shell, _settings: file }
    }

    /// The URL of the database of `direct_url` through the pooler.
    pub(crate) fn url(&self, direct_url: &str) -> String {
        let (_, database) = direct_url.rsplit_once('/').expect("a name in it");
        format!("{}/{database}", self.address)
    }
}

/// Runs pgbouncer until the shell's standard input ends, then kills it, because newer versions wait
/// for their clients on a polite stop. It refuses to run as root, and becomes `nobody` once it has
/// read its settings.
fn shell(program: &Path, settings: &Path) -> Child {
    let script = r#"[ "$(id -u)" = 0 ] && user='-u nobody'
        "$1" -q $user "$2" & pid=$!
        exec 2>/dev/null; cat; kill -s KILL "$pid"; wait "$pid""#;
    Command::new("sh")
        .args(["-c", script, "sh"])
        .args([program, settings])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("sh runs")
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
