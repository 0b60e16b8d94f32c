//! A Redis with keys on several nodes is refused in one line; a cluster of one node works.

use crate::harness::command::finish;
use crate::harness::poll::{SOON, until};
use crate::harness::servers::Servers;
use crate::harness::service::free_port;
use crate::harness::system::{Setup, System};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// One node of a cluster, without a disk.
struct Node {
    port: u16,
    bus: u16,
    process: Child,
    _folder: TempDir,
}

impl Node {
    fn start(program: &str) -> Node {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (port, bus) = (free_port(), free_port());
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program])
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()])
            .args(["--save", ""])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis starts");
        Node { port, bus, process, _folder: folder }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn ask(&self, command: &redis::Cmd) -> Option<String> {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.ok()?;
        command.query_async(&mut connection).await.ok()
    }

    /// Waits until the node knows this many nodes.
    async fn knows(&self, nodes: usize) {
        let line = format!("cluster_known_nodes:{nodes}");
        until("the nodes know each other", SOON, async || {
            let info = self.ask(redis::cmd("CLUSTER").arg("INFO")).await?;
            info.contains(&line).then_some(())
        })
        .await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The program of the shared Redis.
async fn program() -> String {
    let client = redis::Client::open(Servers::shared().redis_url).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let info: String =
        redis::cmd("INFO").arg("server").query_async(&mut connection).await.expect("info");
    let path = info.lines().find_map(|line| line.strip_prefix("executable:"));
    path.expect("an executable").trim().to_owned()
}

#[tokio::test]
async fn a_redis_cluster_of_several_nodes_is_refused_in_one_line() {
    let system = System::with(Setup { verified: false, ..Setup::default() }).await;
    let program = program().await;
    let nodes = [Node::start(&program), Node::start(&program)];
    let run = |arguments: &[&str]| {
        let mut command = system.command(arguments);
        command.env("CALLMETER__HTTP__LISTEN", format!("127.0.0.1:{}", free_port()));
        command.env("REDIS_URL", nodes[0].url());
        command
    };
    nodes[0].knows(1).await;
    finish(run(&["config", "check"])).expect_success();
    let mut meet = redis::cmd("CLUSTER");
    meet.arg("MEET").arg("127.0.0.1").arg(nodes[1].port).arg(nodes[1].bus);
    nodes[1].knows(1).await;
    assert_eq!(nodes[0].ask(&meet).await.as_deref(), Some("OK"));
    nodes[0].knows(2).await;
    for arguments in [&["config", "check"][..], &["serve"]] {
        let ran = finish(run(arguments));
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stderr.trim().lines().count(), 1, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("cluster of more than one node"), "{ran:?}");
    }
}
