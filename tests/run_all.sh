#!/bin/sh
# Builds both extensions and the unit tests, installs the PostgreSQL extension, runs every suite.
#
#   tests/run_all.sh [--quick | [--asan] [--tsan]] [part-of-a-suite's-name...]
#
# Suites: Catch2 binaries, tests/*_test.py, pg_regress with the isolation specs. --quick runs the
# Catch2 binaries (with short simulations) and the tidy test; --asan and --tsan add `make asan`
# and `make tsan`, each program of theirs counted as a test. The last line of output is
# "N passed, M failed[, K skipped]"; the exit status is 0 only when M is 0.
set -u
cd "$(dirname "$0")/.." || exit 2

quick=
if [ "${1:-}" = --quick ]; then quick=1; fi

# A build that fails is a failed test; the suites that do not need it still run.
failed_builds=
build() { # name, command...
  name=$1
  shift
  log=${BUILD:-build}/test-logs/$name.log
  mkdir -p "$(dirname "$log")"
  if "$@" >"$log" 2>&1; then
    echo "ok   $name"
  else
    echo "FAIL $name"
    tail -40 "$log"
    failed_builds="$failed_builds $name"
  fi
}
build build-extensions make --no-print-directory all
build build-units make --no-print-directory units
if [ -z "$quick" ]; then build install-postgresql scripts/pg_cluster.sh install; fi

SYNCLINE_FAILED_BUILDS=$failed_builds exec /usr/bin/python3 tests/support/run_suites.py "$@"
