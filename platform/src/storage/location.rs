//! Where a database is: a file of SQLite, or a database on a server of PostgreSQL.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use crate::config::Value;

/// Where a service's database is. It never shows a password.
#[derive(Clone, Debug)]
pub enum Location {
    /// A file of SQLite.
    File(PathBuf),
    /// A database on a server of PostgreSQL.
    Server(Server),
}

/// A database on a server of PostgreSQL, and who comes.
#[derive(Clone)]
pub struct Server {
    pub(super) user: String,
    pub(super) password: Option<SecretString>,
    /// A name, an address, or the folder of a Unix socket.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
}

impl Location {
    /// Whether the address itself has a password in it.
    pub fn has_password(&self) -> bool {
        matches!(self, Location::Server(Server { password: Some(_), .. }))
    }

    /// The same, with the password that the file at `path` holds; space around it does not count.
    pub(super) fn with_password(
        self,
        path: Option<&Path>,
        setting: &str,
    ) -> anyhow::Result<Location> {
        match (self, path) {
            (Location::Server(server), Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|cause| {
                    anyhow!(
                        "the password of {server} cannot be read from {} ({cause}); set {setting}_PASSWORD_FILE to a file \
                         that the user that runs MusicWallet can read",
                        path.display()
                    )
                })?;
                let password = Some(SecretString::from(text.trim()));
                Ok(Location::Server(Server { password, ..server }))
            }
            (location, _) => Ok(location),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Location {
        Location::File(path.to_owned())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File(path) => path.display().fmt(f),
            Location::Server(server) => server.fmt(f),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Server { user, host, port, database, .. } = self;
        match host.contains(':') {
            true => write!(f, "postgres://{user}@[{host}]:{port}/{database}"),
            false => write!(f, "postgres://{user}@{host}:{port}/{database}"),
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

impl Value for Location {
    const EXPECTED: &'static str =
        "a path for SQLite, or postgres://user@host:port/database for PostgreSQL";

    fn parse(text: &str) -> Result<Location, String> {
        match text.split_once(':') {
            Some(("postgres" | "postgresql", _)) => server(text.trim()).map(Location::Server),
            Some(("" | "file", _)) => Err(
                "is SQLite's name for a database in memory or with options; only a plain path can be shared and kept".to_owned(),
            ),
            Some((_, rest)) if rest.starts_with("//") => {
                Err("is an address, but not one of PostgreSQL".to_owned())
            }
            _ => Ok(Location::File(text.into())),
        }
    }

    /// Without the password, also where the rest makes no sense.
    fn shown(text: &str) -> String {
        let Some((scheme, rest)) = text.split_once(':') else { return text.to_owned() };
        if !scheme.starts_with("postgres") && !rest.starts_with("//") {
            return text.to_owned();
        }
        let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
        let slashes = user.len() - user.trim_start_matches('/').len();
        let name = user[slashes..].split(':').next().unwrap_or_default();
        let hidden = if user[slashes..].contains(':') { ":***" } else { "" };
        let at = if user.is_empty() { "" } else { "@" };
        // libpq takes a password there, too; we refuse it, but not by showing it.
        let place = match place.to_ascii_lowercase().find("password") {
            Some(secret) => format!("{}***", &place[..secret]),
            None => place.to_owned(),
        };
        format!("{scheme}:{}{name}{hidden}{at}{place}", &user[..slashes])
    }
}

fn server(text: &str) -> Result<Server, String> {
    let wrong = |why: &str| Err(why.to_owned());
    let Ok(url) = reqwest::Url::parse(text) else { return wrong("is not an address") };
    let decoded = |part: &str| {
        let text = percent_decode_str(part).decode_utf8().map_err(|_| "is not UTF-8".to_owned())?;
        if text.contains('\0') {
            return Err("has the character U+0000".to_owned());
        }
        Ok(text.into_owned())
    };
    let mut host = decoded(url.host_str().unwrap_or_default())?;
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("host", _) => host = value.into_owned(),
            ("sslmode", "disable" | "allow" | "prefer") => {}
            ("sslmode", _) => {
                return wrong("demands TLS, which this program does not have; leave sslmode out");
            }
            _ => return wrong("has a parameter besides host and sslmode"),
        }
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (user, database) = (decoded(url.username())?, decoded(url.path().trim_matches('/'))?);
    if user.is_empty() || host.is_empty() || database.is_empty() {
        return wrong("has no user, no host or no database");
    }
    let password = url.password().map(decoded).transpose()?.map(SecretString::from);
    Ok(Server { user, password, host, port: url.port().unwrap_or(5432), database })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(text: &str) -> Server {
        match Location::parse(text) {
            Ok(Location::Server(server)) => server,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_path_is_a_file_and_an_address_a_server() {
        for path in ["./data/catalog.db", "/a b/c:d.db", "postgres.db"] {
            assert!(
                matches!(Location::parse(path), Ok(Location::File(it)) if it == Path::new(path))
            );
        }
        let server = read("postgres://ada:p%40ss%2F@db.example:5433/songs");
        let password = server.password.as_ref().unwrap().expose_secret();
        assert_eq!((password, server.port), ("p@ss/", 5433));
        assert_eq!(server.to_string(), "postgres://ada@db.example:5433/songs");
        assert_eq!(read("postgresql://ada@[::1]/songs?sslmode=prefer").host, "::1");
        for socket in ["postgres://a@%2Fvar%2Frun/b", "postgres://a@x/b?host=/var/run"] {
            assert_eq!(read(socket).to_string(), "postgres://a@/var/run:5432/b");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        for (text, why) in [
            ("postgres://a@b/c?sslmode=require", "demands TLS"),
            ("postgres://a@b/c?sslmode=verify-full", "demands TLS"),
            ("postgres://a@b/c?password=x", "parameter"),
            ("postgres://b/c", "no user"),
            ("postgres://a@b", "no database"),
            ("postgres:a", "no user"),
            ("mysql://a@b/c", "not one of PostgreSQL"),
            ("postgres://a@b:port/c", "not an address"),
            (":memory:", "in memory"),
            ("file:x?mode=memory", "in memory"),
        ] {
            let told = Location::parse(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn passwords_are_not_shown_even_where_the_rest_is_wrong() {
        for (text, shown) in [
            ("postgres://ada:canary@b:1/c", "postgres://ada:***@b:1/c"),
            ("postgres://ada:can@a/ry#?@b:port", "postgres://ada:***@b:port"),
            ("postgress://ada:canary@b/c", "postgress://ada:***@b/c"),
            ("postgres:ada:canary@b/c", "postgres:ada:***@b/c"),
            ("postgres://ada@b/c?password=canary", "postgres://ada@b/c?***"),
            ("./data/a:b@c.db", "./data/a:b@c.db"),
        ] {
            assert_eq!(Location::shown(text), shown);
        }
        let told = format!("{:?}", read("postgres://ada:canary@b/c"));
        assert_eq!(told, "Server(postgres://ada@b:5432/c)");
    }
}
