//! The allocator's one setting, which it reads from the environment before anything of ours runs.

use std::os::unix::process::CommandExt as _;

/// Milliseconds after which memory that was freed goes back to the system. By default that is a second,
/// in which a meter that is behind frees and takes a good part of all it has again; at once would cost
/// authorizations a fifth of their pace.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "10");

/// Begins the program anew in this very process, with the allocator's setting in its environment; returns
/// at once where that is set, or where it cannot be done.
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
    // Only a failure returns; the service works as well, with more memory.
    drop(command.args(arguments).env(name, value).exec());
}
