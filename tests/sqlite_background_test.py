#!/usr/bin/env python3
"""Goal: a SQLite database that was told to synchronises in the background, until it is told to stop
or is closed, and is in nobody's way. Method: files and PostgreSQL databases that change without
anybody calling sync_now, waited for; processes that end in every way."""
import pathlib
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import EXTENSION, main, raises, same_rows, test  # noqa: E402

TASK = "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, n INTEGER)"
PATIENCE_SECONDS = 30


def device(t, name, wal=True):
    made = t.sqlite(name)
    if wal:
        made.value("PRAGMA journal_mode=WAL")
    made.run(TASK)
    made.value("SELECT sync_enable('task')")
    return made


def server(t, name):
    made = t.postgres(name)
    made.run("CREATE TABLE task(id text PRIMARY KEY, title text, n int);"
             "SELECT sync_enable('task')")
    return made


def start(device_, peer, name="peer", options="{}"):
    device_.value("SELECT sync_add_peer(?, ?)", name, getattr(peer, "url", peer))
    return device_.json("SELECT sync_start(?, ?)", name, options)


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_SECONDS} s"
        time.sleep(0.005)


def arrives(database, row_id, title=None):
    def there():
        found = database.rows(f"SELECT title FROM task WHERE id = '{row_id}'")
        return found and (title is None or found[0][0] == title)
    eventually(f"row {row_id}", there)


def add(database, row_id, title="a title"):
    database.run(f"INSERT INTO task VALUES ('{row_id}', '{title}', 0)")


def settled(database, *names):
    """After this many looks nothing is under way any more."""
    for name in names or ("peer",):
        seen = [None, None]

        def calm(seen=seen, name=name):
            time.sleep(0.3)
            seen[:] = seen[1:] + [database.rows(
                f"SELECT last_success FROM sync_peers WHERE name = '{name}'")]
            return seen[0] == seen[1]
        eventually("calm", calm)


PAIRS = [("SQLite-SQLite", device), ("SQLite-PostgreSQL", server)]


def pairs(name):
    def register(function):
        for label, make_peer in PAIRS:
            test(f"{name} [{label}]")(
                lambda t, make=make_peer: function(t, device(t, "a"), make(t, "b")))
        return function
    return register


@pairs("background: what changes here arrives there, and the other way, and nobody calls sync_now")
def _(_t, a, b):
    assert start(a, b) == {"peer": "peer", "interval_ms": 30000, "replaced": False}
    assert a.rows("SELECT name, background FROM sync_peers") == [("peer", "running")]
    add(a, "from a")
    arrives(b, "from a")
    add(b, "from b")
    arrives(a, "from b")
    a.run("UPDATE task SET title = 'changed' WHERE id = 'from b'")
    arrives(b, "from b", "changed")
    b.run("DELETE FROM task WHERE id = 'from a'")
    eventually("the delete", lambda: not a.rows("SELECT 1 FROM task WHERE id = 'from a'"))
    assert a.value("SELECT sync_stop('peer')") == 1
    same_rows(a, b, ["task"])


@pairs("background: after sync_stop nothing travels, and it can be started again")
def _(_t, a, b):
    start(a, b)
    add(a, "one")
    arrives(b, "one")
    assert a.value("SELECT sync_stop('peer')") == 1
    assert a.rows("SELECT background FROM sync_peers") == [(None,)]
    add(a, "two")
    add(b, "three")
    time.sleep(0.5)
    assert not b.rows("SELECT 1 FROM task WHERE id = 'two'")
    assert not a.rows("SELECT 1 FROM task WHERE id = 'three'")
    raises(lambda: a.value("SELECT sync_stop('peer')"), "does not synchronise with \"peer\"")
    assert a.value("SELECT sync_stop()") == 0
    a.value("SELECT sync_start('peer')")
    arrives(b, "two")
    arrives(a, "three")
    assert a.value("SELECT sync_stop()") == 1


@pairs("background: where nothing changes, sessions come with the interval and not before")
def _(_t, a, b):
    def last():
        return a.rows("SELECT last_success FROM sync_peers")
    start(a, b, options='{"interval_ms": 86400000}')
    add(a, "one")
    arrives(b, "one")
    for name in ("first", "second"):  # commits, but no changes
        settled(a)
        at = last()
        a.run(f"CREATE TABLE {name}(x)")
    time.sleep(0.5)
    assert last() == at
    answer = a.json("SELECT sync_start('peer', '{\"interval_ms\": 100}')")
    assert answer["replaced"] is True and answer["interval_ms"] == 100
    for _ in range(3):
        at = last()
        eventually("the next session", lambda at=at: last() != at)


@pairs("background: only what the direction says is waited for")
def _(_t, a, b):
    start(a, b, options='{"direction": "push"}')
    add(b, "stays there")
    add(a, "goes")
    arrives(b, "goes")
    settled(a)
    assert not a.rows("SELECT 1 FROM task WHERE id = 'stays there'")
    a.value("SELECT sync_start('peer', '{\"direction\": \"pull\"}')")
    arrives(a, "stays there")
    add(a, "stays here")
    add(b, "comes")
    arrives(a, "comes")
    settled(a)
    assert not b.rows("SELECT 1 FROM task WHERE id = 'stays here'")


@test("background: a change goes from device to hub to device")
def _(t):
    a, c, hub = device(t, "a"), device(t, "c"), server(t, "hub")
    for each in (a, c):
        start(each, hub, "hub")
    for i in range(20):
        add(a, f"a {i}")
        add(c, f"c {i}")
        arrives(c, f"a {i}")
        arrives(a, f"c {i}")
    settled(a, "hub")
    settled(c, "hub")
    for each in (a, c):
        assert each.value("SELECT sync_stop('hub')") == 1
    assert same_rows(a, c, ["task"]) == 40 and same_rows(a, hub, ["task"]) == 40


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


@test("background: a server that restarts is found again")
def _(t):
    a, hub = device(t, "a"), server(t, "hub")
    start(a, hub, "hub")
    add(a, "before")
    arrives(hub, "before")
    hub.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()")
    add(a, "after")
    arrives(hub, "after")
    add(hub, "back")
    arrives(a, "back")


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
            (f"sync_start('{b.path}')", "there is no stored peer", "sync_add_peer"),
            ("sync_start('postgresql://u:secret@h/d')", "no stored peer", "u:***@h"),
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
