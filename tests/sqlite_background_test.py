#!/usr/bin/env python3
"""Goal: background synchronisation between SQLite files is in nobody's way, and ends with the
connection or the process that began it. Method: files that come late or go, writers in the same
file, processes that end in every way, wrong calls."""
import pathlib
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from in_background import TASK, add, arrives, device, eventually, settled, start  # noqa: E402
from harness import EXTENSION, main, raises, same_rows, test  # noqa: E402


@test("background: one file between two others relays, and two that watch each other come to rest")
def _(t):
    a, b, c = device(t, "a"), device(t, "b"), device(t, "c")
    start(b, a, "a")
    start(b, c, "c")
    start(a, b, "b")
    add(a, "from a")
    arrives(c, "from a")
    add(c, "from c")
    arrives(a, "from c")
    settled(b, "a", "c")
    settled(a, "b")
    for each in (a, b):
        each.value("SELECT sync_stop()")
    same_rows(a, c, ["task"])


@test("background: a peer that is not there yet is tried again, one that goes away is waited for")
def _(t):
    a = device(t, "a")
    start(a, str(t.folder / "later.db"))
    eventually("a failure", lambda: a.rows("SELECT failures FROM sync_peers")[0][0] > 0)
    assert "there is no database file" in a.value("SELECT last_error FROM sync_peers")
    later = device(t, "later")
    add(later, "late")
    arrives(a, "late")
    eventually("success noted", lambda: a.rows("SELECT failures, last_error FROM sync_peers") ==
               [(0, None)])
    later.close()
    (t.folder / "later.db").rename(t.folder / "away.db")
    add(a, "meanwhile")
    eventually("a failure", lambda: a.rows("SELECT failures FROM sync_peers")[0][0] > 0)
    (t.folder / "away.db").rename(t.folder / "later.db")
    arrives(t.sqlite("later"), "meanwhile")


@test("background: who writes beside it in one file waits for a moment, and nothing is lost")
def _(t):
    for wal in (True, False):
        a, b = device(t, f"a{wal}", wal), device(t, f"b{wal}", wal)
        start(a, b)

        def write(name, path=pathlib.Path(a.path)):
            own = t.sqlite(path.stem)
            for i in range(150):
                own.db.execute("BEGIN IMMEDIATE")
                own.db.execute("INSERT INTO task VALUES (?, ?, ?)", (f"{name} {i}", name, i))
                own.db.execute("UPDATE task SET n = n + 1 WHERE id = ?", (f"{name} {i // 2}",))
                own.db.execute("COMMIT")
            own.close()
        failures = []

        def guarded(name):
            try:
                write(name)
            except Exception as error:  # told below
                failures.append(error)
        writers = [threading.Thread(target=guarded, args=(f"writer {i}",)) for i in range(2)]
        for writer in writers:
            writer.start()
        for i in range(50):
            b.run(f"INSERT INTO task VALUES ('there {i}', 'there', {i})")
        for writer in writers:
            writer.join()
        assert not failures, failures
        eventually("all rows", lambda: a.rows("SELECT count(*) FROM task") == [(350,)] ==
                   b.rows("SELECT count(*) FROM task"))
        settled(a)
        assert a.value("SELECT sync_stop()") == 1
        same_rows(a, b, ["task"])


@test("background: a peer that is removed is left, and closing the connection ends all")
def _(t):
    a, b = device(t, "a"), device(t, "b")
    start(a, b)
    add(a, "one")
    arrives(b, "one")
    other = t.sqlite("a")  # another connection of this process knows of it, and may stop it
    assert other.value("SELECT background FROM sync_peers") == "running"
    a.value("SELECT sync_remove_peer('peer')")
    add(a, "two")
    start(a, b, "again")
    arrives(b, "two")
    assert other.rows("SELECT name, background FROM sync_peers") == [("again", "running")]
    a.close()
    assert other.rows("SELECT name, background FROM sync_peers") == [("again", None)]
    other.run("INSERT INTO task VALUES ('three', '', 0)")
    time.sleep(0.5)
    assert not b.rows("SELECT 1 FROM task WHERE id = 'three'")


