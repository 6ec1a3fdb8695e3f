#!/usr/bin/env python3
"""Goal: what a merge gives, scenario by scenario (1 to 6, 15 to 19, 23), is the same on all pairs.
Method: edits on both sides through SQL, sync_now, rows and conflicts compared; a third SQLite site
relays where the scenario has one."""
import itertools
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import main, raises, test  # noqa: E402
from pairs import (batch, conflicts, create, enable, equal, held, kinds, moved,  # noqa: E402
                   on_pairs, rows, run, settle, site, sync)

TASK = "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, body TEXT, status INTEGER);"
MIXED = ("SQLite-SQLite", "SQLite-PostgreSQL")


def started(*sites, schema=TASK, inserts="INSERT INTO task VALUES('k', 't0', 'b0', 0)"):
    """All sites hold the rows that the first one wrote."""
    create(schema, *sites)
    run(inserts, sites[0])
    for other in sites[1:]:
        sync(sites[0], other)


@on_pairs("scenario 1: one cell updated on both sides: one value, one conflict, one id")
def _(t, a, b):
    started(a, b)
    run("UPDATE task SET title = 'from a'", a)
    run("UPDATE task SET title = 'from b'", b)
    sync(a, b)
    equal([a, b], ["task"])
    (one,) = conflicts(a)
    assert one[4] == "update_update" and one[3] == "title", one
    assert set(one[6:8]) == {'"from a"', '"from b"'} and one[5] == '"from b"', one
    run("UPDATE task SET body = 'elsewhere'", a)
    sync(a, b)
    assert len(conflicts(b)) == 1, "another column settles nothing"
    run("UPDATE task SET title = 'decided'", a)
    sync(a, b)
    assert conflicts(a) == conflicts(b) == []
    equal([a, b], ["task"])


@on_pairs("scenario 1: different columns, or equal values, make no conflict")
def _(t, a, b):
    started(a, b)
    run("UPDATE task SET title = 'a', status = 5", a)
    run("UPDATE task SET body = 'b', status = 5", b)
    sync(a, b)
    assert rows(a, "SELECT * FROM task") == rows(b, "SELECT * FROM task") == [("k", "a", "b", "5")]
    assert conflicts(a) == conflicts(b) == []


def update_against_delete(t, a, b, order):
    c = t.sqlite("relay")
    started(a, b, c)
    run("DELETE FROM task WHERE id = 'k'", a)
    run("UPDATE task SET title = 'kept' WHERE id = 'k'", b)
    pairs = {"ab": (a, b), "ac": (a, c), "bc": (b, c)}
    for step in order:
        sync(*pairs[step])
    settle([a, b, c])
    sync(a, c)
    equal([a, b, c], ["task"])
    assert rows(c, "SELECT * FROM task") == [("k", "kept", "b0", "0")]
    assert kinds(a) == ["update_delete"], kinds(a)


for number, way in enumerate((("ac", "bc"), ("bc", "ac"), ("ab", "bc"))):
    on_pairs(f"scenario 2: update against delete, relayed {' then '.join(way)}: lives, whole",
             MIXED if number else ("SQLite-SQLite", "SQLite-PostgreSQL", "PostgreSQL-PostgreSQL"))(
        lambda t, a, b, way=way: update_against_delete(t, a, b, way))


@on_pairs("scenario 3: delete against delete, inserted again, while a third updates the old row")
def _(t, a, b):
    c = t.sqlite("offline")
    started(a, b, c)
    run("UPDATE task SET body = 'stale' WHERE id = 'k'", c)
    for db in (a, b):
        run("DELETE FROM task WHERE id = 'k'", db)
    sync(a, b)
    assert rows(b, "SELECT * FROM task") == [] and conflicts(a) == conflicts(b) == []
    run("INSERT INTO task(id, title) VALUES('k', 'new')", a)
    sync(a, b)
    assert rows(b, "SELECT * FROM task") == [("k", "new", None, None)], "a stale column came back"
    sync(c, b)
    settle([a, b, c])
    equal([a, b, c], ["task"])
    ((_, title, body, status),) = rows(a, "SELECT * FROM task")
    assert (title, status) == ("new", None), "only the cell written concurrently can show"
    assert body in (None, "stale")


