"""Goal: sync_clone makes the tables of another database here, tracks and fills them, says what it
leaves out, refuses what would mix rows, and goes on where it broke off.
Method: databases with ugly schemas on one side, nothing on the other; both dialects; what is made
is compared by SQL, and by changes that go both ways afterwards."""
import json
import pathlib
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import main, raises, same_rows, test  # noqa: E402

UGLY = '''
CREATE TABLE "order"("a ""b""" TEXT, "select" INTEGER, v DEFAULT 'it''s', "é" BLOB,
  PRIMARY KEY("a ""b""", "select")) WITHOUT ROWID;
CREATE TABLE node(id INTEGER PRIMARY KEY, up REFERENCES node(id), twin REFERENCES edge(id),
  title TEXT NOT NULL DEFAULT 'none' COLLATE NOCASE UNIQUE, big AS (upper(title)) STORED,
  CHECK (length(title) < 100));
CREATE TABLE edge(id INTEGER PRIMARY KEY, node INT NOT NULL REFERENCES node(id) ON DELETE CASCADE);
CREATE TABLE types(id UUID PRIMARY KEY, b BOOLEAN, i INT, r REAL, n NUMERIC, t TEXT, x BLOB, d DATE,
  s TIMESTAMPTZ, j JSON, any, arr "INTEGER[]") ;
CREATE TABLE empty(k TEXT PRIMARY KEY) STRICT;
CREATE INDEX node_up ON node(up) WHERE up IS NOT NULL;
CREATE UNIQUE INDEX edge_once ON edge(node, id);
CREATE TRIGGER node_log AFTER DELETE ON node BEGIN DELETE FROM empty; END;
'''
UGLY_ROWS = """
PRAGMA foreign_keys=OFF;
INSERT INTO "order" VALUES ('x', 1, NULL, x'00ff'), ('', -5, 3.5, NULL), ('é', 9, 'v', x'');
INSERT INTO node(id, up, twin, title) VALUES (1, 2, 10, 'a'), (2, 1, 11, 'b'), (3, 3, NULL, 'c');
INSERT INTO edge VALUES (10, 1), (11, 2);
INSERT INTO types VALUES ('00000000-0000-0000-0000-00000000000a', 1, 9223372036854775807, 1e300,
  12.5, 'q''uote' || char(10), x'0102', '2024-02-29', '2024-02-29 12:00:00+00', '{"a": [1]}', 7,
  '{1,2}');
INSERT INTO types(id, b) VALUES ('00000000-0000-0000-0000-00000000000b', 0);
"""
UGLY_NAMES = ["order", "node", "edge", "types", "empty"]


def ugly(t):
    a = t.sqlite("a")
    a.run(UGLY)
    a.run(UGLY_ROWS)
    for name in UGLY_NAMES:
        a.value("SELECT sync_enable(?)", name)
    return a


def clone(b, a, options=None, path=None):
    url = path or (str(a.path) if a.engine == "sqlite" else a.url)
    quoted = url.replace("'", "''")
    more = "" if options is None else ", '" + json.dumps(options).replace("'", "''") + "'"
    return b.json(f"SELECT sync_clone('{quoted}'{more})")


def states(db, table):
    if db.engine == "sqlite":
        number = db.value("SELECT n FROM sync_table WHERE name=?", table)
        return db.value(f"SELECT count(*) FROM sync_state_{number}")
    number = db.value(f"SELECT number FROM syncline.tbl WHERE name = '{table}'")
    return int(db.value(f"SELECT count(*) FROM syncline.state_{number}"))


