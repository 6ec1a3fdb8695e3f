#!/usr/bin/env python3
"""Goal: two PostgreSQL databases synchronise, whatever happens on the way. Method: sync_now
between two databases of a private server, interrupted, repeated, misused; rows compared by plain
SELECTs."""
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import main, raises, same_rows, test  # noqa: E402

TASK = """CREATE TABLE task(id text PRIMARY KEY, title text NOT NULL,
  status int CHECK (status < 100), slug text UNIQUE)"""


def pair(t, ddl=TASK, tables=("task",)):
    made = t.postgres("a"), t.postgres("b")
    for db in made:
        db.run(ddl)
        for table in tables:
            db.value(f"SELECT sync_enable('{table}')")
    return made


def sync(a, b, options="{}"):
    return a.json(f"SELECT sync_now('{b.url}', '{options}')")


def moved(report):
    return report["pulled"]["rows"] + report["pushed"]["rows"]


def settle(a, b, rounds=5):
    for _ in range(rounds):
        if moved(sync(a, b)) == 0:
            return
    raise AssertionError("rows still move after several sessions")


def held(db):
    return db.rows("SELECT table_name, pk, kind, note FROM sync_conflicts WHERE status = 'open' "
                   "AND kind IN ('unique', 'foreign_key', 'constraint') ORDER BY 1, 2")


def conflict_ids(db):
    return db.rows("SELECT id, kind, winner FROM sync_conflicts WHERE status = 'open' ORDER BY 1")


@test("postgres sync: inserts, updates and deletes go both ways, a second session moves nothing")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task SELECT i::text, 't' || i, i, 's' || i FROM generate_series(1, 50) i")
    b.run("INSERT INTO task VALUES ('b', 'from b', 1, NULL)")
    report = sync(a, b)
    assert report["pushed"]["rows"] == 50 and report["pulled"]["rows"] == 1, report
    a.run("UPDATE task SET title = 'x' WHERE id = '1'; DELETE FROM task WHERE id = '2'")
    b.run("UPDATE task SET status = 7 WHERE id = '1'; UPDATE task SET id = 'new' WHERE id = '3'")
    settle(a, b)
    assert same_rows(a, b, ["task"]) == 50
    assert a.rows("SELECT title, status FROM task WHERE id = '1'") == [("x", "7")]
    assert moved(sync(a, b)) == 0 and moved(sync(b, a)) == 0


@test("postgres sync: rows that stood there before are a baseline, and travel")
def _(t):
    a, b = t.postgres("a"), t.postgres("b")
    for db in (a, b):
        db.run(TASK)
    a.run("INSERT INTO task SELECT i::text, 't', i % 90, NULL FROM generate_series(1, 3000) i")
    for db in (a, b):
        db.value("SELECT sync_enable('task')")
    assert sync(a, b)["pushed"]["rows"] == 3000
    assert a.value("SELECT count(*) FROM syncline.state_1") == "0"
    b.run("UPDATE task SET title = 'seen' WHERE id = '17'")
    settle(a, b)
    same_rows(a, b, ["task"])


@test("postgres sync: rows that have changed places between two chunks travel as themselves")
def _(t):
    a, b = t.postgres("a"), t.postgres("b")
    for db in (a, b):
        db.run(TASK)
    a.run("INSERT INTO task SELECT i::text, 'title ' || i, i % 90, NULL "
          "FROM generate_series(1, 3000) i")
    for db in (a, b):
        db.value("SELECT sync_enable('task')")
    # a session keeps the list of keys, and of where their rows stand, from chunk to chunk
    sender, vector = t.session(a), b.value("SELECT sync_version_vector()")
    changes = iter(("DELETE FROM task WHERE status < 30; VACUUM FULL task",
                    "UPDATE task SET title = 'new ' || id WHERE status > 60",
                    "DELETE FROM task WHERE status < 50; VACUUM task;"
                    "INSERT INTO task SELECT 'x' || i, 'x', 1, NULL FROM generate_series(1, 900) i",
                    "TRUNCATE task; INSERT INTO task VALUES ('y', 'y', 1, NULL)"))
    resume, chunks, complete = "", 0, False
    while not complete:
        options = json.dumps({"max_bytes": 5000, **({"resume": resume} if resume else {})})
        chunk = sender.run("SELECT encode((r).changes, 'hex') FROM (SELECT sync_changes_since("
                           f"'{vector}', '{options}') AS r LIMIT 1) AS c")
        report = b.json(f"SELECT sync_apply(decode('{chunk}', 'hex'))")
        resume, complete, chunks = report["resume"], report["complete"], chunks + 1
        for statement in next(changes, "").split(";"):
            if statement:
                a.run(statement)
        wrong = "title NOT IN ('title ' || id, 'new ' || id, left(id, 1))"
        assert b.value(f"SELECT count(*) FROM task WHERE {wrong}") == "0"
    assert chunks > 5, chunks
    settle(b, a)
    same_rows(a, b, ["task"])


