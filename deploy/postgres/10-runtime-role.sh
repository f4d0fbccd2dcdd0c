#!/bin/sh
# Runs once, when the PostgreSQL container initialises an empty volume. It creates the role of the
# servers, to which `orderflow migrate` grants privileges (DATABASE_RUNTIME_ROLE).
set -eu
psql -v ON_ERROR_STOP=1 -v password="$RUNTIME_PASSWORD" -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
create role orderflow_runtime login nosuperuser nocreatedb nocreaterole noinherit password :'password';
SQL
