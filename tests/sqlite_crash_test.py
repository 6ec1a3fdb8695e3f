#!/usr/bin/env python3
"""Goal: kill -9 at any instant of a sync between two files leaves both intact, loses nothing that
was acknowledged, and the next sync completes (scenario 8). Method: a child process writes,
synchronises and says what was acknowledged, until it is killed; then a fresh process does the rest
and compares.

SYNCLINE_CRASH_SECONDS=n goes on for n seconds (short form: 10); SYNCLINE_SEED chooses the instants.
"""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import EXTENSION, Sqlite, main, same_rows, test  # noqa: E402
from pairs import moved, sync  # noqa: E402

SECONDS = float(os.environ.get("SYNCLINE_CRASH_SECONDS") or 10)
SEED = int(os.environ.get("SYNCLINE_SEED") or 1)
SCHEMA = """
CREATE TABLE note(id TEXT PRIMARY KEY, n INTEGER, body TEXT);
CREATE TABLE line(note TEXT REFERENCES note, at INTEGER, code INTEGER UNIQUE,
  PRIMARY KEY(note, at));
"""
# Writes one side or the other, synchronises from one or the other, drops metadata, and says so.
CHILD = """
import json, random, sqlite3, sys
paths, rng = sys.argv[1:3], random.Random(int(sys.argv[3]))
def open_one(path):
    db = sqlite3.connect(path, isolation_level=None, timeout=20)
    db.enable_load_extension(True)
    db.load_extension(sys.argv[4])
    return db
dbs = [open_one(path) for path in paths]
mine = [{}, {}]
for step in range(1000000):
    side = rng.randrange(2)
    db, known = dbs[side], mine[side]
    if rng.random() < 0.4:
        db.execute("SELECT sync_now(?, ?)", (paths[1 - side], '{"max_bytes": 2000}')).fetchall()
    elif rng.random() < 0.2:
        db.execute("SELECT sync_maintain('{\\"rows_max\\": 40}')").fetchall()
    elif known and rng.random() < 0.5:
        key = rng.choice(sorted(known))
        known[key] += 1
        db.execute("UPDATE note SET n = ? WHERE id = ?", (known[key], key))
        print(json.dumps({key: known[key]}), flush=True)
    else:
        keys = [f"{sys.argv[3]}-{side}-{step}-{i}" for i in range(rng.choice((1, 30)))]
        db.execute("BEGIN")
        for i, key in enumerate(keys):
            db.execute("INSERT INTO note VALUES (?, 1, ?)", (key, "x" * rng.randrange(200)))
            db.execute("INSERT OR IGNORE INTO line VALUES (?, 0, ?)", (key, rng.randrange(10**6)))
        db.execute("COMMIT")
        known.update(dict.fromkeys(keys, 1))
        print(json.dumps(known and dict.fromkeys(keys, 1)), flush=True)
"""


def kill_one(paths, seed):
    """Runs a child for an instant; what it acknowledged."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, *paths, str(seed), EXTENSION],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = child.stdout.readline()
    time.sleep(random.Random(seed).random() * 0.4)
    child.send_signal(signal.SIGKILL)
    rest, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors
    acknowledged = {}
    for line in [first] + rest.split("\n"):
        if line.endswith("}") or line.endswith("}\n"):  # the last may be cut
            acknowledged.update(json.loads(line))
    return acknowledged


def check(paths, acknowledged):
    a, b = map(Sqlite, paths)
    try:
        for db in (a, b):
            assert db.value("PRAGMA integrity_check") == "ok"
            assert not db.rows("PRAGMA foreign_key_check")
            assert not db.rows("SELECT * FROM sync_tables WHERE status <> 'tracked'")
        for _ in range(4):
            if not moved(sync(a, b)):
                break
        else:
            raise AssertionError("rows still move after four rounds")
        same_rows(a, b, ["note", "line"])
        found = dict(a.rows("SELECT id, n FROM note"))
        lost = {k: (n, found.get(k)) for k, n in acknowledged.items() if found.get(k, 0) < n}
        assert not lost, f"{len(lost)} acknowledged writes are lost: {list(lost.items())[:5]}"
    finally:
        a.close()
        b.close()


@test("crash: kill -9 at any instant of a sync between two files")
def _(t):
    begin, seed, kills, writes = time.monotonic(), SEED, 0, 0
    while time.monotonic() < begin + SECONDS:
        sides = [t.sqlite(f"{name}{seed}") for name in "ab"]
        for db in sides:
            db.run(f"PRAGMA journal_mode={('WAL', 'DELETE')[seed % 2]}" + ";" + SCHEMA)
            for table in ("note", "line"):
                db.value("SELECT sync_enable(?)", table)
            db.close()
        paths = [db.path for db in sides]
        acknowledged = {}
        for _ in range(4):
            acknowledged.update(kill_one(paths, seed))
            kills += 1
            seed += 1
            try:
                check(paths, acknowledged)
            except AssertionError:
                print(f"in the round of seed {seed - 1}", flush=True)
                raise
        writes += len(acknowledged)
    print(f"     {kills} kills, {writes} rows acknowledged, seed {SEED}", flush=True)
    assert kills and writes


main()