@on_pairs("scenario 4: one new key on both sides: merged by column, equal values make no conflict")
def _(t, a, b):
    create(TASK, a, b)
    run("INSERT INTO task VALUES('same', 'x', NULL, 1), ('k', 'from a', NULL, 7)", a)
    run("INSERT INTO task VALUES('same', 'x', NULL, 1), ('k', 'from b', 'text', 7)", b)
    sync(a, b)
    equal([a, b], ["task"])
    found = conflicts(a)
    assert {(c[3], c[4]) for c in found} == {("title", "insert_insert"), ("body", "insert_insert")}
    assert rows(a, "SELECT title, body FROM task WHERE id = 'k'") == [("from b", "text")]


@on_pairs("scenario 5: two rows claim one UNIQUE value; the loser is stored when the winner goes")
def _(t, a, b):
    create("CREATE TABLE u(id INTEGER PRIMARY KEY, email TEXT UNIQUE, x TEXT);", a, b)
    run("INSERT INTO u VALUES(1, 'e', 'from a')", a)
    run("INSERT INTO u VALUES(2, 'e', 'from b'), (3, NULL, 'null'), (4, NULL, 'null')", b)
    settle([a, b])
    equal([a, b], ["u"])
    assert rows(a, "SELECT id FROM u") == [("2",), ("3",), ("4",)], rows(a, "SELECT id FROM u")
    assert [h[0] for h in held(a)] == ["unique"] and len(held(b)) == 1
    run("DELETE FROM u WHERE id = 2", b)
    settle([a, b])
    equal([a, b], ["u"])
    assert rows(b, "SELECT id, x FROM u WHERE email = 'e'") == [("1", "from a")]
    assert held(a) == held(b) == []


@on_pairs("scenario 5: two rows swap their UNIQUE values in one transaction; a rotation of three")
def _(t, a, b):
    create("CREATE TABLE u(id INTEGER PRIMARY KEY, email TEXT UNIQUE);", a, b)
    run("INSERT INTO u VALUES(1, 'one'), (2, 'two'), (3, 'three')", a)
    sync(a, b)
    run(batch(["UPDATE u SET email = 'x' WHERE id = 1", "UPDATE u SET email = 'one' WHERE id = 2",
               "UPDATE u SET email = 'two' WHERE id = 1"]), a)
    settle([a, b])
    assert rows(b, "SELECT * FROM u") == [("1", "two"), ("2", "one"), ("3", "three")]
    run(batch(["UPDATE u SET email = 'x' WHERE id = 1", "UPDATE u SET email = 'y' WHERE id = 2",
               "UPDATE u SET email = 'one' WHERE id = 3",
               "UPDATE u SET email = 'three' WHERE id = 1",
               "UPDATE u SET email = 'two' WHERE id = 2"]), b)
    settle([a, b])
    equal([a, b], ["u"])
    assert rows(a, "SELECT * FROM u") == [("1", "three"), ("2", "two"), ("3", "one")]
    assert held(a) == held(b) == []


@on_pairs("scenario 5: rows from before tracking come to claim one value: one answer everywhere")
def _(_t, a, b):
    run("CREATE TABLE u(id INTEGER PRIMARY KEY, code INTEGER UNIQUE);", a, b)
    # Whichever site's baseline is the greater: with its rule `min`, one of the first and one of the
    # third row claims the value of another row of the same version.
    run("INSERT INTO u VALUES(1, 5), (3, 9), (4, 8)", a)
    run("INSERT INTO u VALUES(1, 7), (2, 5), (3, 8)", b)
    for db in (a, b):
        enable(db, "u")
        db.run("SELECT sync_set_policy('u', 'code', 'min')")
    settle([a, b])
    equal([a, b], ["u"])
    assert rows(a, "SELECT * FROM u") == [("1", "5"), ("3", "8")], rows(a, "SELECT * FROM u")
    assert [h[0] for h in held(a)] == ["unique", "unique"]


PARENTS = """CREATE TABLE p(id INTEGER PRIMARY KEY, x TEXT);
CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id) ON DELETE {action}, x TEXT);
CREATE TABLE g(id INTEGER PRIMARY KEY, c INTEGER REFERENCES c(id) ON DELETE CASCADE);"""
DANGLING = "SELECT count(*) FROM c WHERE p IS NOT NULL AND p NOT IN (SELECT id FROM p)"


