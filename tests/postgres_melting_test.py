#!/usr/bin/env python3
"""Melting in PostgreSQL: row state that every site has seen goes, and nothing else does.

What must hold is asked of the databases alone: the same rows everywhere, none lost and none back
from the dead, no state where all have seen all, and a word to whoever was retired.
"""
import json
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import Postgres, main, raises, same_rows, test  # noqa: E402

TASK = "CREATE TABLE task(id int PRIMARY KEY, title text, done int DEFAULT 0)"


def tracked(t, name, rows=0):
    db = t.postgres(name)
    db.run(TASK)
    db.run(f"INSERT INTO task SELECT i, '{name} ' || i FROM generate_series(1, {rows}) i")
    db.value("SELECT sync_enable('task')")
    return db


def site(db):
    return db.value("SELECT sync_site_id()")


def sync(a, b, options=None):
    more = f", '{json.dumps(options)}'" if options else ""
    return a.json(f"SELECT sync_now('{b.url}'{more})")


def moved(report):
    return report["pulled"]["rows"] + report["pushed"]["rows"]


def maintain(db, options=None):
    """All of it, whatever rows_max says; the last report, with the rows of all calls."""
    more = f"'{json.dumps(options)}'" if options else ""
    melted = 0
    for _ in range(1000):
        report = db.json(f"SELECT sync_maintain({more})")
        melted += report["rows_melted"]
        if report["done"]:
            return dict(report, rows_melted=melted)
    raise AssertionError(f"sync_maintain does not come to an end: {report}")


def states(db, table="task"):
    number = db.value(f"SELECT number FROM syncline.tbl WHERE name = '{table}'")
    return int(db.value(f"SELECT count(*) FROM syncline.state_{number}"))


def bookkeeping(db):
    """Entries of the lists that a pass prunes."""
    number = db.value("SELECT number FROM syncline.tbl WHERE name = 'task'")
    return int(db.value("SELECT (SELECT count(*) FROM syncline.growth)"
                        f" + (SELECT count(*) FROM syncline.arrival_{number})"))


def settle(*sites):
    """Everybody has everything, and everybody knows that everybody has."""
    for _ in range(3):
        for a, b in zip(sites, sites[1:]):
            sync(a, b)
    for db in sites:
        maintain(db)


def check(*sites):
    """Same rows, and nothing that sync_check finds."""
    for other in sites[1:]:
        same_rows(sites[0], other, ["task"])
    for db in sites:
        found = db.rows("SELECT severity, what FROM sync_check('{\"deep\": true}')")
        assert not found, (db.url, found)


def ids(db, where="true"):
    return sorted(int(row[0]) for row in db.rows(f"SELECT id FROM task WHERE {where}"))


def melted_pair(t, rows=200):
    a, b = tracked(t, "a"), tracked(t, "b")
    a.run(f"INSERT INTO task SELECT i, 'a ' || i FROM generate_series(1, {rows}) i")
    b.run(f"INSERT INTO task SELECT i + 10000, 'b ' || i FROM generate_series(1, {rows}) i")
    settle(a, b)
    return a, b


def agree(a, b):
    return a.json(f"SELECT sync_verify('{b.url}')")["same"]


