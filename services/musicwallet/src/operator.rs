//! `musicwallet accounts`: what an operator does to people's accounts, past the API and while it runs.

use std::{
    env,
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use accounts::operator::{self, Account};
use anyhow::Context;
use clap::ArgMatches;
use humantime::format_rfc3339_millis;
use platform::{
    config::{Part, Reader, telemetry::Telemetry as TelemetrySettings},
    storage::Db,
};
use secrecy::ExposeSecret;
use telemetry::{Sampling, Stdout, Telemetry};

use crate::{
    Failure,
    process::{DEFAULT_OTLP, cannot_start},
    services::Target,
};

/// How long the line about it may take to leave for the central logs; it is on stderr, too.
const FLUSH: Duration = Duration::from_secs(1);

pub(crate) fn run(action: &str, matches: &ArgMatches) -> Result<(), Failure> {
    let operator = operator(matches)?;
    let mut reader = Reader::from_matches(matches);
    let telemetry = TelemetrySettings::read(&mut reader);
    let config: Option<accounts::Config> = Part::read(&mut reader);
    reader.finish()?;
    let (Some(telemetry), Some(config)) = (telemetry, config) else { return Ok(()) }; // never after `finish`

    let (stderr, stderr_guard) = Stdout::on_stderr()?; // stdout is for the answer
    let mut settings = telemetry.of(accounts::NAME, Some(DEFAULT_OTLP));
    settings.sampling = Sampling { parent_based: false, ratio: 0.0 }; // a few statements are no request
    settings.loki = None; // it would be over before that way is open
    settings.filter = settings.filter.with_target("accounts::operator", tracing::Level::INFO); // whatever else is left out
    let telemetry = Telemetry::start(&settings, &stderr)
        .map_err(|error| cannot_start(Target::Accounts, &error))?;
    let runtime = telemetry.runtime(1)?;
    telemetry.install(); // what follows runs on this thread
    let outcome = runtime.block_on(async {
        let db = accounts::database(&config).attach(&telemetry).await;
        let db = db.map_err(|error| {
            operator::could_not(&operator, action, &error);
            Failure::new(Failure::START, format!("{error:#}"))
        })?;
        let done = act(action, &db, &operator, matches).await;
        db.close().await;
        done.map_err(|error| Failure::new(Failure::FAILED, format!("{error:#}")))
    });
    drop(runtime);
    telemetry.shutdown(FLUSH);
    drop(stderr_guard); // the line is written before the failure
    outcome
}

async fn act(action: &str, db: &Db, operator: &str, matches: &ArgMatches) -> anyhow::Result<()> {
    if action == "list" {
        return Ok(print(&operator::list(db, operator).await?)?);
    }
    let username = matches.get_one::<String>("username").context("clap demands a username")?;
    match action {
        "reset-password" => {
            let password = operator::reset_password(db, operator, username).await?;
            say(password.expose_secret())?;
        }
        "lock" => operator::lock(db, operator, username).await?,
        "unlock" => operator::unlock(db, operator, username).await?,
        other => unreachable!("clap knows no command {other}"),
    }
    Ok(())
}

/// Who the log says did it: `--operator`, or who is signed in to this machine.
fn operator(matches: &ArgMatches) -> Result<String, Failure> {
    let given = matches.get_one::<String>("operator").cloned();
    let signed_in = || ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|it| env::var(it).ok());
    let name = given.or_else(signed_in).unwrap_or_default();
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(Failure::new(
            Failure::SETTINGS,
            "who does this? Give --operator with a name of 64 characters at most; it will be in the log",
        ));
    }
    Ok(name)
}

fn print(all: &[Account]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let width = all.iter().map(|it| it.username.chars().count()).max().unwrap_or(0).max(8);
    writeln!(
        out,
        "{:>8}  {:width$}  {:24}  {:6}  {:>6}  {:>8}  first named token ends",
        "id", "username", "signed up", "locked", "tokens", "sessions"
    )?;
    for it in all {
        let time = |at: i64| {
            format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.unsigned_abs())).to_string()
        };
        let locked = if it.locked { "yes" } else { "no" };
        writeln!(
            out,
            "{:>8}  {:width$}  {}  {locked:6}  {:>6}  {:>8}  {}",
            it.id,
            it.username,
            time(it.created_at),
            it.tokens,
            it.sessions,
            it.named_token_ends_at.map_or_else(|| "-".to_owned(), time)
        )?;
    }
    out.flush()
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
