"""Goal: any schema, any value and any bad argument. Method: ugly tables synchronised between two
files and compared row by row; random histories on three files; errors that name what is wrong."""
import os
import pathlib
import random
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import ident, main, raises, same_rows, test  # noqa: E402
from sqlite_pair import pair, sync  # noqa: E402


KEYS = {
    "integer": ("id INTEGER PRIMARY KEY", [1, -5, 2**63 - 1, -2**63]),
    "text": ("id TEXT PRIMARY KEY", ["", "a", "A", "ä", "\U0001f600", "x" * 5000, "it's"]),
    "blob": ("id BLOB PRIMARY KEY", [b"", b"\0", b"\0\xff", b"\xff\0"]),
    "real": ("id REAL PRIMARY KEY", [0.5, -1e300, 3, 1e-9]),
    "without rowid": ("id TEXT PRIMARY KEY) WITHOUT ROWID --", ["k", "l"]),
    "any class": ("id PRIMARY KEY", [1, 2.5, "1", b"1"]),
}


for name, (column, keys) in KEYS.items():
    @test(f"keys: {name}")
    def _(t, column=column, keys=keys):
        schema = (f"CREATE TABLE t(x, {column}\n)" if "--" not in column
                  else f"CREATE TABLE t(x, {column}\n")
        a, b = pair(t, schema, ["t"])
        for i, key in enumerate(keys):
            a.run("INSERT INTO t(id, x) VALUES(?, ?)", key, i)
        sync(a, b)
        assert same_rows(a, b, ["t"]) == len(keys)
        for key in keys:
            b.run("UPDATE t SET x = x + 100 WHERE id = ?", key)
        sync(a, b)
        same_rows(a, b, ["t"])
        assert a.value("SELECT min(x) FROM t") == 100
        a.run("DELETE FROM t")
        sync(a, b)
        assert b.value("SELECT count(*) FROM t") == 0


@test("keys: composite, DESC, NOCASE, integer primary key that is no rowid")
def _(t):
    a, b = pair(t, "CREATE TABLE c(a TEXT COLLATE NOCASE, b INTEGER, c BLOB, x, "
                   "PRIMARY KEY(b DESC, a, c)) WITHOUT ROWID;"
                   "CREATE TABLE d(id INTEGER PRIMARY KEY DESC, x);"
                   "CREATE TABLE e(x, id INT PRIMARY KEY)", ["c", "d", "e"])
    for i in range(50):
        a.run("INSERT INTO c VALUES(?, ?, ?, ?)", f"k{i % 7}", i % 5, bytes([i]), i)
        a.run("INSERT INTO d VALUES(?, ?)", i, i)
        b.run("INSERT INTO e VALUES(?, ?)", i, i)
    sync(a, b)
    assert same_rows(a, b, ["c", "d", "e"]) == 150
    b.run("UPDATE c SET x = 'new' WHERE b = 3; UPDATE d SET id = id + 1000; DELETE FROM e "
          "WHERE id % 2")
    sync(a, b)
    same_rows(a, b, ["c", "d", "e"])


@test("names: quotes, spaces, keywords, brackets, emoji, our own column names")
def _(t):
    tables = ["select", 'we"ird', "it's [odd]", "\U0001f600 table", "UPPER lower", "sync_jobs"]
    columns = ["select", 'quo"te', "it's", "a b", "\U0001f600", "[x]", "k1", "seq", "t", "ver",
               "mask", "x;DROP TABLE y--", "NEW", "OLD", "rowid2"]
    body = ", ".join(ident(c) for c in columns)
    schema = ";".join(f"CREATE TABLE {ident(x)}({body}, PRIMARY KEY({ident(columns[1])}, "
                      f"{ident(columns[2])}), UNIQUE({ident(columns[4])}))" for x in tables)
    a, b = pair(t, schema, tables)
    for table in tables:
        for i in range(3):
            marks = ",".join("?" * len(columns))
            a.run(f"INSERT INTO {ident(table)} VALUES({marks})",
                  *[f"{c}-{i}" for c in columns])
    sync(a, b)
    assert same_rows(a, b, tables) == 3 * len(tables)
    for table in tables:
        b.run(f"UPDATE {ident(table)} SET {ident(columns[0])} = 'new'; "
              f"DELETE FROM {ident(table)} WHERE {ident(columns[5])} = '[x]-1'")
    sync(a, b)
    same_rows(a, b, tables)


