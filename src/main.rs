//! The callmeter binary: arguments → settings → one command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Only `serve` runs long enough for this setting to matter.
    if std::env::args_os().any(|argument| argument == "serve") {
        callmeter::config::settle_allocator();
    }
    callmeter::cli::run(std::env::args_os())
}
