#!/bin/sh
# The demo: the PROJ database on two SQLite devices and a PostgreSQL hub. `make demo` calls this
# after building. Everything lives in one temporary folder, removed at the end.
set -eu
cd "$(dirname "$0")/.."

folder=$(mktemp -d /tmp/syncline-demo-XXXXXX)
PGDATA=
clean_up() {
  [ -z "$PGDATA" ] || scripts/pg_cluster.sh stop "$PGDATA"
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

if ! scripts/pg_cluster.sh bindir >/dev/null 2>&1; then
  echo "PostgreSQL is not to be had here: showing the SQLite part only."
elif ! scripts/pg_cluster.sh install; then
  echo "The PostgreSQL extension could not be installed: showing the SQLite part only."
else
  started=$(scripts/pg_cluster.sh start)
  eval "$started"
fi
/usr/bin/python3 demo/demo.py "$folder" ${PGDATA:+--hub}
