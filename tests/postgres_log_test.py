#!/usr/bin/env python3
"""Goal: the two change logs of a PostgreSQL database take turns, and no change is lost between
them. Method: logs that are long, writers, folds and VACUUM beside each other, transactions that
fail, dumps; rows of two databases compared by plain SELECTs."""
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import CLUSTER_SCRIPT, main, raises, same_rows, test  # noqa: E402

LONG = 20000  # rows whose entries make a log long


def pair(t):
    made = t.postgres("a"), t.postgres("b")
    for db in made:
        db.run("CREATE TABLE task(id text PRIMARY KEY, n int)")
        db.value("SELECT sync_enable('task')")
        for log in ("log", "log_2"):  # these tests say when
            db.run(f"ALTER TABLE syncline.{log} SET (autovacuum_enabled = off)")
    return made


def settle(a, b):
    for _ in range(5):
        report = a.json(f"SELECT sync_now('{b.url}')")
        if report["pulled"]["rows"] + report["pushed"]["rows"] == 0:
            return same_rows(a, b, ["task"])
    raise AssertionError("rows still move after several sessions")


def closed(db):
    return int(db.value("SELECT log_closed FROM syncline.self"))


def entries(db):
    return [int(db.value(f"SELECT count(*) FROM {log}"))
            for log in ("ONLY syncline.log", "syncline.log_2")]


def make_long(db, word):
    db.run(f"INSERT INTO task SELECT '{word} ' || i, i FROM generate_series(1, {LONG}) i")


def open_again(db):
    """VACUUM gives pages back, unless somebody looks at the log in that moment."""
    deadline = time.monotonic() + 60
    log = "log_2" if closed(db) == 2 else "log"
    while int(db.value(f"SELECT pg_relation_size('syncline.{log}')")) > 0:
        assert time.monotonic() < deadline
        db.run(f"VACUUM syncline.{log}")
    db.value("SELECT sync_hello()")
    assert closed(db) == 0


@test("log: a long one is closed, the other one is written, VACUUM opens it again, and so in turn")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task VALUES ('short', 1)")
    assert settle(a, b) == 1 and closed(a) == 0
    make_long(a, "first")
    settle(a, b)
    for turn, (now, other) in enumerate(((1, 2), (2, 1), (1, 2))):
        assert closed(a) == now
        make_long(a, f"turn {turn}")
        assert entries(a)[now - 1] == 0 and entries(a)[other - 1] == LONG
        open_again(a)
        # both are open: the short one is written, and the long one can be closed
        a.run(f"UPDATE task SET n = -{turn} WHERE id LIKE '%7';"
              "DELETE FROM task WHERE id LIKE '%5'")
        assert entries(a)[now - 1] > 0 and entries(a)[other - 1] == 0
        settle(a, b)
        assert closed(a) == other and sum(entries(a)) == 0


@test("log: where VACUUM is held up, the open one grows and is folded all the same")
def _(t):
    a, b = pair(t)
    make_long(a, "first")
    old = t.session(a)
    old.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM task")
    for turn in range(3):
        settle(a, b)
        assert closed(a) == 1
        a.run("VACUUM syncline.log")
        make_long(a, f"turn {turn}")
    # to the old snapshot nothing has been taken out, and nothing is closed
    assert old.run("SELECT log_closed, (SELECT count(*) FROM syncline.log) FROM syncline.self") == \
        f"0|{LONG}"
    old.run("COMMIT")
    settle(a, b)
    open_again(a)
    settle(a, b)


@test("log: a fold that a savepoint takes back, and one in a transaction that has written")
def _(t):
    a, b = pair(t)
    b.run("INSERT INTO task VALUES ('from b', 1)")
    b.run("CREATE TABLE sent AS SELECT changes FROM sync_changes_since('{}')")
    chunk = b.value("SELECT encode(changes, 'hex') FROM sent")
    make_long(a, "first")
    a.run("BEGIN; SAVEPOINT s; SELECT sync_hello(); ROLLBACK TO s;"
          "INSERT INTO task VALUES ('after', 1); COMMIT")
    assert closed(a) == 0 and entries(a)[0] + entries(a)[1] == LONG + 1
    assert settle(a, b) == LONG + 2
    open_again(a)
    # it is this transaction that makes a log long, and it has not done with it
    a.run(f"BEGIN; INSERT INTO task SELECT 'mine ' || i, i FROM generate_series(1, {LONG}) i;"
          f"SELECT sync_apply(decode('{chunk}', 'hex'));"
          "INSERT INTO task VALUES ('mine, too', 1); UPDATE task SET n = 2 WHERE id = 'after';"
          "COMMIT")
    assert settle(a, b) == 2 * LONG + 3
    if closed(a) != 0:
        open_again(a)
    make_long(a, "second")
    session = t.session(a)
    session.run("BEGIN; SELECT sync_hello() IS NOT NULL")
    session.run("INSERT INTO task VALUES ('behind the fold', 1)")
    session.run("SAVEPOINT s; INSERT INTO task VALUES ('never', 1); ROLLBACK TO s")
    session.run("UPDATE task SET n = 3 WHERE id = 'after'; COMMIT")
    assert closed(a) in (1, 2)
    assert settle(a, b) == 3 * LONG + 4


