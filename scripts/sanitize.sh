#!/bin/sh
# Builds with a sanitizer and runs what it is for.
#
#   scripts/sanitize.sh address    C++ tests, and tests/sqlite_*_test.py with the extension loaded
#                                  into a Python that has the sanitizer's runtime
#   scripts/sanitize.sh thread     the tests that start threads
#
# Uses build-asan/ or build-tsan/. The last line is "N passed, M failed".
set -eu
cd "$(dirname "$0")/.."

case ${1:-} in
  address) BUILD=build-asan option=SYNCLINE_SANITIZE target=all ;;
  thread) BUILD=build-tsan option=SYNCLINE_TSAN target=sqlite_threads_test ;;
  *) echo "usage: scripts/sanitize.sh address|thread" >&2; exit 2 ;;
esac
launcher=$(command -v ccache >/dev/null && echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache) || true
# shellcheck disable=SC2086  # the launcher is an option or nothing
cmake -S . -B "$BUILD" -D$option=ON -DSYNCLINE_TESTS=ON $launcher ${CMAKE_FLAGS:-} >/dev/null
cmake --build "$BUILD" -j"${JOBS:-2}" --target $target

export BUILD
unset SYNCLINE_FAILED_BUILDS
if [ "$1" = thread ]; then
  TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/tests/support/tsan.txt ${TSAN_OPTIONS:-}"
  export TSAN_OPTIONS
  exec /usr/bin/python3 tests/support/run_suites.py --sqlite sqlite_threads_test
fi
UBSAN_OPTIONS=print_stacktrace=1
SYNCLINE_PYTHON_PRELOAD=$(${CXX:-g++} -print-file-name=libasan.so)
SYNCLINE_QUICK=1  # random tests run a few seeds: everything takes several times as long
export UBSAN_OPTIONS SYNCLINE_PYTHON_PRELOAD SYNCLINE_QUICK
exec /usr/bin/python3 tests/support/run_suites.py --sqlite
