#!/usr/bin/env python3
"""Goal: what goes wrong on the way (scenarios 8 to 14, 24 to 27, 30) loses nothing and leaves
nothing half done, on all pairs. Method: kill, cut, flip, copy, restore, race; then synchronise and
compare."""
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
import wire  # noqa: E402
from harness import EXTENSION, SqlError, Sqlite, cluster, main, raises, test  # noqa: E402
from pairs import (apply, batch, conflicts, create, equal, export, moved, on_pairs,  # noqa: E402
                   quote, rows, run, settle, sync, vector)

TASK = "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, status INTEGER);"
MIXED = ("SQLite-SQLite", "SQLite-PostgreSQL")


def fill(db, count, prefix="k"):
    """`count` rows by one statement."""
    series = ("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {}) "
              "INSERT INTO task SELECT '{}' || i, 'some title ' || i, i FROM s")
    db.run(series.format(count, prefix))


def count(db):
    return int(db.value("SELECT count(*) FROM task"))


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def process(code, *arguments):
    """A Python process with a connection `db` that has the extension."""
    head = ("import sqlite3, sys; "
            "db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20); "
            f"db.enable_load_extension(True); db.load_extension({EXTENSION!r}); ")
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@on_pairs("scenario 8: kill -9 in the middle of sync_now; the next one goes on from there", MIXED)
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 30000)
    other = process("db.execute('SELECT sync_now(?, ?)', (sys.argv[2], '{\"max_bytes\": 8000}'))",
                    a.path, b.url)
    wait_for(lambda: count(b) > 500 or other.poll() is not None)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    there = count(b)
    report = sync(a, b)
    assert there and report["pushed"]["rows"] <= 30000 - there + 200, (there, report["pushed"])
    assert equal([a, b], ["task"]) == 30000
    assert moved(sync(a, b)) == 0
    assert a.value("PRAGMA integrity_check") == "ok"


@on_pairs("scenario 8: killed while it pulls", ("SQLite-PostgreSQL",))
def _(t, a, b):
    create(TASK, a, b)
    fill(b, 30000)
    other = process("db.execute('SELECT sync_now(?, ?)', (sys.argv[2], '{\"max_bytes\": 8000}'))",
                    a.path, b.url)
    wait_for(lambda: count(a) > 500 or other.poll() is not None)
    other.send_signal(signal.SIGKILL)
    other.communicate()
    there = count(a)
    assert there and sync(a, b)["pulled"]["rows"] <= 30000 - there + 200
    assert equal([a, b], ["task"]) == 30000


@on_pairs("scenario 9: chunks cut short, altered, doubled and out of order")
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 300)
    chunks = export(a, vector(b), {"max_bytes": 3000})
    assert len(chunks) > 2
    rng = random.Random(9)
    for _ in range(40 if b.engine == "sqlite" else 8):
        chunk = bytearray(rng.choice(chunks))
        if rng.randrange(2):
            chunk[rng.randrange(len(chunk))] ^= 1 << rng.randrange(8)
        else:
            del chunk[rng.randrange(len(chunk)):]
        raises(lambda chunk=chunk: apply(b, bytes(chunk)))
    assert count(b) == 0
    apply(b, chunks[0])
    seen = count(b)
    raises(lambda: apply(b, chunks[2]), "follow")
    assert count(b) == seen, "a refused chunk changed rows"
    apply(b, chunks[0])
    for chunk in chunks[1:]:
        apply(b, chunk)
        assert apply(b, chunk)["applied"] == 0
    assert equal([a, b], ["task"]) == 300
    assert moved(sync(a, b)) == 0


@on_pairs("scenario 9: an exchange broken off is resumed from another site")
def _(t, a, b):
    relay = t.sqlite("relay")
    create(TASK, a, b, relay)
    fill(a, 400)
    sync(a, relay)
    for chunk in export(a, vector(b), {"max_bytes": 3000})[:2]:
        apply(b, chunk)
    assert 0 < count(b) < 400
    run("UPDATE task SET title = 'meanwhile' WHERE id = 'k1'", a)
    settle([relay, b])
    settle([relay, a, b])
    assert equal([a, b, relay], ["task"]) == 400


