#!/usr/bin/env python3
"""Goal: scenarios 8 to 13, 15, 25, 27 and 30 where they need more than two lives of one database
or two ordinary sites: restored dumps, clocks that recover, prepared transactions, hubs that lag,
full disks, roles without rights. Method: as in scenarios_faults_test.py, on all pairs where they
apply."""
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import Cluster, Postgres, cluster, ident, main, raises, test  # noqa: E402
from pairs import (conflicts, create, enable, equal, export, moved, on_pairs, rows,  # noqa: E402
                   run, settle, sync, vector)

TASK = "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, status INTEGER);"
TEN_YEARS = 315360000000 << 16


def fill(db, count, prefix="k"):
    series = ("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {}) "
              "INSERT INTO task SELECT '{}' || i, 'some title ' || i, i FROM s")
    db.run(series.format(count, prefix))


def site(db):
    return db.value("SELECT sync_site_id()")


def now():
    return int(time.time() * 1000) << 16


@on_pairs("scenario 8: the session's own process dies in the middle; the next one goes on",
          ("PostgreSQL-PostgreSQL",))
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 20000)
    session = t.session(a)
    session.send(f"SELECT sync_now('{b.url}', '{{\"max_bytes\": 8000}}')")
    deadline = time.monotonic() + 60
    while int(b.value("SELECT count(*) FROM task")) < 300 and time.monotonic() < deadline:
        time.sleep(0.01)
    a.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
          " WHERE application_name = 'syncline session' AND datname = current_database()")
    raises(session.wait)
    there = int(b.value("SELECT count(*) FROM task"))
    report = sync(a, b)
    assert there and report["pushed"]["rows"] <= 20000 - there + 200, (there, report["pushed"])
    assert equal([a, b], ["task"]) == 20000 and moved(sync(a, b)) == 0


@on_pairs("scenario 10: a database made anew from yesterday's dump writes before it synchronises",
          ("SQLite-PostgreSQL", "PostgreSQL-PostgreSQL"))
def _(t, a, b):
    create(TASK, a, b)
    fill(b, 5)
    sync(a, b)
    dump = subprocess.run(["pg_dump", b.name], env=b.env, capture_output=True, text=True,
                          check=True).stdout
    old = site(b)
    fill(b, 5, "lost")
    run("UPDATE task SET title = 'lost' WHERE id = 'k1'", b)
    sync(a, b)
    cluster().drop(b.name)
    b = cluster().database(b.name, extension=False)
    b.run(dump)
    fill(b, 5, "after")
    run("UPDATE task SET title = 'newer' WHERE id = 'k2'", b)
    settle([a, b])
    assert site(b) != old
    assert equal([a, b], ["task"]) == 15
    assert rows(a, "SELECT title FROM task WHERE id IN ('k1', 'k2')") == [("lost",), ("newer",)]
    assert conflicts(a) == []


@on_pairs("scenario 11: an open conflict of a site that takes a new id is one conflict everywhere")
def _(_t, a, b):
    create(TASK, a, b)
    fill(a, 2)
    sync(a, b)
    run("UPDATE task SET title = 'here' WHERE id = 'k1'", a)
    run("UPDATE task SET title = 'there' WHERE id = 'k1'", b)
    run("UPDATE task SET title = 'unsent' WHERE id = 'k2'", a)
    pull = '{"direction": "pull"}'
    a.value(f"SELECT sync_now('{b.url}', '{pull}')")
    assert len(conflicts(a)) == 1
    a.value("SELECT sync_new_identity()")
    settle([a, b])
    equal([a, b], ["task"])
    assert len(conflicts(a)) == 1
    run("UPDATE task SET title = 'decided' WHERE id = 'k1'", b)
    settle([a, b])
    equal([a, b], ["task"])
    assert conflicts(a) == []


def ahead(db):
    """What `db` has written and will write is stamped ten years ahead, then the clock is right."""
    if db.engine == "sqlite":
        db.run(f"UPDATE sync_clock SET floor = {now() + TEN_YEARS}")
    else:
        db.run(f"UPDATE syncline.log SET clock = {now() + TEN_YEARS}")


