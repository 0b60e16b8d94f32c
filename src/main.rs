//! The callmeter binary: arguments → settings → one command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    callmeter::cli::run(std::env::args_os())
}