@test("clone: a SQLite file with everything that is odd, into an empty one")
def _(t):
    a, b = ugly(t), t.sqlite("b")
    b.run("PRAGMA foreign_keys=ON")
    report = clone(b, a)
    assert sorted(report["tables"]) == sorted(UGLY_NAMES), report
    assert report["rows"] == 10 and report["quarantined"] == 0 and report["bytes"] > 0, report
    assert [entry["what"] for entry in report["left_out"]] == ['trigger "node_log"'], report
    same_rows(a, b, UGLY_NAMES)
    schema = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sync%'" \
             " AND type <> 'trigger' AND sql IS NOT NULL ORDER BY name"
    assert a.rows(schema) == b.rows(schema)
    for name in UGLY_NAMES:
        assert states(b, name) == 0, name
    b.run("UPDATE node SET title = 'from b' WHERE id = 3;"
          "UPDATE node SET twin = NULL WHERE id = 2; DELETE FROM edge WHERE id = 11")
    a.run("UPDATE \"order\" SET v = 'new' WHERE \"select\" = 9")
    b.value("SELECT sync_now(?)", a.path)
    same_rows(a, b, UGLY_NAMES)
    assert not b.rows("SELECT * FROM sync_conflicts WHERE status = 'open'")


@test("clone: triggers come along when asked for, one table when asked for")
def _(t):
    a, b = ugly(t), t.sqlite("b")
    report = clone(b, a, {"tables": ["node", "empty"], "triggers": True})
    assert report["tables"] == ["empty", "node"] or report["tables"] == ["node", "empty"], report
    assert [entry["what"] for entry in report["left_out"]] == \
        ['table "edge", to which a foreign key refers'], report
    assert b.value("SELECT count(*) FROM sqlite_schema WHERE name = 'node_log'") == 1
    assert not b.rows("SELECT 1 FROM sqlite_schema WHERE name = 'types'")


@test("clone: what is wrong with the call says so, and nothing is left")
def _(t):
    a, b = ugly(t), t.sqlite("b")
    raises(lambda: clone(b, a, {"table": ["node"]}), 'no option "table"', '"tables"')
    raises(lambda: clone(b, a, {"tables": ["nodes"]}), "nodes", 'did you mean "node"')
    raises(lambda: clone(b, a, path=str(t.folder / "none.db")), "no database file")
    raises(lambda: b.value("SELECT sync_clone(NULL)"), "missing or NULL")
    b.rows("BEGIN")
    raises(lambda: clone(b, a), "inside a transaction")
    b.rows("ROLLBACK")
    b.run("CREATE VIEW node AS SELECT 1 AS one")
    raises(lambda: clone(b, a), '"node" exists here and is a view')
    assert [row[0] for row in b.rows("SELECT name FROM sqlite_schema")] == ["node"]


@test("clone: tables with rows are refused, empty ones are used or refused for their shape")
def _(t):
    a, b = ugly(t), t.sqlite("b")
    b.run("CREATE TABLE edge(id INTEGER PRIMARY KEY, node INT); INSERT INTO edge VALUES (1, 1)")
    raises(lambda: clone(b, a), 'table "edge" exists here and has rows', "sync_enable('edge')")
    assert not b.rows("SELECT 1 FROM sqlite_schema WHERE name = 'node'")
    b.run("DELETE FROM edge")
    clone(b, a)
    same_rows(a, b, ["edge", "node"])
    raises(lambda: clone(b, a), "has rows", "sync_now()")
    c = t.sqlite("c")
    c.run("CREATE TABLE edge(id INTEGER PRIMARY KEY)")
    raises(lambda: clone(c, a), 'table "edge" exists here and differs', '"node"')
    c.run("DROP TABLE edge; CREATE TABLE edge(id INT, node INT PRIMARY KEY)")
    raises(lambda: clone(c, a), 'table "edge" exists here and differs', "primary key")


