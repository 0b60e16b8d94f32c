//! The allocator's one setting. The allocator reads it from the environment before `main` runs.

use std::os::unix::process::CommandExt as _;

/// Milliseconds after which freed memory goes back to the system. The default is one second, in
/// which a meter that catches up frees and allocates a large part of its memory again. With 0,
/// authorizations would be a fifth slower.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");

/// Restarts the program in this process with the allocator's setting in its environment. Returns at
/// once if the setting is there already or the restart fails.
#[expect(
    clippy::disallowed_methods,
    reason = "the allocator reads the environment, and so must we"
)]
pub fn settle_allocator() {
    let (name, value) = PURGE_DELAY;
    if std::env::var_os(name).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(own_name) = arguments.next() {
        command.arg0(own_name);
    }
    // Only a failure returns; the service then works with more memory.
    drop(command.args(arguments).env(name, value).exec());
}