@test("postgres sync: a scan of more than one batch steps over dead index entries")
def _(t):
    a = t.postgres("a")
    a.run("CREATE TABLE task(id text PRIMARY KEY, status int)")
    a.value("SELECT sync_enable('task')")
    a.run("INSERT INTO task SELECT md5(i::text), 0 FROM generate_series(1, 9000) i")
    a.value("SELECT count(*) FROM sync_hello()")
    before = a.value("SELECT sync_version_vector()")
    for _ in range(3):
        a.run("UPDATE task SET status = status + 1")
        a.value("SELECT count(*) FROM sync_hello()")
        a.run("UPDATE task SET id = md5(id), status = 0 WHERE status % 2 = 0")
    for _ in range(3):
        found = a.value(f"SELECT sum(row_count) FROM sync_changes_since('{before}')")
        assert int(found) >= 9000, found


@test("postgres sync: rows of state that find no room on their page keep one row and one entry")
def _(t):
    a, b = pair(t)
    b.run("INSERT INTO task SELECT i, 'some words to begin with' FROM generate_series(1, 3000) i")
    sync(a, b)
    one_each = ("SELECT count(*), count(DISTINCT s.key), count(*) FILTER (WHERE found) FROM"
                " (SELECT key, EXISTS (SELECT FROM syncline.state_1 o WHERE o.key = s.key) AS found"
                " FROM syncline.state_1 s) s")
    # the index finds all of them, without a scan of the table to help it
    asked = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;" \
            " SET enable_mergejoin = off; " + one_each
    for round_ in range(3):
        # images of deleted rows, and what fills whole pages, go elsewhere; then all come back
        a.run(f"UPDATE task SET title = 'round {round_}'")
        sync(a, b)
        b.run("DELETE FROM task WHERE id::int % 3 = 0")
        sync(a, b)
        a.run(f"INSERT INTO task SELECT i, 'anew {round_}' FROM generate_series(3, 3000, 3) i")
        sync(a, b)
        same_rows(a, b, ["task"])
        for db in (a, b):
            assert db.rows(asked) == [("3000", "3000", "3000")], db.rows(asked)
    assert moved(sync(a, b)) == 0


@test("postgres sync: pages of tombstones are filled, those of other rows of state have room")
def _(t):
    a = t.postgres("a")
    a.run("CREATE TABLE task(id text PRIMARY KEY, body text)")
    a.value("SELECT sync_enable('task')")
    grown = []
    for statement in ("INSERT INTO task SELECT md5(i::text), repeat('x', 400)"
                      " FROM generate_series(1, 5000) i", "DELETE FROM task"):
        before = int(a.value("SELECT pg_relation_size('syncline.state_1')"))
        a.run(statement)
        a.value("SELECT count(*) FROM sync_hello()")
        grown.append(int(a.value("SELECT pg_relation_size('syncline.state_1')")) - before)
    # a row takes some 100 bytes, and some 540 when it has the image of a deleted one
    assert grown[0] > 5000 * 180 and grown[1] < 5000 * 600, grown