@test("clone: one that breaks off goes on with sync_clone, or with sync_now")
def _(t):
    for how, begun in (("clone", 4), ("now", 4), ("clone", 0)):
        a, b = t.sqlite(f"a_{how}_{begun}"), t.sqlite(f"b_{how}_{begun}")
        a.run("CREATE TABLE task(id INTEGER PRIMARY KEY, title TEXT);"
              "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 3000)"
              "INSERT INTO task SELECT i, 'title ' || i FROM c")
        a.value("SELECT sync_enable('task')")
        clone(b, a, {"ddl_only": True})
        vector = json.dumps(json.loads(b.value("SELECT sync_version_vector()")))
        chunks = a.rows("SELECT changes FROM sync_changes_since(?, '{\"max_bytes\": 4096}')",
                        vector)
        assert len(chunks) > 10
        for (chunk,) in chunks[:begun]:
            b.value("SELECT sync_apply(?)", chunk)
        there = b.value("SELECT count(*) FROM task")
        assert (0 < there < 3000) if begun else there == 0
        b.run("INSERT INTO task VALUES (5000, 'made here')")
        if begun:
            b.run("UPDATE task SET title = 'changed here' WHERE id = 1;"
                  "DELETE FROM task WHERE id = 2")
        elif how == "clone":
            raises(lambda b=b: clone(b, a), "has rows")
            b.run("DELETE FROM task")
        if how == "clone":
            clone(b, a, {"max_bytes": 4096})
        else:
            b.value("SELECT sync_now(?)", a.path)
        same_rows(a, b, ["task"])
        if begun:
            assert b.value("SELECT title FROM task WHERE id = 1") == "changed here"
            assert not b.rows("SELECT 1 FROM task WHERE id = 2")
            assert states(b, "task") == 3
        found = b.rows("SELECT * FROM sync_conflicts WHERE status = 'open'")
        assert not found, (how, begun, found)


@test("clone: a file whose schema holds more than one statement makes nothing")
def _(t):
    a, b = ugly(t), t.sqlite("b")
    plain = sqlite3.connect(a.path)
    plain.execute("PRAGMA writable_schema=ON")
    plain.execute("UPDATE sqlite_schema SET sql = sql || '; DROP TABLE other' WHERE name = 'empty'")
    plain.commit()
    plain.close()
    b.run("CREATE TABLE other(id INTEGER PRIMARY KEY)")
    try:
        clone(b, a)
    except Exception:  # the peer itself may not be read any more
        pass
    assert b.rows("SELECT 1 FROM sqlite_schema WHERE name = 'other'")


PG = '''
CREATE SCHEMA "Odd";
CREATE TYPE "Odd".mood AS ENUM ('fine', 'it''s');
CREATE TABLE "Odd"."Parent"(id uuid DEFAULT gen_random_uuid() PRIMARY KEY, up uuid,
  m "Odd".mood NOT NULL DEFAULT 'fine', n numeric(12,2) DEFAULT 0, big numeric,
  t varchar(20) UNIQUE,
  tags text[], at timestamptz DEFAULT now(), j jsonb DEFAULT '{}', b boolean DEFAULT true, x bytea,
  g int GENERATED ALWAYS AS (1 + 1) STORED, c text COLLATE "C", CHECK (n >= 0));
ALTER TABLE "Odd"."Parent" ADD FOREIGN KEY (up) REFERENCES "Odd"."Parent" ON DELETE SET NULL;
CREATE TABLE child(a int, "b""" bigint, parent uuid REFERENCES "Odd"."Parent" ON DELETE CASCADE,
  count serial, PRIMARY KEY (a, "b"""));
CREATE INDEX child_parent ON child(parent);
CREATE INDEX child_lower ON child((a + 1)) WHERE a > 0;
CREATE TABLE nothing(k text PRIMARY KEY);
INSERT INTO "Odd"."Parent"(id, up, big, t, tags, x, c) VALUES
  ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b',
   12345678901234567890.123, 'one', '{a,"b c"}', '\\x00ff', 'é'),
  ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-00000000000a', NULL, NULL, NULL,
   NULL, NULL);
INSERT INTO child(a, "b""", parent)
  SELECT i, -i, '00000000-0000-0000-0000-00000000000a' FROM generate_series(1, 500) i;
'''


def odd_server(t):
    a = t.postgres("a")
    a.run(PG)
    for name in ('"Odd"."Parent"', "child", "nothing"):
        a.value(f"SELECT sync_enable('{name}')")
    return a


