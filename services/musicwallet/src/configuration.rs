//! `musicwallet config`: every setting, the value that counts, and where it comes from.

use std::io::{self, Write};

use platform::config::{Part, Reader, telemetry::Telemetry};

use crate::{
    Failure,
    services::{Settings, Target},
};

/// Prints the table, wrong values included; then fails with all mistakes, if there is one.
pub(crate) fn print(mut reader: Reader) -> Result<(), Failure> {
    for target in Target::ALL {
        Settings::read(target, &mut reader);
    }
    Telemetry::read(&mut reader);
    let effective = reader.effective();
    let width = effective.iter().map(|it| it.setting.variable.len()).max().unwrap_or_default();
    let mut out = io::stdout().lock();
    for it in effective {
        let (variable, value) = (it.setting.variable, it.value.as_deref().unwrap_or("-"));
        writeln!(out, "{variable:width$}  {:11}  {value}", it.source.to_string())?;
    }
    Ok(reader.finish()?)
}
