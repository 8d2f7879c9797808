//! The command line. Settings come from their declarations; this is the rest.

use std::{
    io::{self, Write},
    num::NonZeroU16,
    path::PathBuf,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use loadtest::Rate;
use platform::config::{HttpUrl, Value, arguments};

use crate::{Failure, services::Target};

const AFTER_HELP: &str = "\
Examples:
  musicwallet                                   everything in one process, data under ./data
  musicwallet serve catalog --check             are the settings of the catalog right?
  CATALOG_LISTEN=127.0.0.1:0 musicwallet serve catalog
  musicwallet health catalog                    is it ready? exit code 0 or 1
  musicwallet serve prober                      beside it: does the public API work, every 30 s?
  musicwallet import --musics songs.csv --username ada --password-file ada.txt
  musicwallet loadtest --rate 50 --duration 30s how does the one on this machine bear it?
  musicwallet backup --to /backups/monday       a copy of every SQLite database, while it is used
  musicwallet accounts reset-password ada       a new password for somebody who has lost theirs
  musicwallet config                            every setting, its value and where it comes from

Exit codes:
  0 done   1 failed while running   2 wrong usage or settings   3 cannot start   4 imported, but rows were refused

Every setting is a flag or an environment variable of the same name (--catalog-listen, CATALOG_LISTEN).
`--help` lists those of the command; `-h` does not.";

pub(crate) fn command() -> Command {
    let check = Arg::new("check")
        .long("check")
        .action(ArgAction::SetTrue)
        .help("Only check the settings: report every mistake, start nothing");
    let targets = Target::ALL.into_iter().map(|target| {
        Command::new(target.name())
            .about(target.about())
            .arg(check.clone())
            .args(target.arguments())
            .args(Target::common_arguments())
    });
    let settings = |targets: &[Target]| {
        let own = targets.iter().flat_map(|target| target.arguments());
        own.chain(Target::common_arguments()).collect::<Vec<_>>()
    };
    let all_settings = || settings(&Target::TOGETHER);
    Command::new("musicwallet")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A music library whose behaviour can be seen.")
        .long_about(
            "A music library whose behaviour can be seen: microservices that emit traces, metrics and logs, \
             and a sidecar that shows them.\n\nWithout a command it starts every service and the sidecar in one \
             process, with SQLite files under ./data.",
        )
        .after_help(AFTER_HELP)
        .args_conflicts_with_subcommands(true)
        .arg(check.clone())
        .args(all_settings())
        .subcommand(
            Command::new("serve")
                .about("Run one service in this process")
                .subcommand_required(true)
                .subcommand_value_name("TARGET")
                .subcommand_help_heading("Targets")
                .subcommands(targets),
        )
        .subcommand(
            Command::new("health")
                .about("Ask what runs on this machine whether it is ready: exits with 0, or with 1 and says why not")
                .after_help(
                    "It asks the internal port of the same settings (GATEWAY_INTERNAL_LISTEN), and waits for 2 s at most. Without a \
                     target it asks for all that one process holds.",
                )
                .args_conflicts_with_subcommands(true)
                .args(all_settings())
                .subcommand_value_name("TARGET")
                .subcommand_help_heading("Targets")
                .subcommands(Target::ALL.into_iter().map(|target| {
                    Command::new(target.name()).about(target.about()).args(target.arguments())
                })),
        )
        .subcommand(
            Command::new("migrate")
                .about("Bring the databases to this program's version, and stop")
                .args(all_settings()),
        )
        .subcommand(
            Command::new("backup")
                .about("Copy the SQLite databases into a new folder, also while the services run")
                .after_help(
                    "Each copy is whole and of one moment; favourites are copied before songs, and songs before people, so that\n\
                     nothing that is added meanwhile refers to what is missing. Keys are not copied: what they signed lives for a minute.",
                )
                .arg(folder("to", "The folder to make"))
                .args(all_settings()),
        )
        .subcommand(
            Command::new("restore")
                .about("Put the copies of a backup in the place of the SQLite databases, while no service runs")
                .after_help(
                    "First every copy is checked, and that nobody uses the databases; then all of them are restored.\n\
                     What was there is kept beside it, as <database>.before-<time>.",
                )
                .arg(folder("from", "The folder that `musicwallet backup` made"))
                .args(all_settings()),
        )
        .subcommand(operators_accounts())
        .subcommand(
            Command::new("sidecar")
                .about("Ask the sidecar")
                .subcommand_required(true)
                .subcommand(
                    Command::new("status")
                        .about("Show the books of telemetry: what was received, delivered, dropped, and waits")
                        .after_help("Exits with 1 when something is not delivered at the moment, or is not accounted for.")
                        .args(arguments::<sidecar::Config>("Sidecar")),
                ),
        )
        .subcommand(
            Command::new("config")
                .about("Show every setting, its value and where the value comes from")
                .args(settings(&Target::ALL)),
        )
        .subcommand(import())
        .subcommand(load_test())
        .subcommand(
            Command::new("completions").about("Print completions for a shell").arg(
                Arg::new("shell")
                    .required(true)
                    .value_parser(value_parser!(Shell))
                    .help("The shell they are for"),
            ),
        )
}

fn folder(name: &'static str, help: &'static str) -> Arg {
    let path = Arg::new(name).long(name).value_name("DIR").value_parser(value_parser!(PathBuf));
    path.required(true).help(help)
}

fn operators_accounts() -> Command {
    let action = |name: &'static str, about: &'static str| {
        let settings = arguments::<accounts::Config>("Accounts");
        Command::new(name)
            .about(about)
            .arg(
                Arg::new("operator")
                    .long("operator")
                    .value_name("NAME")
                    .help("Who does this, for the log [default: who is signed in to this machine]"),
            )
            .args(settings.chain(Target::common_arguments()))
    };
    let person =
        || Arg::new("username").required(true).value_name("USERNAME").help("Whose account");
    Command::new("accounts")
        .about("What an operator does to people's accounts, also while accounts runs")
        .after_help("Each use is one line in the log: who did what to which id, and how it ended.")
        .subcommand_required(true)
        .subcommand(action(
            "list",
            "Show every account, with its lock, tokens and sessions, and when its first named token ends",
        ))
        .subcommand(
            action("reset-password", "Make and print a new password; all tokens and sessions end")
                .arg(person()),
        )
        .subcommand(
            action("lock", "Let no credential of an account count until it is unlocked")
                .arg(person()),
        )
        .subcommand(action("unlock", "End a lock, and forget the failed sign-ins").arg(person()))
}

fn import() -> Command {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("import")
        .about("Import songs from a CSV file through the API")
        .after_help(
            "The file has a header with title and artist, and album, genre and duration_ms if it likes.\n\
             Songs that the catalog has already are left alone, so an import can be repeated.\n\n\
             Sign in with --username and a password from --password-file or MUSICWALLET_PASSWORD,\n\
             or with a token from MUSICWALLET_TOKEN. Secrets are no flags: other users can see flags.",
        )
        .arg(path("musics", "The songs, UTF-8, 32 MiB and 100,000 rows at most").required(true))
        .arg(
            Arg::new("url")
                .long("url")
                .env("MUSICWALLET_URL")
                .default_value("http://127.0.0.1:8080")
                .value_parser(address)
                .help("Where the gateway is"),
        )
        .arg(Arg::new("username").long("username").value_name("NAME").help("Who imports them"))
        .arg(path("password-file", "A file that holds the password"))
}

fn load_test() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let path = value_parser!(PathBuf);
    Command::new("loadtest")
        .about("Load a MusicWallet on this machine at a fixed rate, and report what became of the requests")
        .after_help(
            "First new people sign up and in. They, and what they add and keep, stay: give it a MusicWallet whose data can be \
             thrown away.\n\n\
             Requests are sent when they are due, whatever became of those before them, and latencies of answers count from \
             then. While 1,000 are in flight, what is due is not sent. Nothing is tried again.\n\n\
             The report is JSON on stdout or in --report, and a summary for people on stderr. A load that ran to its end is \
             exit code 0, whatever the answers were.",
        )
        .arg(
            option("url", "URL", "Where the gateway is: a loopback address")
                .env("MUSICWALLET_URL")
                .default_value("http://127.0.0.1:8080")
                .value_parser(address),
        )
        .arg(
            option("rate", "RATE", "Requests per second, 0.1 to 100,000")
                .default_value("50")
                .value_parser(rate)
                .allow_negative_numbers(true),
        )
        .arg(
            option("duration", "TIME", "For how long requests are due, 1s to 1h")
                .default_value("30s")
                .value_parser(duration)
                .allow_negative_numbers(true),
        )
        .arg(
            option("seed", "NUMBER", "The same seed is the same plan: who does what, in which order")
                .default_value("1")
                .value_parser(seed)
                .allow_negative_numbers(true),
        )
        .arg(
            option("people", "NUMBER", "How many people sign up for it, 1 to 1,000")
                .default_value("10")
                .value_parser(people)
                .allow_negative_numbers(true),
        )
        .arg(
            option("abort-share", "SHARE", "The share of requests that are left before their answer, 0 to 1")
                .default_value("0")
                .value_parser(share)
                .allow_negative_numbers(true),
        )
        .arg(
            option("trace-ids", "FILE", "Where to write a line of JSON for each answer: trace_id, action, status, latency_ms, ended_unix_ms")
                .value_parser(path.clone()),
        )
        .arg(
            option("report", "FILE", "Where to write the report, instead of to stdout")
                .value_parser(path),
        )
}