@test("values: every class in every column, extremes included")
def _(t):
    types = ["", "TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "BOOLEAN", "DATE", "TIMESTAMP",
             "DECIMAL(10,2)", "JSON", "UUID", "VARCHAR(10)", "FLOAT"]
    values = [None, 0, 1, -1, 2**53 + 1, -2**63, 0.1 + 0.2, 1e308, -0.0, 5e-324, "", "text", "1e5",
              "0x10", "007", " 5 ", "true", "2024-01-01T00:00:00Z", "{\"a\": 1}", b"", b"\0\x01",
              "NaN", "inf", float("inf"), -float("inf"), "a\0b", "12345678901234567890",
              "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", 1e15, 123456789012345.678]
    columns = ", ".join(f"c{i} {kind}" for i, kind in enumerate(types))
    a, b = pair(t, f"CREATE TABLE t(id INTEGER PRIMARY KEY, {columns})", ["t"])
    for i, value in enumerate(values):
        marks = ",".join("?" * len(types))
        a.run(f"INSERT INTO t VALUES({i}, {marks})", *[value] * len(types))
    sync(a, b)
    kinds = ", ".join(f"typeof(c{i}), quote(c{i})" for i in range(len(types)))
    left, right = (db.rows(f"SELECT id, {kinds} FROM t ORDER BY id") for db in (a, b))
    for x, y in zip(left, right):
        assert x == y, "\n".join(f"{values[x[0]]!r} in {types[(i - 1) // 2]}: {p} {q}"
                                 for i, (p, q) in enumerate(zip(x, y)) if p != q)
    assert len(left) == len(right)


@test("values: STRICT tables refuse what they cannot hold; the row is quarantined, then stored")
def _(t):
    a = t.sqlite("a")
    a.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n, x)")
    b = t.sqlite("b")
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, x ANY) STRICT")
    for db in (a, b):
        db.value("SELECT sync_enable('t')")
    a.run("INSERT INTO t VALUES(1, 'many', 1), (2, 2, 1.0)")
    sync(a, b)
    assert b.rows("SELECT id, typeof(x) FROM t") == [(2, "real")]
    held = b.rows("SELECT kind, note FROM sync_conflicts WHERE status = 'open'")
    assert held and held[0][0] == "constraint" and "t.n" in held[0][1], held
    a.run("UPDATE t SET n = 1 WHERE id = 1")
    sync(a, b)
    assert b.value("SELECT count(*) FROM t") == 2
    assert b.rows("SELECT status FROM sync_conflicts") == [("closed",)]


@test("values: a number with more digits than the column keeps is quarantined, not rounded")
def _(t):
    a = t.sqlite("a")
    a.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT)")
    b = t.sqlite("b")
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n NUMERIC)")
    for db in (a, b):
        db.value("SELECT sync_enable('t')")
    a.run("INSERT INTO t VALUES(1, '1234567890.123456789'), (2, '12.5')")
    sync(a, b)
    assert b.rows("SELECT * FROM t") == [(2, 12.5)]
    assert '"n"' in b.value("SELECT note FROM sync_conflicts WHERE status = 'open'")


@test("generated columns are neither captured nor written")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, a, v AS (a || '!') VIRTUAL, "
                   "s AS (a || '?') STORED UNIQUE, z)", ["t"])
    a.run("INSERT INTO t(id, a, z) VALUES(1, 'x', 1), (2, 'y', 2); UPDATE t SET a = 'w' "
          "WHERE id = 2")
    sync(a, b)
    assert b.rows("SELECT v, s, z FROM t") == [("x!", "x?", 1), ("w!", "w?", 2)]


@test("constraints: CHECK, NOT NULL and UNIQUE never stop a chunk, and let rows in later")
def _(t):
    a = t.sqlite("a")
    a.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n, u)")
    b = t.sqlite("b")
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY, n NOT NULL CHECK(n < 10), "
          "u UNIQUE ON CONFLICT REPLACE)")
    for db in (a, b):
        db.value("SELECT sync_enable('t')")
    a.run("INSERT INTO t VALUES(1, 1, 'u'), (2, NULL, 'v'), (3, 30, 'w'), (4, 4, 'u'), (5, 5, 'z')")
    report = sync(a, b)
    assert report["quarantined"] >= 3, report
    assert b.rows("SELECT id FROM t ORDER BY id") in ([(1,), (5,)], [(4,), (5,)])
    kinds = [k for (k,) in b.rows("SELECT kind FROM sync_conflicts WHERE status='open' ORDER BY 1")]
    assert kinds == ["constraint", "constraint", "unique"], kinds
    a.run("UPDATE t SET n = 2, u = id")
    sync(a, b)
    sync(a, b)
    same_rows(a, b, ["t"])
    assert b.rows("SELECT DISTINCT status FROM sync_conflicts") == [("closed",)]