@test("background: wrong calls say what to do, and nothing runs afterwards")
def _(t):
    a, b = device(t, "a"), device(t, "b")
    a.value("SELECT sync_add_peer('peer', ?)", b.url)
    for call, *fragments in (
            ("sync_start('paer')", "paer", "did you mean \"peer\""),
            ("sync_start(NULL)", "the name of the peer is missing"),
            (f"sync_start('{b.path}')", "there is no peer", "sync_add_peer"),
            ("sync_start('postgresql://u:secret@h/d')", "there is no peer", "u:***@h"),
            ("sync_start('peer', '{\"interval_ms\": 99}')", "interval_ms", "from 100 to 86400000"),
            ("sync_start('peer', '{\"interval_ms\": \"1 s\"}')", "interval_ms", "whole number"),
            ("sync_start('peer', '{\"interval\": 1}')", "interval", "sync_start"),
            ("sync_start('peer', '{\"direction\": \"up\"}')", "direction", "sync_start"),
            ("sync_start('peer', '[]')", "sync_start"),
            ("sync_stop('paer')", "does not synchronise with \"paer\"", "sync_peers"),
            ("sync_stop('postgresql://u:secret@h/d')", "u:***@h", "in the background")):
        raises(lambda each=call: a.value(f"SELECT {each}"), *fragments)
    a.db.execute("BEGIN")
    raises(lambda: a.value("SELECT sync_start('peer')"), "inside a transaction")
    a.db.execute("COMMIT")
    assert a.rows("SELECT background FROM sync_peers") == [(None,)]
    bare = t.sqlite("bare")
    raises(lambda: bare.value("SELECT sync_start('peer')"), "sync_enable")
    assert bare.value("SELECT sync_stop()") == 0


PROGRAM = """
import os, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
db.enable_load_extension(True)
db.load_extension({extension!r})
db.execute("SELECT sync_start('peer')").fetchone()
db.execute("INSERT INTO task VALUES ('from a process', '', 0)")
other = sqlite3.connect(sys.argv[2], isolation_level=None, timeout=10)
while not other.execute("SELECT 1 FROM task WHERE id = 'from a process'").fetchone():
    time.sleep(0.01)
{end}
"""


@test("background: a process ends as it would without, closed or not, by exit, error or fork")
def _(t):
    ends = {"close": "db.close()", "exit": "sys.exit(0)", "error": "raise SystemExit(0)",
            "at once": "os._exit(0)", "del": "del db", "fork": """
child = os.fork()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
db.execute("INSERT INTO task VALUES ('after the child', '', 0)")
while not other.execute("SELECT 1 FROM task WHERE id = 'after the child'").fetchone():
    time.sleep(0.01)
"""}
    for name, end in ends.items():
        a, b = device(t, f"a {name}"), device(t, f"b {name}")
        a.value("SELECT sync_add_peer('peer', ?)", b.url)
        text = textwrap.dedent(PROGRAM).format(extension=EXTENSION, end=end)
        done = subprocess.run([sys.executable, "-c", text, str(a.path), str(b.path)], timeout=60,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, (name, done.returncode, done.stderr)
        assert a.rows("SELECT background FROM sync_peers") == [(None,)]
        assert b.value("PRAGMA integrity_check") == "ok"


@test("background: a database in memory is refused")
def _(t):
    b = device(t, "b")
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    db.execute(TASK)
    db.execute("SELECT sync_enable('task')").fetchone()
    db.execute("SELECT sync_add_peer('peer', ?)", (b.url,)).fetchone()
    raises(lambda: db.execute("SELECT sync_start('peer')"), "needs a database in a file")
    db.close()


main()
