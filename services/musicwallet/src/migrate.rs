//! `musicwallet migrate`: the databases, brought to this program's version.

use platform::config::Reader;

use crate::{
    Failure,
    services::{Settings, Target},
    welcome,
};

pub(crate) fn run(reader: &mut Reader) -> Result<(), Failure> {
    let settings = Target::ALL.map(|target| Settings::read(target, reader));
    std::mem::take(reader).finish()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for settings in settings.into_iter().flatten() {
        let report = match &settings {
            Settings::Accounts(config) => runtime.block_on(accounts::migrate(config)),
            Settings::Catalog(config) => runtime.block_on(catalog::migrate(config)),
            Settings::Wallet(config) => runtime.block_on(wallet::migrate(config)),
            Settings::Sidecar(_) | Settings::Gateway(_) => continue, // no database
        };
        let report = report.map_err(|error| Failure::new(Failure::START, format!("{error:#}")))?;
        let applied = match report.applied.as_slice() {
            [] => "nothing to do".to_owned(),
            list => list
                .iter()
                .map(|(version, name)| format!("{version} {name}"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        welcome::print(&format!("{}: version {} ({applied})", report.database, report.version));
    }
    Ok(())
}