@test("melting: two databases that have seen all keep no row state, and go on exactly")
def _(t):
    a, b = tracked(t, "a"), tracked(t, "b")
    a.run("INSERT INTO task SELECT i, 'a ' || i FROM generate_series(1, 300) i;"
          "DELETE FROM task WHERE id % 10 = 0")
    sync(a, b)
    assert states(a) > 0 and states(b) > 0
    sync(a, b)
    report = maintain(a)
    assert report["waiting_for"] == [] and report["rows_melted"] == 270, report
    assert set(report) == {"rows_melted", "rows_looked_at", "done", "waiting_for",
                           "conflicts_dropped", "events_dropped", "log_dropped",
                           "bytes_metadata"}, report
    maintain(b)
    assert states(a) == states(b) == 0, (states(a), states(b))
    assert bookkeeping(a) == 0, bookkeeping(a)
    assert moved(sync(a, b)) == 0
    assert moved(sync(b, a)) == 0

    a.run("UPDATE task SET title = 'changed' WHERE id BETWEEN 1 AND 5; DELETE FROM task"
          " WHERE id = 21; INSERT INTO task VALUES (500, 'new')")
    b.run("UPDATE task SET done = 1 WHERE id BETWEEN 4 AND 8; DELETE FROM task WHERE id = 22;"
          "INSERT INTO task VALUES (10, 'again')")
    report = sync(a, b)
    assert moved(report) == 14, report
    check(a, b)
    assert a.rows("SELECT title, done FROM task WHERE id = 4") == [("changed", "1")]
    assert ids(a, "id IN (10, 21, 22, 500)") == [10, 500]
    assert a.value("SELECT count(*) FROM sync_conflicts") == "0"
    settle(a, b)
    assert states(a) == states(b) == 0
    check(a, b)


@test("melting: rows that were there before sync_enable have no state, and melt all the same")
def _(t):
    a, b = tracked(t, "a", 50), tracked(t, "b")
    settle(a, b)
    assert states(a) == states(b) == 0
    assert a.value("SELECT baseline_seq FROM syncline.tbl") == "0"
    assert moved(sync(a, b)) == 0
    b.run("UPDATE task SET done = 1 WHERE id <= 3; DELETE FROM task WHERE id = 50")
    assert moved(sync(a, b)) == 4
    check(a, b)


@test("melting: a site that nobody heard of holds the horizon, until it is retired")
def _(t):
    a, b, c = (tracked(t, name) for name in "abc")
    a.run("INSERT INTO task VALUES (1, 'one')")
    for _ in range(2):
        sync(a, b)
        sync(b, c)
    b.run("UPDATE task SET done = 1")
    sync(a, b)
    sync(a, b)
    report = maintain(a)
    assert report["waiting_for"] == [site(c)] and states(a) == 1, report
    row = a.rows("SELECT status, holds_horizon, behind_changes FROM sync_sites"
                 f" WHERE site = '{site(c)}'")
    assert row == [("active", "t", "1")], row
    a.value(f"SELECT sync_retire_site('{site(c)}', 'lost')")
    report = maintain(a)
    assert site(c) not in report["waiting_for"] and states(a) == 0, report


@test("melting: a third site joins after melting, with rows of its own")
def _(t):
    a, b = melted_pair(t)
    a.run("DELETE FROM task WHERE id <= 100")
    settle(a, b)
    assert states(a) == 0
    c = tracked(t, "c", 20)  # keys that a has, and some that a had
    c.run("UPDATE task SET title = 'mine' WHERE id = 3; INSERT INTO task VALUES (777, 'own')")
    sync(c, a)
    sync(a, b)
    check(a, b, c)
    assert 777 in ids(a) and ids(a, "id > 100 AND id <= 200") == list(range(101, 201))
    settle(a, b, c, b, a)
    check(a, b, c)
    assert states(a) == states(b) == states(c) == 0, (states(a), states(b), states(c))


@test("melting: a first exchange in many chunks goes on where it broke off")
def _(t):
    a, b = melted_pair(t, 3000)
    c = tracked(t, "c", 10)
    vector = "{}"
    chunks = a.rows("SELECT encode(changes, 'hex') FROM sync_changes_since("
                    f"'{vector}', '{{\"max_bytes\": 5000}}') ORDER BY chunk")
    assert len(chunks) > 5
    for (chunk,) in chunks[:3]:
        c.value(f"SELECT sync_apply(decode('{chunk}', 'hex'))")
    raises(lambda: c.rows("SELECT * FROM sync_changes_since('{}')"), "first exchange")
    a.run("UPDATE task SET done = 7 WHERE id IN (1, 2999); DELETE FROM task WHERE id = 1500;"
          "INSERT INTO task VALUES (5000, 'since')")
    sync(c, a, {"max_bytes": 5000})
    check(a, c)
    sync(b, c)
    check(a, b, c)


