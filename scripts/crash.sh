#!/bin/sh
# The crash tests in their long form.
#
#   scripts/crash.sh [seconds]     default: 60 seconds for each suite, the disks and memory included
#
# SYNCLINE_SEED=n begins with another seed; by default the time of day.
set -u
cd "$(dirname "$0")/.."

build=${BUILD:-build}
SYNCLINE_SEED=${SYNCLINE_SEED:-$(date +%s)}
seconds=${1:-60}
export SYNCLINE_SEED
failed=0
run() { # seconds for each part, command...
  echo "crash: ${*##*/}, seed $SYNCLINE_SEED"
  SYNCLINE_CRASH_SECONDS=$1
  export SYNCLINE_CRASH_SECONDS
  shift
  "$@" || failed=1
}
run $((seconds / 6 + 1)) "$build/tests/sqlite_faults_test"   # six kinds of faults
run $((seconds / 2 + 1)) "$build/tests/sqlite_memory_test"   # two
run "$seconds" /usr/bin/python3 tests/sqlite_crash_test.py
if scripts/pg_cluster.sh install; then
  run "$seconds" /usr/bin/python3 tests/postgres_crash_test.py
else
  failed=1
fi
exit $failed
