//! A dump of a system's database, taken while it is in use, and its return.

use super::system::System;
use std::path::PathBuf;
use std::process::Command;

/// A file that `pg_dump` wrote.
pub(crate) struct Dump(PathBuf);

impl System {
    /// Dumps the database as it is at one instant, whatever goes on meanwhile.
    pub(crate) async fn dump(&self) -> Dump {
        let file = self.catalog_path().with_file_name("dump");
        let mut command = tool("pg_dump");
        command.args(["--format", "custom", "--file"]).arg(&file).arg(self.database_url());
        run(command).await;
        Dump(file)
    }

    /// Puts the database of a dump in the place of the present one. No process may use it.
    pub(crate) async fn bring_back(&self, Dump(file): &Dump) {
        let url = self.database_url();
        let (_, name) = url.rsplit_once('/').expect("a name in it");
        self.server_sql(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        self.server_sql(&format!("CREATE DATABASE {name}")).await;
        let mut command = tool("pg_restore");
        command.args(["--exit-on-error", "--dbname", &url]).arg(file);
        run(command).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "script/up tells where the server's programs are")]
fn tool(name: &str) -> Command {
    let folder = std::env::var_os("POSTGRES_BIN");
    let folder = folder.expect("run script/up again, then `source .local/env`: POSTGRES_BIN");
    Command::new(PathBuf::from(folder).join(name))
}

async fn run(mut command: Command) {
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends");
    let ran = ran.expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
