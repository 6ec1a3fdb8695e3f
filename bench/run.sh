#!/bin/sh
# The figures of README "Performance": bench/run.sh [ROWS] [REPETITIONS]. See bench/README.md.
set -eu
cd "$(dirname "$0")/.."
rows=${1:-100000}
repetitions=${2:-5}
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

g++ -std=c++20 -O2 -Wall -Wextra bench/bench_sqlite.cpp -o "$work/bench_sqlite" -lsqlite3
echo "SQLite, W1, $rows rows, $repetitions repetitions" >&2
"$work/bench_sqlite" "$build/syncline" "$work" "$rows" "$repetitions" > "$build/bench_sqlite.jsonl"
if scripts/pg_cluster.sh bindir >/dev/null 2>&1; then
  scripts/pg_cluster.sh install >/dev/null
  echo "PostgreSQL, W1, $rows rows, $repetitions repetitions" >&2
  /usr/bin/python3 bench/bench_postgres.py "$rows" "$repetitions" > "$build/bench_postgres.jsonl"
fi