def table_scans(db):
    """How often the whole table was read; sessions tell when they end."""
    db.run("SELECT pg_stat_clear_snapshot()")
    return int(db.value("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'task'"))


def scans_during(work, *sites):
    """By site, how many whole reads of its table `work` took; two each are none of the work's."""
    before = [table_scans(db) for db in sites]
    work()
    last = None
    for _ in range(50):  # until all has been told
        now = [table_scans(db) for db in sites]
        if now == last:
            break
        last = now
        time.sleep(0.3)
    return [b - a for a, b in zip(before, now)]


@test("melting: a full exchange in many chunks reads no table once a chunk")
def _(t):
    a, _b = melted_pair(t, 3000)
    empty, full = tracked(t, "empty"), tracked(t, "full", 3000)
    full.run("INSERT INTO task SELECT i, 'full ' || i FROM generate_series(4000, 9000) i")
    for db in (empty, full):
        reports = []
        scans = scans_during(lambda: reports.append(sync(db, a, {"max_bytes": 5000})), db, a)
        chunks = reports[0]["pulled"]["chunks"]
        assert chunks > 12 and max(scans) <= 6, (chunks, scans)
        check(a, db)


@test("melting: rows that come while a full exchange is under way stay on both sides")
def _(t):
    a, b = melted_pair(t, 1000)
    c = tracked(t, "c", 1000)
    a.run("DELETE FROM task WHERE id BETWEEN 500 AND 600")
    settle(a, b)
    session, receiver = t.session(a), t.session(c)
    vector = c.value("SELECT sync_version_vector()")
    resume, chunks = "", 0
    while True:
        options = json.dumps({"max_bytes": 3000, **({"resume": resume} if resume else {})})
        chunk = session.run("SELECT encode((r).changes, 'hex') FROM (SELECT sync_changes_since("
                            f"'{vector}', '{options}') AS r LIMIT 1) AS c")
        report = json.loads(receiver.run(f"SELECT sync_apply(decode('{chunk}', 'hex'))"))
        chunks += 1
        if report["complete"]:
            break
        resume = report["resume"]
        c.run(f"INSERT INTO task VALUES ({20000 + chunks}, 'of c, behind'),"
              f" ({-chunks}, 'of c, before')")
        a.run(f"INSERT INTO task VALUES ({30000 + chunks}, 'of a, behind')")
    assert chunks > 5, chunks
    sync(c, a)
    sync(c, a)
    check(a, c)
    assert len(ids(a, "id < 0 OR id BETWEEN 20000 AND 30000")) == 2 * (chunks - 1)


@test("melting: a retired site is told so, takes a new id, and loses nothing")
def _(t):
    a, b = melted_pair(t)
    c = tracked(t, "c")
    settle(a, b, c, b, a)
    check(a, b, c)
    c.run("UPDATE task SET title = 'unsent' WHERE id = 7; INSERT INTO task VALUES (900, 'unsent');"
          "DELETE FROM task WHERE id = 8")
    gone = site(c)
    told = a.json(f"SELECT sync_retire_site('{gone}')")
    assert told["retired"] and told["site"] == gone, told
    a.run("DELETE FROM task WHERE id BETWEEN 20 AND 40")
    settle(a, b)
    assert states(a) == 0
    error = raises(lambda: sync(c, a), "retired")
    assert "sync_new_identity" in str(error), error
    assert c.value("SELECT sync_new_identity()") != gone
    sync(c, a)
    sync(a, b)
    sync(c, a)
    check(a, b, c)
    assert a.value("SELECT title FROM task WHERE id = 7") == "unsent"
    assert ids(a, "id IN (8, 900)") == [900]
    assert ids(a, "id BETWEEN 20 AND 40") == [], "rows are back from the dead"
    status = dict(a.rows("SELECT site, status FROM sync_sites"))
    assert status[gone] == "retired" and status[site(c)] == "active", status
    settle(a, b, c, b, a)
    # what was written on both sides of the retirement stays, nothing else
    assert states(a) <= 3, states(a)