def enforce(*sites):
    for db in sites:
        if db.engine == "sqlite":
            db.run("PRAGMA foreign_keys=ON")


def child_against_parent(t, a, b, action):
    c = t.sqlite("relay")
    enforce(a, b, c)
    started(a, b, c, schema=PARENTS.format(action=action),
            inserts="INSERT INTO p VALUES(1, 'parent'), (2, 'other')")
    run("DELETE FROM p WHERE id = 1", a)
    run("INSERT INTO c VALUES(10, 1, 'child'), (11, 2, 'safe'); INSERT INTO g VALUES(5, 10)", b)
    settle([a, b, c])
    equal([a, b, c], ["p", "c", "g"])
    shown = {"CASCADE": ([("2",)], [("11", "2")], [("foreign_key", "c"), ("foreign_key", "g")]),
             "SET NULL": ([("2",)], [("10", None), ("11", "2")], [("foreign_key", "c")]),
             "RESTRICT": ([("1",), ("2",)], [("10", "1"), ("11", "2")], [("foreign_key", "p")])}
    parents, children, reasons = shown[action]
    for db in (a, b, c):
        assert str(db.value(DANGLING)) == "0", "a dangling reference is stored"
        assert rows(db, "SELECT id FROM p") == parents
        assert rows(db, "SELECT id, p FROM c") == children
        assert [h[:2] for h in held(db)] == reasons, held(db)
    assert sync(a, b)["pulled"]["rows"] == 0, "what foreign keys do is no news"
    run("INSERT INTO p VALUES(1, 'back') ON CONFLICT(id) DO UPDATE SET x = 'back'", a)
    settle([a, b, c])
    equal([a, b, c], ["p", "c", "g"])
    assert held(a) == held(b) == held(c) == []
    assert rows(b, "SELECT id, p FROM c") == [("10", "1"), ("11", "2")]
    assert rows(b, "SELECT * FROM g") == [("5", "10")]
    assert rows(c, "SELECT * FROM p") == [("1", "back"), ("2", "other")]


for clause, outcome in (("CASCADE", "the child is hidden"), ("RESTRICT", "the parent stays"),
                        ("SET NULL", "the reference is cleared")):
    on_pairs(f"scenario 6: child inserted, parent deleted, ON DELETE {clause}: {outcome}")(
        lambda t, a, b, clause=clause: child_against_parent(t, a, b, clause))


@on_pairs("scenario 6: a parent that is kept for a row goes with it, here and there")
def _(_t, a, b):
    enforce(a, b)
    started(a, b, schema=PARENTS.format(action="RESTRICT"),
            inserts="INSERT INTO p VALUES(1, 'parent')")
    run("DELETE FROM p WHERE id = 1", a)
    run("INSERT INTO c VALUES(10, 1, 'child')", b)
    settle([a, b])
    assert rows(a, "SELECT id, x FROM p") == rows(b, "SELECT id, x FROM p") == [("1", "parent")]
    run("DELETE FROM c", b)
    settle([a, b])
    equal([a, b], ["p", "c"])
    assert rows(a, "SELECT * FROM p") == [] and held(a) == held(b) == []


@on_pairs("scenario 6: two rows that refer to a deleted one, and it to one of them, all stay")
def _(_t, a, b):
    enforce(a, b)
    started(a, b, schema="""CREATE TABLE p(id TEXT PRIMARY KEY, x TEXT,
        up TEXT REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)""",
            inserts="INSERT INTO p VALUES('gone', '-', 'z'), ('z', '-', 'gone'), "
                    "('c', '-', 'gone')")
    run("DELETE FROM p", a)
    run("UPDATE p SET x = 'edited' WHERE id <> 'gone'", b)
    settle([a, b])
    equal([a, b], ["p"])
    assert rows(a, "SELECT * FROM p") == [("c", "edited", "gone"), ("gone", "-", "z"),
                                          ("z", "edited", "gone")]
    assert [h[:2] for h in held(a)] == [("foreign_key", "p")]