@on_pairs("scenario 12: a clock once ten years ahead: its site recovers, and loses nothing")
def _(_t, a, b):
    create(TASK, a, b)
    fill(a, 2)
    sync(a, b)
    if a.engine == "sqlite":
        ahead(a)
    run("UPDATE task SET title = 'future' WHERE id = 'k1'; INSERT INTO task VALUES('f', 'x', 1)", a)
    if a.engine == "postgres":
        ahead(a)
    a.value("SELECT sync_hello()")
    old = site(a)
    run("INSERT INTO task VALUES('b', 'x', 1)", b)
    sync(a, b)
    assert site(a) != old
    assert equal([a, b], ["task"]) == 4
    run("UPDATE task SET title = 'later' WHERE id = 'k1'", b)
    run("UPDATE task SET title = 'healthy' WHERE id = 'k2'", a)
    settle([a, b])
    assert rows(a, "SELECT title FROM task WHERE id IN ('k1', 'k2')") == [("healthy",), ("later",)]
    for db in (a, b):
        for _, hlc in vector(db).values():
            assert hlc < now() + (60000 << 16)
    assert conflicts(a) == conflicts(b) == [] and moved(sync(a, b)) == 0


@on_pairs("scenario 12: a peer whose clock was ahead says what to do there, and recovers by it")
def _(_t, a, b):
    create(TASK, a, b)
    if b.engine == "sqlite":
        ahead(b)
    fill(b, 3)
    if b.engine == "postgres":
        ahead(b)
    raises(lambda: sync(a, b), "ahead of this database's clock", "sync_new_identity")
    assert rows(a, "SELECT * FROM task") == []
    b.value("SELECT sync_new_identity()")
    sync(a, b)
    assert equal([a, b], ["task"]) == 3
    run("UPDATE task SET title = 'seen'", a)
    sync(a, b)
    assert rows(b, "SELECT DISTINCT title FROM task") == [("seen",)]


@on_pairs("scenario 12: a clock that jumps ahead and back during a transaction",
          ("SQLite-SQLite", "SQLite-PostgreSQL"))
def _(_t, a, b):
    create(TASK, a, b)
    fill(a, 3)
    sync(a, b)
    a.run("BEGIN; UPDATE task SET title = 'one';"
          f"UPDATE sync_clock SET floor = {now() + TEN_YEARS};"
          "UPDATE task SET title = 'two' WHERE id <> 'k1'; UPDATE sync_clock SET floor = 1;"
          "UPDATE task SET title = 'three' WHERE id = 'k3'; COMMIT")
    sync(a, b)
    assert equal([a, b], ["task"]) == 3
    assert rows(b, "SELECT title FROM task") == [("one",), ("three",), ("two",)]
    run("UPDATE task SET title = 'after'", b)
    sync(a, b)
    assert rows(a, "SELECT DISTINCT title FROM task") == [("after",)] and conflicts(a) == []


@test("scenario 13: prepared transactions: nothing before COMMIT PREPARED, everything after")
def _(t):
    server = Cluster("--conf", "max_prepared_transactions = 5")
    try:
        a, b = t.sqlite("a"), server.database("app")
        create(TASK, a, b)
        b.run("BEGIN; INSERT INTO task VALUES('kept', 'x', 1); PREPARE TRANSACTION 'one';"
              "BEGIN; INSERT INTO task VALUES('undone', 'x', 1); PREPARE TRANSACTION 'two'")
        fill(b, 2)
        sync(a, b)
        assert rows(a, "SELECT id FROM task") == [("k1",), ("k2",)]
        b.run("ROLLBACK PREPARED 'two'")
        server.restart("fast")
        sync(a, b)
        b.run("COMMIT PREPARED 'one'")
        sync(a, b)
        assert equal([a, b], ["task"]) == 3 and moved(sync(a, b)) == 0
        assert rows(a, "SELECT id FROM task") == [("k1",), ("k2",), ("kept",)]
    finally:
        server.stop()