@on_pairs("scenario 10: restored in place from a backup, writes, syncs: nothing is lost", MIXED)
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 10)
    sync(a, b)
    backup = str(a.path) + ".backup"
    a.run(f"VACUUM INTO {quote(backup)}")
    fill(a, 10, "lost")
    sync(a, b)
    a.close()
    for name in os.listdir(pathlib.Path(a.path).parent):
        if name.startswith(pathlib.Path(a.path).name) and not name.endswith(".backup"):
            os.remove(pathlib.Path(a.path).parent / name)
    shutil.copy(backup, a.path)
    restored = Sqlite(a.path)
    t.open[t.open.index(a)] = restored
    fill(restored, 10, "after")
    run("UPDATE task SET title = 'newer' WHERE id = 'k1'", restored)
    settle([restored, b])
    assert equal([restored, b], ["task"]) == 30
    assert rows(b, "SELECT title FROM task WHERE id = 'k1'") == [("newer",)]
    assert conflicts(b) == []


@on_pairs("scenario 11: a copied file: both copies write and reach one hub", MIXED)
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 10)
    sync(a, b)
    a.run("PRAGMA wal_checkpoint(TRUNCATE)")
    path = pathlib.Path(a.path).parent / "copy.db"
    shutil.copy(a.path, path)
    copy = Sqlite(path)
    t.open.append(copy)
    for db, name in ((a, "original"), (copy, "copy")):
        fill(db, 5, name)
        run(f"UPDATE task SET title = '{name}' WHERE id = 'k1'", db)
    for _ in range(2):
        sync(a, b)
        sync(copy, b)
    settle([a, b, copy])
    assert equal([a, b, copy], ["task"]) == 20
    assert a.value("SELECT sync_site_id()") != copy.value("SELECT sync_site_id()")
    assert [c[4] for c in conflicts(b)] == ["update_update"]


@test("scenario 11: a PostgreSQL database copied with TEMPLATE: both write and reach one device")
def _(t):
    a, b = t.sqlite("device"), t.postgres("hub")
    create(TASK, a, b)
    fill(b, 10)
    sync(a, b)
    name = f"{b.name}_copy"
    cluster().postgres().run(f'CREATE DATABASE "{name}" TEMPLATE "{b.name}"')
    t.dropped.append(name)
    copy = type(b)(name, b.env)
    fill(b, 5, "original")
    fill(copy, 5, "copy")
    for _ in range(2):
        sync(a, b)
        sync(a, copy)
    assert equal([a, b, copy], ["task"]) == 20
    assert b.value("SELECT sync_site_id()") != copy.value("SELECT sync_site_id()")


@on_pairs("scenario 12: a clock ten years ahead is refused or set right, and poisons nobody")
def _(t, a, b):
    create(TASK, a, b)
    fill(b, 3)
    ahead = (int(time.time()) + 315360000) * 1000 << 16
    if a.engine == "sqlite":
        a.run(f"UPDATE sync_clock SET floor = {ahead}")
    run("INSERT INTO task VALUES('future', 'x', 1)", a)
    if a.engine == "postgres":
        a.run(f"UPDATE syncline.log SET clock = {ahead}")
    try:
        sync(a, b)
    except (SqlError, sqlite3.Error) as error:
        assert "ahead" in str(error), error
    bound = (int(time.time()) + 600) * 1000 << 16
    for site, (_, hlc) in vector(b).items():
        assert hlc < bound, f"the clock of {site} is poisoned"
    run("UPDATE task SET title = 'still works' WHERE id = 'k1'", b)
    assert rows(b, "SELECT title FROM task WHERE id = 'k1'") == [("still works",)]


@on_pairs("scenario 12: a clock that steps back loses no write", ("SQLite-PostgreSQL",))
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 3)
    sync(a, b)
    minute = 60000 << 16
    a.run(f"UPDATE sync_clock SET floor = floor + {minute}")
    run("UPDATE task SET title = 'a minute ahead'", a)
    sync(a, b)
    run("UPDATE task SET title = 'after'", b)
    sync(a, b)
    assert rows(a, "SELECT DISTINCT title FROM task") == [("after",)] and conflicts(a) == []


@on_pairs("scenario 13: PostgreSQL transactions that commit in another order than they began",
          ("SQLite-PostgreSQL", "PostgreSQL-PostgreSQL"))