@on_pairs("scenario 6: ON DELETE SET DEFAULT: the default is shown until the parent is back")
def _(_t, a, b):
    enforce(a, b)
    started(a, b, inserts="INSERT INTO p VALUES('none', '-'), ('1', 'parent')", schema="""
        CREATE TABLE p(id TEXT PRIMARY KEY, x TEXT);
        CREATE TABLE c(id TEXT PRIMARY KEY,
                       p TEXT DEFAULT 'none' REFERENCES p(id) ON DELETE SET DEFAULT, x TEXT);""")
    run("DELETE FROM p WHERE id = '1'", a)
    run("INSERT INTO c VALUES('k', '1', 'child')", b)
    settle([a, b])
    equal([a, b], ["p", "c"])
    assert rows(a, "SELECT id, p FROM c") == [("k", "none")]
    assert [h[:2] for h in held(a)] == [("foreign_key", "c")]
    run("INSERT INTO p VALUES('1', 'back')", a)
    settle([a, b])
    equal([a, b], ["p", "c"])
    assert rows(b, "SELECT id, p FROM c") == [("k", "1")] and held(a) == held(b) == []


@on_pairs("scenario 6: a cycle of foreign keys, and rows that refer to themselves, in small chunks")
def _(t, a, b):
    enforce(a, b)
    lite = ("CREATE TABLE x(id INTEGER PRIMARY KEY, "
            "y INTEGER REFERENCES y(id) DEFERRABLE INITIALLY DEFERRED, "
            "up INTEGER REFERENCES x(id)); CREATE TABLE y(id INTEGER PRIMARY KEY, "
            "x INTEGER REFERENCES x(id))")
    server = ("CREATE TABLE x(id INTEGER PRIMARY KEY, y INTEGER, up INTEGER REFERENCES x(id));"
              "CREATE TABLE y(id INTEGER PRIMARY KEY, x INTEGER REFERENCES x(id));"
              "ALTER TABLE x ADD FOREIGN KEY(y) REFERENCES y(id) DEFERRABLE INITIALLY DEFERRED")
    for db in (a, b):
        db.run(lite if db.engine == "sqlite" else server)
        enable(db, "x", "y")
    count = 300
    run(batch(
        [f"INSERT INTO x VALUES({i}, {count - i}, NULL)" for i in range(1, count)]
        + [f"INSERT INTO y VALUES({i}, {(i * 31) % (count - 1) + 1})" for i in range(1, count)]
        + [f"UPDATE x SET up = {count - i} WHERE id = {i}" for i in range(1, count)]), a)
    sync(a, b, {"max_bytes": 1000})
    settle([a, b])
    assert equal([a, b], ["x", "y"]) == 2 * (count - 1)
    assert held(a) == held(b) == []


@on_pairs("scenario 6: rows that wait for each other over unique values and foreign keys")
def _(t, a, b):
    enforce(a, b)
    create("CREATE TABLE n(id INTEGER PRIMARY KEY, code TEXT UNIQUE, "
           "up INTEGER REFERENCES n(id) ON DELETE CASCADE);", a, b)
    # 1 goes before 2, 3 needs 2 and goes before 4, 1 needs 4.
    run("INSERT INTO n VALUES(4, 'y', NULL)", a)
    run("INSERT INTO n VALUES(2, 'x', NULL)", b)
    run("INSERT INTO n VALUES(1, 'x', 4)", a)
    run("INSERT INTO n VALUES(3, 'y', 2)", b)
    for _ in range(2):
        settle([a, b])
        assert equal([a, b], ["n"]) == 2
        found = rows(a, "SELECT id FROM n ORDER BY id")
        assert found in ([("1",), ("4",)], [("2",), ("3",)]), found
        assert sorted(h[0] for h in held(a)) == ["foreign_key", "unique"], held(a)
        assert held(a) == held(b)
    run(f"UPDATE n SET code = 'z' || code WHERE id = {found[0][0]}", a)
    run(f"UPDATE n SET code = 'z' || code WHERE id = {found[1][0]}", a)
    settle([a, b])
    assert equal([a, b], ["n"]) == 4 and held(a) == held(b) == []


@test("scenario 6: with foreign_keys off SQLite takes the child; PostgreSQL holds it")
def _(t):
    a, b = t.sqlite("a"), t.postgres("b")
    started(a, b, schema=PARENTS.format(action="CASCADE"), inserts="INSERT INTO p VALUES(1, 'x')")
    run("DELETE FROM p WHERE id = 1", b)
    run("INSERT INTO c VALUES(10, 1, 'child')", a)
    settle([a, b])
    assert rows(a, "SELECT id FROM c") == [("10",)] and rows(b, "SELECT id FROM c") == []
    assert [h[0] for h in held(b)] == ["foreign_key"]
    run("INSERT INTO p VALUES(1, 'again')", a)
    settle([a, b])
    equal([a, b], ["p", "c", "g"])


