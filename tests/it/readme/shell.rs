//! A shell in a folder that resembles a fresh clone, with few programs in its PATH.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::poll::until;
use crate::harness::service::free_port;

/// Timeout of one block: `script/up` starts three servers.
const BLOCK_MAX: Duration = Duration::from_mins(3);
/// The programs of GNU coreutils; some systems lack a few.
const COREUTILS: &str = "[ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown chroot \
    cksum comm cp csplit cut date dd df dir dircolors dirname du echo env expand expr factor false fmt \
    fold groups head hostid id install join link ln logname ls md5sum mkdir mkfifo mknod mktemp mv nice \
    nl nohup nproc numfmt od paste pathchk pinky pr printenv printf ptx pwd readlink realpath rm rmdir \
    runcon seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat stdbuf \
    stty sum sync tac tail tee test timeout touch tr true truncate tsort tty uname unexpand uniq unlink \
    users vdir wc who whoami yes";
/// The files of a clone that the example needs.
const CLONED: [&str; 4] = ["config", "script", "Cargo.toml", "rust-toolchain.toml"];

pub(super) struct Shell {
    port: u16,
    blocks: usize,
    scripts_path: String,
    child: Child,
    input: ChildStdin,
    /// Ends everything that the example started, however this process ends.
    janitor: Child,
    folder: TempDir,
}

/// Waits for the end of its input, then kills processes of this folder and takes the servers down.
const JANITOR: &str = r#"cat
for process in /proc/[0-9]*; do
  [ "$(readlink "$process/cwd")" = "$PWD" ] && [ "$(cat "$process/comm")" = callmeter ] &&
    kill -s KILL "${process#/proc/}"
done
script/down"#;

impl Shell {
    pub(super) fn new() -> Shell {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let clone = folder.path().canonicalize().expect("it is there").join("clone");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::create_dir_all(clone.join(".local")).expect("a folder");
        for name in CLONED {
            symlink(root.join(name), clone.join(name)).expect("a link");
        }
        fs::create_dir_all(root.join(".local/cache")).expect("a folder");
        symlink(root.join(".local/cache"), clone.join(".local/cache")).expect("a link");
        let bash = program("bash").expect("bash is installed");
        let few = programs(folder.path(), &bash);
        let port = free_port();
        let mut command = in_clone(&clone, &bash);
        command.args(["-c", "set -em; while read -r block; do . \"$block\"; done"]);
        command.env("PATH", &few).env("CALLMETER__HTTP__LISTEN", format!("127.0.0.1:{port}"));
        let log = fs::File::create(clone.join(".local/shell.log")).expect("a log");
        let said = log.try_clone().expect("a log");
        let child = command.stdin(Stdio::piped()).stdout(said).stderr(log).spawn();
        let mut child = child.expect("bash runs");
        let input = child.stdin.take().expect("it reads");
        let mut command = in_clone(&clone, Path::new("setsid"));
        let quiet = command.args(["sh", "-c", JANITOR]).stdout(Stdio::null()).stderr(Stdio::null());
        let janitor = quiet.stdin(Stdio::piped()).spawn().expect("setsid and sh run");
        let scripts_path = format!("{}:{}", few.display(), path());
        Shell { port, blocks: 0, scripts_path, child, input, janitor, folder }
    }

    /// Runs a block of the README; returns its output.
    pub(super) async fn run(&mut self, block: &str) -> String {
        self.blocks += 1;
        let file = |what: &str| self.clone().join(format!(".local/{what}-{}", self.blocks));
        let (written, said, done) = (file("block"), file("said"), file("done"));
        let block = block.replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.port));
        let with_path = format!("PATH='{}' script/", self.scripts_path);
        let lines = block.lines().map(|line| match line.strip_prefix("script/") {
            Some(rest) => format!("{with_path}{rest}\n"),
            None => format!("{line}\n"),
        });
        let lines: String = lines.collect();
        let text =
            format!("{{\n{lines}}} >{} 2>&1 </dev/null\n>{}\n", said.display(), done.display());
        fs::write(&written, text).expect("the block is written");
        writeln!(self.input, "{}", written.display()).expect("bash reads");
        let child = &mut self.child;
        let mut ended = None;
        until("the block has ended", BLOCK_MAX, async || {
            ended = child.try_wait().expect("bash can be asked");
            (ended.is_some() || done.exists()).then_some(())
        })
        .await;
        let said = fs::read_to_string(said).unwrap_or_default();
        assert!(ended.is_none(), "{block}\nfailed: {said}\n{}", self.log());
        said
    }

    /// The logs of the shell and of the service, for messages.
    pub(super) fn log(&self) -> String {
        let logs = ["shell.log", "serve.log"].map(|name| self.clone().join(".local").join(name));
        logs.map(|path| fs::read_to_string(path).unwrap_or_default()).concat()
    }

    /// Asserts that the example leaves nothing running.
    pub(super) fn assert_nothing_runs(&self) {
        let clone = self.clone();
        assert!(!clone.join(".local/env").exists(), "the servers are down");
        let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let folders =
            processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
        let left = folders.filter(|folder| folder.starts_with(&clone)).count();
        // This shell, and the janitor with its cat.
        assert!(left <= 3, "{left} processes in {}", clone.display());
    }

    fn clone(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there").join("clone")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(self.janitor.stdin.take());
        drop(self.janitor.wait());
    }
}

/// A command in the clone, without the settings of the environment.
#[expect(clippy::disallowed_methods, reason = "what surrounds a test must not reach the example")]
fn in_clone(clone: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars() {
        let ours = ["CALLMETER", "STRIPE_", "TWILIO_", "DATABASE_", "REDIS_", "KAFKA_"];
        if ours.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.current_dir(clone);
    command
}

/// A folder with links to coreutils and curl, and a cargo whose build is already done.
fn programs(folder: &Path, bash: &Path) -> PathBuf {
    let few = folder.join("bin");
    fs::create_dir(&few).expect("a folder");
    for name in COREUTILS.split_whitespace().chain(["curl"]) {
        if let Some(path) = program(name) {
            symlink(path, few.join(name)).expect("a link");
        }
    }
    let cargo = format!(
        "#!{}\n[[ $* == 'build --release --locked --bin callmeter' ]] || exit 1\n\
         mkdir -p target/release && ln -sfn '{}' target/release/callmeter\n",
        bash.display(),
        env!("CARGO_BIN_EXE_callmeter"),
    );
    let path = few.join("cargo");
    fs::write(&path, cargo).expect("it is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    few
}

fn program(name: &str) -> Option<PathBuf> {
    let path = path();
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

#[expect(clippy::disallowed_methods, reason = "programs are where the tests find them")]
fn path() -> String {
    std::env::var("PATH").expect("a PATH")
}