@test("constraints: two rows that swap a unique value in one transaction")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE)", ["t"])
    a.run("INSERT INTO t VALUES(1, 'x'), (2, 'y')")
    sync(a, b)
    a.run("UPDATE t SET u = NULL; UPDATE t SET u = 'y' WHERE id = 1; UPDATE t SET u = 'x' "
          "WHERE id = 2")
    sync(a, b)
    same_rows(a, b, ["t"])


@test("foreign keys: children and parents in any order, self references, cycles")
def _(t):
    a, b = pair(t, "CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES parent(code));"
                   "CREATE TABLE parent(id INTEGER PRIMARY KEY, code UNIQUE, up REFERENCES parent,"
                   " fav REFERENCES child DEFERRABLE INITIALLY DEFERRED)",
                ["child", "parent"], pragma="PRAGMA foreign_keys=ON;")
    a.run("BEGIN; INSERT INTO parent VALUES(2, 'p2', NULL, 7), (1, 'p1', 2, NULL);"
          "INSERT INTO child VALUES(7, 'p1'), (8, 'p2'); COMMIT")
    sync(a, b)
    same_rows(a, b, ["child", "parent"])
    assert b.rows("PRAGMA foreign_key_check") == []


@test("foreign keys: child inserted here, parent deleted there: it stays while the child does")
def _(t):
    a, b = pair(t, "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, "
                   "p REFERENCES p)", ["p", "c"], pragma="PRAGMA foreign_keys=ON;")
    a.run("INSERT INTO p VALUES(1), (2)")
    sync(a, b)
    a.run("DELETE FROM p WHERE id = 1")
    b.run("INSERT INTO c VALUES(10, 1)")
    sync(a, b)
    sync(a, b)
    same_rows(a, b, ["p", "c"])
    for db in (a, b):
        assert db.rows("PRAGMA foreign_key_check") == []
        assert db.rows("SELECT kind FROM sync_conflicts WHERE status = 'open'") == [
            ("foreign_key",)]
    assert a.rows("SELECT * FROM c") == [(10, 1)]
    assert b.rows("SELECT id FROM p ORDER BY id") == [(1,), (2,)]
    b.run("DELETE FROM c")
    sync(a, b)
    sync(a, b)
    same_rows(a, b, ["p", "c"])
    assert a.rows("SELECT id FROM p") == [(2,)]


@test("refused: no primary key, view, virtual and temporary tables, UTF-16")
def _(t):
    a = t.sqlite()
    a.run("CREATE TABLE n(x); CREATE VIEW v AS SELECT 1; CREATE TEMP TABLE tt(id INTEGER PRIMARY "
          "KEY); CREATE VIRTUAL TABLE f USING fts5(x)")
    for name, why in (("n", "no primary key"), ("v", "view"), ("tt", "temporary"),
                      ("f", "virtual"), ("missing", "does not exist"), ("", "missing or NULL")):
        raises(lambda: a.value("SELECT sync_enable(?)", name), why)
    raises(lambda: a.value("SELECT sync_enable(NULL)"), "missing or NULL")
    a.run("CREATE TABLE orders(id INTEGER PRIMARY KEY)")
    raises(lambda: a.value("SELECT sync_enable('order')"), '"orders"')
    raises(lambda: a.value("SELECT sync_enable('orders', '{\"on_delet\": 1}')"), "on_delete")
    raises(lambda: a.value("SELECT sync_enable('orders', 'nonsense')"), "JSON")
    raises(lambda: a.value("SELECT sync_disable('orders')"), "not a tracked table")
    assert a.rows("SELECT name FROM sqlite_schema WHERE name GLOB 'sync_*'") == []
    b = t.sqlite("b")
    b.run("PRAGMA encoding='UTF-16'; CREATE TABLE t(id INTEGER PRIMARY KEY)")
    raises(lambda: b.value("SELECT sync_enable('t')"), "UTF-16")