@test("postgres sync: the list of arrivals is made anew before stale keys fill it")
def _(t):
    a = t.postgres("a")
    a.run("CREATE TABLE task(id text PRIMARY KEY, status int)")
    a.value("SELECT sync_enable('task')")
    a.run("INSERT INTO task SELECT md5(i::text), 0 FROM generate_series(1, 5000) i")
    vectors = []
    for _ in range(7):
        a.run("UPDATE task SET status = status + 1")
        a.value("SELECT count(*) FROM sync_hello()")
        vectors.append(a.value("SELECT sync_version_vector()"))
    listed = "SELECT sum(cardinality(keys)) FROM syncline.arrival_1"
    assert a.value(listed) == "35000"
    a.run("UPDATE task SET status = 0")
    a.value("SELECT count(*) FROM sync_hello()")
    vectors.append(a.value("SELECT sync_version_vector()"))
    assert 5000 <= int(a.value(listed)) < 10000
    a.run("UPDATE task SET status = 1 WHERE id < '01'")
    changed = a.value("SELECT count(*) FROM task WHERE status = 1")
    count = "SELECT sum(row_count) FROM sync_changes_since('{}')"
    assert a.value(count.format(vectors[2])) == "5000"
    assert a.value(count.format(vectors[-1])) == changed


@test("postgres sync: conflicts are decided alike on both sides, and closed by a later write")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task VALUES ('1', 'one', 1, 'x'), ('2', 'two', 2, 'y')")
    settle(a, b)
    a.run("UPDATE task SET title = 'from a' WHERE id = '1'; DELETE FROM task WHERE id = '2'")
    b.run("UPDATE task SET title = 'from b' WHERE id = '1';"
          "UPDATE task SET status = 22 WHERE id = '2'")
    settle(a, b)
    assert same_rows(a, b, ["task"]) == 2
    assert conflict_ids(a) == conflict_ids(b) and len(conflict_ids(a)) == 2, conflict_ids(a)
    a.run("UPDATE task SET title = 'settled', status = 0")
    settle(a, b)
    assert not [row for row in conflict_ids(b) if row[1] == "update_update"]
    same_rows(a, b, ["task"])


@test("postgres sync: rows that a constraint refuses are kept, named, and let in later")
def _(t):
    a, b = pair(t)
    b.run("ALTER TABLE task ADD CONSTRAINT short CHECK (length(title) < 10) NOT VALID;"
          "ALTER TABLE task ALTER status SET NOT NULL;"
          "ALTER TABLE task ALTER slug TYPE varchar(4)")
    a.run("INSERT INTO task VALUES ('ok', 'fine', 1, 'a'),"
          "('long', 'far too long a title', 1, 'b'), ('null', 'n', NULL, 'c'),"
          "('wide', 'w', 1, 'much wider')")
    report = sync(a, b)
    assert report["quarantined"] == 3, report
    assert b.rows("SELECT id FROM task") == [("ok",)]
    reasons = " | ".join(row[3] for row in held(b))
    for part in ('"short"', '"status"', '"slug"'):
        assert part in reasons, reasons
    b.run("ALTER TABLE task DROP CONSTRAINT short; ALTER TABLE task ALTER status DROP NOT NULL;"
          "ALTER TABLE task ALTER slug TYPE text")
    a.run("INSERT INTO task VALUES ('next', 'n', 1, NULL)")
    settle(a, b)
    assert held(b) == []
    assert same_rows(a, b, ["task"]) == 5


@test("postgres sync: two rows that claim one unique value: all sites keep the same one")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task VALUES ('a', 'from a', 1, 'same')")
    b.run("INSERT INTO task VALUES ('b', 'from b', 1, 'same')")
    settle(a, b)
    assert same_rows(a, b, ["task"]) == 1
    assert held(a) == held(b) and len(held(a)) == 1, (held(a), held(b))
    winner = a.value("SELECT id FROM task")
    a.run(f"UPDATE task SET slug = 'other' WHERE id = '{winner}'")
    settle(a, b)
    assert same_rows(a, b, ["task"]) == 2
    assert held(a) == [] and held(b) == []


@test("postgres sync: unique values that swap within one exchange arrive")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task VALUES ('1', 'x', 1, 'p'), ('2', 'y', 1, 'q')")
    settle(a, b)
    a.run("UPDATE task SET slug = NULL WHERE id = '1'; UPDATE task SET slug = 'p' WHERE id = '2';"
          "UPDATE task SET slug = 'q' WHERE id = '1'")
    settle(a, b)
    assert b.rows("SELECT id, slug FROM task ORDER BY 1") == [("1", "q"), ("2", "p")]
    assert held(b) == []