@test("melting: an unsent update of a row whose delete has melted is a conflict, and not lost")
def _(t):
    a, b = melted_pair(t)
    c = tracked(t, "c")
    settle(a, b, c, b, a)
    c.run("UPDATE task SET title = 'unsent' WHERE id = 7")
    a.value(f"SELECT sync_retire_site('{site(c)}')")
    a.run("DELETE FROM task WHERE id = 7")
    settle(a, b)
    assert states(a) == 0
    c.value("SELECT sync_new_identity()")
    sync(c, a)
    sync(a, b)
    check(a, b, c)
    kinds = [row[0] for row in c.rows("SELECT kind FROM sync_conflicts WHERE status = 'open'")]
    assert kinds == ["update_delete"], kinds
    assert a.value("SELECT title FROM task WHERE id = 7") == "unsent"


@test("melting: sync_maintain goes on where it stopped, and writers go on beside it")
def _(t):
    a, b = tracked(t, "a"), tracked(t, "b")
    a.run("INSERT INTO task SELECT i, 'a ' || i FROM generate_series(1, 5000) i")
    sync(a, b)
    sync(a, b)
    stop, errors, written = threading.Event(), [], [0]

    def write():
        try:
            while not stop.is_set():
                n = written[0]
                a.run(f"UPDATE task SET done = done + 1 WHERE id BETWEEN {n % 90 * 50} AND"
                      f" {n % 90 * 50 + 60}; DELETE FROM task WHERE id = {5000 - n};"
                      f" INSERT INTO task VALUES ({10000 + n}, 'meanwhile')")
                written[0] += 1
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    reports = []
    while len(reports) < 12 or written[0] < 20:
        reports.append(a.json("SELECT sync_maintain('{\"rows_max\": 700}')"))
        if len(reports) % 4 == 0:
            sync(b, a)
    stop.set()
    writer.join()
    assert not errors, errors
    assert any(not r["done"] for r in reports) and sum(r["rows_melted"] for r in reports) > 0
    assert all(r["rows_looked_at"] <= 700 for r in reports)
    settle(a, b)
    check(a, b)
    assert states(a) == states(b) == 0
    n = written[0]
    assert len(ids(a, "id >= 10000")) == n
    assert ids(a, f"id > {5000 - n} AND id <= 5000") == []
    assert a.value("SELECT count(*) FROM sync_conflicts") == "0"


@test("melting: verifying and repairing between a site that has melted and one that has not")
def _(t):
    a, b = melted_pair(t)
    b.run("UPDATE task SET done = 2 WHERE id <= 20")
    sync(a, b)
    sync(a, b)
    maintain(a)
    assert states(a) == 0 and states(b) > 0
    assert agree(a, b)
    for fresh in range(3):  # sums that were stored are right after melting, too
        b.run(f"UPDATE task SET done = {fresh + 5} WHERE id = {fresh + 1}")
        settle(a, b)
        assert agree(a, b)
    a.run("ALTER TABLE task DISABLE TRIGGER syncline_capture;"
          "UPDATE task SET title = 'unseen' WHERE id = 5; DELETE FROM task WHERE id = 6;"
          "ALTER TABLE task ENABLE ALWAYS TRIGGER syncline_capture")
    assert not agree(a, b)
    b.json(f"SELECT sync_repair('{a.url}')")
    assert agree(b, a)
    same_rows(a, b, ["task"])


@test("melting: a melted table is disabled and enabled again")
def _(t):
    a, b = melted_pair(t)
    for db in (a, b):
        db.value("SELECT sync_disable('task')")
        db.value("SELECT sync_enable('task')")
    sync(a, b)  # until then a delete here does not know the row there
    a.run("UPDATE task SET done = 3 WHERE id = 1; DELETE FROM task WHERE id = 2")
    b.run("INSERT INTO task VALUES (900, 'new')")
    sync(a, b)
    check(a, b)
    assert ids(a, "id IN (1, 2, 900)") == [1, 900]


