//! Reads the arguments; an error is one line, as for every other error.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, CommandFactory, Error, FromArgMatches};

use super::{Arguments, complain};

/// Reads the arguments, or prints the help or the version.
///
/// # Errors
/// The exit code: 0 after help, 2 after wrong usage, which has been printed.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, ExitCode> {
    let matches = without_long_answers(Arguments::command()).try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is not an error.
            drop(error.print());
            ExitCode::SUCCESS
        }
        _ => {
            complain(&one_line(&error));
            ExitCode::from(2)
        }
    })
}

/// For a missing subcommand clap prints one line, not the whole help.
fn without_long_answers(command: Command) -> Command {
    command.arg_required_else_help(false).mut_subcommands(without_long_answers)
}

/// clap's error without the paragraphs about usage.
fn one_line(error: &Error) -> String {
    let text = error.to_string();
    let told = text.split("\n\nUsage:").next().unwrap_or(&text);
    let told = told.split("\n\nFor more information").next().unwrap_or(told);
    let told = told.strip_prefix("error: ").unwrap_or(told);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{told}; `callmeter --help` shows more")
}