FAMILY = """CREATE TABLE parent(id int PRIMARY KEY, code text UNIQUE);
CREATE TABLE child(id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE,
  code text REFERENCES parent(code) DEFERRABLE INITIALLY DEFERRED, self int REFERENCES child)"""


@test("postgres sync: no foreign key ever points to nothing, whoever deleted the parent")
def _(t):
    a, b = pair(t, FAMILY, ("child", "parent"))
    a.run("INSERT INTO parent VALUES (1, 'one'), (2, 'two');"
          "INSERT INTO child VALUES (1, 1, 'one', NULL), (2, 2, 'two', 1)")
    settle(a, b)
    assert same_rows(a, b, ["parent", "child"]) == 4
    a.run("DELETE FROM child WHERE id = 2; DELETE FROM parent WHERE id = 2")
    b.run("INSERT INTO child VALUES (3, 2, NULL, 2), (4, NULL, 'two', NULL)")
    settle(a, b)
    same_rows(a, b, ["parent", "child"])
    orphan = "(c.{0} IS NOT NULL AND NOT EXISTS (SELECT FROM {1} p WHERE p.{2} = c.{0}))"
    dangling = "SELECT count(*) FROM child c WHERE " + " OR ".join(
        orphan.format(*names) for names in
        (("parent", "parent", "id"), ("code", "parent", "code"), ("self", "child", "id")))
    assert a.value(dangling) == "0" and b.value(dangling) == "0"
    assert {row[2] for row in held(a)} <= {"foreign_key"} and held(a) == held(b), held(a)
    a.run("INSERT INTO parent VALUES (2, 'two')")
    settle(a, b)
    assert held(a) == held(b)
    assert a.value(dangling) == "0" and b.value(dangling) == "0"
    assert a.value("SELECT count(*) FROM child WHERE id = 4") == "1"


@test("postgres sync: a table only the peer has is parked, and filled when it appears")
def _(t):
    a, b = t.postgres("a"), t.postgres("b")
    a.run(TASK)
    a.value("SELECT sync_enable('task')")
    b.run("CREATE TABLE other(id int PRIMARY KEY)")
    b.value("SELECT sync_enable('other')")
    a.run("INSERT INTO task SELECT i::text, 't', 1, NULL FROM generate_series(1, 20) i")
    sync(a, b)
    b.run(TASK)
    b.value("SELECT sync_enable('task')")
    assert same_rows(a, b, ["task"]) == 20
    a.run("ALTER TABLE task ADD COLUMN note text; UPDATE task SET note = 'n' || id")
    settle(a, b)
    b.run("ALTER TABLE task ADD COLUMN note text")
    assert same_rows(a, b, ["task"]) == 20


@test("postgres sync: a value that does not fit a column which appears is recorded")
def _(t):
    a, b = t.postgres("a"), t.postgres("b")
    for db in (a, b):
        db.run("CREATE TABLE task(id int PRIMARY KEY)")
        db.value("SELECT sync_enable('task')")
    a.run("ALTER TABLE task ADD COLUMN note text; INSERT INTO task VALUES (1, 'short'),"
          " (2, 'much too long for it')")
    settle(a, b)
    b.run("ALTER TABLE task ADD COLUMN note varchar(5)")
    assert b.rows("SELECT * FROM task ORDER BY id") == [("1", "short"), ("2", None)]
    assert b.rows("SELECT pk->>'id', column_name, kind, status, remote, winner, note"
                  " FROM sync_conflicts") == [
        ("2", "note", "schema", "open", '"much too long for it"', None,
         "the value does not fit the column's type")]
    assert a.rows("SELECT note FROM task WHERE id = 2") == [("much too long for it",)]


@test("postgres sync: 100,000 rows in seconds; again, none")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task SELECT gen_random_uuid()::text, 'title ' || i, i % 100, 's' || i "
          "FROM generate_series(1, 100000) i")
    started = time.monotonic()
    report = sync(a, b)
    spent = time.monotonic() - started
    assert report["pushed"]["rows"] == 100000 and report["pushed"]["chunks"] > 3, report
    assert spent < 60, spent
    assert b.value("SELECT count(*) FROM task") == "100000"
    checksum = "SELECT md5(string_agg(t::text, '' ORDER BY id COLLATE \"C\")) FROM task t"
    assert a.value(checksum) == b.value(checksum)
    report = sync(a, b)
    assert moved(report) == 0 and report["duration_ms"] < 2000, report