@test("sync_enable is idempotent; sync_disable leaves the rows and nothing else")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x); "
                   "CREATE TABLE u(id INTEGER PRIMARY KEY)", ["t", "u"])
    assert a.json("SELECT sync_enable('T')")["already"] is True
    a.run("INSERT INTO t VALUES(1, 1)")
    sync(a, b)
    a.value("SELECT sync_disable('t')")
    assert a.rows("SELECT * FROM t") == [(1, 1)]
    assert a.rows("SELECT name FROM sqlite_schema WHERE tbl_name = 't' AND type = 'trigger'") == []
    a.run("UPDATE t SET x = 2")
    a.value("SELECT sync_enable('t')")
    b.run("INSERT INTO t VALUES(9, 9)")
    sync(a, b)
    sync(a, b)
    same_rows(a, b, ["t", "u"])


@test("bad input: vectors, chunks and options; nothing changes")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)", ["t"])
    a.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) "
          "INSERT INTO t SELECT i, 'row ' || i FROM n")
    for vector in ("", "nonsense", "[]", '{"xyz": [1, 2]}', '{"' + "0" * 32 + '": "x"}'):
        if vector:
            raises(lambda: a.rows("SELECT * FROM sync_changes_since(?)", vector))
    raises(lambda: a.rows("SELECT * FROM sync_changes_since"), "vector")
    raises(lambda: a.rows("SELECT * FROM sync_changes_since('{}', '{\"max_byte\": 1}')"),
           "max_bytes")
    chunk = a.value("SELECT changes FROM sync_changes_since('{}')")
    generator = random.Random(5)
    before = pathlib.Path(b.path).read_bytes()
    for i in range(200):
        bad = bytearray(chunk)
        if i % 2:
            del bad[generator.randrange(len(bad)):]
        else:
            bad[generator.randrange(len(bad))] ^= 1 << generator.randrange(8)
        raises(lambda: b.value("SELECT sync_apply(?)", bytes(bad)))
        raises(lambda: b.rows("SELECT * FROM sync_inspect(?)", bytes(bad)))
    raises(lambda: b.value("SELECT sync_apply(NULL)"), "NULL")
    raises(lambda: b.value("SELECT sync_apply('text')"))
    assert pathlib.Path(b.path).read_bytes() == before
    b.value("SELECT sync_apply(?)", chunk)
    again = b.json("SELECT sync_apply(?)", chunk)
    assert again["applied"] == 0 and again["unchanged"] == 50, again
    same_rows(a, b, ["t"])


