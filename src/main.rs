//! The callmeter binary: arguments → settings → one command.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    callmeter::cli::run(callmeter::cli::Arguments::parse())
}