def _(t, a, b):
    create(TASK, a, b)
    slow, quick = t.session(b), t.session(b)
    slow.run("BEGIN")
    slow.run("INSERT INTO task VALUES('slow', 's', 1)")
    quick.run("BEGIN")
    quick.run("INSERT INTO task VALUES('quick', 'q', 1)")
    quick.run("SAVEPOINT s")
    quick.run("INSERT INTO task VALUES('undone', 'q', 1)")
    quick.run("ROLLBACK TO s")
    quick.run("INSERT INTO task VALUES('kept', 'q', 1)")
    quick.run("COMMIT")
    for number in range(2):
        run(f"INSERT INTO task VALUES('a{number}', 'x', 1)", a)
        sync(a, b)
        assert rows(a, "SELECT id FROM task WHERE title <> 'x'") == [("kept",), ("quick",)]
    slow.run("UPDATE task SET title = 'late' WHERE id = 'quick'")
    slow.run("COMMIT")
    sync(a, b)
    assert equal([a, b], ["task"]) == 5
    assert rows(a, "SELECT title FROM task WHERE id = 'quick'") == [("late",)]
    assert moved(sync(a, b)) == 0


@on_pairs("scenario 14: the application writes a cell while it is being synchronised")
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 50)
    sync(a, b)
    writers = [(Sqlite(db.path, extension=False) if db.engine == "sqlite" else t.session(db))
               for db in (a, b)]
    t.open.extend(writer for writer in writers if isinstance(writer, Sqlite))
    stop, errors = threading.Event(), []

    def write(writer, name):
        number = 0
        while not stop.is_set():
            number += 1
            try:
                writer.run(f"UPDATE task SET title = '{name} {number}' WHERE id = '{name}{1}'")
            except (SqlError, sqlite3.Error) as error:
                errors.append(error)
            time.sleep(0.002)
        writer.run(f"UPDATE task SET title = '{name} last' WHERE id = '{name}1'")

    for db, name in ((a, "mine"), (b, "yours")):
        run(f"INSERT INTO task VALUES('{name}1', 'x', 1)", db)
    threads = [threading.Thread(target=write, args=(w, n))
               for w, n in zip(writers, ("mine", "yours"))]
    for thread in threads:
        thread.start()
    for _ in range(4):
        sync(a, b)
    stop.set()
    for thread in threads:
        thread.join()
    settle([a, b])
    assert not errors, errors[0]
    equal([a, b], ["task"])
    assert rows(a, "SELECT title FROM task WHERE status = 1 AND id LIKE '%s1' OR id = 'mine1'") == \
        [("mine last",), ("yours last",)]


@on_pairs("scenario 24: a program that has not loaded the extension writes", MIXED)
def _(t, a, b):
    create(TASK, a, b)
    plain = Sqlite(a.path, extension=False)
    t.open.append(plain)
    plain.run("INSERT INTO task VALUES('plain', 'x', 1); UPDATE task SET status = 2")
    sync(a, b)
    assert rows(b, "SELECT * FROM task") == [("plain", "x", "2")]
    plain.run("DELETE FROM task")
    sync(a, b)
    assert rows(b, "SELECT * FROM task") == []


@on_pairs("scenario 25: six programs on one SQLite file, three of them synchronise at once", MIXED)
def _(t, a, b):
    create(TASK, a, b)
    a.run("PRAGMA journal_mode=WAL")
    writing = ("[db.execute('INSERT INTO task VALUES(?, ?, ?)', (f'{sys.argv[2]}-{i}', 'x', i)) "
               "for i in range(30)]")
    syncing = "[db.execute('SELECT sync_now(?)', (sys.argv[2],)).fetchall() for i in range(3)]"
    running = [process(writing, a.path, f"w{i}") for i in range(3)]
    running += [process(syncing, a.path, b.url) for _ in range(3)]
    failures = [p.communicate()[1].strip().splitlines()[-1:] for p in running]
    for failed in failures[:3]:
        assert not failed, failed
    for failed in failures[3:]:
        assert not failed or "busy" in failed[0] or "locked" in failed[0] or \
            "another" in failed[0], failed
    settle([a, b])
    assert equal([a, b], ["task"]) == 90
    assert a.value("PRAGMA integrity_check") == "ok"