@on_pairs("scenario 15: a hub is replaced by one that lags")
def _(t, a, b):
    left, right = t.sqlite("left"), t.sqlite("right")
    create(TASK, a, b, left, right)
    fill(left, 5)
    for one, two in ((left, a), (a, b), (a, right)):
        sync(one, two)
    fill(left, 5, "late")
    run("UPDATE task SET title = 'late' WHERE id = 'k1'; DELETE FROM task WHERE id = 'k2'", left)
    sync(left, a)
    sync(right, a)
    run("UPDATE task SET status = 77 WHERE id = 'k3'", right)
    for device in (left, right):  # a is gone: b takes its place, and lacks what a had
        sync(device, b)
    sync(left, b)
    equal([left, right, b], ["task"])
    assert rows(b, "SELECT title, status FROM task WHERE id IN ('k1', 'k3')") == [
        ("late", "1"), ("some title 3", "77")]
    for one, two in ((left, b), (right, b), (left, right)):
        assert moved(sync(one, two)) == 0
    settle([a, b])
    assert equal([a, b, left, right], ["task"]) == 9


@on_pairs("scenario 25: a full disk: the exchange fails cleanly, and goes on when there is room",
          ("SQLite-SQLite", "SQLite-PostgreSQL"))
def _(_t, a, b):
    create(TASK, a, b)
    fill(b, 2000)
    run("INSERT INTO task VALUES('mine', 'x', 1)", a)
    pages = a.value("PRAGMA page_count")
    a.run(f"PRAGMA max_page_count = {pages + 2}")
    raises(lambda: sync(a, b), "full")
    assert a.value("PRAGMA integrity_check") == "ok"
    assert rows(a, "SELECT id FROM task WHERE id = 'mine'") == [("mine",)]
    a.run("PRAGMA max_page_count = 1000000")
    run("UPDATE task SET title = 'again' WHERE id = 'mine'", a)
    sync(a, b)
    assert equal([a, b], ["task"]) == 2001 and moved(sync(a, b)) == 0


@on_pairs("scenario 25: ten programs write one file while two of them synchronise",
          ("SQLite-SQLite", "SQLite-PostgreSQL"))
def _(t, a, b):
    create(TASK, a, b)
    a.run("PRAGMA journal_mode = WAL")
    programs = [type(a)(a.path) for _ in range(10)]
    t.open.extend(programs)
    errors = []

    def work(number):
        db = programs[number]
        try:
            for turn in range(5):
                db.run(f"INSERT INTO task VALUES('{number}-{turn}', 'x', {turn})")
                if number < 2:
                    sync(db, b)
        except Exception as error:  # told below, whatever it is
            if number >= 2 or not any(word in str(error) for word in ("busy", "locked", "another")):
                errors.append(f"{number}: {error}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    settle([a, b])
    assert equal([a, b], ["task"]) >= 42


@test("scenario 27: sync_enable on a million rows writes a state for none of them")
def _(t):
    for db in (t.sqlite(), t.postgres()):
        db.run(TASK)
        fill(db, 1000000)
        enable(db, "task")
        if db.engine == "sqlite":
            written = (db.value("SELECT count(*) FROM sync_log"),
                       db.value("SELECT count(*) FROM sync_state_1"))
        else:
            written = (int(db.value("SELECT count(*) FROM syncline.log")),
                       int(db.value("SELECT count(*) FROM syncline.state_1")))
        assert written[0] <= 1 and written[1] == 0, written
        run("UPDATE task SET title = 'one' WHERE id = 'k5'", db)
        (chunk,) = export(db, vector(db))
        assert len(chunk) < 2000, "one row, not a million"


@test("scenario 30: a chunk for tables its bearer may not write is refused, and writes nothing")
def _(t):
    a, b = t.sqlite("a"), t.postgres("b")
    create(TASK + "CREATE TABLE secret(id TEXT PRIMARY KEY, x TEXT);", a, b)
    run("INSERT INTO task VALUES('k', 'x', 1); INSERT INTO secret VALUES('s', 'x')", a)
    chunks = export(a, vector(b))
    role = f"limited_{b.name}"
    b.run(f"CREATE ROLE {ident(role)} LOGIN; GRANT ALL ON task TO {ident(role)};"
          f"GRANT SELECT ON secret TO {ident(role)}")
    limited = Postgres(b.name, dict(b.env, PGUSER=role))
    try:
        for chunk in chunks:
            raises(lambda c=chunk: limited.value(f"SELECT sync_apply('\\x{c.hex()}')"), "secret")
        assert rows(b, "SELECT id FROM task") == rows(b, "SELECT id FROM secret") == []
    finally:
        b.run(f"DROP OWNED BY {ident(role)}; DROP ROLE {ident(role)}")


if __name__ == "__main__":
    sys.exit(main())
