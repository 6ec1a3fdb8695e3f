#!/usr/bin/env python3
"""The rules of the PostgreSQL host, each named P1 to P18: what breaks a simpler extension.

Each test does the thing that goes wrong otherwise and looks at the outcome from outside: rows, the
log, row state, errors.
"""
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import Cluster, Postgres, SqlError, main, raises, test  # noqa: E402

TASK = "CREATE TABLE task(id int PRIMARY KEY, title text, done bool DEFAULT false)"


def tracked(t, name="db", ddl=TASK, tables=("task",)):
    db = t.postgres(name)
    db.run(ddl)
    for table in tables:
        db.value(f"SELECT sync_enable('{table}')")
    return db


def fold(db):
    """Every exchange begins with a fold; this is the cheapest call that does."""
    return db.value("SELECT sync_hello()->'vector'")


def log(db, columns="op, mask"):
    return db.rows(f"SELECT {columns} FROM syncline.log ORDER BY lsn")


def state(db, table="task"):
    number = db.value(f"SELECT number FROM syncline.tbl WHERE name = '{table}'")
    return db.rows(f"SELECT encode(key, 'hex'), site, seq, hlc, flags, pos, encode(cells, 'hex') "
                   f"FROM syncline.state_{number} ORDER BY key")


def dump(db, *options, user=None):
    env = dict(db.env)
    if user:
        env["PGUSER"] = user
    return subprocess.run(["pg_dump", *options, db.name], env=env, capture_output=True, text=True,
                          check=False)


def restore(t, text, name="restored"):
    db = t.postgres(name, extension=False)
    db.run(text)
    return db


# Dots and the fold.

@test("P1: a fold that sorts on disk comes to the same state as one in memory")
def _(t):
    states = []
    for name, memory in (("little", "1MB"), ("much", "64MB")):
        db = tracked(t, name)
        db.run("INSERT INTO task SELECT i, repeat(md5(i::text), 16) "
               "FROM generate_series(1, 6000) i")
        fold(db)
        db.run("UPDATE task SET done = true WHERE id % 3 = 0; DELETE FROM task WHERE id % 2 = 0;"
               "UPDATE task SET title = '' WHERE id % 7 = 0; DELETE FROM task WHERE id % 7 = 0;"
               "INSERT INTO task VALUES (7, 'again'), (6001, NULL)")
        files = "SELECT temp_files FROM pg_stat_database WHERE datname = current_database()"
        session = t.session(db)
        session.run(f"SET maintenance_work_mem = '{memory}'")
        session.run("SELECT sync_hello()")
        session.close()
        # what is known of single columns has times in it; images have not
        states.append([(key, seq, flags, len(cells or "") > 500 and cells)
                       for key, _, seq, _, flags, _, cells in state(db)])
        if name == "little":
            deadline = time.monotonic() + 10
            while db.value(files) == "0":
                assert time.monotonic() < deadline, "nothing went to disk"
                time.sleep(0.05)
    assert states[0] == states[1]
    assert len(states[0]) == 6001


@test("P1: a transaction open across a fold delays nothing and loses nothing")
def _(t):
    db = tracked(t)
    writer = t.session(db)
    writer.run("BEGIN")
    writer.run("INSERT INTO task VALUES (1, 'slow')")
    db.run("INSERT INTO task VALUES (2, 'quick')")
    fold(db)
    assert [row[0] for row in state(db)] == ["1502"], "only the committed row has a dot"
    assert log(db) == [], "the open entry is not visible yet"
    writer.run("COMMIT")
    fold(db)
    seqs = {row[0]: int(row[2]) for row in state(db)}
    assert seqs["1501"] > seqs["1502"], "the late row got a later dot"


@test("P1: what a transaction has not committed cannot leave it")
def _(t):
    db = tracked(t)
    session = t.session(db)
    session.run("BEGIN")
    session.run("INSERT INTO task VALUES (1, 'mine')")
    raises(lambda: session.run("SELECT count(*) FROM sync_changes_since('{}')"),
           "has not committed")
    session.run("ROLLBACK")
    assert db.value("SELECT count(*) FROM sync_changes_since('{}')") == "1"