@on_pairs("scenario 15: chains and loops converge; a second round moves no rows; a lagging hub")
def _(t, a, b):
    c, d = t.sqlite("c"), t.sqlite("d")
    sites = [a, b, c, d]
    create(TASK, *sites)
    for number, db in enumerate(sites):
        run(f"INSERT INTO task VALUES('{number}', 'mine', NULL, {number}), "
            f"('all', 'from {number}', NULL, NULL)", db)
    for one, two in ((a, b), (b, c), (c, a), (a, b)):
        sync(one, two)
    equal([a, b, c], ["task"])
    for one, two in ((a, b), (b, c), (c, a), (a, c)):
        assert moved(sync(one, two)) == 0
    run("UPDATE task SET status = 99 WHERE id = '0'", a)
    sync(a, d)
    sync(b, c)
    sync(d, b)
    settle(sites)
    equal(sites, ["task"])
    for one, two in itertools.combinations(sites, 2):
        assert moved(sync(one, two)) == 0


@on_pairs("scenario 16: a key is changed: to a former one, to one in use, on both sides at once")
def _(t, a, b):
    started(a, b, inserts="INSERT INTO task VALUES('k', 't', 'b', 1), ('m', 'u', 'c', 2), "
                          "('n', 'v', 'd', 3)")
    run("UPDATE task SET id = 'new' WHERE id = 'k'; DELETE FROM task WHERE id = 'n';"
        "UPDATE task SET id = 'n' WHERE id = 'm'", a)
    settle([a, b])
    equal([a, b], ["task"])
    assert rows(b, "SELECT * FROM task") == [("n", "u", "c", "2"), ("new", "t", "b", "1")]
    run("UPDATE task SET id = 'from a' WHERE id = 'new';"
        "UPDATE task SET id = 'k' WHERE id = 'n'", a)
    run("UPDATE task SET id = 'from b' WHERE id = 'new'; UPDATE task SET title = 'edit' "
        "WHERE id = 'n'", b)
    settle([a, b])
    equal([a, b], ["task"])
    found = {r[0]: r[1:] for r in rows(a, "SELECT * FROM task")}
    assert found["from a"] == found["from b"] == ("t", "b", "1"), found
    assert found["k"] == ("u", "c", "2") and found["n"] == ("edit", "c", "2"), found


@on_pairs("scenario 16: a cycle of keys swapped within one transaction")
def _(t, a, b):
    create("CREATE TABLE s(id INTEGER PRIMARY KEY, x TEXT, y TEXT);", a, b)
    run("INSERT INTO s VALUES(1, 'one', 'uno'), (2, 'two', 'due')", a)
    sync(a, b)
    run(batch(["UPDATE s SET id = -1 WHERE id = 1", "UPDATE s SET id = 1 WHERE id = 2",
               "UPDATE s SET id = 2 WHERE id = -1"]), a)
    sync(a, b)
    assert rows(b, "SELECT * FROM s") == [("1", "two", "due"), ("2", "one", "uno")]


UGLY = '''CREATE TABLE "select ""x"" 🙂"("a b" INTEGER NOT NULL, "from" TEXT NOT NULL,
  "O'Neil" TEXT NOT NULL CHECK ("O'Neil" <> ''), "n" INTEGER, CHECK ("n" IS NULL OR "n" > "a b"),
  PRIMARY KEY("from", "a b"));'''


@on_pairs("scenario 17: ugly names, NOT NULL without default, CHECK over columns, composite keys")
def _(t, a, b):
    name = 'select "x" 🙂'
    for db in (a, b):
        run(UGLY, db)
        enable(db, name)
    quoted = '"select ""x"" 🙂"'
    run(f"INSERT INTO {quoted} VALUES(1, 'f', 'v', 2), (1, 'g', 'v', NULL)", a)
    run(f"INSERT INTO {quoted} VALUES(2, 'f', 'v', 3)", b)
    sync(a, b)
    run(f"UPDATE {quoted} SET \"n\" = 9; DELETE FROM {quoted} WHERE \"from\" = 'g'", b)
    run(f"UPDATE {quoted} SET \"O'Neil\" = 'new'", a)
    settle([a, b])
    assert equal([a, b], [name]) == 3
    assert kinds(a) == ["update_delete"]