@test("melting: a new identity takes along what nobody has, and what has melted stays")
def _(t):
    a, b = melted_pair(t)
    before = site(a)
    a.run("UPDATE task SET done = 4 WHERE id = 2")
    a.value("SELECT sync_new_identity()")
    assert states(a) == 1
    sync(a, b)
    check(a, b)
    assert b.value("SELECT done FROM task WHERE id = 2") == "4"
    assert site(a) in dict(b.rows("SELECT site, name FROM sync_sites"))
    b.value(f"SELECT sync_retire_site('{before}')")
    settle(a, b)
    assert states(a) == states(b) == 0
    a.run("UPDATE task SET done = 5 WHERE id = 3")
    assert moved(sync(b, a)) == 1
    check(a, b)


@test("P17: a dump keeps who has what, and how far melting is")
def _(t):
    a, b = melted_pair(t)
    a.run("UPDATE task SET done = 1 WHERE id = 1")
    sync(a, b)
    copy = t.postgres("copy", extension=False)
    dump = subprocess.run(["pg_dump", a.name], env=a.env, capture_output=True, check=True)
    subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", copy.name], env=a.env,
                   input=dump.stdout, capture_output=True, check=True)
    for table in ("ack", "melt"):
        rows = f"SELECT * FROM syncline.{table}"
        if table == "melt":  # the copy is another site
            rows = "SELECT vector, done FROM syncline.melt"
        assert copy.rows(rows) == a.rows(rows), table
    copy.run("INSERT INTO task VALUES (300, 'copy')")
    sync(copy, b)
    sync(a, b)
    sync(copy, b)
    check(a, b, copy)
    assert site(copy) != site(a)
    assert len(ids(b)) == 401


@test("sites: what is known of each, who it has, and how far behind it is")
def _(t):
    a, b = tracked(t, "a"), tracked(t, "b")
    a.value("SELECT sync_site_name('head office')")
    sync(a, b)
    a.run("INSERT INTO task VALUES (1, 'one'), (2, 'two')")
    a.json("SELECT sync_hello()")
    columns = a.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'sync_sites'::regclass"
                     " AND attnum > 0 ORDER BY attnum")
    assert [c[0] for c in columns] == [
        "site", "name", "engine", "version", "status", "joined_at", "last_seen_at", "retired_at",
        "retired_by", "has", "behind_changes", "behind_ms", "clock_ahead_ms", "holds_horizon"]
    rows = a.rows("SELECT site, name, status, behind_changes, holds_horizon, has IS NULL,"
                  " clock_ahead_ms IS NULL FROM sync_sites ORDER BY status DESC")
    assert rows == [(site(a), "head office", "self", "0", "f", "f", "t"),
                    (site(b), b.name, "active", "2", "t", "f", "f")], rows
    assert b.value(f"SELECT name FROM sync_sites WHERE site = '{site(a)}'") == "head office"
    matrix = a.rows(f"SELECT behind FROM sync_site_matrix WHERE site = '{site(b)}'"
                    f" AND knows_site = '{site(a)}'")
    assert matrix == [("2",)], matrix
    b.value(f"SELECT sync_retire_site('{site(a)}', 'for the test')")
    history = b.rows(f"SELECT event, detail FROM sync_site_history('{site(a)}')")
    events = [event for event, _ in history]
    assert events[0] == "registered" and "renamed" in events and "retired" in events, history
    assert any("for the test" in (detail or "") for _, detail in history), history


@test("sites: a peer is heard under its URL, and as a stored peer; from both ends")
def _(t):
    a, b = tracked(t, "a"), tracked(t, "b")
    a.run("INSERT INTO task VALUES (1, 'one')")
    a.value(f"SELECT sync_add_peer('b', '{b.url}')")
    a.json("SELECT sync_now('b')")
    for db, other in ((a, b), (b, a)):
        has = db.value(f"SELECT has FROM sync_sites WHERE site = '{site(other)}'")
        assert json.loads(has)[site(a)][0] > 0, (db.name, has)


