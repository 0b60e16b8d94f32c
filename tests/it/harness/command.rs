//! Commands of the binary, run to their end.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Timeout of a command that is not `serve`.
const LONGEST: Duration = Duration::from_secs(30);

/// Exit status and output of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect_success(self) -> Ran {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// The binary with these arguments and no settings.
#[expect(clippy::disallowed_methods, reason = "what surrounds a test must not reach the binary")]
pub(crate) fn bare_command(arguments: &[&str]) -> Command {
    // If the test run is killed, the kernel kills its children too.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_callmeter")]);
    for (name, _) in std::env::vars() {
        let ours = ["CALLMETER", "STRIPE_", "TWILIO_", "DATABASE_", "REDIS_", "KAFKA_"];
        if ours.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command
}

/// Runs a command until it ends, which it must.
pub(crate) fn finish(mut command: Command) -> Ran {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let deadline = Instant::now() + LONGEST;
    let status = loop {
        match child.try_wait().expect("the process can be asked") {
            Some(status) => break Some(status),
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            None => break None,
        }
    };
    if status.is_none() {
        drop(child.kill());
        drop(child.wait());
    }
    let text = |reader: JoinHandle<String>| reader.join().expect("the output is read");
    let ran =
        Ran { code: status.and_then(|it| it.code()), stdout: text(stdout), stderr: text(stderr) };
    assert!(status.is_some(), "still runs after {LONGEST:?}: {command:?} {ran:?}");
    ran
}

/// Reads a pipe to its end, on its own thread.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            drop(pipe.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
