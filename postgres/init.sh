#!/usr/bin/env bash
# A database and a role for each service that has data, and a role for the exporter of metrics. The image of PostgreSQL runs this once, for
# an empty data folder. A service can connect to its own database only.
set -euo pipefail
secrets=/run/secrets

for name in accounts catalog wallet exporter; do
  [[ -s $secrets/${name}_database ]] || {
    echo "postgres/init.sh: there is no password for $name: $secrets/${name}_database is missing or empty; sudo secrets/make makes it" >&2
    exit 1
  }
done

# psql reads the password itself: an argument could be seen by others.
create() { # name; the statements on stdin
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --set name="$1" --set file="$secrets/$1_database"
}
for name in accounts catalog wallet; do
  create "$name" <<'SQL'
\set password `cat :'file'`
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
# It sees statistics of all databases, and no table.
create exporter <<'SQL'
\set password `cat :'file'`
CREATE ROLE :"name" LOGIN PASSWORD :'password';
GRANT pg_monitor TO :"name";
SQL
