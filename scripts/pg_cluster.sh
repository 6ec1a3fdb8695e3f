#!/bin/sh
# A private PostgreSQL cluster in a temporary folder, for tests and the demo.
#
#   eval "$(scripts/pg_cluster.sh start [--tcp] [--durable] [--conf 'name=value']...)"
#       exports PGHOST (a socket folder), PGPORT, PGUSER (a superuser), PGDATA, PGDATABASE;
#       with --tcp the server listens on 127.0.0.1:$PGPORT too. fsync is off unless --durable.
#   scripts/pg_cluster.sh stop "$PGDATA" [immediate|fast]     stops it and removes the folder
#   scripts/pg_cluster.sh restart "$PGDATA" [immediate|fast]  stops and starts it, data kept
#   scripts/pg_cluster.sh bindir                              where the server's programs are
#   scripts/pg_cluster.sh install                             installs the extension for it
#
# Callers set a trap that calls stop. The server never runs as root: then it runs as `postgres` or
# `nobody`.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "pg_cluster: $*" >&2; exit 1; }

find_bindir() {
  if [ -n "${PG_CONFIG:-}" ]; then "$PG_CONFIG" --bindir && return; fi
  newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5n | tail -1)
  if [ -n "$newest" ] && [ -x "$newest/postgres" ]; then echo "$newest" && return; fi
  pg_config --bindir 2>/dev/null || fail "no PostgreSQL server found; set PG_CONFIG"
}
bindir=$(find_bindir)
[ -x "$bindir/initdb" ] || fail "no PostgreSQL server in $bindir"

if [ "$(id -u)" = 0 ]; then
  owner=postgres
  id "$owner" >/dev/null 2>&1 || owner=nobody
else
  owner=
fi
as_owner() { # runs a command as the server's owner, from a folder that the owner may enter
  cd /
  if [ -z "$owner" ]; then "$@"
  elif command -v setpriv >/dev/null; then
    setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups env HOME=/tmp "$@"
  else
    runuser -u "$owner" -- env HOME=/tmp "$@"
  fi
}

# A start that meets a port taken in the meantime fails, and is tried again with another.
free_port() {
  /usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

write_conf() { # base tcp fsync
  if [ "$3" = on ]; then durable=on; else durable=off; fi
  cat <<END
unix_socket_directories = '$1'
listen_addresses = '$2'
fsync = $durable
full_page_writes = $durable
synchronous_commit = $durable
max_connections = 60
max_worker_processes = 40
shared_buffers = 128MB
max_wal_size = 2GB
log_line_prefix = '%m [%p] %q%a '
END
}

start() {
  tcp= durable=off conf=
  while [ $# -gt 0 ]; do
    case $1 in
      --tcp) tcp=127.0.0.1 ;;
      --durable) durable=on ;;
      --conf) shift; conf="$conf$1
" ;;
      *) fail "unknown option $1" ;;
    esac
    shift
  done
  base=$(mktemp -d "${SYNCLINE_PG_TMP:-/tmp}/syncline-pg-XXXXXX")
  chmod 755 "$base"
  [ -z "$owner" ] || chown "$owner" "$base"
  : > "$base/syncline-private-cluster"
  data=$base/data
  as_owner "$bindir/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N \
    >"$base/initdb.log" 2>&1 ||
    { cat "$base/initdb.log" >&2; rm -rf "$base"; fail "initdb failed"; }
  write_conf "$base" "$tcp" "$durable" >> "$data/postgresql.conf"
  printf '%s' "$conf" >> "$data/postgresql.conf"
  tries=0
  while :; do
    port=$(free_port)
    if as_owner "$bindir/pg_ctl" -D "$data" -l "$base/server.log" -w -t 30 -o "-p $port" start \
      >"$base/start.log" 2>&1; then break; fi
    tries=$((tries + 1))
    if [ $tries -ge 3 ]; then
      tail -20 "$base/server.log" >&2
      rm -rf "$base"
      fail "the server did not start"
    fi
  done
  echo "export PGHOST=$base PGPORT=$port PGUSER=postgres PGDATABASE=postgres PGDATA=$data"
}

base_of() {
  base=$(dirname "${1:?folder missing}")
  [ -f "$base/syncline-private-cluster" ] || base=$1
  [ -f "$base/syncline-private-cluster" ] || fail "$1 is not a cluster that this script made"
}

stop() {
  base_of "$1"
  as_owner "$bindir/pg_ctl" -D "$base/data" -m "${2:-immediate}" -w stop >/dev/null 2>&1 || true
  rm -rf "$base"
}

restart() {
  base_of "$1"
  as_owner "$bindir/pg_ctl" -D "$base/data" -m "${2:-fast}" -l "$base/server.log" -w restart \
    >"$base/start.log" 2>&1 ||
    { tail -20 "$base/server.log" >&2; fail "the server did not restart"; }
}

install() {
  config=${PG_CONFIG:-$bindir/pg_config} sudo=
  for dir in "$("$config" --pkglibdir)" "$("$config" --sharedir)/extension"; do
    [ -w "$dir" ] || sudo="sudo -n"
  done
  if [ -n "$sudo" ] && ! $sudo true 2>/dev/null; then
    fail "cannot write to $("$config" --pkglibdir): run 'make install' as root (or with sudo) first"
  fi
  # shellcheck disable=SC2086  # two words, or none
  $sudo make --no-print-directory -s -C "$root" install PG_CONFIG="$config"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  start) start "$@" ;;
  stop) stop "$@" ;;
  restart) restart "$@" ;;
  bindir) echo "$bindir" ;;
  install) install ;;
  *) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
