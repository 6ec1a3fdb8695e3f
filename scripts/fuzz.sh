#!/bin/sh
# Builds the fuzz targets with clang and runs each for an equal share of the time.
#
#   scripts/fuzz.sh [seconds [target...]]      default: 60 seconds, all targets of fuzz/targets.hpp
#
# Inputs that find new code are kept in build-fuzz/corpus, an input that breaks something in
# build-fuzz/found: run it again with  build-fuzz/fuzz/fuzz_<target> <file>.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -eq 0 ] || shift
targets=${*:-$(sed -n 's/^  X(\([a-z_]*\)).*/\1/p' fuzz/targets.hpp)}
clang=${CLANG:-$(command -v clang++ || ls /usr/bin/clang++-* 2>/dev/null | sort -V | tail -1)}
probe='extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }'
if [ -z "$clang" ] || ! echo "$probe" |
   "$clang" -x c++ -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null; then
  echo "make fuzz needs clang with libFuzzer: scripts/setup.sh fuzz installs it" >&2
  exit 1
fi

launcher=$(command -v ccache >/dev/null && echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache) || true
# shellcheck disable=SC2086  # the launcher is an option or nothing
cmake -S . -B build-fuzz -DSYNCLINE_FUZZ=ON -DCMAKE_CXX_COMPILER="$clang" $launcher >/dev/null
programs=
for target in $targets; do programs="$programs fuzz_$target"; done
# shellcheck disable=SC2086
cmake --build build-fuzz -j"${JOBS:-2}" --target $programs >build-fuzz/build.log ||
  { tail -40 build-fuzz/build.log >&2; exit 1; }

count=$(echo "$targets" | wc -w)
share=$((seconds / count))
[ "$share" -ge 1 ] || share=1
mkdir -p build-fuzz/found
failed=
for target in $targets; do
  mkdir -p "build-fuzz/corpus/$target"
  seeds=fuzz/corpus/$target
  [ -d "$seeds" ] || seeds=
  log=build-fuzz/found/$target.log
  # shellcheck disable=SC2086
  if build-fuzz/fuzz/fuzz_"$target" -max_total_time="$share" -timeout=25 -rss_limit_mb=3000 \
     -max_len=4096 -print_final_stats=1 -artifact_prefix=build-fuzz/found/"$target"- \
     build-fuzz/corpus/"$target" $seeds >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "ok   fuzz $target: $runs inputs in $share s, $(grep -o 'cov: [0-9]*' "$log" | tail -1)"
  else
    tail -40 "$log"
    echo "FAIL fuzz $target: see $log"
    failed="$failed $target"
  fi
done
[ -z "$failed" ]