@test("clone: a PostgreSQL database into a SQLite file")
def _(t):
    a, b = odd_server(t), t.sqlite("b")
    report = clone(b, a)
    assert report["tables"] == ["Parent", "child", "nothing"], report
    assert report["rows"] == 502 and report["quarantined"] == 0, report
    what = " / ".join(entry["what"] for entry in report["left_out"])
    for part in ('"g"', "gen_random_uuid()", "now()", "nextval", "CHECK",
                 'numeric of column "big"', "character varying(20)", "mood", "child_lower"):
        assert part in what, (part, what)
    same_rows(a, b, ["child", "nothing"])
    assert b.value('SELECT big FROM "Parent" WHERE big IS NOT NULL') == "12345678901234567890.123"
    assert states(b, "child") == 0 and states(b, "Parent") == 0
    assert b.rows("SELECT 1 FROM sqlite_schema WHERE name = 'child_parent'")
    b.run("UPDATE child SET parent = NULL WHERE a = 7; DELETE FROM child WHERE a = 8;"
          "INSERT INTO child(a, \"b\"\"\", parent, count) VALUES (900, 1, NULL, 5);"
          "UPDATE \"Parent\" SET big = '1.5', tags = '{z}' WHERE t = 'one'")
    b.value("SELECT sync_now(?)", a.url)
    same_rows(a, b, ["child"])
    assert a.value('SELECT big FROM "Odd"."Parent" WHERE t = \'one\'') == "1.5"


@test("clone: a PostgreSQL database into another")
def _(t):
    a, b = odd_server(t), t.postgres("b")
    report = clone(b, a)
    assert report["tables"] == ["Parent", "child", "nothing"] and report["rows"] == 502, report
    assert [entry["what"] for entry in report["left_out"]] == ['the sequence of column "count"']
    for table in ('"Odd"."Parent"', "child"):
        rows = f"SELECT x::text FROM {table} x ORDER BY 1"
        assert a.rows(rows) == b.rows(rows), table
    objects = "SELECT indexdef FROM pg_indexes WHERE tablename IN ('Parent', 'child') ORDER BY 1"
    assert a.rows(objects) == b.rows(objects)
    constraints = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint" \
                  " WHERE conrelid IN ('\"Odd\".\"Parent\"'::regclass, 'child'::regclass)" \
                  " ORDER BY 1"
    assert a.rows(constraints) == b.rows(constraints)
    assert states(b, "child") == 0 and states(b, "Parent") == 0
    raises(lambda: clone(b, a), "has rows", "sync_now()")
    b.run("UPDATE child SET parent = NULL WHERE a = 7; DELETE FROM child WHERE a = 8")
    b.value(f"SELECT sync_now('{a.url}')")
    rows = "SELECT x::text FROM child x ORDER BY 1"
    assert a.rows(rows) == b.rows(rows)


@test("clone: a server refuses files, mistakes and rows, and leaves nothing behind")
def _(t):
    a, b = odd_server(t), t.postgres("b")
    raises(lambda: clone(b, a, path="/tmp/none.db"), "sqlite")
    raises(lambda: clone(b, a, {"tabels": []}), 'no option "tabels"', '"tables"')
    raises(lambda: clone(b, a, {"tables": ["childs"]}), 'did you mean "child"')
    b.run("CREATE TABLE nothing(k text PRIMARY KEY); INSERT INTO nothing VALUES ('x')")
    raises(lambda: clone(b, a), "nothing", "has rows", "sync_enable")
    assert b.value("SELECT to_regclass('child') IS NULL") == "t"
    b.run("DELETE FROM nothing; ALTER TABLE nothing RENAME k TO other")
    raises(lambda: clone(b, a), "nothing", "differs", '"k"')
    b.run("DROP TABLE nothing; CREATE TYPE public.mood AS (x int)")
    assert clone(b, a, {"tables": ["nothing"]})["tables"] == ["nothing"]
    # the rows of the others have come, too, and wait for their tables
    assert clone(b, a, {"tables": ["child"], "ddl_only": True})["left_out"]
    assert b.value("SELECT count(*) FROM child") == "500"


main()
