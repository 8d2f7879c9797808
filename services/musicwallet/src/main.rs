//! MusicWallet in one program: all services in one process, or one of them.

mod cli;
mod configuration;
mod databases;
mod health;
mod import;
mod load;
mod operator;
mod process;
mod services;
mod status;
mod welcome;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use platform::config::Reader;

use crate::services::Target;

fn main() -> ExitCode {
    let matches = cli::command().get_matches(); // wrong usage ends it here, with exit code 2
    let outcome = match matches.subcommand() {
        None => process::run(&matches, &Target::TOGETHER),
        Some(("serve", serve)) => match serve.subcommand() {
            Some((name, matches)) => process::run(matches, &[Target::named(name)]),
            None => unreachable!("clap demands a target"),
        },
        Some(("health", matches)) => match matches.subcommand() {
            None => health::run(matches, &Target::TOGETHER),
            Some((name, matches)) => health::run(matches, &[Target::named(name)]),
        },
        Some(("migrate", matches)) => databases::migrate(matches),
        Some(("backup", matches)) => databases::backup(matches),
        Some(("restore", matches)) => databases::restore(matches),
        Some(("accounts", matches)) => match matches.subcommand() {
            Some((action, matches)) => operator::run(action, matches),
            None => unreachable!("clap demands an action"),
        },
        Some(("config", matches)) => configuration::print(Reader::from_matches(matches)),
        Some(("import", matches)) => import::run(matches),
        Some(("loadtest", matches)) => load::run(matches),
        Some(("sidecar", matches)) => match matches.subcommand() {
            Some(("status", matches)) => status::run(matches),
            _ => unreachable!("clap knows no other action"),
        },
        Some(("completions", matches)) => cli::completions(matches),
        Some((other, _)) => unreachable!("clap knows no command {other}"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "musicwallet: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Why the program ends without success: a sentence for people, a code for programs.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// It ran, and then something failed.
    const FAILED: u8 = 1;
    /// Wrong usage or wrong settings.
    const SETTINGS: u8 = 2;
    /// It could not start: a port or a database cannot be had.
    const START: u8 = 3;
    /// An import is done, but rows were refused.
    const REFUSED_ROWS: u8 = 4;

    fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into() }
    }
}

impl From<platform::config::Mistakes> for Failure {
    fn from(mistakes: platform::config::Mistakes) -> Failure {
        Failure::new(Failure::SETTINGS, mistakes.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(Failure::FAILED, error.to_string())
    }
}
