"""SQLite, through the helper program: a scripting language's cost a row would drown the figures."""
import sqlite3
import subprocess

from measure import BUILD, ROOT, harness, say, zstd_size

SOURCES = sorted((ROOT / "bench" / "helper").glob("*.cpp"))


def has_session():
    """Was the SQLite library built with the session extension?"""
    options = [row[0] for row in sqlite3.connect(":memory:").execute("PRAGMA compile_options")]
    return "ENABLE_SESSION" in options and "ENABLE_PREUPDATE_HOOK" in options


def build_helper():
    """Builds the helper program if a source is newer than it; returns its path."""
    target = BUILD / "bench" / "bench_sqlite"
    target.parent.mkdir(parents=True, exist_ok=True)
    inputs = SOURCES + list((ROOT / "bench" / "helper").glob("*.hpp"))
    if target.exists() and all(p.stat().st_mtime <= target.stat().st_mtime for p in inputs):
        return target
    # sqlite3.h declares the session functions only when asked to
    session = ["-DSQLITE_ENABLE_SESSION", "-DSQLITE_ENABLE_PREUPDATE_HOOK"] if has_session() else []
    subprocess.run(["g++", "-std=c++20", "-O2", "-Wall", "-Wextra", *session, *map(str, SOURCES),
                    "-o", str(target), "-lsqlite3"], check=True)
    return target


class Helper:
    """Runs suites of the helper program in a folder and collects what they say."""

    def __init__(self, samples, folder):
        self.samples, self.folder, self.program = samples, folder, build_helper()

    def run(self, suite, rows, repetition=0, *more):
        command = [str(self.program), suite, harness.EXTENSION, str(self.folder), str(rows),
                   str(repetition), *map(str, more)]
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        self.samples.read_lines(out)


def csv_of(path, query):
    return subprocess.run(["sqlite3", "-csv", str(path), query], stdout=subprocess.PIPE,
                          check=True).stdout


def measure_wire(samples, folder):
    """CSV and changesets of what suites `exchange` and `session` have left in the folder."""
    everything = csv_of(folder / "plain.db", "SELECT * FROM task")
    count = everything.count(b"\n")
    samples.add("wire.full.csv", len(everything) / count)
    samples.add("wire.full.csv_zstd", zstd_size(everything) / count)
    pairs = (folder / "delta.csv").read_bytes()
    keys = (folder / "delta.keys").read_bytes()
    count = pairs.count(b"\n")
    samples.add("wire.delta.csv", len(pairs) / count)
    samples.add("wire.delta.csv_zstd", zstd_size(pairs) / count)
    samples.add("wire.delta.beyond_key",
                samples.values["wire.delta.syncline"][-1] - zstd_size(keys) / count)


def measure_changesets(samples, folder, rows):
    full = (folder / "full.changeset").read_bytes()
    samples.add("wire.full.changeset", len(full) / rows)
    samples.add("wire.full.changeset_zstd", zstd_size(full) / rows)
    delta = (folder / "delta.changeset").read_bytes()
    samples.add("wire.delta.changeset", len(delta) / (rows // 5))
    patchset = (folder / "delta.patchset").read_bytes()
    samples.add("wire.delta.patchset", len(patchset) / (rows // 5))
    samples.add("wire.delta.patchset_zstd", zstd_size(patchset) / (rows // 5))


def measure_fills(samples, folder, options):
    """The first fill of an empty file from another."""
    helper = Helper(samples, folder)
    for repetition in range(options.repetitions):
        say(f"SQLite fills, repetition {repetition + 1} of {options.repetitions}")
        helper.run("fill", options.fill_rows, repetition)


def measure(samples, folder, options):
    """Writing, exchange, wire, idle and small syncs; scaling.py does the rest."""
    helper = Helper(samples, folder)
    for repetition in range(options.repetitions):
        say(f"SQLite, repetition {repetition + 1} of {options.repetitions}")
        helper.run("writes", options.rows, repetition)
        helper.run("exchange", options.rows, repetition)
        measure_wire(samples, folder)
        if has_session():
            helper.run("session", options.rows, repetition)
            measure_changesets(samples, folder, options.rows)
        else:
            samples.skip("session extension", "this SQLite library was built without it")
        for tables, peers in options.idle:
            helper.run("idle", 0, repetition, tables, peers)
        helper.run("small", min(options.rows, 10_000), repetition)
