//! One running `callmeter serve`, watched from outside.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) log: PathBuf,
    child: Child,
}

impl Service {
    /// Starts `command` with output to `log`; it listens at `port`.
    pub(crate) fn start(mut command: Command, port: u16, log: PathBuf) -> Service {
        let file = File::options().create(true).append(true).open(&log).expect("the log opens");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log opens twice"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        Service { port, log, child }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the process can be asked").is_none()
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        self.child.wait().expect("a killed process ends");
    }

    /// The name and the niceness of each of its threads (Linux).
    pub(crate) fn threads(&self) -> Vec<(String, i64)> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).expect("its threads");
        let read = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
            // `5 (name) S 1 …`: the niceness is the 17th field behind the name.
            let (head, rest) = stat.rsplit_once(") ")?;
            let nice = rest.split(' ').nth(16)?.parse().ok()?;
            Some((head.split_once('(')?.1.to_owned(), nice))
        };
        tasks.filter_map(read).collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success(), "SIG{name} to {pid}");
        // On a busy machine its threads run on for a moment.
        let asked = Instant::now();
        while name == "STOP" && !stands_still(&pid) {
            assert!(asked.elapsed() < Duration::from_secs(10), "{pid} runs on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends SIGTERM; returns the exit status and the time it took.
    ///
    /// # Panics
    /// If it still runs after 15 s.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        self.signal("TERM");
        let asked = Instant::now();
        let status = self.ended_within(Duration::from_secs(15));
        (status, asked.elapsed())
    }

    /// Waits for the process to end without a signal.
    pub(crate) fn ended_within(&mut self, limit: Duration) -> ExitStatus {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be asked") {
                assert_eq!(status.signal(), None, "ended by itself");
                return status;
            }
            assert!(asked.elapsed() < limit, "still runs after {limit:?}: {}", self.log_tail());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log_text(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of the log, for messages.
    pub(crate) fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// True if each thread of a process is stopped.
fn stands_still(pid: &str) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    })
}

/// A free port of 127.0.0.1.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}
