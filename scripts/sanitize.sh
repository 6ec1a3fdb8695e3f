#!/bin/sh
# Builds with a sanitizer and runs what it is for.
#
#   scripts/sanitize.sh address    C++ tests, and the SQLite suites of tests/*.py with the extension
#                                  loaded into a Python that has the sanitizer's runtime
#   scripts/sanitize.sh thread     the tests that start threads
#
# Uses build-asan/ or build-tsan/. The last line says what failed.
set -eu
cd "$(dirname "$0")/.."

case ${1:-} in
  address) build=build-asan option=SYNCLINE_SANITIZE library=libasan.so ;;
  thread) build=build-tsan option=SYNCLINE_TSAN library= ;;
  *) echo "usage: scripts/sanitize.sh address|thread" >&2; exit 2 ;;
esac
launcher=$(command -v ccache >/dev/null && echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache) || true
# shellcheck disable=SC2086  # the launcher is an option or nothing
cmake -S . -B "$build" -D$option=ON -DSYNCLINE_TESTS=ON $launcher ${CMAKE_FLAGS:-} >/dev/null

failed=
run() { # name, command...
  name=$1
  shift
  mkdir -p "$build/test-logs"
  if "$@" >"$build/test-logs/$name.log" 2>&1; then
    echo "ok   $name: $(tail -3 "$build/test-logs/$name.log" | grep -E 'passed' | tail -1)"
  else
    tail -40 "$build/test-logs/$name.log"
    echo "FAIL $name: see $build/test-logs/$name.log"
    failed="$failed $name"
  fi
}

if [ "$1" = thread ]; then
  cmake --build "$build" -j"${JOBS:-2}" --target sqlite_threads_test
  TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/tests/support/tsan.txt ${TSAN_OPTIONS:-}"
  export TSAN_OPTIONS
  run sqlite_threads_test "$build/tests/sqlite_threads_test"
else
  cmake --build "$build" -j"${JOBS:-2}"
  UBSAN_OPTIONS=print_stacktrace=1
  export UBSAN_OPTIONS
  for test in $(sed -n 's/^syncline_test(\([a-z_]*\).*/\1/p' tests/CMakeLists.txt); do
    run "$test" "$build/tests/$test"
  done
  # Python and SQLite keep memory until they end: leaks are looked for in the C++ tests only.
  runtime=$(${CXX:-g++} -print-file-name=$library)
  for suite in sqlite_crash sqlite_exchange sqlite_input sqlite_rules sqlite_rules_apply \
               sqlite_triggers; do
    if [ ! -f tests/${suite}_test.py ]; then continue; fi
    run ${suite}_test env LD_PRELOAD="$runtime" ASAN_OPTIONS=detect_leaks=0 \
      BUILD="$build" /usr/bin/python3 tests/${suite}_test.py
  done
fi
if [ -n "$failed" ]; then
  echo "failed:$failed"
  exit 1
fi
echo "all passed under the $1 sanitizer"