@test("melting: sync_now maintains afterwards, if it is told to; a failure is a warning")
def _(t):
    a, b = tracked(t, "a", 3), tracked(t, "b")
    a.run("UPDATE task SET done = 1")
    assert "maintained" not in sync(a, b)
    report = sync(a, b, {"maintain": True})
    assert report["maintained"]["done"] and report["warnings"] == [], report
    assert (states(a), states(b)) == (0, 3)
    b.run("UPDATE task SET done = 2 WHERE id = 1")
    b.run("ALTER FUNCTION sync_maintain RENAME TO sync_gone")
    report = sync(b, a, {"maintain": True})
    assert "maintained" not in report and report["pushed"]["rows"] == 1, report
    assert "sync_maintain() does not exist" in report["warnings"][0], report
    assert same_rows(a, b, ["task"]) == 3


@test("melting: a SQLite file and a server melt alike, and a second file joins [SQLite-PostgreSQL]")
def _(t):
    hub, device = tracked(t, "hub"), t.sqlite("device")
    device.run(TASK.replace("int PRIMARY KEY", "INTEGER PRIMARY KEY"))
    device.value("SELECT sync_enable('task')")
    hub.run("INSERT INTO task SELECT i, 'hub ' || i FROM generate_series(1, 50) i;"
            "DELETE FROM task WHERE id > 40")
    device.run("INSERT INTO task VALUES (100, 'device', 1); DELETE FROM task WHERE id = 100;"
               "INSERT INTO task VALUES (101, 'device', 1)")
    for _ in range(2):
        sync(device, hub)
    kept = "SELECT rows_with_state FROM sync_tables"
    for db in (device, hub):
        maintain(db)
        assert int(db.value(kept)) == 0, db.engine
    assert moved(sync(device, hub)) == 0
    names = {db.value("SELECT sync_site_id()"): db.engine for db in (device, hub)}
    for db in (device, hub):
        seen = {row[0]: row[1].split()[0][:6] for row in
                db.rows("SELECT site, engine FROM sync_sites")}
        assert seen == {site: engine[:6] for site, engine in names.items()}, seen

    hub.run("UPDATE task SET done = 2 WHERE id = 1; DELETE FROM task WHERE id = 101")
    device.run("UPDATE task SET title = 'here' WHERE id IN (1, 2);"
               "INSERT INTO task VALUES (50, 'again', 0)")
    assert moved(sync(device, hub)) == 5
    check(device, hub)
    for _ in range(2):
        sync(device, hub)
    for db in (device, hub):
        maintain(db)
        assert int(db.value(kept)) == 0, db.engine
    second = t.sqlite("second")
    second.run(TASK.replace("int PRIMARY KEY", "INTEGER PRIMARY KEY"))
    second.value("SELECT sync_enable('task')")
    second.run("INSERT INTO task VALUES (45, 'second', 0)")
    sync(second, hub)
    sync(device, hub)
    check(device, second)
    check(device, hub)
    assert len(ids(hub)) == 42, ids(hub)


@test("melting: a server joins SQLite files that have melted [SQLite-PostgreSQL]")
def _(t):
    hub, device = tracked(t, "hub"), t.sqlite("device")
    device.run(TASK.replace("int PRIMARY KEY", "INTEGER PRIMARY KEY"))
    device.value("SELECT sync_enable('task')")
    for i in range(1, 30):
        device.run("INSERT INTO task VALUES (?, 'device', 0)", i)
    device.run("DELETE FROM task WHERE id = 3")
    maintain(device)
    hub.run("INSERT INTO task VALUES (3, 'hub'), (400, 'hub')")
    sync(device, hub)
    check(device, hub)
    assert len(ids(hub)) == 30, ids(hub)
    # The device had never heard of another: it still knew what it had deleted.
    decided = hub.json("SELECT sync_resolve_all('{\"kind\": \"update_delete\"}', 'local')")
    assert decided["resolved"] == 1, decided
    for _ in range(2):
        sync(device, hub)
    for db in (device, hub):
        maintain(db)
        assert int(db.value("SELECT rows_with_state FROM sync_tables")) == 0, db.engine
    check(device, hub)


main()