def worker_pid(db):
    return db.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'syncline session'")


@test("postgres sync: killed in the middle, the next session goes on where it was")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task SELECT lpad(i::text, 6, '0'), repeat('t', 50), 1, NULL "
          "FROM generate_series(1, 40000) i")
    session = t.session(a)
    session.send(f"SELECT sync_now('{b.url}', '{{\"max_bytes\": 20000}}')")
    deadline = time.monotonic() + 30
    while int(b.value("SELECT count(*) FROM task")) < 500 and time.monotonic() < deadline:
        time.sleep(0.02)
    a.value(f"SELECT pg_terminate_backend({worker_pid(a)})")
    raises(session.wait)
    there = int(b.value("SELECT count(*) FROM task"))
    assert 0 < there < 40000, there
    assert b.value("SELECT count(*) FROM syncline.incoming") == "1"
    report = sync(a, b)
    assert report["pushed"]["rows"] <= 40000 - there, (report, there)
    assert same_rows(a, b, ["task"]) == 40000
    assert b.value("SELECT count(*) FROM syncline.incoming") == "0"


@test("postgres sync: the peer's server restarts in the middle; what was applied stays")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task SELECT i::text, repeat('t', 50), 1, NULL "
          "FROM generate_series(1, 20000) i")
    session = t.session(a)
    session.send(f"SELECT sync_now('{b.url}', '{{\"max_bytes\": 20000}}')")
    deadline = time.monotonic() + 30
    while int(b.value("SELECT count(*) FROM task")) < 500 and time.monotonic() < deadline:
        time.sleep(0.02)
    b.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = '{b.name}' AND application_name = 'syncline'")
    raises(session.wait)
    assert int(b.value("SELECT count(*) FROM task")) > 0
    settle(a, b)
    assert same_rows(a, b, ["task"]) == 20000


@test("postgres sync: a cancelled caller ends its session")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task SELECT i::text, repeat('t', 50), 1, NULL "
          "FROM generate_series(1, 50000) i")
    started = time.monotonic()
    raises(lambda: a.run("SET statement_timeout = '300ms';"
                         f"SELECT sync_now('{b.url}', '{{\"max_bytes\": 2000}}')"), "57014")
    assert time.monotonic() - started < 15
    deadline = time.monotonic() + 10
    while worker_pid(a) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker_pid(a) is None
    settle(a, b)
    same_rows(a, b, ["task"])


@test("postgres sync: wrong targets are clear errors that show no password")
def _(t):
    a, b = pair(t)
    url = a.url
    for target, *fragments in (
            ("postgresql://u:secret@127.0.0.1:1/x", "connect"),
            ("postgresql://u:secret@h:port/x", "port"),
            ("postgresql://u:secret@[broken/x", "malformed"),
            (url.replace(a.name, "no_such_database"), "no_such_database"),
            (url.replace(a.name, "postgres"), "CREATE EXTENSION"),
            (url, "own site id"),
            ("other.db", "SQLite"),
            ("nobody", "no peer"),
            ("postgresql:///x?host=/nowhere", "/nowhere")):
        message = raises(lambda target=target: a.run(f"SELECT sync_now('{target}')"))
        assert "secret" not in message, message
        for fragment in fragments:
            assert fragment.lower() in message.lower(), (fragment, message)
    raises(lambda: a.run(f"SELECT sync_now('{b.url}', '{{\"direcion\": \"pull\"}}')"), "direction")
    raises(lambda: a.run("SELECT sync_now()"), "sync_add_peer")