@test("log: while an administrator has locked the open one, a writer waits and then goes on")
def _(t):
    a, b = pair(t)
    make_long(a, "first")
    settle(a, b)
    assert closed(a) == 1
    admin, writer = t.session(a), t.session(a)
    admin.run("BEGIN; LOCK TABLE syncline.log_2 IN ACCESS EXCLUSIVE MODE")
    writer.send("INSERT INTO task VALUES ('waits', 1)")
    assert writer.busy()
    admin.run("COMMIT")
    writer.wait()
    assert settle(a, b) == LONG + 1


@test("log: a dump has what is in either, and the restored database sends it")
def _(t):
    a, b = pair(t)
    make_long(a, "first")
    settle(a, b)
    a.run("INSERT INTO task VALUES ('not folded', 1); DELETE FROM task WHERE id = 'first 1'")
    assert closed(a) == 1 and entries(a) == [0, 2]
    dump = subprocess.run(["pg_dump", a.name], env=a.env, capture_output=True, text=True,
                          check=True)
    restored = t.postgres("restored", extension=False)
    restored.run(dump.stdout)
    assert entries(restored) == [0, 2]
    assert settle(restored, b) == LONG
    assert b.value("SELECT count(*) FROM task WHERE id = 'not folded'") == "1"
    open_again(restored)
    assert settle(a, restored) == LONG


@test("log: sync_tables counts the entries of both, sync_disable drops those of both")
def _(t):
    a, b = pair(t)
    make_long(a, "first")
    settle(a, b)
    open_again(a)
    a.run(f"INSERT INTO task SELECT 'second ' || i, i FROM generate_series(1, {LONG}) i")
    a.run("INSERT INTO task VALUES ('last', 1)")
    assert all(entries(a)), entries(a)
    assert a.value("SELECT log_length FROM sync_tables") == str(LONG + 1)
    a.run("SELECT sync_disable('task')")
    assert entries(a) == [0, 0]


WRITE = r"""\set k random(1, 3000)
BEGIN;
INSERT INTO task SELECT :client_id || ' ' || gen_random_uuid(), :k FROM generate_series(1, 40);
UPDATE task SET n = n + 1 WHERE id = 'base ' || :k;
SAVEPOINT s;
UPDATE task SET n = -:k WHERE id = 'base ' || (:k % 100);
{end} s;
DELETE FROM task WHERE id = 'base ' || (:k + 3000);
COMMIT;
"""


@test("log: writers, folds and VACUUM beside each other lose nothing while the logs take turns")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task SELECT 'base ' || i, i FROM generate_series(1, 6000) i")
    settle(a, b)
    bindir = subprocess.run([CLUSTER_SCRIPT, "bindir"], capture_output=True, text=True,
                            check=True).stdout.strip()
    scripts = []
    for name, end in (("kept", "RELEASE"), ("undone", "ROLLBACK TO")):
        scripts += ["-f", str(t.folder / name)]
        (t.folder / name).write_text(WRITE.replace("{end}", end), encoding="utf-8")
    writers = subprocess.Popen(
        [f"{bindir}/pgbench", "-n", "-c", "4", "-T", "8", *scripts, a.name], env=a.env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    turns = []
    while writers.poll() is None:
        a.value(f"SELECT sync_now('{b.url}')")
        if closed(a) != (turns or [0])[-1]:
            turns.append(closed(a))
        a.run("VACUUM syncline.log")
        a.run("VACUUM syncline.log_2")
        time.sleep(random.random() / 20)
    assert writers.returncode == 0, writers.stdout.read()
    assert settle(a, b) > 6000
    assert 1 in turns and 2 in turns, turns


@test("log: nobody else may write or empty either")
def _(t):
    a = t.postgres("a")
    a.run("CREATE ROLE clerk; CREATE TABLE task(id text PRIMARY KEY); SELECT sync_enable('task')")
    for log in ("log", "log_2"):
        for statement in (f"SELECT * FROM syncline.{log}", f"DELETE FROM syncline.{log}",
                          f"TRUNCATE syncline.{log}"):
            raises(lambda each=statement: a.run(f"SET ROLE clerk; {each}"), "permission denied")


main()
