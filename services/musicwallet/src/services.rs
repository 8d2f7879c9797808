//! The services by name: their settings, their sockets, and how each is prepared.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use anyhow::Context;
use clap::Arg;
use platform::{
    config::{self, HttpUrl, Part, Reader, Source, Value, arguments},
    service::{Endpoint, Parts},
    storage::Database,
};

use crate::Failure;

/// What a process can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Sidecar,
    Accounts,
    Catalog,
    Wallet,
    Gateway,
    Prober,
}

impl Target {
    /// Those that one process holds, in the order of their start: who is called before who calls.
    pub(crate) const TOGETHER: [Target; 5] =
        [Target::Sidecar, Target::Accounts, Target::Catalog, Target::Wallet, Target::Gateway];

    /// Every one. The prober is a process of its own in any case: who looks at a program from outside must not end with it.
    pub(crate) const ALL: [Target; 6] = [
        Target::Sidecar,
        Target::Accounts,
        Target::Catalog,
        Target::Wallet,
        Target::Gateway,
        Target::Prober,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Sidecar => sidecar::NAME,
            Target::Accounts => accounts::NAME,
            Target::Catalog => catalog::NAME,
            Target::Wallet => wallet::NAME,
            Target::Gateway => gateway::NAME,
            Target::Prober => prober::NAME,
        }
    }

    /// The target of a name that clap has accepted.
    pub(crate) fn named(name: &str) -> Target {
        let found = Target::ALL.into_iter().find(|target| target.name() == name);
        found.unwrap_or_else(|| unreachable!("clap knows no target {name}"))
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Target::Sidecar => {
                "Receives, keeps and shows telemetry: OTLP, Jaeger's API, the console"
            }
            Target::Accounts => "People, their passwords and tokens",
            Target::Catalog => "The songs",
            Target::Wallet => "Who keeps which songs",
            Target::Gateway => "The public API",
            Target::Prober => "Walks through the public API over and over, and tells how that went",
        }
    }

    pub(crate) fn arguments(self) -> Vec<Arg> {
        match self {
            Target::Sidecar => arguments::<sidecar::Config>("Sidecar").collect(),
            Target::Accounts => arguments::<accounts::Config>("Accounts").collect(),
            Target::Catalog => arguments::<catalog::Config>("Catalog").collect(),
            Target::Wallet => arguments::<wallet::Config>("Wallet").collect(),
            Target::Gateway => arguments::<gateway::Config>("Gateway").collect(),
            Target::Prober => arguments::<prober::Config>("Prober").collect(),
        }
    }

    /// Settings that each target has.
    pub(crate) fn common_arguments() -> Vec<Arg> {
        arguments::<config::telemetry::Telemetry>("Telemetry").collect()
    }
}

/// The settings of one service.
#[derive(Clone, Debug)]
pub(crate) enum Settings {
    Sidecar(Box<sidecar::Config>), // it has twice as much as the others
    Accounts(accounts::Config),
    Catalog(catalog::Config),
    Wallet(wallet::Config),
    Gateway(gateway::Config),
    Prober(prober::Config),
}

impl Settings {
    /// `None` when one of them is wrong; the reader knows which.
    pub(crate) fn read(target: Target, reader: &mut Reader) -> Option<Settings> {
        match target {
            Target::Sidecar => {
                let config: sidecar::Config = Part::read(reader)?;
                for (variable, message) in config.open_to_others().chain(config.contradictions()) {
                    reader.mistake(variable, message);
                }
                Some(Settings::Sidecar(Box::new(config)))
            }
            Target::Accounts => Part::read(reader).map(Settings::Accounts),
            Target::Catalog => Part::read(reader).map(Settings::Catalog),
            Target::Wallet => Part::read(reader).map(Settings::Wallet),
            Target::Gateway => Part::read(reader).map(Settings::Gateway),
            Target::Prober => Part::read(reader).map(Settings::Prober),
        }
    }