fn rate(text: &str) -> Result<Rate, String> {
    let rate = text.parse().ok().and_then(Rate::per_second);
    rate.ok_or_else(|| "give requests per second from 0.1 to 100000, such as 50".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok();
    let within = Duration::from_secs(1)..=Duration::from_secs(3_600);
    let duration = duration.filter(|duration| within.contains(duration));
    duration.ok_or_else(|| "give a time from 1s to 1h with its unit, such as 30s or 5m".into())
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("give a whole number from 0 to {}", u64::MAX))
}

fn people(text: &str) -> Result<NonZeroU16, String> {
    let number = text.parse().ok().filter(|number: &NonZeroU16| number.get() <= 1_000);
    number.ok_or_else(|| "give a whole number of people from 1 to 1000, such as 10".into())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "give a share from 0 to 1, such as 0.01 for one of a hundred".into())
}

fn address(text: &str) -> Result<HttpUrl, String> {
    HttpUrl::parse(text).map_err(|wrong| format!("it {wrong}; give {}", HttpUrl::EXPECTED))
}

/// Prints the completions that `matches` ask for.
pub(crate) fn completions(matches: &ArgMatches) -> Result<(), Failure> {
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        let mut script = Vec::new(); // clap panics where it cannot write
        clap_complete::generate(*shell, &mut command(), "musicwallet", &mut script);
        let mut out = io::stdout().lock();
        out.write_all(&script)?;
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_flag_before_a_command_is_refused_and_not_lost() {
        let args = ["musicwallet", "--catalog-listen", "127.0.0.1:0", "config"];
        assert!(command().try_get_matches_from(args).is_err());
    }
}
