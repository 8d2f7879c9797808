//! PostgreSQL before the first statement: the server, the way in, the schema. Every failure is one sentence with a remedy.

use std::time::Duration;

use anyhow::anyhow;
use secrecy::ExposeSecret as _;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection,
    migrate::{Migrate as _, MigrateError},
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    Dialect, Migrations,
    error::sqlstate,
    location::Server,
    migrate::{self, Migrated, Place},
};

/// How long the first connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How every connection of ours is set up. The server ends a statement that takes longer than 5 s, and one that waits 2 s for a lock.
pub(super) fn options(server: &Server, migrations: &Migrations) -> PgConnectOptions {
    base(server, migrations).options([("statement_timeout", "5s"), ("lock_timeout", "2s")])
}

fn base(server: &Server, migrations: &Migrations) -> PgConnectOptions {
    let password = server.password.as_ref().map_or("", |it| it.expose_secret());
    // All of them are set: the driver would take what is not from variables of its own.
    PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port)
        .username(&server.user)
        .password(password)
        .database(&server.database)
        .ssl_mode(PgSslMode::Disable)
        .application_name(&migrations.service())
        // "already exists, skipping" is no news.
        .options([("client_min_messages", "warning")])
        // The spans have the statements.
        .disable_statement_logging()
}

/// Migrates under the server's own lock, so that of several who start at once each finds the work done or does it. Tells the schema, too.
pub(super) async fn prepare(
    server: &Server,
    migrations: &Migrations,
) -> anyhow::Result<(String, Migrated)> {
    let explain = |cause| explain(server, migrations, cause);
    // A migration may take its time; somebody else's may, too.
    let options = base(server, migrations).options([("lock_timeout", "60s")]);
    let mut connection = connect(&options).await.map_err(explain)?;
    let migrated = migrated(server, migrations, &mut connection).await;
    // It also lets go of the lock. What matters is done.
    drop(connection.close().await);
    migrated
}

async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    tokio::time::timeout(CONNECT, PgConnection::connect_with(options)).await.map_err(late)?
}

/// The schema of a database that has the version of this program. Nothing is migrated.
pub(super) async fn schema_of_this_version(
    server: &Server,
    migrations: &Migrations,
) -> anyhow::Result<String> {
    let explain = |cause| explain(server, migrations, cause);
    let mut connection = connect(&options(server, migrations)).await.map_err(explain)?;
    // Null where there is no such table, or none that may be seen.
    let here = "SELECT current_schema()::text, to_regclass('_sqlx_migrations') IS NOT NULL";
    let found: sqlx::Result<(Option<String>, Option<i64>)> = async {
        let (schema, has) =
            sqlx::query_as::<_, (Option<String>, bool)>(here).fetch_one(&mut connection).await?;
        let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
        let version = if has { version.fetch_one(&mut connection).await? } else { None };
        Ok((schema, version))
    }
    .await;
    drop(connection.close().await); // what matters is done
    let (schema, version) = found.map_err(explain)?;
    migrate::is_this_version(&server.to_string(), version, migrations)?;
    Ok(schema.unwrap_or_default())
}

async fn migrated(
    server: &Server,
    migrations: &Migrations,
    connection: &mut PgConnection,
) -> anyhow::Result<(String, Migrated)> {
    let explain = |cause| explain(server, migrations, cause);
    connection.lock().await.map_err(|cause| match cause {
        MigrateError::Execute(cause) => explain(cause),
        other => anyhow!("the database {server} cannot be locked: {other}"),
    })?;
    // Tables that an extension brought are nobody's.
    let here = "SELECT current_schema()::text, current_setting('server_encoding'), \
        count(c.oid) > 0 AND count(c.oid) FILTER (WHERE c.relname = '_sqlx_migrations') = 0 \
        FROM (SELECT 1) AS one LEFT JOIN pg_class AS c ON c.relnamespace = to_regnamespace(quote_ident(current_schema())) \
        AND c.relkind IN ('r', 'p') \
        AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')";
    let (schema, encoding, foreign) = sqlx::query_as::<_, (Option<String>, String, bool)>(here)
        .fetch_one(&mut *connection)
        .await
        .map_err(explain)?;
    let setting = migrations.setting;
    let Some(schema) = schema else {
        return Err(anyhow!(
            "the database {server} has no schema that {} may use; GRANT USAGE, CREATE ON SCHEMA public to it, or set {setting} \
             to a database of its own",
            server.user
        ));
    };
    if encoding != "UTF8" {
        return Err(anyhow!(
            "the database {server} has the encoding {encoding}; set {setting} to one that was created with ENCODING 'UTF8'"
        ));
    }
    let place = Place {
        name: server.to_string(),
        another: "database",
        dialect: Dialect::Postgres,
        migrations,
        foreign,
    };
    let migrated = migrate::run(&place, connection, explain).await?;
    Ok((schema, migrated))
}

/// A failure to open as a sentence that somebody at a terminal can act on.
pub(super) fn explain(
    server: &Server,
    migrations: &Migrations,
    cause: sqlx::Error,
) -> anyhow::Error {
    let (setting, user, database) = (migrations.setting, &server.user, &server.database);
    if let sqlx::Error::Io(cause) = &cause {
        return anyhow!(
            "the PostgreSQL server of {server} cannot be reached ({cause}); start it, or set {setting} to where it is"
        );
    }
    let said = cause.as_database_error().map(|it| it.message().to_owned()).unwrap_or_default();
    match cause.as_database_error().and_then(sqlstate) {
        Some("28P01" | "28000") => anyhow!(
            "the PostgreSQL server does not let {user} into {server} ({said}); set the password by {setting}_PASSWORD_FILE, or \
             {setting} to another user"
        ),
        Some("3D000") => anyhow!(
            "there is no database {server}; create it (CREATE DATABASE \"{database}\" OWNER \"{user}\"), or set {setting} to \
             another database"
        ),
        Some("42501") => anyhow!(
            "{user} may not do what the schema of {server} needs ({said}); make it the database's owner, or set {setting} to \
             another database or user"
        ),
        Some("55P03") => anyhow!(
            "the database {server} is being migrated or locked by another program; wait until that is done, and start again"
        ),
        Some(state) if state.starts_with("53") || state.starts_with("57P") => anyhow!(
            "the PostgreSQL server of {server} takes no connection now ({said}); start again when it does"
        ),
        _ => anyhow::Error::new(cause).context(format!("the database {server} cannot be opened")),
    }
}