    /// Notes every file with a secret that is named and cannot be read: before anything starts, and `--check` tells it, too.
    pub(crate) fn for_secrets(&self, reader: &mut Reader) {
        let (variable, file) = match self {
            Settings::Sidecar(config) => ("CONSOLE_TOKEN_FILE", &config.token_file),
            Settings::Accounts(config) => {
                ("ACCOUNTS_DATABASE_PASSWORD_FILE", &config.database_password_file)
            }
            Settings::Catalog(config) => {
                ("CATALOG_DATABASE_PASSWORD_FILE", &config.database_password_file)
            }
            Settings::Wallet(config) => {
                ("WALLET_DATABASE_PASSWORD_FILE", &config.database_password_file)
            }
            Settings::Prober(_) | Settings::Gateway(_) => return,
        };
        let Some(path) = file else { return };
        if let Err(cause) = fs::read(path) {
            unreadable(reader, variable, path, &cause);
        }
    }

    /// The same for what the service makes where it is missing, and so only for what is there.
    pub(crate) fn for_made_secrets(&self, reader: &mut Reader) {
        let (variable, path) = match self {
            Settings::Accounts(config) => ("ACCOUNTS_SIGNING_KEY_FILE", &config.signing_key),
            Settings::Prober(config) => ("PROBER_PASSWORD_FILE", &config.password_file),
            Settings::Sidecar(_)
            | Settings::Catalog(_)
            | Settings::Wallet(_)
            | Settings::Gateway(_) => return,
        };
        // A folder that cannot be made is told by who makes it.
        let missing = |it: &io::Error| {
            matches!(it.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        if let Some(cause) = fs::read(path).err().filter(|it| !missing(it)) {
            unreadable(reader, variable, path, &cause);
        }
    }

    /// Notes what may be so while one tries things out, and not in production.
    pub(crate) fn for_production(&self, reader: &mut Reader) {
        if let Some(Database { location, migrations, .. }) = self.database() {
            let variable = migrations.setting;
            if location.has_password() && reader.source(variable) == Some(Source::Flag) {
                reader.mistake(
                    variable,
                    format!(
                        "there is a password in a flag, which everybody on this machine can see. Set {variable}_PASSWORD_FILE to a file that holds it"
                    ),
                );
            }
        }
        match self {
            Settings::Sidecar(config) => {
                for (variable, message) in config.open_without_token() {
                    reader.mistake(variable, message);
                }
            }
            Settings::Accounts(config) if is_missing(&config.signing_key) => reader.mistake(
                "ACCOUNTS_SIGNING_KEY_FILE",
                format!(
                    "{} is not there. In production the key is made beforehand and kept, so that it is the same after each start: \
                     openssl genpkey -algorithm ed25519 -out FILE && chmod 600 FILE",
                    config.signing_key.display()
                ),
            ),
            Settings::Prober(config) if is_missing(&config.password_file) => reader.mistake(
                "PROBER_PASSWORD_FILE",
                format!(
                    "{} is not there. In production the password is made beforehand and kept, so that the prober's user can sign in after \
                     each start: openssl rand -hex 16 > FILE && chmod 600 FILE",
                    config.password_file.display()
                ),
            ),
            Settings::Accounts(_)
            | Settings::Catalog(_)
            | Settings::Wallet(_)
            | Settings::Gateway(_)
            | Settings::Prober(_) => {}
        }
    }

    /// The service's database, where it has one.
    pub(crate) fn database(&self) -> Option<Database> {
        match self {
            Settings::Accounts(config) => Some(accounts::database(config)),
            Settings::Catalog(config) => Some(catalog::database(config)),
            Settings::Wallet(config) => Some(wallet::database(config)),
            Settings::Sidecar(_) | Settings::Gateway(_) | Settings::Prober(_) => None,
        }
    }

    /// The socket for health and metrics: its variable and its address.
    pub(crate) fn internal(&self) -> (&'static str, SocketAddr) {
        let found = self.addresses().into_iter().find(|(role, ..)| *role == "internal");
        let (_, variable, address) = found.unwrap_or_else(|| unreachable!("each service has one"));
        (variable, address)
    }

    fn addresses(&self) -> Vec<(&'static str, &'static str, SocketAddr)> {
        match self {
            Settings::Sidecar(config) => {
                let jaeger = ("jaeger", "SIDECAR_JAEGER_LISTEN", config.jaeger_listen);
                let jaeger = config.serves_jaeger().then_some(jaeger);
                let others = [
                    ("otlp-grpc", "SIDECAR_OTLP_GRPC_LISTEN", config.otlp_grpc_listen),
                    ("otlp-http", "SIDECAR_OTLP_HTTP_LISTEN", config.otlp_http_listen),
                    ("console", "CONSOLE_LISTEN", config.console_listen),
                    ("internal", "SIDECAR_INTERNAL_LISTEN", config.internal_listen),
                ];
                others.into_iter().chain(jaeger).collect()
            }
            Settings::Accounts(config) => vec![
                ("api", "ACCOUNTS_LISTEN", config.listen),
                ("internal", "ACCOUNTS_INTERNAL_LISTEN", config.internal_listen),
            ],
            Settings::Catalog(config) => vec![
                ("api", "CATALOG_LISTEN", config.listen),
                ("internal", "CATALOG_INTERNAL_LISTEN", config.internal_listen),
            ],
            Settings::Wallet(config) => vec![
                ("api", "WALLET_LISTEN", config.listen),
                ("internal", "WALLET_INTERNAL_LISTEN", config.internal_listen),
            ],
            Settings::Gateway(config) => vec![
                ("api", "GATEWAY_LISTEN", config.listen),
                ("internal", "GATEWAY_INTERNAL_LISTEN", config.internal_listen),
            ],
            Settings::Prober(config) => {
                vec![("internal", "PROBER_INTERNAL_LISTEN", config.internal_listen)]
            }
        }
    }
}

fn unreadable(reader: &mut Reader, variable: &'static str, path: &Path, cause: &io::Error) {
    let path = path.display();
    reader.mistake(
        variable,
        format!(
            "{path} cannot be read ({cause}); set it to a file that the user that runs MusicWallet can read"
        ),
    );
}

/// Not so where it cannot be told, which is told as a file that cannot be read.
fn is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

/// A service whose sockets are bound, before anything else of it exists.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) target: Target,
    pub(crate) settings: Settings,
    sockets: Vec<(&'static str, TcpListener)>,
    /// What Alertmanager tells the sidecar, on the internal port, which is served before the sidecar is prepared.
    alerts: sidecar::Alerts,
}

impl Bound {
    /// Binds every socket of the service.
    pub(crate) fn bind(target: Target, settings: Settings) -> Result<Bound, Failure> {
        let bind = |(role, variable, address): (&'static str, &'static str, SocketAddr)| {
            let socket = TcpListener::bind(address).map_err(|error| {
                let flag = variable.to_ascii_lowercase().replace('_', "-");
                let name = target.name();
                let why = match error.kind() {
                    io::ErrorKind::AddrInUse => "another program has it".to_owned(),
                    _ => error.to_string(),
                };
                Failure::new(
                    Failure::START,
                    format!(
                        "{name} cannot listen on {address} ({role}): {why}. Stop the other program, or set {variable} \
                         (--{flag}) to another address; port 0 takes any free one. Nothing was started."
                    ),
                )
            })?;
            Ok((role, socket))
        };
        let sockets = settings.addresses().into_iter().map(bind).collect::<Result<_, Failure>>()?;
        let alerts = sidecar::Alerts::default();
        let mut bound = Bound { target, settings, sockets, alerts };
        bound.tell_the_console();
        Ok(bound)
    }

    /// The console shows where to send telemetry: the real ports, not the 0 of a setting.
    fn tell_the_console(&mut self) {
        let (grpc, http) = (self.address("otlp-grpc"), self.address("otlp-http"));
        let (jaeger, console) = (self.address("jaeger"), self.address("console"));
        let internal = self.address("internal");
        if let Settings::Sidecar(config) = &mut self.settings {
            let addresses = [
                (&mut config.otlp_grpc_listen, grpc),
                (&mut config.otlp_http_listen, http),
                (&mut config.jaeger_listen, jaeger),
                (&mut config.console_listen, console),
                (&mut config.internal_listen, internal),
            ];
            for (setting, bound) in addresses {
                *setting = bound.unwrap_or(*setting);
            }
        }
    }

    /// The address of a socket, with the real port where the setting says 0.
    pub(crate) fn address(&self, role: &str) -> Option<SocketAddr> {
        let (_, socket) = self.sockets.iter().find(|(name, _)| *name == role)?;
        socket.local_addr().ok()
    }

    /// Every socket with its role.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.sockets.iter().filter_map(|(role, socket)| Some((*role, socket.local_addr().ok()?)))
    }

    /// The socket for health and metrics, with what else is served there, once.
    pub(crate) fn internal(&mut self) -> anyhow::Result<Endpoint> {
        let endpoint = Endpoint::internal(self.take("internal")?);
        let Settings::Sidecar(config) = &self.settings else { return Ok(endpoint) };
        let (router, policy) = self.alerts.webhook(&config.allowed_hosts);
        Ok(Endpoint { router, policy, ..endpoint })
    }

    /// Makes everything but the sockets: opens and migrates databases, builds the routes. Nothing answers yet.
    pub(crate) async fn prepare(mut self, parts: &Parts) -> anyhow::Result<Vec<Endpoint>> {
        let endpoints = match &self.settings {
            Settings::Sidecar(config) => sidecar::endpoints(config, parts, self.alerts.clone())?
                .into_iter()
                .map(|(role, router, policy)| {
                    Ok(Endpoint { role, listener: self.take(role)?, router, policy })
                })
                .collect::<anyhow::Result<_>>()?,
            Settings::Accounts(config) => {
                let router = accounts::router(config, parts).await?;
                vec![self.api(router, accounts::policy())?]
            }
            Settings::Catalog(config) => {
                let router = catalog::router(config, parts).await?;
                vec![self.api(router, catalog::policy())?]
            }
            Settings::Wallet(config) => {
                let router = wallet::router(config, parts).await?;
                vec![self.api(router, wallet::policy())?]
            }
            Settings::Gateway(config) => {
                let router = gateway::router(config, parts).await?;
                vec![self.api(router, gateway::policy())?]
            }
            Settings::Prober(config) => {
                prober::start(config, parts)?;
                Vec::new() // nobody asks it for anything but health and metrics
            }
        };
        Ok(endpoints)
    }

    fn api(
        &mut self,
        router: axum::Router,
        policy: platform::service::Policy,
    ) -> anyhow::Result<Endpoint> {
        Ok(Endpoint { role: "api", listener: self.take("api")?, router, policy })
    }

    fn take(&mut self, role: &str) -> anyhow::Result<TcpListener> {
        let at = self.sockets.iter().position(|(name, _)| *name == role);
        let at = at.with_context(|| format!("there is no socket for {role}"))?;
        Ok(self.sockets.swap_remove(at).1)
    }
}

/// In one process the services call the sockets that this process bound, whatever ports those got. With `seed` a first start has songs.
pub(crate) fn connect(services: &mut [Bound], seed: bool) {
    let url = |services: &[Bound], target: Target, role: &str| {
        let service = services.iter().find(|service| service.target == target)?;
        HttpUrl::parse(&format!("http://{}", service.address(role)?)).ok()
    };
    let accounts = url(services, Target::Accounts, "api");
    let catalog = url(services, Target::Catalog, "api");
    let wallet = url(services, Target::Wallet, "api");
    let scrape = services
        .iter()
        .filter_map(|service| {
            let internal = url(services, service.target, "internal")?;
            Some(format!("{}={internal}/metrics", service.target.name()))
        })
        .collect::<Vec<_>>();
    for service in services {
        match &mut service.settings {
            Settings::Sidecar(config) => config.scrape.clone_from(&scrape),
            Settings::Accounts(_) | Settings::Prober(_) => {}
            Settings::Catalog(config) => {
                set(&mut config.accounts_url, accounts.as_ref());
                config.seed |= seed;
            }
            Settings::Wallet(config) => {
                set(&mut config.accounts_url, accounts.as_ref());
                set(&mut config.catalog_url, catalog.as_ref());
            }
            Settings::Gateway(config) => {
                set(&mut config.accounts_url, accounts.as_ref());
                set(&mut config.catalog_url, catalog.as_ref());
                set(&mut config.wallet_url, wallet.as_ref());
            }
        }
    }
}

fn set(url: &mut HttpUrl, bound: Option<&HttpUrl>) {
    if let Some(bound) = bound {
        url.clone_from(bound);
    }
}
