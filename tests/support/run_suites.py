"""Runs the suites that tests/run_all.sh describes, two at a time, and counts."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")
LOGS = BUILD / "test-logs"
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
TIMEOUT = 3600
REGRESS = """
eval "$(scripts/pg_cluster.sh start)" || exit 1
trap 'scripts/pg_cluster.sh stop "$PGDATA"' EXIT
status=0
for other in ISOLATION REGRESS; do
  make --no-print-directory -C pg_ext with_llvm=no $other= \\
    PG_CONFIG="$(scripts/pg_cluster.sh bindir)/pg_config" installcheck || status=1
done
[ $status = 0 ] || cat pg_ext/regression.diffs pg_ext/output_iso/regression.diffs 2>/dev/null
exit $status
"""


def count_catch(text):
    """(passed, failed, skipped) of a Catch2 program's summary, versions 2 and 3."""
    if re.search(r"All tests passed", text):
        found = re.search(r"in (\d+) test cases?\)", text)
        return int(found[1]) if found else 0, 0, 0
    cases = re.search(r"test cases:(.*)", text)
    if not cases:
        return 0, 0 if "No tests ran" in text else 1, 0
    numbers = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped)", cases[1])}
    return numbers.get("passed", 0), numbers.get("failed", 0), numbers.get("skipped", 0)


def count_python(text):
    found = re.findall(r"(?m)^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", text)
    return tuple(int(n or 0) for n in found[-1]) if found else (0, 1, 0)


def count_regress(text):
    """PostgreSQL 15 prints "test name ... ok", later versions print TAP."""
    passed = len(re.findall(r"(?m)^(?:test .*\.\.\. ok|ok \d+)", text))
    failed = len(re.findall(r"(?m)^(?:test .*\.\.\. FAILED|not ok \d+)", text))
    return passed, failed, 0


def python(path):
    """Runs a suite; in a sanitizer's run, with its runtime, which must be in the process first."""
    preload = os.environ.get("SYNCLINE_PYTHON_PRELOAD")
    # Python and SQLite keep memory until they end: leaks are looked for in the C++ tests only.
    extra = ["env", f"LD_PRELOAD={preload}", "ASAN_OPTIONS=detect_leaks=0"] if preload else []
    return [*extra, PYTHON, str(path)]


def suites(quick, flags):
    """(name, command, counter), the longest first. --sqlite: no PostgreSQL, nothing of tools."""
    only_sqlite = "--sqlite" in flags
    found = [(f"sanitize_{kind}", ["sh", "scripts/sanitize.sh", kind], count_python)
             for flag, kind in (("--asan", "address"), ("--tsan", "thread")) if flag in flags]
    if not quick and not only_sqlite:
        makefile = re.sub(r"\\\n", " ", (ROOT / "pg_ext/Makefile").read_text())
        if re.search(r"(?m)^(REGRESS|ISOLATION)\s*[:+]?=[ \t]*\w", makefile):
            found.append(("pg_regress", ["sh", "-c", REGRESS], count_regress))
    for path in sorted(ROOT.glob("tests/sqlite_*_test.py" if only_sqlite else "tests/*_test.py")):
        if not quick or path.stem == "tidy_test":
            found.append((path.stem, python(path), count_python))
    listed = (ROOT / "tests/CMakeLists.txt").read_text()
    for name in re.findall(r"(?m)^syncline_test\((?:issues/)?(\w+)", listed):
        found.append((name, [str(BUILD / "tests" / name)], count_catch))
    return found


def build_seed():
    """Of the commit, so that each looks at other seeds and both can be run again."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True,
                              text=True, check=False).stdout
        return str(int(head[:8], 16))
    except (OSError, ValueError):
        return "20261126"  # not from git: always the same


def run(name, command, counter):
    started = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=TIMEOUT, check=False)
        text, status = done.stdout, done.returncode
    except (subprocess.TimeoutExpired, OSError) as error:
        text, status = f"{error}\n", 1
    (LOGS / f"{name}.log").write_text(text)
    passed, failed, skipped = counter(text)
    if status and not failed:
        failed = 1
    return name, text, (passed, failed, skipped), time.monotonic() - started


def summary(counts):
    passed, failed, skipped = counts
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def main():
    quick = "--quick" in sys.argv
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    if quick:
        os.environ["SYNCLINE_QUICK"] = "1"  # simulations and random tests run a few seeds
    os.environ.setdefault("SYNCLINE_BUILD_SEED", build_seed())
    LOGS.mkdir(parents=True, exist_ok=True)
    totals = [0, len(os.environ.get("SYNCLINE_FAILED_BUILDS", "").split()), 0]
    chosen = [s for s in suites(quick, sys.argv)
              if not wanted or any(w in s[0] for w in wanted)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for job in concurrent.futures.as_completed([pool.submit(run, *s) for s in chosen]):
            name, text, counts, seconds = job.result()
            totals = [a + b for a, b in zip(totals, counts)]
            if counts[1]:
                print(text[-20000:], flush=True)
            print(f"{'FAIL' if counts[1] else 'ok':4} {name}: {summary(counts)} [{seconds:.1f}s]",
                  flush=True)
            for line in re.findall(r"(?m)^skip .*", text):
                print(f"     {line}", flush=True)
    print(summary(totals))
    sys.exit(1 if totals[1] else 0)


if __name__ == "__main__":
    main()
