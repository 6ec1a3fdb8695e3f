#!/usr/bin/env python3
"""Goal: a PostgreSQL database that was told to synchronises in the background until it is told to
stop, whatever happens to its worker or to the peer. Method: databases of a private server that
change without anybody calling sync_now, waited for; workers and peers that go away and come."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import cluster, main, raises, same_rows, test  # noqa: E402

PATIENCE_SECONDS = 30
WORKERS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'syncline background'" \
          " AND datname = current_database()"


def database(t, name):
    made = t.postgres(name)
    track(made)
    return made


def track(made):
    made.run("CREATE TABLE task(id text PRIMARY KEY, title text, n int);"
             "SELECT sync_enable('task')")


def know(here, there, name="peer"):
    here.run(f"SELECT sync_add_peer('{name}', '{there.url}')")


def start(here, there, name="peer", options="{}"):
    know(here, there, name)
    return here.json(f"SELECT sync_start('{name}', '{options}')")


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_SECONDS} s"
        time.sleep(0.02)


def arrives(there, row_id):
    eventually(f"row {row_id}",
               lambda: there.value(f"SELECT count(*) FROM task WHERE id = '{row_id}'") == "1")


def add(here, row_id):
    here.run(f"INSERT INTO task VALUES ('{row_id}', 'a title', 0)")


def running(here, name="peer"):
    return here.value(f"SELECT background FROM sync_peers WHERE name = '{name}'") == "running"


def workers(here):
    return [row[0] for row in here.rows(WORKERS)]


def end(here, name="peer"):
    """Until no worker is left: the tests that follow count them."""
    here.run(f"SELECT sync_stop('{name}')")
    assert workers(here) == [] and not running(here, name)


@test("postgres background: what changes here arrives there, and what changes there arrives here")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    add(a, "before")
    assert start(a, b) == {"peer": "peer", "interval_ms": 30000, "replaced": False}
    assert running(a) and len(workers(a)) == 1
    arrives(b, "before")
    for i in range(5):
        add(a, f"a{i}")
        arrives(b, f"a{i}")
        add(b, f"b{i}")
        arrives(a, f"b{i}")
    b.run("UPDATE task SET title = 'new' WHERE id = 'a1'; DELETE FROM task WHERE id = 'a2'")
    eventually("the update and the deletion", lambda: a.rows(
        "SELECT id FROM task WHERE title = 'new' OR id = 'a2'") == [("a1",)])
    shown = a.rows("SELECT last_success IS NOT NULL, failures, last_error, background"
                   " FROM sync_peers")
    assert shown == [("t", "0", None, "running")], shown
    # sync_now beside it works as ever
    add(a, "beside")
    a.run("SELECT sync_now('peer')")
    arrives(b, "beside")
    same_rows(a, b, ["task"])
    end(a)


@test("postgres background: without changes there are no sessions before the interval is over")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    start(a, b, options='{"maintain": true}')
    add(a, "1")
    arrives(b, "1")
    last = "SELECT last_attempt FROM sync_peers"
    seen = []

    def calm():
        seen.append(a.value(last))
        time.sleep(0.5)
        return a.value(last) == seen[-1]
    eventually("calm", calm)
    waiting = a.rows("SELECT backend_xid, backend_xmin, xact_start FROM pg_stat_activity"
                     " WHERE backend_type = 'syncline background'")
    assert waiting == [(None, None, None)], waiting
    # the next one comes by itself when the interval is short
    a.run("SELECT sync_start('peer', '{\"interval_ms\": 100}')")
    for _ in range(3):
        before = a.value(last)
        eventually("a session", lambda before=before: a.value(last) != before)
    end(a)


@test("postgres background: a hub passes on what it gets, and both directions can be had alone")
def _(t):
    hub, left, right = database(t, "hub"), database(t, "left"), database(t, "right")
    start(hub, left, "left")
    start(hub, right, "right")
    assert len(workers(hub)) == 2
    for i in range(3):
        add(left, f"l{i}")
        arrives(right, f"l{i}")
        add(right, f"r{i}")
        arrives(left, f"r{i}")
    assert hub.value("SELECT sync_stop()") == "2"
    assert workers(hub) == [] and not running(hub, "left") and not running(hub, "right")
    start(hub, left, "left", '{"direction": "push"}')
    start(hub, right, "right", '{"direction": "pull"}')
    add(right, "one way")
    arrives(left, "one way")
    add(hub, "from the hub")
    arrives(left, "from the hub")
    assert right.value("SELECT count(*) FROM task WHERE id = 'from the hub'") == "0"
    hub.run("SELECT sync_stop()")


@test("postgres background: two that have each other as peers come to rest")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    start(a, b)
    start(b, a)
    for i in range(3):
        add(a, f"a{i}")
        add(b, f"b{i}")
    for i in range(3):
        arrives(b, f"a{i}")
        arrives(a, f"b{i}")
    asked = "SELECT max(last_attempt) FROM sync_peers"
    seen = []

    def calm():
        seen.append((a.value(asked), b.value(asked)))
        time.sleep(0.5)
        return (a.value(asked), b.value(asked)) == seen[-1]
    eventually("calm", calm)
    same_rows(a, b, ["task"])
    end(a)
    end(b)


@test("postgres background: after sync_stop nothing travels; then it can be started again")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    start(a, b)
    add(a, "1")
    arrives(b, "1")
    assert a.value("SELECT sync_stop('peer')") == "1"
    assert workers(a) == [] and not running(a)
    add(a, "2")
    add(b, "3")
    time.sleep(0.5)
    assert b.value("SELECT count(*) FROM task WHERE id = '2'") == "0"
    assert a.value("SELECT count(*) FROM task WHERE id = '3'") == "0"
    raises(lambda: a.run("SELECT sync_stop('peer')"), "55000", "does not synchronise", "peer")
    assert a.value("SELECT sync_stop()") == "0"
    a.run("SELECT sync_start('peer')")
    arrives(b, "2")
    arrives(a, "3")
    end(a)


@test("postgres background: a peer that is down is tried again until it comes")
def _(t):
    a, b = database(t, "a"), t.postgres("b", extension=False)
    start(a, b)
    add(a, "1")
    eventually("failures", lambda: int(a.value("SELECT failures FROM sync_peers")) > 1)
    assert "extension" in a.value("SELECT last_error FROM sync_peers") and running(a)
    b.run("CREATE EXTENSION syncline")
    track(b)
    arrives(b, "1")
    eventually("success noted", lambda: a.value("SELECT failures FROM sync_peers") == "0")
    # the server over there ends the connection while it waits
    b.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
          " datname = current_database() AND query LIKE '%await_change(%' AND"
          " pid <> pg_backend_pid()")
    add(b, "2")
    arrives(a, "2")
    end(a)


@test("postgres background: wrong arguments are refused, and start nothing")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    know(a, b, "hub")
    for sql, parts in (
            (f"sync_start('{b.url}')", ("22023", "URL", "sync_add_peer('hub'")),
            ("sync_start('postgresql://u:secret@h/db')", ("22023", "***", "sync_add_peer")),
            ("sync_start('other name')", ("22023", "other name", "sync_add_peer('hub'")),
            ("sync_start('hbu')", ("22023", "hbu", '"hub"')),
            ("sync_start(NULL)", ("missing or NULL",)),
            ("sync_start('hub', '{\"interval_ms\": 99}')", ("22023", "interval_ms", "86400000")),
            ("sync_start('hub', '{\"interval_ms\": 86400001}')", ("interval_ms", "from 100")),
            ("sync_start('hub', '{\"interval_ms\": \"5\"}')", ("interval_ms", "whole number")),
            ("sync_start('hub', '{\"intervall_ms\": 500}')", ("sync_start", '"interval_ms"')),
            ("sync_start('hub', '{\"direction\": \"up\"}')", ("direction", "pull")),
            ("sync_start('hub', '{\"max_bytes\": true}')", ("max_bytes", "whole number")),
            ("sync_start('hub', '[]')", ("JSON object",)),
            ("sync_stop('hbu')", ("hbu", '"hub"')),
            ("sync_now('hub', '{\"interval_ms\": 500}')", ("interval_ms",))):
        message = raises(lambda sql=sql: a.run(f"SELECT {sql}"), *parts)
        assert "secret" not in message, message
    raises(lambda: t.session(a).run("BEGIN; SELECT sync_start('hub')"), "25001", "sync_start")
    assert workers(a) == []


@test("postgres background: a peer that is removed, or given another URL")
def _(t):
    a, b, c = (database(t, name) for name in "abc")
    start(a, b)
    arrives_at = [(b, "1"), (c, "2")]
    for there, row in arrives_at:
        know(a, there)
        add(a, row)
        arrives(there, row)
    a.run("SELECT sync_remove_peer('peer')")
    eventually("its end", lambda: workers(a) == [])
    # the same while it rests after failures
    know(a, t.postgres("d", extension=False))
    a.run("SELECT sync_start('peer')")
    eventually("a failure", lambda: a.value("SELECT failures FROM sync_peers") != "0")
    a.run("SELECT sync_remove_peer('peer')")
    eventually("its end", lambda: workers(a) == [])


@test("postgres background: a second sync_start takes the place of the first")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    start(a, b, options='{"direction": "pull"}')
    first = workers(a)
    add(b, "1")
    arrives(a, "1")
    add(a, "2")
    again = a.json("SELECT sync_start('peer', '{\"interval_ms\": 5000, \"direction\": \"both\"}')")
    assert again == {"peer": "peer", "interval_ms": 5000, "replaced": True}, again
    arrives(b, "2")
    assert len(workers(a)) == 1 and workers(a) != first
    # many at once: one is left
    sessions = [t.session(a) for _ in range(4)]
    for session in sessions:
        session.send("SELECT sync_start('peer')")
    for session in sessions:
        session.wait()
    assert len(workers(a)) == 1 and running(a)
    end(a)


@test("postgres background: a worker that was ended from outside does not run, and starts anew")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    start(a, b)
    add(a, "1")
    arrives(b, "1")
    a.run(f"SELECT pg_terminate_backend(({WORKERS}))")
    eventually("its end", lambda: not running(a) and workers(a) == [])
    raises(lambda: a.run("SELECT sync_stop('peer')"), "does not synchronise")
    add(a, "2")
    assert a.json("SELECT sync_start('peer')")["replaced"] is False
    arrives(b, "2")
    # one that is cancelled goes on
    worker = workers(a)
    a.run(f"SELECT pg_cancel_backend({worker[0]})")
    add(a, "3")
    arrives(b, "3")
    assert workers(a) == worker
    end(a)


@test("postgres background: it does not outlive the server, and a restart leaves nothing false")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    for mode in ("fast", "immediate"):
        start(a, b)
        add(a, mode)
        arrives(b, mode)
        for made in (a, b):
            made.run("CHECKPOINT")  # the private server does not wait for its disk
        cluster().restart(mode)
        assert not running(a) and workers(a) == []
        assert a.value("SELECT sync_stop()") == "0"
    start(a, b)
    add(b, "again")
    arrives(a, "again")
    end(a)


@test("postgres background: DROP EXTENSION ends it, DROP DATABASE does not get past it")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    start(a, b)
    add(a, "1")
    arrives(b, "1")
    raises(lambda: cluster().postgres().run(f"DROP DATABASE {a.name}"), "other users")
    a.run("DROP EXTENSION syncline CASCADE")
    eventually("its end", lambda: workers(a) == [])
    a.run("CREATE EXTENSION syncline; SELECT sync_enable('task')")
    know(a, b)
    assert not running(a)


@test("postgres background: sessions have the rights of the role that called, as they are then")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    role = f"background_{os.getpid()}"
    know(a, b)
    a.run(f"CREATE ROLE {role}")
    try:
        raises(lambda: a.run(f"SET ROLE {role}; SELECT sync_start('peer')"), "42501")
        raises(lambda: a.run(f"SET ROLE {role}; SELECT sync_stop()"), "42501")
        a.run(f"GRANT EXECUTE ON FUNCTION sync_start(text, jsonb) TO {role}")
        raises(lambda: a.run(f"SET ROLE {role}; SELECT sync_start('peer')"), "42501", "owner")
        before = a.value("SELECT datdba::regrole FROM pg_database"
                         " WHERE datname = current_database()")
        a.run(f"ALTER DATABASE {a.name} OWNER TO {role}; SET ROLE {role};"
              "SELECT sync_start('peer')")
        failed = "SELECT last_error FROM sync_peers"
        eventually("a refusal", lambda: "password is required" in (a.value(failed) or ""))
        a.run(f"ALTER DATABASE {a.name} OWNER TO {before}")
        eventually("another", lambda: "only the owner" in (a.value(failed) or ""))
        add(a, "1")
        a.run(f"ALTER ROLE {role} SUPERUSER")
        arrives(b, "1")
        end(a)
    finally:
        a.run(f"SELECT sync_stop(); DROP OWNED BY {role}; DROP ROLE {role}")


@test("postgres background: where no worker is free, the error says so")
def _(t):
    a, b = database(t, "a"), database(t, "b")
    count = int(a.value("SHOW max_worker_processes"))
    started = 0
    try:
        for i in range(count + 1):
            know(a, b, f"peer {i}")
        message = None
        for i in range(count + 1):
            try:
                a.run(f"SELECT sync_start('peer {i}', '{{\"direction\": \"push\"}}')")
                started += 1
            except Exception as error:
                message = str(error)
                break
        assert message and "53400" in message and "max_worker_processes" in message, message
    finally:
        assert a.value("SELECT sync_stop()") == str(started)
    assert workers(a) == []


@test("postgres background: await_change returns at once with news, else when the time is over")
def _(t):
    a = database(t, "a")
    position = "SELECT position FROM syncline.self"
    assert a.value("SELECT syncline.await_change(-1, 60000)") == "0"
    assert a.value("SELECT syncline.await_change(0, 0)") is None
    assert a.value("SELECT syncline.await_change(0, 100)") is None
    add(a, "1")
    assert a.value("SELECT syncline.await_change(0, 60000)") == "0"
    a.run("SELECT sync_hello()")
    now = a.value(position)
    assert now == "1" and a.value("SELECT syncline.await_change(0, 60000)") == now
    assert a.value(f"SELECT syncline.await_change({now}, 100)") is None
    for wrong in ("-1", "60001"):
        raises(lambda wrong=wrong: a.run(f"SELECT syncline.await_change(0, {wrong})"),
               "22023", "timeout_ms", "60000")


@test("postgres background: await_change sees what others write, number or roll back meanwhile")
def _(t):
    a = database(t, "a")
    add(a, "1")
    a.run("SELECT sync_hello()")
    waiter, writer = t.session(a), t.session(a)
    waiter.send("SELECT syncline.await_change(1, 60000)")
    writer.run("BEGIN; INSERT INTO task VALUES ('x', 'x', 0); ROLLBACK")
    writer.run("BEGIN; INSERT INTO task VALUES ('2', 'x', 0)")
    assert waiter.busy()
    writer.run("COMMIT")
    assert waiter.wait() == "1"
    a.run("SELECT sync_hello()")
    waiter.send("SELECT syncline.await_change(2, 60000)")
    assert waiter.busy()
    a.run("INSERT INTO task VALUES ('3', 'x', 0); SELECT sync_hello()")
    assert waiter.wait() in ("2", "3")
    # a snapshot that is older than the change is no hindrance
    a.run("SELECT sync_hello()")
    waiter.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM task")
    waiter.send("SELECT syncline.await_change(3, 60000)")
    add(a, "4")
    assert waiter.wait() == "3"


@test("postgres background: await_change can be cancelled, and leaves no lock meanwhile")
def _(t):
    a = database(t, "a")
    waiter = t.session(a)
    pid = waiter.run("SELECT pg_backend_pid()")
    waiter.send("SELECT syncline.await_change(0, 60000)")
    assert waiter.busy()
    held = f"SELECT count(*) FROM pg_locks WHERE pid = {pid} AND relation IN " \
           "('syncline.self'::regclass, 'syncline.log'::regclass, 'syncline.log_2'::regclass)"
    assert a.value(held) == "0"
    a.run(f"SELECT pg_cancel_backend({pid})")
    raises(waiter.wait, "57014")
    # a peer asks for no error: none is in its server's log for each change that it sends
    waiter.send("SELECT syncline.await_change(0, 60000, true) IS NULL")
    assert waiter.busy()
    a.run(f"SELECT pg_cancel_backend({pid})")
    assert waiter.wait() == "t"
    waiter.run("SET statement_timeout = 200")
    raises(lambda: waiter.run("SELECT syncline.await_change(0, 60000, true)"), "57014", "timeout")


if __name__ == "__main__":
    main()