@test("bad input: peers, files, servers and locks")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)", ["t"])
    raises(lambda: a.value("SELECT sync_now()"), "sync_add_peer")
    raises(lambda: a.value("SELECT sync_now('nobody')"), "no stored peer")
    raises(lambda: a.value("SELECT sync_now('/no/such/file.db')"), "/no/such/file.db")
    raises(lambda: a.value("SELECT sync_now(?)", str(t.folder)), str(t.folder))
    raises(lambda: a.value("SELECT sync_now(?, '{\"direktion\": \"pull\"}')", b.path), "direction")
    text = t.folder / "text.db"
    text.write_text("this is no database at all, but it is long enough to be read as one" * 20)
    raises(lambda: a.value("SELECT sync_now(?)", str(text)), "text.db")
    empty = t.sqlite("empty")
    empty.run("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    raises(lambda: sync(a, empty), "tracks no table")
    newer = t.sqlite("newer")
    newer.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    newer.value("SELECT sync_enable('t')")
    newer.run("UPDATE sync_meta SET value = 99 WHERE key = 'format';"
              "ALTER TABLE sync_incarnation RENAME TO sync_of_another_release")
    raises(lambda: sync(a, newer), "newer.db", "format 99")
    message = raises(lambda: a.value(
        "SELECT sync_now('postgresql://u:secret@127.0.0.1:1/db?connect_timeout=1')"))
    assert "secret" not in message, message
    assert message.lower().count("is the server running") == 1, message
    message = raises(lambda: a.value("SELECT sync_now('postgresq://u:secret@127.0.0.1/db')"))
    assert "secret" not in message and "no database file" in message, message
    a.value("SELECT sync_add_peer('hub', 'postgresql://u:secret@127.0.0.1:1/db')")
    raises(lambda: a.value("SELECT sync_now('hub')"))
    assert a.rows("SELECT name, url, failures, breaker FROM sync_peers") == [
        ("hub", "postgresql://u:***@127.0.0.1:1/db", 1, "closed")]
    assert "secret" not in repr(a.rows("SELECT * FROM sync_peers"))
    raises(lambda: a.value("SELECT sync_remove_peer('hob')"), '"hub"')
    a.value("SELECT sync_remove_peer('hub')")
    a.run("INSERT INTO t VALUES(1, 1)")
    blocker = sqlite3.connect(a.path, isolation_level=None)
    a.run("PRAGMA busy_timeout=50")
    blocker.execute("BEGIN IMMEDIATE")
    raises(lambda: sync(a, b), "locked")
    blocker.execute("ROLLBACK")
    blocker.close()
    sync(a, b)
    same_rows(a, b, ["t"])


@test("random histories on three files with foreign keys, unique indexes and REPLACE converge")
def _(t):
    schema = ("CREATE TABLE p(id TEXT PRIMARY KEY, u UNIQUE, x);"
              "CREATE TABLE c(a INTEGER, b TEXT, p REFERENCES p ON DELETE SET NULL, x, "
              "PRIMARY KEY(a, b)) WITHOUT ROWID")
    runs = int(os.environ.get("RUNS", "12"))
    for seed in range(runs):
        rnd = random.Random(seed)
        dbs = pair(t, schema, ["p", "c"], [f"{n}{seed}" for n in "abc"], "PRAGMA foreign_keys=ON;")

        def write(db):
            key, other = f"p{rnd.randrange(6)}", rnd.choice([None, "u1", "u2", "u3"])
            statement = rnd.choice([
                ("INSERT OR IGNORE INTO p VALUES(?, ?, ?)", (key, other, rnd.random())),
                ("REPLACE INTO p VALUES(?, ?, ?)", (key, other, rnd.random())),
                ("UPDATE OR IGNORE p SET u = ? WHERE id = ?", (other, key)),
                ("UPDATE p SET x = ? WHERE id = ?", (rnd.random(), key)),
                ("DELETE FROM p WHERE id = ?", (key,)),
                ("INSERT OR IGNORE INTO c SELECT ?, 'k', (SELECT id FROM p LIMIT 1), ?",
                 (rnd.randrange(5), rnd.random())),
                ("UPDATE c SET x = ? WHERE a = ?", (rnd.random(), rnd.randrange(5))),
                ("UPDATE OR IGNORE c SET a = a + 1 WHERE a = ?", (rnd.randrange(5),)),
                ("DELETE FROM c WHERE a = ?", (rnd.randrange(5),)),
            ])
            try:
                db.run(statement[0], *statement[1])
            except sqlite3.IntegrityError:
                pass

        for _ in range(60):
            write(rnd.choice(dbs))
            if rnd.random() < 0.25:
                sync(*rnd.sample(dbs, 2))
        for _ in range(4):
            for x, y in ((0, 1), (1, 2), (2, 0)):
                sync(dbs[x], dbs[y])
        try:
            for other in dbs[1:]:
                same_rows(dbs[0], other, ["p", "c"])
            for db in dbs:
                assert db.rows("PRAGMA foreign_key_check") == []
            held = [db.rows("SELECT kind, table_name, pk FROM sync_conflicts WHERE status = 'open' "
                            "AND kind IN ('unique', 'foreign_key') ORDER BY 2, 3") for db in dbs]
            assert held[0] == held[1] == held[2], held
            report = sync(dbs[0], dbs[1])
            assert report["pulled"]["rows"] == report["pushed"]["rows"] == 0, report
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


@test("sqlite input: sync_hello does not speak for a transaction that has written")
def _(t):
    db = t.sqlite()
    db.run("CREATE TABLE task (id TEXT PRIMARY KEY); SELECT sync_enable('task')")
    db.run("BEGIN; INSERT INTO task VALUES ('a')")
    raises(lambda: db.value("SELECT sync_hello()"), "sync_hello cannot speak", "COMMIT first")
    db.db.rollback()
    assert db.json("SELECT sync_hello()")["tables"][0]["name"] == "task"


@test("sqlite input: what is read as a table says so when it is called as a scalar function")
def _(t):
    db = t.sqlite()
    raises(lambda: db.value("SELECT sync_check()"), "SELECT * FROM sync_check(...)")
    raises(lambda: db.value("SELECT sync_changes_since(NULL)"), "SELECT * FROM sync_changes_since")
    raises(lambda: db.value("SELECT sync_sites()"), "sync_sites is a view", "FROM sync_sites")
    raises(lambda: db.value("SELECT sync_events(1, 2)"), "as a table does")


if __name__ == "__main__":
    main()
