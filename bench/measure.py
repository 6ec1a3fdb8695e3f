"""Samples of figures, and the machine they were taken on."""
import contextlib
import json
import os
import pathlib
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import figures

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import harness  # noqa: E402

BUILD = ROOT / os.environ.get("BUILD", "build")


class Samples:
    """Every value that was measured, by figure, and what was left out and why."""

    def __init__(self):
        self.values = {}
        self.cpu = {}
        self.points = {}     # scaling: (engine, what) -> {rows: [seconds]}
        self.skipped = []

    def add(self, key, value, cpu=None):
        if key not in figures.FIGURES:
            raise KeyError(f"{key} is not in bench/figures.py")
        self.values.setdefault(key, []).append(value)
        if cpu:
            self.cpu.setdefault(key, []).append(cpu)

    def add_ratio(self, key, time, base):
        """A ratio of two times, each with its processor time as .cpu where that is known."""
        known = getattr(time, "cpu", None) and getattr(base, "cpu", None)
        self.add(key, time / base, time.cpu / base.cpu if known else None)

    def add_point(self, engine, what, rows, seconds):
        self.points.setdefault((engine, what), {}).setdefault(rows, []).append(seconds)

    def skip(self, what, reason):
        """Says once why figures are missing."""
        line = f"{what}: {' '.join(str(reason).split())}"
        if line not in self.skipped:
            self.skipped.append(line)
            print(f"  skipped: {line}", file=sys.stderr)

    def median(self, key):
        return statistics.median(self.values[key]) if key in self.values else None

    def read_lines(self, text):
        """Takes over the lines of JSON that a helper program printed."""
        for line in text.splitlines():
            sample = json.loads(line)
            name, at, rows = sample["figure"].partition("@")
            if at:
                _, engine, what = name.split(".")
                self.add_point(engine, what, int(rows), sample["value"])
            else:
                self.add(name, sample["value"], sample["cpu"])


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def scratch():
    """A folder that anybody may enter, as the owner of a server must; removed at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="syncline-bench-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def alternate(repetition, plain, tracked):
    """Runs both, in an order that changes from repetition to repetition; returns their results."""
    if repetition % 2:
        second = tracked()
        return plain(), second
    return plain(), tracked()


def zstd_size(data):
    """Size after zstd -3."""
    return len(subprocess.run(["zstd", "-3", "-q", "-c"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout)


def first_line(*command):
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return (out.stdout or out.stderr).strip().split("\n")[0] or None


def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def memory_gib():
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def system_name():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()


def busy_cores(seconds=2.0):
    """How many cores are at work. (The load average still counts the build before the run.)"""
    def ticks():
        fields = pathlib.Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0].split()[1:9]
        return sum(map(int, fields)), int(fields[3]) + int(fields[4])
    try:
        all_before, idle_before = ticks()
        time.sleep(seconds)
        all_after, idle_after = ticks()
    except OSError:  # not Linux
        return os.getloadavg()[0]
    busy = 1 - (idle_after - idle_before) / max(1, all_after - all_before)
    return round(busy * (os.cpu_count() or 1), 2)


def environment():
    """What a reader has to know to judge the figures."""
    bindir = first_line(harness.CLUSTER_SCRIPT, "bindir")
    postgres = first_line(f"{bindir}/postgres", "--version") if bindir else None
    commit = first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    return {
        "syncline": (ROOT / "VERSION").read_text(encoding="utf-8").strip(),
        "commit": commit,
        "sqlite": sqlite3.sqlite_version,
        "postgresql": postgres,
        "zstd": first_line("zstd", "--version"),
        "compiler": first_line("g++", "--version"),
        "system": system_name(),
        "kernel": platform.release(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": memory_gib(),
        "busy_cores_at_start": busy_cores(),
    }
