#!/bin/sh
# The product's own role, and one for Grafana that may read what `courtyard migrate --reader grafana` gives it. PostgreSQL's
# image runs this once, when the volume is new; run it again after a password was replaced.
set -eu
secrets=${SECRETS:-/run/secrets}

psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set app="$(cat "$secrets/postgres_app_password")" --set reader="$(cat "$secrets/postgres_reader_password")" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', name) FROM (VALUES ('courtyard'), ('grafana')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE courtyard PASSWORD :'app';
ALTER ROLE grafana PASSWORD :'reader' CONNECTION LIMIT 20;
ALTER ROLE grafana SET default_transaction_read_only = on;
ALTER ROLE grafana SET statement_timeout = '30s';
SELECT format('ALTER DATABASE %I OWNER TO courtyard', current_database()) \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO grafana', current_database()) \gexec
SQL
