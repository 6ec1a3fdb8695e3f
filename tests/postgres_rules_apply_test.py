#!/usr/bin/env python3
"""The rules of the PostgreSQL host about applying, sessions and roles: P5 to P8, P14, P15.

Each test does the thing that goes wrong otherwise, with chunks of another database, and looks at
the outcome from outside: rows, locks, transaction ids, errors.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import Cluster, main, raises, test  # noqa: E402

TASK = "CREATE TABLE task(id int PRIMARY KEY, title text, done bool DEFAULT false)"


def tracked(t, name="db", ddl=TASK):
    db = t.postgres(name)
    db.run(ddl)
    db.value("SELECT sync_enable('task')")
    return db


def log(db):
    return db.rows("SELECT op, mask FROM syncline.log ORDER BY lsn")


# Merging beside writers.

def peer_chunk(t, ddl, rows, later="", name="peer"):
    """(chunk with `rows`, chunk with what `later` did) of another database, as hex."""
    peer = tracked(t, name, ddl)
    peer.run(rows)
    first = peer.value("SELECT encode(changes, 'hex') FROM sync_changes_since('{}')")
    vector = peer.value("SELECT sync_version_vector()")
    if later:
        peer.run(later)
    second = peer.value(f"SELECT encode(changes, 'hex') FROM sync_changes_since('{vector}')")
    return first, second


def apply(db, chunk):
    return db.json(f"SELECT sync_apply(decode('{chunk}', 'hex'))")


@test("P5: an apply sees what is committed while it waits, and refuses older snapshots")
def _(t):
    first, second = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'a'), (2, 'b')",
                               "UPDATE task SET title = 'theirs' WHERE id = 1")
    db = tracked(t)
    apply(db, first)
    writer, applier = t.session(db), t.session(db)
    writer.run("BEGIN")
    writer.run("UPDATE task SET done = true WHERE id = 1")
    applier.send(f"SELECT sync_apply(decode('{second}', 'hex'))->'applied'")
    assert applier.busy()
    writer.run("COMMIT")
    assert applier.wait() == "1"
    assert db.rows("SELECT title, done FROM task WHERE id = 1") == [("theirs", "t")]
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        session = t.session(db)
        session.run(f"BEGIN ISOLATION LEVEL {level}")
        raises(lambda: session.run(f"SELECT sync_apply(decode('{second}', 'hex'))"),
               "READ COMMITTED")


@test("P5: rows far apart and near, gone and back again, are all found by key")
def _(t):
    ddl = "CREATE TABLE task(id int PRIMARY KEY, title text, done bool)"
    source = tracked(t, "source", ddl)
    source.run("INSERT INTO task SELECT i, 'row ' || i FROM generate_series(1, 4000) i")
    db = tracked(t, "db", ddl)
    have = "{}"
    changes = ["SELECT", "UPDATE task SET done = true WHERE id % 5 = 0",
               # every entry of both indexes is left behind by a version that nobody sees
               "UPDATE task SET title = title || '!'", "DELETE FROM task WHERE id % 3 = 0",
               "INSERT INTO task SELECT i, 'again', true FROM generate_series(3, 4000, 6) i",
               "UPDATE task SET done = false WHERE id < 40 OR id % 400 = 7 OR id > 3990",
               "DELETE FROM task WHERE id % 100 = 1; UPDATE task SET title = '' WHERE id % 33 = 5",
               "UPDATE task SET id = -id WHERE id % 40 = 2"]
    for change in changes:
        source.run(change)
        if change == "DELETE FROM task WHERE id % 3 = 0":
            db.run("DELETE FROM task WHERE id % 6 = 0; VACUUM task")
        chunk = source.value(f"SELECT encode(changes, 'hex') FROM sync_changes_since('{have}')")
        apply(db, chunk)
        have = db.value("SELECT sync_version_vector()")
        rows = "SELECT * FROM task ORDER BY id"
        assert db.rows(rows) == source.rows(rows), change
        assert not db.rows("SELECT * FROM sync_check()"), change


@test("P5: two applies of overlapping chunks at once lose nothing")
def _(t):
    values = ", ".join(f"({i}, 'row {i}')" for i in range(300))
    first, second = peer_chunk(t, TASK, f"INSERT INTO task VALUES {values}",
                               "UPDATE task SET title = title || '!'")
    db = tracked(t)
    sessions = [t.session(db) for _ in range(3)]
    for session in sessions:
        session.send(f"SELECT sync_apply(decode('{first}', 'hex'))->'complete'")
    assert [session.wait() for session in sessions] == ["true"] * 3
    for session in sessions:
        session.send(f"SELECT sync_apply(decode('{second}', 'hex'))->'complete'")
    assert [session.wait() for session in sessions] == ["true"] * 3
    assert db.value("SELECT count(*) FROM task WHERE title LIKE '%!'") == "300"


@test("P6: an apply gives its row locks back when it has to wait, so that nobody deadlocks")
def _(t):
    first, second = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'a'), (2, 'b')",
                               "UPDATE task SET title = 'theirs'")
    db = tracked(t)
    apply(db, first)
    writer, applier = t.session(db), t.session(db)
    writer.run("BEGIN")
    writer.run("UPDATE task SET done = true WHERE id = 2")
    applier.send(f"SELECT sync_apply(decode('{second}', 'hex'))->'applied'")
    assert applier.busy()
    # the other order: it would deadlock with an apply that kept the lock on row 1
    writer.run("UPDATE task SET done = true WHERE id = 1", timeout=10)
    writer.run("COMMIT")
    assert applier.wait() == "2"
    assert db.rows("SELECT title, done FROM task ORDER BY id") == [("theirs", "t")] * 2


@test("P6: an apply that never gets its lock says so, and has changed nothing")
def _(t):
    first, second = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'a'), (2, 'b')",
                               "UPDATE task SET title = 'theirs'")
    db = tracked(t)
    apply(db, first)
    writer = t.session(db)
    writer.run("BEGIN")
    writer.run("UPDATE task SET done = true WHERE id = 2")
    raises(lambda: apply(db, second), "55P03")
    writer.run("ROLLBACK")
    assert db.value("SELECT count(*) FROM task WHERE title = 'theirs'") == "0"
    assert apply(db, second)["applied"] == 2


@test("P7: applying computes generated columns and defaults, and runs no trigger of the user")
def _(t):
    first, second = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'a'), (2, 'b')",
                               "UPDATE task SET title = 'long title' WHERE id = 1;"
                               "DELETE FROM task WHERE id = 2")
    db = tracked(t, ddl="""CREATE TABLE task(id int PRIMARY KEY, title text, done bool,
        own text DEFAULT 'default', size int GENERATED ALWAYS AS (length(title)) STORED);
        CREATE TABLE seen(what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
          $$BEGIN INSERT INTO seen VALUES (TG_OP); RETURN NULL; END$$;
        CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON task
          FOR EACH ROW EXECUTE FUNCTION note()""")
    apply(db, first)
    assert db.rows("SELECT own, size FROM task ORDER BY id") == [("default", "1")] * 2
    apply(db, second)
    assert db.rows("SELECT id, size FROM task") == [("1", "10")]
    assert db.value("SELECT count(*) FROM seen") == "0"
    assert log(db) == []


@test("P7: deferrable unique keys and foreign keys hold after an apply, and the indexes agree")
def _(t):
    ddl = """CREATE TABLE task(id int PRIMARY KEY, title text, done bool,
        CONSTRAINT late UNIQUE (title) DEFERRABLE INITIALLY DEFERRED)"""
    first, _ = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'same'), (2, 'same'), (3, 'else')")
    db = tracked(t, ddl=ddl)
    report = apply(db, first)
    assert report["quarantined"] == 1, report
    assert db.value("SELECT count(*) FROM task") == "2"
    db.run("CREATE EXTENSION IF NOT EXISTS amcheck;"
           "SELECT bt_index_check(i.indexrelid, true) FROM pg_index i "
           "WHERE indrelid = 'task'::regclass")


@test("P7: exclusion constraints are asked, too")
def _(t):
    first, _ = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'same'), (2, 'same'), (3, 'else')")
    db = tracked(t, ddl="CREATE TABLE task(id int PRIMARY KEY, title text, done bool,"
                        "EXCLUDE USING hash (title WITH =))")
    assert apply(db, first)["quarantined"] == 1
    assert db.value("SELECT count(*) FROM task") == "2"


@test("P7: a held row comes in where a local write made room, whoever folded that")
def _(t):
    ddl = "CREATE TABLE task(id int PRIMARY KEY, title text UNIQUE, done bool)"
    first, _ = peer_chunk(t, ddl, "INSERT INTO task VALUES (1, 'same')")
    db = tracked(t, ddl=ddl)
    db.run("INSERT INTO task VALUES (2, 'same')")
    assert apply(db, first)["quarantined"] == 1
    db.run("UPDATE task SET title = 'else' WHERE id = 2")
    assert db.value("SELECT count(*) FROM sync_changes_since('{}')") == "1"  # which folds it
    assert db.value("SELECT count(*) FROM task") == "1"
    db.value("SELECT sync_hello()")
    assert db.rows("SELECT id, title FROM task ORDER BY id") == [("1", "same"), ("2", "else")]


@test("P8: a chunk with many refused rows takes few subtransactions")
def _(t):
    values = ", ".join(f"({i}, '{'bad' if i % 3 == 0 else 'good'}')" for i in range(1500))
    first, _ = peer_chunk(t, TASK, f"INSERT INTO task VALUES {values}")
    db = tracked(t, ddl="CREATE TABLE task(id int PRIMARY KEY, title text CHECK (title <> 'bad'),"
                        "done bool)")
    session = t.session(db)
    session.run("BEGIN")
    before = int(session.run("SELECT txid_current()"))
    report = session.run(f"SELECT sync_apply(decode('{first}', 'hex'))->'quarantined'")
    session.run("COMMIT")
    after = int(db.value("SELECT txid_current()"))
    assert report == "500", report
    assert db.value("SELECT count(*) FROM task") == "1000"
    # every subtransaction that writes takes a transaction id
    assert after - before < 64, after - before


@test("P8: a row whose value cannot be written is left out by itself")
def _(t):
    first, _ = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'good'), (2, repeat('x', 9000)),"
                                   "(3, '0'), (4, 'also good')")
    db = tracked(t, ddl="CREATE TABLE task(id int PRIMARY KEY, title text, done bool);"
                        "ALTER TABLE task ALTER title SET STORAGE PLAIN;"
                        "CREATE INDEX ON task (title);"
                        "ALTER TABLE task ADD CHECK (title <> '0' OR 1 / length(replace(title, "
                        "'0', '')) > 0)")
    report = apply(db, first)
    assert report["quarantined"] == 2, report
    assert db.rows("SELECT id FROM task ORDER BY id") == [("1",), ("4",)]
    notes = [r[0] for r in db.rows("SELECT note FROM sync_conflicts WHERE status = 'open'")]
    assert len(notes) == 2 and all("SQLSTATE" in note for note in notes), notes


# Sessions.

@test("P14: sync_now is refused in a transaction, and towards its own site")
def _(t):
    db = tracked(t)
    session = t.session(db)
    session.run("BEGIN")
    raises(lambda: session.run(f"SELECT sync_now('{db.url}')"), "25001")
    raises(lambda: db.run("DO $$BEGIN INSERT INTO task VALUES (1, 'x');"
                          f"PERFORM sync_now('{db.url}'); END$$"), "25001")
    raises(lambda: db.run(f"SELECT sync_now('{db.url}')"), "own site id")


@test("P14: no free worker is a transient error")
def _(t):
    own = Cluster("--conf", "max_worker_processes=1")
    try:
        db = own.database("app")
        db.run(TASK + "; SELECT sync_enable('task')")
        message = raises(lambda: db.run(f"SELECT sync_now('{db.url}')"), "worker")
        assert "53400" in message, message
    finally:
        own.stop()


@test("P14: a session runs as the calling role")
def _(t):
    a, b = tracked(t, "a"), tracked(t, "b")
    a.run("INSERT INTO task VALUES (1, 'x')")
    a.run("DROP ROLE IF EXISTS sync_caller; CREATE ROLE sync_caller LOGIN")
    try:
        # without a password of its own it may not use the server's credentials, as dblink has it
        raises(lambda: a.run(f"SET ROLE sync_caller; SELECT sync_now('{b.url}')"), "password")
        raises(lambda: a.run("SET ROLE sync_caller; SELECT sync_changes_since('{}')"), "42501")
        a.run("GRANT SELECT ON task TO sync_caller")
        chunk = a.value("SET ROLE sync_caller;"
                        "SELECT encode(changes, 'hex') FROM sync_changes_since('{}')")
        raises(lambda: b.run("SET ROLE sync_caller;"
                             f"SELECT sync_apply(decode('{chunk}', 'hex'))"), "42501")
        b.run("GRANT SELECT, INSERT, UPDATE, DELETE ON task TO sync_caller;")
        b.run(f"SET ROLE sync_caller; SELECT sync_apply(decode('{chunk}', 'hex'))")
        assert b.value("SELECT title FROM task") == "x"
        raises(lambda: b.run("SET ROLE sync_caller; DELETE FROM syncline.state_1"), "42501")
    finally:
        for db in (a, b):
            db.run("REVOKE ALL ON task FROM sync_caller")
        a.run("DROP ROLE sync_caller")


@test("P15: a role that row-level security hides rows from can neither export nor apply")
def _(t):
    first, _ = peer_chunk(t, TASK, "INSERT INTO task VALUES (1, 'x')")
    db = tracked(t)
    db.run("DROP ROLE IF EXISTS sync_hidden; CREATE ROLE sync_hidden;"
           "GRANT ALL ON task TO sync_hidden; ALTER TABLE task ENABLE ROW LEVEL SECURITY;"
           "CREATE POLICY p ON task USING (id > 5)")
    try:
        raises(lambda: db.run("SET ROLE sync_hidden; SELECT sync_changes_since('{}')"),
               "row-level security")
        raises(lambda: db.run(f"SET ROLE sync_hidden; SELECT sync_apply(decode('{first}', 'hex'))"),
               "row-level security")
        assert apply(db, first)["applied"] == 1
        db.run("ALTER ROLE sync_hidden BYPASSRLS")
        db.run("SET ROLE sync_hidden; SELECT sync_changes_since('{}')")
        db.run("ALTER ROLE sync_hidden NOBYPASSRLS; REVOKE ALL ON task FROM sync_hidden;"
               "GRANT SELECT (id) ON task TO sync_hidden; ALTER TABLE task DISABLE ROW LEVEL "
               "SECURITY")
        raises(lambda: db.run("SET ROLE sync_hidden; SELECT sync_changes_since('{}')"), "42501")
    finally:
        db.run("DROP OWNED BY sync_hidden; DROP ROLE sync_hidden")


main()
