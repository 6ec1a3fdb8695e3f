"""Style as a test: reads the files that git knows and fails on what STYLE rules forbid.

Each check is one line of output; the findings are listed under it.
"""
import re
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/support")
from harness import ROOT, main, test  # noqa: E402
sys.path.insert(0, str(ROOT / "scripts"))
from mutate import MUTATIONS  # noqa: E402

CODE = (".c", ".h", ".cpp", ".hpp")
TEXT = CODE + (".py", ".sh", ".sql", ".txt", ".cmake", ".spec", ".map", ".md", "Makefile", ".in")
FORBIDDEN_WORDS = ("FIX" + "ME", "TO" + "DO", "XX" + "X:")


def tracked():
    """Files that git tracks or would, as paths from the root."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                         capture_output=True, text=True).stdout.split("\n")
    return [name for name in out if name and (ROOT / name).is_file()]


FILES = tracked()


def lines_of(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace").split("\n")


def with_suffix(*suffixes):
    return [name for name in FILES if name.endswith(suffixes)]


def report(findings):
    assert not findings, f"{len(findings)} found:\n    " + "\n    ".join(findings[:40])


def is_output(name):
    """Expected output of a program and tables in documentation: their lines may be long."""
    return name.startswith("expected/") or "/expected/" in name or name.endswith(".md")


# PostgreSQL's own style indents C with tabs: pg_ext/sl_*.c may.
@test("tidy: no line is longer than 100 columns, ends in blanks, or holds a tab")
def _(_t):
    findings = []
    for name in with_suffix(*TEXT):
        if is_output(name):
            continue
        for number, line in enumerate(lines_of(name), 1):
            width = len(line.expandtabs(4))
            if width > 100:
                findings.append(f"{name}:{number}: {width} columns")
            if line != line.rstrip():
                findings.append(f"{name}:{number}: ends in blanks")
            if "\t" in line and not name.endswith("Makefile") and not name.startswith("pg_ext/sl_"):
                findings.append(f"{name}:{number}: a tab")
    report(findings)


def function_lengths(name):
    """(first line, length) of the functions of a C or C++ file whose closing brace is in column 0,
    or which stand in a class: a line that opens a brace after a parameter list, up to the closing
    brace at the same indentation."""
    lines = lines_of(name)
    opener = re.compile(r"^(\s*)(?!namespace|extern|enum|union|else|if|for|while|switch|do|struct|"
                        r"class|\}|try|catch|case|return)\S.*\)[^;=]*\{\s*$")
    start = None
    for number, line in enumerate(lines, 1):
        if start is None:
            found = opener.match(line)
            if found:
                start, indent = number, found[1]
                if line.lstrip().startswith(":"):  # a constructor's members, further in
                    indent = indent[:-4]
            elif line == "{" and number > 1 and lines[number - 2].rstrip().endswith(")"):
                start, indent = number - 1, ""
        elif re.match(rf"^{indent}\}}", line):
            yield start, number - start + 1
            start = None


@test("tidy: no function is longer than 70 lines")
def _(_t):
    findings = []
    for name in with_suffix(*CODE):
        if not name.startswith("tests/"):
            findings += [f"{name}:{start}: {length} lines"
                         for start, length in function_lengths(name) if length > 70]
    for name in with_suffix(".py"):
        start = None
        for number, line in enumerate(lines_of(name) + ["end"], 1):
            if start and line and not line[0].isspace() and line[0] not in ")#":
                if number - start[0] > 72:
                    findings.append(f"{name}:{start[0]}: {number - start[0]} lines")
                start = None
            if line.startswith("def "):
                start = (number, line)
    report(findings)


def budget(name):
    if name.startswith("core/include/"):
        return 200
    if name.endswith(("Makefile", "CMakeLists.txt")):
        return 80
    return 600


@test("tidy: files keep to their budgets: core headers 200 lines, build files 80, others 600")
def _(_t):
    findings = []
    for name in with_suffix(*CODE, ".py", ".sh", "Makefile", "CMakeLists.txt"):
        length = len(lines_of(name)) - 1
        if length > budget(name):
            findings.append(f"{name}: {length} lines, budget {budget(name)}")
    report(findings)


@test("tidy: host headers stay out of core/, postgres.h in pg_ext/sl_*.c")
def _(_t):
    findings = []
    host = re.compile(r'#\s*include\s*[<"](postgres|sqlite3|sqlite3ext|libpq|fmgr|access/|'
                      r"executor/|utils/|catalog/|unistd\.h|sys/|thread>|iostream>|fstream>|"
                      r"chrono>)")
    for name in with_suffix(*CODE):
        for number, line in enumerate(lines_of(name), 1):
            if name.startswith("core/") and host.search(line):
                findings.append(f"{name}:{number}: {line.strip()}")
            if re.search(r'#\s*include\s*[<"]postgres\.h', line) and \
                    not re.fullmatch(r"pg_ext/sl_\w+\.[ch]", name):
                findings.append(f"{name}:{number}: postgres.h")
            if "PG_VERSION_NUM" in line and name != "pg_ext/sl_compat.h":
                findings.append(f"{name}:{number}: PG_VERSION_NUM outside sl_compat.h")
    report(findings)


@test("tidy: no unfinished business and no path of one machine")
def _(_t):
    findings = []
    machine = re.compile(r"/(?:home|work|root|Users)/\w")
    for name in with_suffix(*TEXT):
        for number, line in enumerate(lines_of(name), 1):
            findings += [f"{name}:{number}: {w}" for w in FORBIDDEN_WORDS
                         if re.search(rf"\b{w}", line)]
            if machine.search(line) and name != "tests/tidy_test.py":
                findings.append(f"{name}:{number}: {line.strip()[:80]}")
    report(findings)


@test("tidy: every core .cpp has a test, and a target builds every test")
def _(_t):
    findings = []
    built = (ROOT / "tests/CMakeLists.txt").read_text()
    tests = [name for name in FILES if re.fullmatch(r"tests/(issues/)?\w+_test\.cpp", name)]
    for name in tests:
        stem = name[len("tests/"):-len(".cpp")]
        if not re.search(rf"\b{re.escape(stem)}\b", built):
            findings.append(f"{name}: no syncline_test({stem}) in tests/CMakeLists.txt")
    covered = "\n".join(line for name in tests for line in lines_of(name)[:8])
    for name in FILES:
        stem = re.fullmatch(r"core/src/(\w+)\.cpp", name)
        if stem and f"tests/{stem[1]}_test.cpp" not in tests and f"{stem[1]}.cpp" not in covered:
            findings.append(f"{name}: no tests/{stem[1]}_test.cpp, and no test's head names it")
    report(findings)


@test("tidy: every sql/ file is in REGRESS, every spec in ISOLATION, each with expected output")
def _(_t):
    findings = []
    text = re.sub(r"\\\n", " ", (ROOT / "pg_ext/Makefile").read_text())
    listed = {key: re.findall(r"[\w-]+", " ".join(re.findall(rf"(?m)^{key}\s*[:+]?=(.*)$", text)))
              for key in ("REGRESS", "ISOLATION")}
    for folder, suffix, key, expected in (("sql", ".sql", "REGRESS", "expected"),
                                          ("pg_ext/specs", ".spec", "ISOLATION",
                                           "pg_ext/expected")):
        for name in FILES:
            if name.startswith(folder + "/") and name.endswith(suffix):
                stem = name[len(folder) + 1:-len(suffix)]
                if stem not in listed[key]:
                    findings.append(f"{name}: not in {key} of pg_ext/Makefile")
                if f"{expected}/{stem}.out" not in FILES:
                    findings.append(f"{name}: no {expected}/{stem}.out")
    report(findings)


@test("tidy: core files are listed by name in core/CMakeLists.txt and pg_ext/Makefile")
def _(_t):
    findings = []
    cmake = (ROOT / "core/CMakeLists.txt").read_text()
    pgxs = (ROOT / "pg_ext/Makefile").read_text()
    for name in FILES:
        stem = re.fullmatch(r"core/src/(\w+)\.cpp", name)
        if stem:
            if f"src/{stem[1]}.cpp" not in cmake:
                findings.append(f"{name}: not in core/CMakeLists.txt")
            if not re.search(rf"\b{stem[1]}\.o\b", pgxs):
                findings.append(f"{name}: no {stem[1]}.o in pg_ext/Makefile")
    report(findings)


@test("tidy: what scripts/mutate.py breaks stands in the core, once")
def _(_t):
    findings = [f"{name} has the source of \"{rule}\" {count} times"
                for rule, name, source, _ in MUTATIONS
                for count in [(ROOT / "core/src" / name).read_text().count(source)] if count != 1]
    report(findings)


if __name__ == "__main__":
    main()