@on_pairs("scenario 17: two edits that break a CHECK over both columns: held, then stored")
def _(t, a, b):
    create("CREATE TABLE r(id INTEGER PRIMARY KEY, lo INTEGER, hi INTEGER, CHECK (lo <= hi));",
           a, b)
    run("INSERT INTO r VALUES(1, 0, 10), (2, 0, 10)", a)
    sync(a, b)
    run("UPDATE r SET lo = 8 WHERE id = 1", a)
    run("UPDATE r SET hi = 5 WHERE id = 1", b)
    settle([a, b])
    equal([a, b], ["r"])
    assert [h[0] for h in held(a)] == ["constraint"], held(a)
    run("INSERT INTO r VALUES(1, 1, 2)", a)
    settle([a, b])
    equal([a, b], ["r"])
    assert held(a) == held(b) == [] and rows(b, "SELECT * FROM r WHERE id = 1") == [("1", "1", "2")]


@on_pairs("scenario 17: generated columns, 100 columns, keys of several types")
def _(t, a, b):
    wide = ", ".join(f"c{i} INTEGER" for i in range(100))
    create(f"CREATE TABLE w(id INTEGER PRIMARY KEY, {wide});"
           "CREATE TABLE gen(id INTEGER PRIMARY KEY, x INTEGER, "
           "y INTEGER GENERATED ALWAYS AS (x * 2) STORED);"
           "CREATE TABLE kb(id BLOB PRIMARY KEY, x INTEGER);"
           "CREATE TABLE kr(id DOUBLE PRECISION PRIMARY KEY, x INTEGER);"
           "CREATE TABLE kd(d DATE, u UUID, f BOOLEAN, x INTEGER, PRIMARY KEY(d, u, f));", a, b)
    run("INSERT INTO w(id, c0, c99) VALUES(1, 0, 99); INSERT INTO gen(id, x) VALUES(1, 5)", a)
    for db, number in ((a, 1), (b, 2)):
        blob = "x'00ff'" if db.engine == "sqlite" else "'\\x00ff'"
        run(f"INSERT INTO kb VALUES({blob}, {number}); INSERT INTO kr VALUES(1.5, {number});"
            f"INSERT INTO kd VALUES('1969-07-20', '0b1c2d3e-0000-4fff-8000-00000000abcd', true, "
            f"{number})", db)
    sync(a, b)
    run("UPDATE w SET c63 = 63; UPDATE gen SET x = 6", b)
    settle([a, b])
    assert equal([a, b], ["w", "gen", "kb", "kr", "kd"]) == 5
    assert rows(a, "SELECT y FROM gen") == [("12",)]
    assert kinds(a) == ["insert_insert"] * 3


@test("scenario 17: what cannot be tracked is refused at sync_enable, with the reason")
def _(t):
    lite, server = t.sqlite(), t.postgres()
    for db in (lite, server):
        db.run("CREATE TABLE nokey(x INTEGER); CREATE VIEW v AS SELECT 1 AS id;"
               "CREATE TEMP TABLE tmp(id INTEGER PRIMARY KEY)")
        raises(lambda db=db: enable(db, "nokey"), "nokey", "primary key")
        raises(lambda db=db: enable(db, "v"), "view")
        raises(lambda db=db: enable(db, "missing"), "missing")
    lite.run("CREATE VIRTUAL TABLE f USING fts5(x)")
    raises(lambda: enable(lite, "f"), "virtual")