@test("scenario 25: a read-only database fails cleanly, and so does a locked one")
def _(t):
    a, b = t.sqlite("a"), t.sqlite("b")
    create(TASK, a, b)
    fill(a, 5)
    a.run("PRAGMA query_only=ON")
    raises(lambda: sync(a, b))
    a.run("PRAGMA query_only=OFF")
    lock = Sqlite(b.path, extension=False)
    t.open.append(lock)
    lock.run("BEGIN EXCLUSIVE")
    a.run("PRAGMA busy_timeout=50")
    raises(lambda: sync(a, b))
    lock.db.execute("COMMIT")  # executescript would commit first by itself
    sync(a, b)
    assert equal([a, b], ["task"]) == 5


@test("scenario 26: four devices push the same rows into one PostgreSQL while it writes them")
def _(t):
    hub = t.postgres("hub")
    devices = [t.sqlite(f"d{i}") for i in range(4)]
    create(TASK, hub, *devices)
    fill(hub, 60)
    for device in devices:
        sync(device, hub)
    errors, stop = [], threading.Event()

    def push(number):
        device = devices[number]
        try:
            for turn in range(3):
                device.run(batch([f"UPDATE task SET title = 'd{number} {turn}' WHERE id = 'k{i}'"
                                  for i in range(1 + number * 5, 41 + number * 5)]
                                 + [f"INSERT INTO task VALUES('d{number}-{turn}', 'x', 1)"]))
                sync(device, hub)
        except sqlite3.Error as error:
            errors.append(str(error))

    def write():
        session = t.session(hub)
        while not stop.is_set():
            try:
                session.run("UPDATE task SET status = status + 1 WHERE id IN ('k30', 'k20', 'k10')")
            except SqlError as error:
                errors.append(str(error))

    threads = [threading.Thread(target=push, args=(i,)) for i in range(4)]
    application = threading.Thread(target=write)
    application.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    application.join()
    assert not errors, errors
    for _ in range(2):
        for device in devices:
            sync(device, hub)
    assert equal([hub, *devices], ["task"]) == 72


@on_pairs("scenario 27: 100,000 rows in seconds; again moves none; cost is linear")
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 10000)
    started = time.monotonic()
    sync(a, b)
    small = time.monotonic() - started
    fill(a, 100000, "n")
    started = time.monotonic()
    report = sync(a, b)
    large = time.monotonic() - started
    assert report["pushed"]["rows"] == 100000, report
    started = time.monotonic()
    assert moved(sync(a, b)) == 0
    nothing = time.monotonic() - started
    print(f"     10,000 rows {small:.2f} s, 100,000 rows {large:.2f} s "
          f"({100000 / large:,.0f} rows/s), nothing to do {nothing * 1000:.0f} ms", flush=True)
    assert large < 60 and nothing < 5, (large, nothing)
    assert large < 50 * max(small, 0.1), "not linear"
    assert count(b) == 110000


@on_pairs("scenario 30: a hostile chunk: huge lengths, any byte of the body, quotes in names")
def _(t, a, b):
    create(TASK, a, b)
    fill(a, 20)
    (good,) = export(a, vector(b), {"compress": "none"})
    if wire.hash_of(b"") is None:
        return

    def seal(head, body):
        return head + body + wire.hash_of(head + body)

    def varint(number):
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        return bytes(out + bytes([number]))

    for size in (2**60, 2**31, 1_073_000_001):
        for flags in (0, 1, 2):
            raises(lambda s=size, f=flags: apply(b, seal(b"SYNC\x01" + bytes([f]) + varint(s),
                                                         b"\x00" * 40)))
    reader = wire.Reader(good)
    reader.at = 6
    size = reader.varint()
    head, body = good[:reader.at], good[reader.at:-16]
    assert len(body) == size
    raises(lambda: apply(b, seal(head, varint(2**60) + body[9:])))
    rng = random.Random(30)
    for _ in range(60 if b.engine == "sqlite" else 10):
        bad = bytearray(body)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        chunk = seal(head, bytes(bad))
        if b.engine == "sqlite":
            b.rows("BEGIN")
            try:
                apply(b, chunk)
            except sqlite3.Error:
                pass
            b.rows("ROLLBACK")
        else:
            b.run("DO $x$ BEGIN PERFORM sync_apply('\\x" + chunk.hex() + "'); "
                  "RAISE EXCEPTION 'undo'; EXCEPTION WHEN OTHERS THEN NULL; END $x$")
    assert count(b) == 0
    quoted = seal(head, body.replace(b"\x04task", b"\x04\"';-"))
    apply(b, quoted)
    assert count(b) == 0 and count(a) == 20
    assert conflicts(b) == []


if __name__ == "__main__":
    main()
