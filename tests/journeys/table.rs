//! What was asked for and what was measured. The same experiments are short in CI, and long in `tests/real/endurance`.

use std::{env, fmt::Display, fs::OpenOptions, io::Write, time::Duration};

/// Where `tests/real/endurance` collects the rows, and judges those of speed, too.
const FILE: &str = "MUSICWALLET_ENDURANCE_TABLE";
/// Where `tests/real/run` collects them, to print them at its end.
const PRINTED: &str = "MUSICWALLET_TABLES";

/// How long something takes, or how much of it there is: little here, much in `tests/real/endurance`, and nobody else sets these variables.
pub(crate) fn asked(what: &str, usually: u64) -> u64 {
    env::var(format!("MUSICWALLET_ENDURANCE_{what}")).map_or(usually, |it| it.parse().unwrap())
}

/// The rows of an experiment.
pub(crate) struct Table {
    text: String,
    holds: bool,
}

impl Table {
    pub(crate) fn new(title: &str) -> Table {
        Table { text: format!("{title}\n"), holds: true }
    }

    pub(crate) fn row(
        &mut self,
        what: &str,
        asked: impl Display,
        measured: impl Display,
        holds: bool,
    ) {
        let verdict = if holds { "PASS" } else { "FAIL" };
        self.text += &format!("{what} | {asked} | {measured} | {verdict}\n");
        self.holds &= holds;
    }

    pub(crate) fn equal(&mut self, what: &str, asked: u64, measured: u64) {
        self.row(what, asked, measured, asked == measured);
    }

    pub(crate) fn between(&mut self, what: &str, least: u64, most: u64, measured: u64) {
        let asked = format!("{least} to {most}");
        self.row(what, asked, measured, (least..=most).contains(&measured));
    }

    /// Memory, in bytes, that may be so many megabytes more than before.
    pub(crate) fn grew(&mut self, what: &str, most_mb: u64, before: u64, after: u64) {
        let more = (after as f64 - before as f64) / 1e6;
        let measured = format!("{more:+.1} MB to {}", after / 1_000_000);
        self.row(what, format!("at most +{most_mb} MB"), measured, more <= most_mb as f64);
    }

    /// What depends on how busy the machine is: CI prints it, and only `tests/real/endurance` judges it.
    pub(crate) fn row_of_speed(
        &mut self,
        what: &str,
        asked: impl Display,
        measured: impl Display,
        holds: bool,
    ) {
        match env::var_os(FILE) {
            Some(_) => self.row(what, asked, measured, holds),
            None => self.text += &format!("{what} | {asked} | {measured} | not judged\n"),
        }
    }

    /// The 99th percentile under a fault, beside runs without it before and after: what is within their difference is no fault's work.
    pub(crate) fn as_quick_as(&mut self, what: &str, calm: [Duration; 2], fault: Duration) {
        let ms = |it: Duration| it.as_secs_f64() * 1e3;
        let slower = ms(calm[0].max(calm[1]));
        let asked = format!("at most +5 % of {:.1} and {:.1} ms", ms(calm[0]), ms(calm[1]));
        let measured = format!("{:.1} ms, {:+.0} %", ms(fault), (ms(fault) / slower - 1.0) * 100.0);
        self.row_of_speed(what, asked, measured, ms(fault) <= slower * 1.05);
    }

    /// Fails when a row does; all rows go where they are asked for.
    #[track_caller]
    pub(crate) fn judge(self) {
        eprintln!("{}", self.text); // CI shows it where a test fails
        for file in [FILE, PRINTED].into_iter().filter_map(env::var_os) {
            let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
            writeln!(file, "{}", self.text).unwrap();
        }
        assert!(self.holds, "a row says FAIL");
    }
}