@test("scenario 17: WITHOUT ROWID, STRICT and NOCASE keys against PostgreSQL")
def _(t):
    a, b, c = t.sqlite("a"), t.postgres("b"), t.sqlite("c")
    for db in (a, c):
        db.run("CREATE TABLE wr(k TEXT COLLATE NOCASE, n INT, x TEXT, PRIMARY KEY(k, n)) "
               "WITHOUT ROWID; CREATE TABLE st(id INTEGER PRIMARY KEY, r REAL, b BLOB, a ANY) "
               "STRICT")
        enable(db, "wr", "st")
    b.run("CREATE TABLE wr(k TEXT, n INT, x TEXT, PRIMARY KEY(k, n));"
          "CREATE TABLE st(id BIGINT PRIMARY KEY, r DOUBLE PRECISION, b BYTEA, a TEXT)")
    enable(b, "wr", "st")
    a.run("INSERT INTO wr VALUES('Key', 1, 'a'); INSERT INTO st VALUES(1, 1.5, x'01', 'text')")
    b.run("INSERT INTO wr VALUES('key', 1, 'b'), ('z', 2, 'b')")
    settle([a, b, c])
    assert rows(b, "SELECT k FROM wr") == [("Key",), ("key",), ("z",)]
    equal([a, c], ["wr", "st"])
    assert rows(c, "SELECT lower(k) FROM wr") == [("key",), ("z",)]
    assert [h[0] for h in held(a)] == ["unique"] and held(b) == []


@test("scenario 17: keys that only an index calls equal claim their place by one order")
def _(t):
    for n, engines in enumerate((["sqlite"] * 3, ["postgres"] * 3,
                                 ["sqlite", "postgres", "sqlite"])):
        a, b, c = sites = [site(t, engine, f"loose{n}{i}") for i, engine in enumerate(engines)]
        for db in sites:
            blind = "COLLATE NOCASE"
            if db.engine == "postgres":
                db.run("CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2',"
                       " deterministic = false)")
                blind = "COLLATE blind"
            db.run(f"CREATE TABLE t(k TEXT {blind} PRIMARY KEY, u INT UNIQUE, x TEXT)")
            enable(db, "t")
        run("INSERT INTO t VALUES('k6', 1, 'a')", a)
        settle(sites)
        run("DELETE FROM t; INSERT INTO t VALUES('k6', 1, 'still wanted')", a)
        run("DELETE FROM t; INSERT INTO t VALUES('K6', 7, 'c')", c)
        run("DELETE FROM t; INSERT INTO t VALUES('k3', 1, 'b'), ('k6', 9, 'b')", b)
        run("DELETE FROM t WHERE k = 'k6'", b)
        settle([*sites, *sites], rounds=6)
        equal(sites, ["t"], as_found=False)
        # Of u alone k3 has the later version, of key and u together k6 has.
        assert rows(a, "SELECT k, u FROM t") == [("k6", "1")], (engines, rows(a, "SELECT * FROM t"))
        assert sorted(json.loads(h[2])["k"] for h in held(b)) == ["K6", "k3"], held(b)


@on_pairs("scenario 18: a column added on one side while data is on its way")
def _(t, a, b):
    started(a, b)
    run("ALTER TABLE task ADD COLUMN due TEXT", a)
    run("UPDATE task SET due = 'today'; INSERT INTO task VALUES('n', 't', 'b', 1, 'later')", a)
    run("UPDATE task SET title = 'old shape'; INSERT INTO task VALUES('m', 't', 'b', 1)", b)
    settle([a, b])
    assert rows(b, "SELECT id, title FROM task") == rows(a, "SELECT id, title FROM task")
    run("UPDATE task SET body = 'after' WHERE id = 'n'", b)
    settle([a, b])
    run("ALTER TABLE task ADD COLUMN due TEXT", b)
    settle([a, b])
    equal([a, b], ["task"])
    assert rows(b, "SELECT id, due FROM task") == [("k", "today"), ("m", None), ("n", "later")]


@on_pairs("scenario 18: a column dropped here, written there, and added again here")
def _(t, a, b):
    started(a, b)
    run("UPDATE task SET status = 1", a)
    sync(a, b)
    drop = "ALTER TABLE task DROP COLUMN status"
    run(f"SELECT sync_alter('task', '{drop}')" if b.engine == "sqlite" else drop, b)
    run("UPDATE task SET status = 5; INSERT INTO task VALUES('n', 't', 'b', 6)", a)
    settle([a, b])
    run("UPDATE task SET title = 'seen' WHERE id = 'n'", b)
    settle([a, b])
    run("ALTER TABLE task ADD COLUMN status INTEGER", b)
    settle([a, b])
    equal([a, b], ["task"])
    assert rows(b, "SELECT id, status FROM task") == [("k", "5"), ("n", "6")]


