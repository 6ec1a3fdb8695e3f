#!/usr/bin/env python3
"""Policies, conflicts and decisions with PostgreSQL: the bodies that both engines share on the
pairs that have a PostgreSQL side, and what is its own: roles, concurrency, NOTIFY, PREPARE."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from conflict_cases import CASES, decide, field, open_id, policy  # noqa: E402
from harness import Cluster, SqlError, main, raises, test  # noqa: E402
from pairs import create, equal, on_pairs, quote, rows, run, sync  # noqa: E402

for case_name, case_body in CASES:
    on_pairs(case_name, pairs=("SQLite-PostgreSQL", "PostgreSQL-PostgreSQL"))(case_body)

TASK = "CREATE TABLE task (id int PRIMARY KEY, title text, n int DEFAULT 0)"


def pair(t, ddl=TASK, *rows_):
    """Two databases that track one table and share its rows."""
    a, b = t.postgres("a"), t.postgres("b")
    create(ddl, a, b)
    for row in rows_ or ("INSERT INTO task VALUES (1, 'one', 0)",):
        a.run(row)
    sync(a, b)
    return a, b


def clashed(t, *more):
    """A pair with one conflict about a title, and its id."""
    a, b = pair(t, TASK, "INSERT INTO task VALUES (1, 'one', 0)", *more)
    a.run("UPDATE task SET title = 'here' WHERE id = 1")
    b.run("UPDATE task SET title = 'there' WHERE id = 1")
    sync(a, b)
    return a, b, open_id(a, "title")


class Role:
    """A login role in this server, gone at the end of the test."""

    def __init__(self, t, db, name, *grants):
        self.db, self.name = db, name
        db.run(f"DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN")
        for grant in grants:
            db.run(f"GRANT {grant} TO {name}")
        t.open.append(self)

    def psql(self, sql):
        env = dict(self.db.env, PGUSER=self.name)
        done = subprocess.run(["psql", "-X", "-qAt", "-v", "ON_ERROR_STOP=1", "-v",
                               "VERBOSITY=verbose", "-d", self.db.name, "-c", sql], env=env,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise SqlError(done.stderr.strip())
        return done.stdout.strip()

    def close(self):
        self.db.run(f"DROP OWNED BY {self.name}; DROP ROLE {self.name}")


def fold(db):
    return db.value("SELECT sync_hello() IS NOT NULL")


# Capture of old values, and origins.

@test("capture: only columns whose policies ask for it leave what an update saw")
def _(t):
    db = t.postgres()
    create(TASK + "; CREATE TABLE plain (id int PRIMARY KEY, x text)", db)
    policy(db, "n", "counter", table="task")
    db.run("INSERT INTO task VALUES (1, 'one', NULL); INSERT INTO plain VALUES (1, 'x')")
    fold(db)
    db.run("UPDATE task SET title = 'uno'; UPDATE plain SET x = 'y'")
    db.run("UPDATE task SET n = 5; UPDATE task SET n = 6, title = 'due'")
    images = db.rows("SELECT encode(image, 'hex') FROM syncline.log ORDER BY lsn")
    assert images == [(None,), (None,), ("0201",), ("02020a",)], images


@test("capture: entries with keys and images of every length are read as they were written")
def _(t):
    db = t.postgres()
    create("CREATE TABLE task(id text PRIMARY KEY, title text)", db)
    every = [*range(301), 5000]
    lengths = "FROM unnest(array(SELECT generate_series(0, 300)) || 5000) n"
    for who in ("", "SELECT sync_set_actor('ann');"):
        db.run(who + f"INSERT INTO task SELECT repeat('k', n), repeat('t', n) {lengths};"
               "DELETE FROM task")
        said = "t" if who else "f"
        inserted = db.rows("SELECT length(key) - 3, mask, tbl, origin IS NOT NULL"
                           " FROM syncline.log WHERE op = 0 AND image IS NULL ORDER BY 1")
        assert inserted == [(str(n), "-1", "1", said) for n in every], inserted
        deleted = db.rows("SELECT n, length(image), right(encode(image, 'escape'), n) ="
                          " repeat('t', n), origin IS NOT NULL FROM (SELECT length(key) - 3 AS n, *"
                          " FROM syncline.log WHERE op = 2) l ORDER BY 1")
        # a column number, a kind, a length of one or two bytes
        assert deleted == [(str(n), str(n + (3 if n < 128 else 4)), "t", said) for n in every], \
            deleted
        fold(db)


@test("capture: an open session learns of a policy that another one sets")
def _(t):
    db = t.postgres()
    create(TASK, db)
    db.run("INSERT INTO task VALUES (1, 'one', 3)")
    session = t.session(db)
    session.run("UPDATE task SET n = 4")
    policy(db, "n", "counter", table="task")
    session.run("UPDATE task SET n = 5")
    assert db.value("SELECT encode(image, 'hex') FROM syncline.log") == "020208"
    policy(db, "n", "default", table="task")  # which folds
    session.run("UPDATE task SET n = 6")
    assert db.value("SELECT image FROM syncline.log") is None


@test("capture: a renamed column takes its policy along, and a new one of its name has it too")
def _(t):
    db = t.postgres()
    create(TASK, db)
    policy(db, "n", "counter", table="task")
    db.run("INSERT INTO task VALUES (1, 'one', 3)")
    fold(db)
    db.run("ALTER TABLE task RENAME n TO m")
    db.run("UPDATE task SET m = 4")
    assert db.value("SELECT encode(image, 'hex') FROM syncline.log") == "020206"
    db.run("ALTER TABLE task ADD COLUMN n int DEFAULT 1")
    fold(db)
    db.run("UPDATE task SET n = 2, m = 5")
    assert db.value("SELECT encode(image, 'hex') FROM syncline.log") == "020208030202"


@test("origins: who wrote stands with the version on every site; unset, nothing is stored")
def _(t):
    a, b = pair(t)
    a.run("SELECT sync_set_actor('ann'); SELECT sync_set_context('{\"request\": 7}');"
          "UPDATE task SET title = 'by ann'")
    assert a.value("SELECT text::jsonb FROM syncline.origin") == \
        '{"actor": "ann", "context": "{\\"request\\": 7}"}'
    b.run("UPDATE task SET title = 'by nobody'; UPDATE task SET n = 1")
    assert b.value("SELECT count(origin) FROM syncline.log") == "0"
    sync(a, b)
    assert a.value("SELECT count(*) FROM syncline.origin") == "0", "not consumed"
    found = open_id(b, "title")
    assert b.rows("SELECT local_actor, remote_actor FROM sync_conflicts") == [(None, "ann")]
    assert json.loads(b.value("SELECT lost FROM sync_explain('task', 1) "
                              "WHERE column_name = 'title'"))[0]["actor"] == "ann"
    assert field(a, found, "local_actor") == "ann"


@test("origins: a savepoint that is rolled back takes its origin along, and no other")
def _(t):
    a, b = pair(t)
    a.run("SELECT sync_set_actor('ann'); BEGIN; SAVEPOINT s; UPDATE task SET title = 'x';"
          "ROLLBACK TO s; UPDATE task SET title = 'y'; SAVEPOINT u; UPDATE task SET n = 1;"
          "RELEASE u; UPDATE task SET n = 2; SELECT sync_set_actor('bob');"
          "UPDATE task SET title = 'z'; COMMIT")
    assert a.value("SELECT count(DISTINCT origin) FROM syncline.log") == "2"
    assert a.value("SELECT count(*) FROM syncline.log l WHERE NOT EXISTS "
                   "(SELECT FROM syncline.origin o WHERE o.id = l.origin)") == "0"
    sync(a, b)
    assert b.value("SELECT actor FROM sync_explain('task', 1) WHERE column_name = 'title'") == "bob"


@test("origins: a name too long or empty is refused, NULL takes it back")
def _(t):
    db = t.postgres()
    raises(lambda: db.value("SELECT sync_set_actor(repeat('x', 2000000))"),
           "longer than 1024 bytes")
    raises(lambda: db.value("SELECT sync_set_actor('')"), "empty")
    raises(lambda: db.value("SELECT sync_set_context('{')"), "22P02")
    create(TASK, db)
    db.run("SELECT sync_set_actor('x'); SELECT sync_set_actor(NULL); INSERT INTO task VALUES (1)")
    assert db.value("SELECT count(origin) FROM syncline.log") == "0"


# Who may.

@test("roles: conflicts, events and decisions are for those who may read and write the table")
def _(t):
    a, b, found = clashed(t)
    reader = Role(t, a, "sl_reader", "SELECT ON task")
    nobody = Role(t, a, "sl_nobody")
    writer = Role(t, a, "sl_writer", "SELECT ON task", "UPDATE (title) ON task")
    assert reader.psql("SELECT count(*) FROM sync_conflicts") == "1"
    assert reader.psql("SELECT count(*) FROM sync_events()") == "1"
    for call in ("sync_conflicts", "sync_events()", "sync_conflict_stats"):
        assert nobody.psql(f"SELECT count(*) FROM {call}") == "0", call
    for call in (f"sync_resolve('{found}', 'local')", f"sync_conflict_diff('{found}')"):
        raises(lambda c=call: nobody.psql(f"SELECT {c}"), "no conflict")
    raises(lambda: reader.psql(f"SELECT sync_resolve('{found}', 'local')"), "42501")
    assert field(a, found, "status") == "open"
    assert a.value("SELECT title FROM task") == "there"
    for call in ("sync_set_policy('task', 'n', 'max')", "sync_set_policy('task', 'n', 'local')"):
        raises(lambda c=call: writer.psql(f"SELECT {c}"), "42501")
    raises(lambda: writer.psql("SELECT sync_conflict_purge(now())"), "42501")
    answer = json.loads(writer.psql(f"SELECT sync_resolve('{found}', 'local')"))
    assert answer["status"] == "closed"
    assert field(a, found, "resolved_by") == "sl_writer"
    sync(a, b)
    assert field(b, found, "resolved_by") == "sl_writer"
    assert b.value("SELECT title FROM task") == "here"


@test("roles: a decision runs the table's triggers as whoever decides")
def _(t):
    a, _, found = clashed(t)
    a.run("CREATE TABLE audit (who text, old text, new text);"
          "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
          "INSERT INTO audit VALUES (current_user, old.title, new.title);"
          "IF new.title = 'forbidden' THEN RAISE 'not this one'; END IF;"
          "IF new.title = 'ignored' THEN RETURN NULL; END IF;"
          "RETURN new; END $$;"
          "CREATE TRIGGER audit BEFORE UPDATE ON task FOR EACH ROW EXECUTE FUNCTION audit()")
    for title in ("forbidden", "ignored"):
        raises(lambda x=title: decide(a, found, "value", x), "refuses what the decision writes")
    assert (field(a, found, "status"), a.value("SELECT title FROM task")) == ("open", "there")
    assert a.value("SELECT count(*) FROM audit") == "0"
    role = Role(t, a, "sl_decider", "SELECT, UPDATE ON task", "INSERT ON audit")
    role.psql(f"SELECT sync_set_actor('ann'); SELECT sync_resolve('{found}', 'value', 'ok', 'why')")
    assert a.rows("SELECT * FROM audit") == [("sl_decider", "there", "ok")]
    assert (field(a, found, "resolved_by"), field(a, found, "note")) == ("ann", "why")


# Beside others.

@test("concurrency: of two who decide one conflict the second is told that it is closed")
def _(t):
    a, b, found = clashed(t)
    first, second = t.session(a), t.session(a)
    first.run("BEGIN")
    first.run(f"SELECT sync_resolve('{found}', 'local', NULL, 'mine')")
    second.send(f"SELECT sync_resolve('{found}', 'remote', NULL, 'no, mine')")
    assert second.busy(), "it did not wait"
    first.run("COMMIT")
    raises(second.wait, "closed", "decision")
    assert (field(a, found, "note"), a.value("SELECT title FROM task")) == ("mine", "here")
    sync(a, b)
    equal([a, b], ["task"])


@test("concurrency: a decision that is rolled back leaves everything as it was")
def _(t):
    a, b, found = clashed(t)
    before = a.rows("SELECT * FROM syncline.state_1"), a.rows("SELECT * FROM sync_conflicts")
    session = t.session(a)
    session.run("BEGIN")
    session.run(f"SELECT sync_resolve('{found}', 'local')")
    assert session.run("SELECT title FROM task") == "here"
    session.run("ROLLBACK")
    assert (a.rows("SELECT * FROM syncline.state_1"),
            a.rows("SELECT * FROM sync_conflicts")) == before
    assert len(a.rows("SELECT * FROM sync_events()")) == 1
    session.run(f"SELECT sync_resolve('{found}', 'local')")
    sync(a, b)
    equal([a, b], ["task"])


@test("concurrency: an application's write beside a decision is not lost")
def _(t):
    a, b, found = clashed(t)
    writer, decider = t.session(a), t.session(a)
    writer.run("BEGIN")
    writer.run("UPDATE task SET n = 42")
    decider.send(f"SELECT sync_resolve('{found}', 'local')")
    assert decider.busy(), "it did not wait for the row"
    writer.run("COMMIT")
    decider.wait()
    sync(a, b)
    equal([a, b], ["task"])
    assert b.rows("SELECT title, n FROM task") == [("here", "42")]


# Telling.

def notices(session):
    return [line for line in session.run("SELECT 1").splitlines() if "sync_conflict" in line]


@test("notify: who listens hears of a conflict by its id, from the session that merges")
def _(t):
    a, b = pair(t)
    listener = t.session(a)
    listener.run("LISTEN sync_conflict")
    a.run("UPDATE task SET title = 'x'")
    b.run("UPDATE task SET title = 'y'")
    assert notices(listener) == [], "capture has notified"
    sync(a, b)
    heard = notices(listener)
    found = open_id(a, "title")
    assert len(heard) == 1 and found in heard[0], heard
    a.run(f"BEGIN; SELECT sync_resolve('{found}', 'local'); ROLLBACK")
    assert notices(listener) == [], "what was rolled back was told"
    decide(a, found, "local")
    heard = notices(listener)
    assert len(heard) == 1 and found in heard[0], heard


@test("notify: of more than a thousand conflicts in one transaction one empty payload tells")
def _(t):
    a, b = pair(t, TASK, "INSERT INTO task SELECT g, 'one', 0 FROM generate_series(1, 1200) g")
    listener = t.session(a)
    listener.run("LISTEN sync_conflict")
    for db, title in ((a, "x"), (b, "y")):
        db.run(f"UPDATE task SET title = '{title}'")
    sync(a, b)
    heard = notices(listener)
    assert len(heard) == 1 and 'payload' not in heard[0], heard
    assert a.value("SELECT count(*) FROM sync_events()") == "1200"


@test("prepare: a transaction that captures with an actor, or merges, can be prepared")
def _(t):
    server = Cluster("--conf", "max_prepared_transactions=5")
    try:
        a, b = server.database("a"), server.database("b")
        create(TASK, a, b)
        a.run("INSERT INTO task VALUES (1, 'one', 0)")
        sync(a, b)
        b.run("UPDATE task SET title = 'theirs'")
        chunk = b.value("SELECT encode(changes, 'hex') FROM sync_changes_since("
                        f"{quote(a.value('SELECT sync_version_vector()'))})")
        a.run("UPDATE task SET title = 'ours'")
        a.run("BEGIN; SELECT sync_set_actor('ann'); UPDATE task SET n = 1;"
              f"SELECT sync_apply('\\x{chunk}'); PREPARE TRANSACTION 'p'")
        a.run("COMMIT PREPARED 'p'")
        assert open_id(a, "title") is not None
        sync(a, b)
        equal([a, b], ["task"])
        assert a.value("SELECT count(*) FROM sync_events()") == "1"
    finally:
        server.stop()


# Awkward values and rows.

@test("values: every type is decided and taken back exactly")
def _(t):
    ddl = ("CREATE TYPE mood AS ENUM ('sad', 'ok');"
           "CREATE TABLE v (id int PRIMARY KEY, a bytea, b numeric, c jsonb, d timestamptz,"
           " e double precision, f text[], g boolean, h mood, i uuid, j text)")
    columns = {
        "a": ("'\\x00ff'", "'\\x01'", "\\x00fe"),
        "b": ("1.500", "'NaN'", "12345678901234567890.10"),
        "c": ("'{\"k\": [1, null]}'", "'\"s\"'", '{"z": "\\u00e9"}'),
        "d": ("'2020-01-01 00:00+02'", "'infinity'", "2021-03-04 05:06:07+00"),
        "e": ("0.1", "'-Infinity'", "1e300"), "f": ("'{a,NULL}'", "'{}'", "{x,y}"),
        "g": ("true", "false", "false"), "h": ("'sad'", "'ok'", "sad"),
        "i": ("'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'",
              "00000000-0000-0000-0000-00000000000a"),
        "j": ("'it''s \"q\" \\ é 😀'", "' '", "line\none")}
    a, b = pair(t, ddl, "INSERT INTO v (id) VALUES (1)")
    for column, (here, there, given) in columns.items():
        a.run(f"UPDATE v SET {column} = {here}")
        b.run(f"UPDATE v SET {column} = {there}")
        sync(a, b)
        found = open_id(a, column)
        assert found, column
        shown = a.value(f"SELECT {column} FROM v")
        for choice, value in (("local", None), ("value", given)):
            decide(a, found, choice, value)
            want = here if choice == "local" else quote(given)
            kind = a.value(f"SELECT format_type(atttypid, NULL) FROM pg_attribute WHERE "
                           f"attrelid = 'v'::regclass AND attname = '{column}'")
            assert a.value(f"SELECT {column} IS NOT DISTINCT FROM {want}::{kind} FROM v") == "t", \
                (column, choice, a.value(f"SELECT {column} FROM v"))
            a.value(f"SELECT sync_undo('{found}')")
            assert a.value(f"SELECT {column} FROM v") == shown, (column, choice)
        decide(a, found, "remote")
        sync(a, b)
    equal([a, b], ["v"])


@test("values: what a type does not take is refused, and jsonb is taken as it is meant")
def _(t):
    a, b = pair(t)
    a.run("UPDATE task SET n = 1")
    b.run("UPDATE task SET n = 2")
    sync(a, b)
    found = open_id(a, "n")
    for value in ("'99999999999'", "'x'", "'{}'::jsonb", "'true'::jsonb"):
        raises(lambda v=value: a.value(f"SELECT sync_resolve('{found}', 'value', {v})"))
    assert a.value("SELECT n FROM task") == "2"
    assert a.json(f"SELECT sync_resolve('{found}', 'value', '7'::jsonb)")["value"] == 7
    a.value(f"SELECT sync_undo('{found}')")
    a.value(f"SELECT sync_resolve('{found}', 'value')")
    assert a.value("SELECT n FROM task") is None


@test("rows: identity columns, generated columns and a row of a key alone are decided")
def _(t):
    ddl = ("CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
           " serial int GENERATED ALWAYS AS IDENTITY, x text,"
           " y text GENERATED ALWAYS AS (x || '!') STORED); CREATE TABLE k (id int PRIMARY KEY)")
    a, b = pair(t, ddl, "INSERT INTO g (x) VALUES ('one')", "INSERT INTO k VALUES (1)")
    a.run("DELETE FROM g")
    b.run("UPDATE g SET x = 'kept'")
    sync(a, b)
    found = open_id(a)
    decide(a, found, "local")
    assert a.rows("SELECT * FROM g") == []
    a.value(f"SELECT sync_undo('{found}')")
    assert a.rows("SELECT * FROM g") == [("1", "1", "kept", "kept!")]
    decide(a, found, "value", '{"x": "said"}')
    sync(a, b)
    equal([a, b], ["g", "k"])
    assert b.value("SELECT y FROM g") == "said!"


@test("held: a child is stored with the parent it refers to, and is given up with it by undo")
def _(t):
    ddl = ("CREATE TABLE p (id int PRIMARY KEY, name text);"
           "CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)")
    a, b = pair(t, ddl, "INSERT INTO p VALUES (1, 'parent')")
    a.run("DELETE FROM p")
    b.run("INSERT INTO c VALUES (1, 1)")
    sync(a, b)
    found = a.value("SELECT id FROM sync_conflicts WHERE status = 'open' AND kind = 'foreign_key'")
    assert found and a.rows("SELECT * FROM c") == []
    decide(a, found, "remote")
    assert a.rows("SELECT p.name, c.id FROM p JOIN c ON c.p = p.id") == [("parent", "1")]
    sync(a, b)
    equal([a, b], ["p", "c"])
    a.value(f"SELECT sync_undo('{found}')")
    assert a.rows("SELECT * FROM c") == [] and a.rows("SELECT * FROM p") == []


@test("held: a child whose parent is held waits for the decision about that one")
def _(t):
    ddl = ("CREATE TABLE g (id int PRIMARY KEY);"
           "CREATE TABLE p (id int PRIMARY KEY, g int REFERENCES g ON DELETE CASCADE);"
           "CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE)")
    a, b = pair(t, ddl, "INSERT INTO g VALUES (1)")
    a.run("DELETE FROM g")
    b.run("INSERT INTO p VALUES (2, 1); INSERT INTO c VALUES (3, 2)")
    sync(a, b)
    ids = dict(a.rows("SELECT table_name, id FROM sync_conflicts WHERE status = 'open'"))
    raises(lambda: decide(a, ids["c"], "remote"), "of table p that is not in its table either")
    decide(a, ids["p"], "remote")
    sync(a, b)  # the child comes along
    equal([a, b], ["g", "p", "c"])
    assert [a.value(f"SELECT count(*) FROM {table}") for table in "gpc"] == ["1"] * 3


@test("held: rivals under partial, expression and exclusion constraints leave their place")
def _(t):
    ddl = ("CREATE TABLE r (id int PRIMARY KEY, mail text, live boolean, span int4range,"
           " EXCLUDE USING gist (span WITH &&));"
           "CREATE UNIQUE INDEX ON r (lower(mail)) WHERE live")
    a, b = pair(t, ddl, "INSERT INTO r VALUES (9, 'z', true, '[90,91)')")
    a.run("INSERT INTO r VALUES (1, 'A@x', true, '[1,5)')")
    b.run("INSERT INTO r VALUES (2, 'a@X', true, '[6,9)'), (3, 'c', true, '[4,5)')")
    sync(a, b)
    found = a.value("SELECT id FROM sync_conflicts WHERE status = 'open' AND pk->>'id' = '1'")
    decide(a, found, "remote")
    sync(a, b)
    equal([a, b], ["r"])
    assert b.rows("SELECT id FROM r ORDER BY id") == [("1",), ("9",)]
    a.value(f"SELECT sync_undo('{found}')")
    sync(a, b)
    equal([a, b], ["r"])
    assert b.rows("SELECT id FROM r ORDER BY id") == [("2",), ("3",), ("9",)]


@test("bulk: many conflicts of one row are decided one after the other; refusals leave nothing")
def _(t):
    ddl = "CREATE TABLE task (id int PRIMARY KEY, title text, n int CHECK (n <> 1))"
    a, b = pair(t, ddl, "INSERT INTO task SELECT g, 'one', 0 FROM generate_series(1, 20) g")
    a.run("UPDATE task SET title = 'x' || id, n = 5")
    b.run("UPDATE task SET title = 'y' || id, n = 6")
    sync(a, b)
    a.run("CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
          "IF new.id % 2 = 1 THEN RAISE 'odd'; END IF; RETURN new; END $$;"
          "CREATE TRIGGER odd BEFORE UPDATE ON task FOR EACH ROW EXECUTE FUNCTION odd()")
    answer = a.json("SELECT sync_resolve_all('{}', 'local', 'all')")
    assert (answer["matched"], answer["resolved"], len(answer["refused"])) == (40, 20, 20)
    assert "odd" in answer["refused"][0]["error"]
    assert a.rows("SELECT status, count(*) FROM sync_conflicts GROUP BY 1 ORDER BY 1") == \
        [("closed", "20"), ("open", "20")]
    sync(a, b)
    equal([a, b], ["task"])


# Life.

@test("life: policies, conflicts, origins and events survive a dump and a restore")
def _(t):
    a, b, found = clashed(t)
    policy(a, "n", "counter", '{"severity": "high"}', table="task")
    a.run("UPDATE task SET n = n + 1")
    a.run("SELECT sync_set_actor('ann'); UPDATE task SET n = n + 1")
    text = subprocess.run(["pg_dump", a.name], env=a.env, capture_output=True, text=True,
                          check=True).stdout
    copy = t.postgres("copy", extension=False)
    copy.run(text)
    assert rows(copy, "SELECT column_name, policy FROM sync_policies") == [("n", "counter")]
    assert copy.value("SELECT count(*) FROM sync_events()") == "1"
    decide(copy, found, "local")
    assert copy.value("SELECT count(*) FROM sync_events()") == "2"
    sync(copy, b)
    assert b.rows("SELECT title, n FROM task") == [("here", "2")]


@test("life: a local column keeps its place through renames, and ends with the column")
def _(t):
    a, b = pair(t)
    assert policy(a, "title", "local", table="task")["policy"] == "local"
    a.run("ALTER TABLE task RENAME title TO path")
    a.run("UPDATE task SET path = 'mine', n = 1")
    sync(a, b)
    assert b.rows("SELECT title, n FROM task") == [("one", "1")]
    assert rows(a, "SELECT column_name, policy FROM sync_policies") == [("path", "local")]
    a.run("ALTER TABLE task RENAME path TO title")
    assert policy(a, "title", "default", table="task")["policy"] == "default"
    sync(a, b)
    equal([a, b], ["task"])
    assert b.value("SELECT title FROM task") == "mine"
    policy(a, "title", "local", table="task")
    a.run("ALTER TABLE task DROP COLUMN title")
    assert rows(a, "SELECT * FROM sync_policies") == []
    a.run("UPDATE task SET n = 2")
    sync(a, b)
    assert b.value("SELECT n FROM task") == "2"


@test("life: sync_enable's options are checked, and on_delete is a setting that travels")
def _(t):
    a, b = t.postgres("a"), t.postgres("b")
    run(TASK, a, b)
    for options, part in (('{"lokal": []}', "local"), ('{"local": "x"}', "array"),
                          ('{"local": [1]}', "array"), ('{"local": ["titel"]}', "title"),
                          ('{"local": ["id"]}', "primary key"), ('{"on_delete": []}', "on_delete")):
        raises(lambda o=options: a.value(f"SELECT sync_enable('task', '{o}')"), part)
    assert a.value("SELECT count(*) FROM sync_tables") == "0"
    a.value("SELECT sync_enable('task', '{\"on_delete\": \"delete_wins\"}')")
    b.value("SELECT sync_enable('task')")
    a.run("INSERT INTO task VALUES (1, 'one')")
    sync(a, b)
    assert b.value("SELECT options->>'on_delete' FROM sync_policies") == "delete_wins"
    a.run("DELETE FROM task")
    b.run("UPDATE task SET title = 'late'")
    sync(a, b)
    assert rows(b, "SELECT * FROM task") == rows(a, "SELECT * FROM task") == []


@test("life: a dropped table's conflicts cannot be decided, nor a closed one twice")
def _(t):
    a, _, found = clashed(t)
    raises(lambda: a.value(f"BEGIN READ ONLY; SELECT sync_resolve('{found}', 'local')"),
           "read-only")
    raises(lambda: a.value("BEGIN ISOLATION LEVEL SERIALIZABLE; "
                           f"SELECT sync_resolve('{found}', 'local')"), "READ COMMITTED")
    decide(a, found, "local")
    raises(lambda: decide(a, found, "remote"), "closed")
    a.run("DROP TABLE task")
    raises(lambda: decide(a, found, "remote"), "no conflict")
    assert rows(a, "SELECT * FROM sync_conflicts") == []


main()