@test("P2: writes of one row are ordered as they happened, whoever wrote them")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'n00000;')")
    # a new key logs the old row as deleted, image and all: the images tell the order of the writes
    script = ("UPDATE task SET id = 3 - id,"
              " title = 'n' || lpad((substr(title, 2, 5)::int + 1)::text, 5, '0') || ';';\n" * 100)
    threads = [threading.Thread(target=lambda: db.psql("-f", "-", text=script)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    images = db.rows("SELECT encode(image, 'escape') FROM syncline.log WHERE op = 2 ORDER BY lsn")
    numbers = [int(re.search(r"n(\d{5});", image)[1]) for (image,) in images]
    assert numbers == list(range(300)), "log positions contradict the order of the writes"


@test("P2: an unlogged table is refused, and a tracked one cannot become unlogged")
def _(t):
    db = tracked(t)
    db.run("CREATE UNLOGGED TABLE gone(id int PRIMARY KEY)")
    raises(lambda: db.value("SELECT sync_enable('gone')"), "unlogged")
    raises(lambda: db.run("ALTER TABLE task SET UNLOGGED"), "sync_disable")


@test("P2: a change sorts after what it replaces, even if the clock was ahead")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    db.run("UPDATE syncline.log SET clock = clock + (3600000::bigint << 16)")
    fold(db)
    first = int(state(db)[0][3])
    db.run("DELETE FROM task")
    fold(db)
    assert int(state(db)[0][3]) >= first


@test("P3: each log entry is folded once, by a fold that commits")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    session = t.session(db)
    session.run("BEGIN")
    session.run("SELECT sync_hello()")
    session.run("ROLLBACK")
    assert len(log(db)) == 1 and state(db) == []
    fold(db)
    once = state(db)
    assert log(db) == [] and len(once) == 1
    fold(db)
    assert state(db) == once


@test("P4: an open fold blocks no writer, and an older snapshot still sees the log")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    reader, folder, writer = t.session(db), t.session(db), t.session(db)
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
    assert reader.run("SELECT count(*) FROM syncline.log") == "1"
    folder.run("BEGIN")
    folder.run("SELECT sync_hello()")
    writer.run("SET lock_timeout = '2s'")
    writer.run("INSERT INTO task VALUES (2, 'b')")
    writer.run("UPDATE task SET title = 'c' WHERE id = 1")
    folder.run("COMMIT")
    assert reader.run("SELECT count(*) FROM syncline.log") == "1"
    assert len(log(db)) == 2


@test("P5: folding and merging refuse a snapshot that is too old")
def _(t):
    db = tracked(t)
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        session = t.session(db)
        session.run(f"BEGIN ISOLATION LEVEL {level}")
        raises(lambda: session.run("SELECT sync_hello()"), "READ COMMITTED")
    session = t.session(db)
    session.run("BEGIN READ ONLY")
    raises(lambda: session.run("SELECT sync_hello()"), "read-only")


# Capture.

@test("P9: writes in replica mode are captured")
def _(t):
    db = tracked(t)
    db.run("SET session_replication_role = replica; INSERT INTO task VALUES (1, 'a');"
           "TRUNCATE task")
    assert [op for op, _ in log(db)] == ["0", "2"]


@test("P9: capture depends on no name: search_path, temporary tables, roles without rights")
def _(t):
    db = tracked(t)
    db.run("CREATE ROLE writer_p9; GRANT ALL ON task TO writer_p9")
    try:
        db.run("SET search_path = ''; INSERT INTO public.task VALUES (1, 'a')")
        db.run("CREATE TEMP TABLE log(LIKE syncline.log); CREATE TEMP TABLE tbl(a int);"
               "INSERT INTO task VALUES (2, 'b')")
        db.run("SET ROLE writer_p9; INSERT INTO task VALUES (3, 'c')")
        assert len(log(db)) == 3
        for statement in ("INSERT INTO syncline.log SELECT * FROM syncline.log",
                          "DELETE FROM syncline.log", "UPDATE syncline.self SET next_seq = 1",
                          "SELECT * FROM syncline.log", "SELECT sync_new_identity()"):
            raises(lambda: db.run(f"SET ROLE writer_p9; {statement}"), "permission denied")
    finally:
        db.run("DROP OWNED BY writer_p9; DROP ROLE writer_p9")


@test("P9: the trigger function forges nothing for a table that is not tracked")
def _(t):
    db = tracked(t)
    db.run("CREATE TABLE mine(id int PRIMARY KEY);"
           "CREATE TRIGGER forge AFTER INSERT ON mine FOR EACH ROW"
           " EXECUTE FUNCTION syncline.capture('task', '1');"
           "INSERT INTO mine VALUES (1)")
    assert log(db) == []
    raises(lambda: db.value("SELECT syncline.capture()"), "trigger")


@test("P10: what row triggers do not see is refused or logged")
def _(t):
    db = tracked(t, ddl=TASK + "; CREATE TABLE sub(id int PRIMARY KEY, task int REFERENCES task)",
                 tables=("task", "sub"))
    raises(lambda: db.run("CREATE TABLE child() INHERITS (task)"), "inherit")
    db.run("INSERT INTO task VALUES (1, 'a'), (2, 'b'); INSERT INTO sub VALUES (7, 1)")
    fold(db)
    db.run("TRUNCATE task CASCADE")
    assert sorted(log(db, "tbl, op")) == [("1", "2"), ("1", "2"), ("2", "2")]
    db.run("INSERT INTO task VALUES (3, '1.50')")
    fold(db)
    db.run("ALTER TABLE task ALTER title TYPE numeric USING title::numeric + 1")
    assert log(db) == [("1", "2")]
    db.run("ALTER TABLE task ADD stamp float8 DEFAULT random()")
    assert log(db)[1:] == [("1", "8")]
    fold(db)
    db.run("ALTER TABLE task ADD plain int DEFAULT 7; ALTER TABLE task ALTER id TYPE bigint")
    assert log(db) == [], "no value has changed"
    db.run("ALTER TABLE task DISABLE TRIGGER ALL; INSERT INTO task(id) VALUES (4)")
    assert log(db) == [("0", "-1")], "capture stays on"
    raises(lambda: db.run("DROP TRIGGER syncline_capture ON task"), "sync_disable")


@test("P10: partitioned tables, partitions and relatives by inheritance are refused with a reason")
def _(t):
    db = t.postgres()
    db.run("CREATE TABLE whole(id int PRIMARY KEY) PARTITION BY RANGE (id);"
           "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9);"
           "CREATE TABLE parent(id int PRIMARY KEY);"
           "CREATE TABLE child(PRIMARY KEY (id)) INHERITS (parent)")
    for table, reason in (("whole", "partition"), ("part", "partition"), ("parent", "inherit"),
                          ("child", "inherit")):
        raises(lambda: db.value(f"SELECT sync_enable('{table}')"), reason, "HINT")


@test("P10: a trigger that undoes a change leaves the row's state as the table shows it")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    fold(db)
    db.run("""CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS
              $$BEGIN INSERT INTO task VALUES (old.*); RETURN NULL; END$$;
              CREATE TRIGGER a_undo AFTER DELETE ON task FOR EACH ROW EXECUTE FUNCTION undo();
              DELETE FROM task""")
    assert [op for op, _ in log(db)] == ["0", "2"], "the log tells it the wrong way round"
    fold(db)
    assert [int(row[4]) & 1 for row in state(db)] == [0], "the row lives"
    db.run("""DROP TRIGGER a_undo ON task;
              CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
              $$BEGIN DELETE FROM task WHERE id = new.id; RETURN NULL; END$$;
              CREATE TRIGGER a_refuse AFTER INSERT ON task FOR EACH ROW EXECUTE FUNCTION refuse();
              INSERT INTO task VALUES (2, 'never')""")
    fold(db)
    assert len(state(db)) == 1, "a row that was never seen leaves nothing behind"


@test("P11: changed columns are found by their bytes")
def _(t):
    db = tracked(t, ddl="CREATE TABLE task(id int PRIMARY KEY, n numeric, j json, p point, b text,"
                        " c char(5), f float8)")
    db.run("INSERT INTO task VALUES (1, 1.0, '{}', '(1,2)', repeat(md5('x'), 5000), 'ab', 0)")
    fold(db)
    changes = [("n = 1.00", 2), ("j = '{ }'", 4), ("p = '(1,3)'", 8), ("b = b", None),
               ("b = b || 'x'", 16), ("c = 'ab '", None), ("f = '-0'", 64), ("f = 'NaN'", 64)]
    for change, mask in changes:
        db.run(f"UPDATE task SET {change}")
        got = log(db)
        assert got == ([] if mask is None else [("1", str(mask))]), (change, got)
        fold(db)


@test("P12: capture does not stand in the way of two-phase commit, and never notifies")
def _(t):
    server = Cluster("--conf", "max_prepared_transactions = 5")
    try:
        db = server.database("two_phase")
        db.run(TASK)
        db.value("SELECT sync_enable('task')")
        db.run("BEGIN; INSERT INTO task VALUES (1, 'a'); PREPARE TRANSACTION 'one'")
        assert log(db) == []
        db.run("COMMIT PREPARED 'one'")
        assert log(db) == [("0", "-1")]
        assert db.value("SELECT pg_notification_queue_usage()") == "0"
    finally:
        server.stop()


@test("P13: log and state survive a restore that changes oids and attribute numbers")
def _(t):
    db = t.postgres("source")
    db.run("CREATE TABLE task(junk int, id int PRIMARY KEY, a text, b text);"
           "ALTER TABLE task DROP junk; INSERT INTO task VALUES (1, 'a', 'b')")
    db.value("SELECT sync_enable('task')")
    fold(db)
    db.run("UPDATE task SET b = 'b2'")
    copy = restore(t, dump(db).stdout)
    assert log(copy) == [("1", "4")]
    copy.run("UPDATE task SET a = 'a2'; ALTER TABLE task RENAME b TO bb")
    assert log(copy) == [("1", "4"), ("1", "2")]
    fold(copy)
    columns = copy.rows("SELECT number, name FROM syncline.col ORDER BY number")
    assert columns == [("0", "id"), ("1", "a"), ("2", "bb")], columns


@test("P13: keys compare bytewise, whatever the collation says")
def _(t):
    db = t.postgres()
    db.run("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2',"
           " deterministic = false);"
           "CREATE TABLE task(id text COLLATE blind PRIMARY KEY, n numeric)")
    db.value("SELECT sync_enable('task')")
    db.run("INSERT INTO task VALUES ('Key', 1)")
    fold(db)
    db.run("UPDATE task SET id = 'KEY'")
    fold(db)
    rows = [(bytes.fromhex(row[0])[1:-2].decode(), int(row[4]) & 1) for row in state(db)]
    assert rows == [("KEY", 0), ("Key", 1)], rows


# Identity and packaging.

@test("P16: a TEMPLATE copy takes a new id and knows its predecessor's changes")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    vector = db.json("SELECT sync_hello()->'vector'")
    id_before = db.value("SELECT sync_site_id()")
    copy = Postgres(f"{db.name}_copy", db.env)
    db.run(f'CREATE DATABASE "{copy.name}" TEMPLATE "{db.name}"')
    t.dropped.append(copy.name)
    id_after = copy.value("SELECT sync_site_id()")
    assert id_after != id_before
    assert db.value("SELECT sync_site_id()") == id_before, "the original stays who it is"
    copy.run("INSERT INTO task VALUES (2, 'b')")
    known = copy.json("SELECT sync_hello()->'vector'")
    assert known[id_before] == vector[id_before] and id_after in known, known


@test("P16: a restored dump takes a new id, loses nothing, and folds what was unfolded")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a'), (2, 'b')")
    id_before = db.value("SELECT sync_site_id()")
    fold(db)
    db.run("DELETE FROM task WHERE id = 1; UPDATE task SET title = 'b2' WHERE id = 2")
    copy = restore(t, dump(db).stdout)
    copy.run("UPDATE task SET title = 'b3' WHERE id = 2")
    known = copy.json("SELECT sync_hello()->'vector'")
    assert copy.value("SELECT sync_site_id()") != id_before
    assert id_before in known and len(known) == 2
    assert [int(row[4]) & 1 for row in state(copy)] == [1, 0]
    assert log(copy) == []


@test("P16: a dump restored over its own database takes a new id, too")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    fold(db)
    id_before = db.value("SELECT sync_site_id()")
    text = dump(db).stdout
    db.run("INSERT INTO task VALUES (2, 'will be rolled back')")
    fold(db)
    db.run("DROP EXTENSION syncline CASCADE; DROP TABLE task")
    db.run(text)
    assert db.value("SELECT sync_site_id()") != id_before


def send(source, target):
    """Everything `target` lacks, chunk by chunk."""
    vector = target.value("SELECT sync_version_vector()")
    for (chunk,) in source.rows("SELECT encode(changes, 'hex') FROM"
                                f" sync_changes_since('{vector}') ORDER BY chunk"):
        target.value(f"SELECT sync_apply(decode('{chunk}', 'hex'))")


@test("P16: sync_new_identity takes along what no peer has")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    id_before = db.value("SELECT sync_site_id()")
    id_after = db.value("SELECT sync_new_identity()")
    assert id_after != id_before and id_after == db.value("SELECT sync_site_id()")
    assert list(db.json("SELECT sync_version_vector()")) == [id_after]
    peer = tracked(t, "peer")
    send(db, peer)
    assert peer.rows("SELECT id FROM task") == [("1",)]


@test("P17: the owner of a database can dump it without being a superuser")
def _(t):
    db = t.postgres()
    db.run("CREATE ROLE owner_p17 LOGIN")
    try:
        db.run(f'ALTER DATABASE "{db.name}" OWNER TO owner_p17; SET ROLE owner_p17;'
               f"{TASK}; SELECT sync_enable('task'); INSERT INTO task VALUES (1, 'a');"
               "SELECT sync_hello()")
        done = dump(db, user="owner_p17")
        assert done.returncode == 0, done.stderr
        assert "state_1" in done.stdout
    finally:
        db.run("DROP TABLE task; DROP EXTENSION syncline CASCADE;"
               f'ALTER DATABASE "{db.name}" OWNER TO postgres; DROP ROLE owner_p17')


@test("P17: DROP EXTENSION leaves the user's data and nothing else")
def _(t):
    db = tracked(t)
    db.run("INSERT INTO task VALUES (1, 'a')")
    fold(db)
    raises(lambda: db.run("DROP EXTENSION syncline"), "CASCADE")
    db.run("DROP EXTENSION syncline CASCADE")
    assert db.rows("SELECT * FROM task") == [("1", "a", "f")]
    assert db.value("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                    " WHERE nspname = 'syncline' OR relname LIKE 'state%'") == "0"
    assert db.value("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == "0"
    assert db.value("SELECT count(*) FROM pg_event_trigger") == "0"
    db.run("CREATE EXTENSION syncline")
    db.value("SELECT sync_enable('task')")


@test("P17: the functions go where CREATE EXTENSION says")
def _(t):
    db = t.postgres(extension=False)
    db.run(f"CREATE SCHEMA ext; CREATE EXTENSION syncline SCHEMA ext; {TASK};"
           "SELECT ext.sync_enable('task'); INSERT INTO task VALUES (1, 'a')")
    assert len(log(db)) == 1
    copy = restore(t, dump(db).stdout)
    assert copy.value("SELECT count(*) FROM ext.sync_tables") == "1"


if __name__ == "__main__":
    sys.exit(main())