@on_pairs("scenario 18: a table one side lacks, and a table that is enabled late")
def _(t, a, b):
    create(TASK + "CREATE TABLE late(id INTEGER PRIMARY KEY, x TEXT);", a)
    create(TASK, b)
    run("INSERT INTO late VALUES(1, 'one'), (2, 'two'); INSERT INTO task(id) VALUES('k')", a)
    settle([a, b])
    run("DELETE FROM late WHERE id = 2; UPDATE late SET x = 'uno'", a)
    settle([a, b])
    run("CREATE TABLE late(id INTEGER PRIMARY KEY, x TEXT)", b)
    enable(b, "late")
    settle([a, b])
    assert equal([a, b], ["late", "task"]) == 2
    run("UPDATE late SET x = 'back'", b)
    settle([a, b])
    assert rows(a, "SELECT x FROM late") == [("back",)]


@on_pairs("scenario 23: UPSERT, DELETE without WHERE, empty updates, rolled-back savepoints")
def _(t, a, b):
    started(a, b)
    run("INSERT INTO task VALUES('k', 'up', 'x', 1) "
        "ON CONFLICT(id) DO UPDATE SET title = 'upserted';"
        "INSERT INTO task VALUES('k', 'no', 'x', 1) ON CONFLICT DO NOTHING;"
        "BEGIN; SAVEPOINT one; INSERT INTO task(id) VALUES('gone'); SAVEPOINT two;"
        "UPDATE task SET title = 'lost'; ROLLBACK TO one; INSERT INTO task(id) VALUES('stays');"
        "RELEASE one; COMMIT; UPDATE task SET title = title", a)
    settle([a, b])
    equal([a, b], ["task"])
    assert rows(b, "SELECT id, title, body FROM task") == [("k", "upserted", "b0"),
                                                          ("stays", None, None)]
    run("DELETE FROM task", b)
    settle([a, b])
    assert rows(a, "SELECT * FROM task") == []


@on_pairs("scenario 23: triggers that write other tables, and foreign key cascades, once each")
def _(t, a, b):
    enforce(a, b)
    create("CREATE TABLE p(id INTEGER PRIMARY KEY, n INTEGER);"
           "CREATE TABLE c(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id) ON DELETE CASCADE);"
           "CREATE TABLE audit(id INTEGER PRIMARY KEY, n INTEGER);", a, b)
    for db in (a, b):
        db.run("CREATE TRIGGER tr AFTER INSERT ON p BEGIN INSERT INTO audit VALUES(NEW.id, 1) "
               "ON CONFLICT(id) DO UPDATE SET n = n + 1; END" if db.engine == "sqlite" else
               "CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "INSERT INTO audit VALUES(NEW.id, 1) ON CONFLICT(id) DO UPDATE SET n = audit.n + 1;"
               "RETURN NULL; END $$;"
               "CREATE TRIGGER tr AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION tr()")
    run("INSERT INTO p VALUES(1, 1), (2, 2); INSERT INTO c VALUES(1, 1), (2, 2), (3, 2)", a)
    run("INSERT INTO p VALUES(7, 7)", b)
    settle([a, b])
    run("DELETE FROM p WHERE id = 2", b)
    settle([a, b])
    equal([a, b], ["p", "c", "audit"])
    assert rows(a, "SELECT id, n FROM audit") == [("1", "1"), ("2", "1"), ("7", "1")]
    assert rows(a, "SELECT id FROM c") == [("1",)]


@test("scenario 23: TRUNCATE and COPY in PostgreSQL, REPLACE in SQLite")
def _(t):
    a, b = t.sqlite("a"), t.postgres("b")
    create("CREATE TABLE u(id INTEGER PRIMARY KEY, email TEXT UNIQUE);", a, b)
    b.run("COPY u FROM stdin;\n1\tone\n2\ttwo\n3\tthree\n\\.\n")
    settle([a, b])
    a.run("REPLACE INTO u VALUES(9, 'one'); UPDATE OR REPLACE u SET email = 'two' WHERE id = 3")
    settle([a, b])
    equal([a, b], ["u"])
    assert rows(b, "SELECT * FROM u") == [("3", "two"), ("9", "one")]
    b.run("TRUNCATE u; INSERT INTO u VALUES(4, 'four')")
    settle([a, b])
    assert rows(a, "SELECT * FROM u") == [("4", "four")]


if __name__ == "__main__":
    main()
