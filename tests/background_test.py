#!/usr/bin/env python3
"""Goal: a SQLite database that was told to synchronises with a file or a server in the background,
until it is told to stop. Method: databases that change without anybody calling sync_now, waited
for."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from in_background import add, arrives, device, eventually, server, settled, start  # noqa: E402
from harness import main, raises, same_rows, test  # noqa: E402

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


main()
