#!/bin/sh
# Installs what building, testing and the demo need, on Debian and Ubuntu, with apt-get.
#
#   scripts/setup.sh [build|test|demo|bench|fuzz]     default: test
#
# build: compilers and libraries, and the PostgreSQL server headers if there are any to be had
# test:  build, plus the PostgreSQL server and Catch2; fails when something cannot be had
# demo:  build, plus the PROJ database and the PostgreSQL server; goes on without PostgreSQL
# bench: build, plus the PostgreSQL server and pglogical to compare with; goes on without either
# fuzz:  build, plus clang with libFuzzer and the sanitizers
#
# Takes milliseconds when nothing is missing. Never starts or uses the system's PostgreSQL cluster.
set -eu

want=${1:-test}
compile="g++ make cmake pkg-config libxxhash-dev libzstd-dev liblz4-dev libpq-dev libsqlite3-dev
         nlohmann-json3-dev"
tools="python3 sqlite3 zstd"
case $want in
  build) needed=$compile ;;
  test) needed="$compile $tools catch2 proj-data" ;;
  demo) needed="$compile $tools proj-data" ;;
  bench) needed="$compile $tools" ;;
  fuzz) needed="$compile $tools clang llvm libclang-rt-dev" ;;
  *) echo "usage: scripts/setup.sh [build|test|demo|bench|fuzz]" >&2; exit 2 ;;
esac

say() { echo "setup: $*" >&2; }

if ! command -v dpkg-query >/dev/null; then
  say "this is not Debian or Ubuntu: install the counterparts of these yourself: $needed postgresql"
  exit 0
fi

installed() { dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
              awk '$2 == "installed" { print $1 }'; }
missing_of() {
  have=" $(installed "$@" | tr '\n' ' ') "
  for p in "$@"; do case $have in *" $p "*) ;; *) printf '%s ' "$p" ;; esac; done
}

# The newest PostgreSQL that has both server and headers installed, else the newest with a server.
pg_installed() {
  for config in /usr/lib/postgresql/*/bin/postgres; do
    [ -x "$config" ] && basename "$(dirname "$(dirname "$config")")"
  done | sort -rn | head -1
}
pg_available() {
  apt-cache --names-only search '^postgresql-server-dev-[0-9]+$' 2>/dev/null |
    sed -n 's/^postgresql-server-dev-\([0-9]*\) .*/\1/p' | sort -rn | head -1
}

# shellcheck disable=SC2086  # lists of package names are meant to split
missing=$(missing_of $needed)
version=$(pg_installed)
pg_missing=
if [ -n "$version" ]; then
  pg_missing=$(missing_of "postgresql-server-dev-$version")
  if [ -f "/usr/include/postgresql/$version/server/postgres.h" ]; then pg_missing=; fi
fi
rival_missing() {
  [ "$want" != bench ] || [ -z "$version" ] || missing_of "postgresql-$version-pglogical"
}
ready=
if [ -z "$missing$pg_missing" ] && [ -n "$version" ]; then ready=1; fi
if [ -n "$ready" ] && [ -z "$(rival_missing)" ]; then exit 0; fi

as_root=
if [ "$(id -u)" != 0 ]; then
  if command -v sudo >/dev/null; then
    as_root=sudo
  elif [ -n "$ready" ]; then
    say "no root or sudo to install pglogical: going on without"
    exit 0
  elif [ -z "$missing" ] && [ "$want" != test ]; then
    say "no PostgreSQL, and no root or sudo to install it: going on without"
    exit 0
  else
    say "missing: $missing$pg_missing${version:+}"
    say "not root and no sudo: have an administrator run  apt-get install $missing$pg_missing"
    exit 1
  fi
fi

# RUNLEVEL=1 keeps a freshly installed PostgreSQL from starting a cluster that nobody asked for.
apt() {
  $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq -o Dpkg::Use-Pty=0 "$@" >&2
}

say "fetching package lists"
apt update || say "apt-get update failed: trying with the lists that are here"
if [ -z "$version" ]; then
  version=$(pg_available)
  if [ -n "$version" ]; then
    pg_missing=$(missing_of "postgresql-$version" "postgresql-server-dev-$version")
  fi
fi

# shellcheck disable=SC2086
if [ -n "$missing" ]; then
  say "installing $missing"
  apt install -y --no-install-recommends $missing || {
    say "could not install: $missing"
    exit 1
  }
fi
# shellcheck disable=SC2086
if [ -n "$pg_missing" ]; then
  say "installing $pg_missing"
  apt install -y --no-install-recommends $pg_missing || version=
fi
if [ -z "$version" ]; then
  say "PostgreSQL cannot be installed here"
  if [ "$want" = test ]; then exit 1; fi
  say "going on without it: only the SQLite part will be built and shown"
fi
rival=$(rival_missing)
if [ -n "$rival" ]; then
  say "installing $rival"
  # shellcheck disable=SC2086
  apt install -y --no-install-recommends $rival || say "going on without it"
fi
