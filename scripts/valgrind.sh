#!/bin/sh
# Runs regress tests in a PostgreSQL server under valgrind: use of uninitialised or freed memory.
#
#   scripts/valgrind.sh [test...]      names of sql/*.sql; default: all of them
#
# Slow: thirty times. The extension must be installed. Reports: build/valgrind/*.log; an error that
# tests/support/valgrind.supp does not explain fails the run.
set -eu
cd "$(dirname "$0")/.."
command -v valgrind >/dev/null || { echo "valgrind.sh needs valgrind" >&2; exit 1; }

tests=${*:-$(basename -s .sql -a sql/*.sql | tr '\n' ' ')}
root=$PWD
bindir=$(scripts/pg_cluster.sh bindir)
logs=$root/${BUILD:-build}/valgrind
rm -rf "$logs"
mkdir -p "$logs"
eval "$(scripts/pg_cluster.sh start)"
trap 'scripts/pg_cluster.sh stop "$PGDATA"' EXIT

if [ "$(id -u)" = 0 ]; then
  owner=$(stat -c %U "$PGDATA")
  chown "$owner" "$logs"
  as_owner() { setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups "$@"; }
else
  as_owner() { "$@"; }
fi
cp tests/support/valgrind.supp "$PGHOST/valgrind.supp"
chmod 644 "$PGHOST/valgrind.supp"
cd /
as_owner "$bindir/pg_ctl" -D "$PGDATA" -m fast -w stop >/dev/null
as_owner valgrind --quiet --trace-children=yes --leak-check=no --num-callers=30 --time-stamp=yes \
  --error-limit=no --suppressions="$PGHOST/valgrind.supp" --log-file="$PGHOST/valgrind-%p.log" \
  "$bindir/postgres" -D "$PGDATA" -p "$PGPORT" >>"$PGHOST/server.log" 2>&1 &
tries=0
until "$bindir/pg_isready" -q -t 10; do
  tries=$((tries + 1))
  [ $tries -lt 120 ] || { tail "$PGHOST/server.log" >&2; exit 1; }
  sleep 1
done
cd "$root"
status=0
# pg_regress gives up on a connection after a minute only if it cannot connect at all.
make --no-print-directory -C pg_ext with_llvm=no REGRESS="$tests" ISOLATION= \
  PG_CONFIG="$bindir/pg_config" installcheck || status=1
cp "$PGHOST"/valgrind-*.log "$logs" 2>/dev/null || true
as_owner "$bindir/pg_ctl" -D "$PGDATA" -m fast -w -t 120 stop >/dev/null || true
cp "$PGHOST"/valgrind-*.log "$logs" 2>/dev/null || true
kinds="Syscall param|depends on uninit|Invalid (read|write|free)|Use of uninit"
errors=$(cat "$logs"/*.log | grep -cE "$kinds" || true)
echo "valgrind: $errors errors in $(ls "$logs" | wc -l) processes; tests: $tests"
[ "$errors" = 0 ] && [ $status = 0 ]
