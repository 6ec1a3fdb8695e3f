#!/usr/bin/env python3
"""Goal: a PostgreSQL server may die at any instant of an apply, a fold or a session: nothing that
was acknowledged is lost, and the next sync completes. Method: with fsync on, applications write and
sessions run while the server is stopped with `immediate`, or one of its processes is killed with
-9; then it starts again, everybody synchronises, and rows are compared.

SYNCLINE_CRASH_SECONDS=n goes on for n seconds (short form: 20); SYNCLINE_SEED chooses the instants.
"""
import json
import os
import pathlib
import random
import re
import signal
import sqlite3
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import EXTENSION, Cluster, SqlError, main, same_rows, test  # noqa: E402
from pairs import moved, quote, sync  # noqa: E402

SECONDS = float(os.environ.get("SYNCLINE_CRASH_SECONDS") or 20)
SEED = int(os.environ.get("SYNCLINE_SEED") or 1)
SCHEMA = "CREATE TABLE note(id TEXT PRIMARY KEY, n INTEGER, body TEXT)"
OPTIONS = quote(json.dumps({"max_bytes": 3000}))
# A server that crashed and one that starts again say these, and nothing else is forgiven.
CRASHED = ("server closed the connection", "terminating connection", "recovery mode",
           "starting up", "shutting down", "could not connect", "connection to server",
           "Connection refused", "the connection was lost", "No such file", "crash of another",
           "worker", "connection", "died", "stopped", "57P0", "08006", "locked")


class Writer(threading.Thread):
    """An application: one statement after the other, each noted when it was acknowledged."""

    def __init__(self, name, execute, seed):
        super().__init__(daemon=True)
        self.label, self.execute, self.rng = name, execute, random.Random(seed)
        self.acknowledged, self.next, self.ended, self.surprise = {}, 0, False, None

    def run(self):
        while not self.ended:
            try:
                self.write()
            except (SqlError, sqlite3.Error) as error:
                if not any(word in str(error) for word in CRASHED):
                    self.surprise = error
                time.sleep(0.1)

    def write(self):
        if self.next and self.rng.random() < 0.5:
            key, n = self.rng.choice(sorted(self.acknowledged.items()) or [(None, 0)])
            if key is None:
                return
            self.execute(f"UPDATE note SET n = {n + 1} WHERE id = {quote(key)}")
            self.acknowledged[key] = n + 1
            return
        self.next += 1
        keys = [f"{self.label}-{self.next}-{i}" for i in range(self.rng.choice((1, 1, 40)))]
        rows = ", ".join(f"({quote(key)}, 1, {quote('x' * self.rng.randrange(300))})"
                         for key in keys)
        self.execute(f"INSERT INTO note VALUES {rows}")
        self.acknowledged.update(dict.fromkeys(keys, 1))