@test("postgres sync: stored peers are masked, used by name, and note how it went")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task VALUES ('1', 'x', 1, NULL)")
    a.run(f"SELECT sync_add_peer('hub', '{b.url}');"
          "SELECT sync_add_peer('gone', 'postgresql://u:secret@127.0.0.1:1/x')")
    assert a.json("SELECT sync_now('hub')")["pushed"]["rows"] == 1
    raises(lambda: a.run("SELECT sync_now('hbu')"), "hub")
    both = a.json("SELECT sync_now()")["peers"]
    assert len(both) == 2 and "error" in both[0] and both[0]["code"] == "peer_failed", both
    shown = a.rows("SELECT name, url, last_success IS NOT NULL, failures FROM sync_peers "
                   "ORDER BY 1")
    assert [row[0] for row in shown] == ["gone", "hub"], shown
    assert "secret" not in str(shown) and shown[0][3] == "1" and shown[1][2] == "t", shown
    raises(lambda: a.run("SELECT sync_remove_peer('hbu')"), "hub")
    a.run("SELECT sync_remove_peer('hub'); SELECT sync_remove_peer('gone')")
    raises(lambda: a.run("SELECT sync_add_peer('x', 'file.db')"), "SQLite")


@test("postgres sync: three in a chain agree on rows and conflicts")
def _(t):
    a, b = pair(t)
    c = t.postgres("c")
    c.run(TASK)
    c.value("SELECT sync_enable('task')")
    for number, db in enumerate((a, b, c)):
        db.run(f"INSERT INTO task VALUES ('same', 'from {number}', {number}, NULL),"
               f"('{number}', 'own', 1, 'slug')")
    for _ in range(3):
        sync(a, b)
        sync(b, c)
    assert same_rows(a, b, ["task"]) == same_rows(b, c, ["task"])
    assert conflict_ids(a) == conflict_ids(b) == conflict_ids(c)
    assert held(a) == held(b) == held(c)


@test("postgres sync: many kinds of keys and values come through unchanged")
def _(t):
    ddl = """CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE kinds(i int, u uuid, b bytea, n numeric, PRIMARY KEY (i, u, b, n),
      t timestamptz, d date, f float8, j jsonb, js json, a int[], e mood, iv interval, bo bool,
      inet inet, ti time, ts timestamp, vc varchar(5), "odd ""name" text,
      g int GENERATED ALWAYS AS (i * 2) STORED, ident int GENERATED ALWAYS AS IDENTITY)"""
    a, b = pair(t, ddl, ("kinds",))
    a.run("""INSERT INTO kinds SELECT i, md5(i::text)::uuid, decode(md5(i::text), 'hex'), i / 8.0,
      '2024-02-29 12:00:00.123456+05'::timestamptz + i * interval '1 hour', '2024-02-29', i / 3.0,
      '{"a": [1, null, "x"]}', '{"b":  1}', ARRAY[i, NULL, 3], 'happy', '1 mon 2 days 03:04:05',
      true, '10.0.0.1/8', '12:34:56.7', '2000-01-01', 'äöü', E'quote '' \\n tab\\t'
      FROM generate_series(-5, 5) i;
      INSERT INTO kinds(i, u, b, n, t, f) VALUES
      (0, gen_random_uuid(), '', 'NaN', 'infinity', '1e300'),
      (1, gen_random_uuid(), '\\x00ff', 1.50, '-infinity', '-infinity')""")
    settle(a, b)
    assert same_rows(a, b, ["kinds"]) == 13
    b.run("UPDATE kinds SET a = '{}', f = 'infinity', \"odd \"\"name\" = NULL WHERE i = 1;"
          "DELETE FROM kinds WHERE i = -1")
    settle(a, b)
    assert same_rows(a, b, ["kinds"]) == 12
    assert held(a) == [] and held(b) == []


@test("postgres sync: a log that was long gives back its pages, all of which a session reads")
def _(t):
    a, b = pair(t)
    a.run("INSERT INTO task SELECT i::text, repeat('x', 100) FROM generate_series(1, 30000) i;"
          "DELETE FROM task")
    pages = ("SELECT (pg_relation_size('syncline.log') + pg_relation_size('syncline.log_2')) "
             "/ 8192")
    assert int(a.value(pages)) > 600
    sync(a, b)
    deadline = time.monotonic() + 60
    while int(a.value(pages)) > 10:  # whoever looks at the log at that moment is in the way
        assert time.monotonic() < deadline, a.value(pages)
        a.run("VACUUM syncline.log")
        a.run("VACUUM syncline.log_2")
    b.run("INSERT INTO task VALUES ('one', 'one')")
    sync(a, b)
    assert same_rows(a, b, ["task"]) == 1


main()