class Crash:
    """Two databases on a server that crashes, and one file that does not."""

    def __init__(self, t):
        self.t, self.rng = t, random.Random(SEED)
        self.server = Cluster("--durable")
        self.hub, self.far = (self.server.database(name) for name in ("hub", "far"))
        self.device = t.sqlite("device")
        for db in (self.hub, self.far, self.device):
            db.run(SCHEMA)
            db.value("SELECT sync_enable('note')")
        self.crashes = self.sessions = self.broken = 0

    def writers(self, seed):
        def on_device(sql):
            connection = sqlite3.connect(self.device.path, isolation_level=None, timeout=10)
            try:
                connection.execute(sql)
            finally:
                connection.close()
        return [Writer(f"hub{seed}", self.hub.run, seed), Writer(f"far{seed}", self.far.run, seed),
                Writer(f"device{seed}", on_device, seed)]

    def session_loop(self, stop, call):
        while not stop.is_set():
            try:
                call()
                self.sessions += 1
            except (SqlError, sqlite3.Error) as error:
                self.broken += 1
                if not any(word in str(error) for word in CRASHED):
                    self.surprises.append(error)
                time.sleep(0.05)

    def on_device(self):
        connection = sqlite3.connect(self.device.path, isolation_level=None, timeout=10)
        try:
            connection.enable_load_extension(True)
            connection.load_extension(EXTENSION)
            connection.execute(f"SELECT sync_now({quote(self.hub.url)}, {OPTIONS})").fetchall()
        finally:
            connection.close()

    def kill(self):
        """Stops the server, or kills a process of it, most often one that works for us."""
        if self.rng.random() < 0.4:
            self.server.restart("immediate")
            return True
        pids = [int(row[0]) for row in self.server.postgres().rows(
            "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND (backend_type LIKE "
            "'syncline%' OR query LIKE '%sync_%' OR backend_type = 'checkpointer') "
            "ORDER BY backend_type = 'checkpointer'")]
        try:
            os.kill(self.rng.choice(pids), signal.SIGKILL)
        except (IndexError, ProcessLookupError):  # it has just ended
            return False
        return True

    def log(self):
        return (pathlib.Path(self.server.env["PGHOST"]) / "server.log").read_text(errors="replace")

    def starts(self):
        return self.log().count("ready to accept connections")

    def wait_for_start(self, before):
        deadline = time.monotonic() + 90
        while self.starts() == before:
            assert time.monotonic() < deadline, "the server does not come back"
            time.sleep(0.05)

    def round(self, seed):
        self.surprises = []
        stop = threading.Event()
        writers = self.writers(seed)
        loops = [threading.Thread(target=self.session_loop, args=(stop, call), daemon=True)
                 for call in (self.on_device, lambda: self.hub.run(
                     f"SELECT sync_now({quote(self.far.url)}, {OPTIONS})"))]
        for thread in writers + loops:
            thread.start()
        for _ in range(self.rng.randrange(1, 3)):
            time.sleep(0.3 + self.rng.random())
            before = self.starts()
            if self.kill():
                self.crashes += 1
                self.wait_for_start(before)
        time.sleep(0.1)
        stop.set()
        for writer in writers:
            writer.ended = True
        for thread in writers + loops:
            thread.join(60)
            assert not thread.is_alive(), "a session or a write hangs"
        assert not self.surprises, self.surprises[0]
        assert not any(w.surprise for w in writers), [w.surprise for w in writers]
        self.check({key: n for w in writers for key, n in w.acknowledged.items()})

    def check(self, acknowledged):
        for _ in range(6):
            if not moved(sync(self.hub, self.far)) + moved(sync(self.device, self.hub)):
                break
        else:
            raise AssertionError("rows still move after six rounds")
        same_rows(self.hub, self.far, ["note"])
        same_rows(self.device, self.hub, ["note"])
        found = dict(self.device.rows("SELECT id, n FROM note"))
        lost = {k: (n, found.get(k)) for k, n in acknowledged.items() if found.get(k, 0) < n}
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes are lost: " \
                         f"{list(lost.items())[:5]}"
        assert self.device.value("PRAGMA integrity_check") == "ok"
        bad = re.findall(r".*(?:terminated by signal (?!9:)|PANIC|TRAP).*", self.log())
        assert not bad, bad


@test("crash: a PostgreSQL server dies in the middle of applies, folds and sessions")
def _(t):
    crash = Crash(t)
    try:
        begin, seed = time.monotonic(), SEED
        while time.monotonic() < begin + SECONDS:
            try:
                crash.round(seed)
            except Exception:
                print(f"in the round of seed {seed} (SYNCLINE_SEED={SEED})", flush=True)
                print(*re.findall(r".*(?:LOG|FATAL|PANIC):.*", crash.log())[-40:], sep="\n",
                      flush=True)
                raise
            seed += 1
        rows = crash.hub.value("SELECT count(*) FROM note")
        print(f"     {crash.crashes} crashes, {crash.sessions} sessions, {crash.broken} more "
              f"refused or broken off, {rows} rows, seed {SEED}", flush=True)
        assert crash.crashes and crash.sessions, "nothing was tried"
    finally:
        crash.server.stop()


main()
