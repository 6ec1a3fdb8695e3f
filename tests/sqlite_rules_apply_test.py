"""Goal: each rule by which SQLite breaks a simpler design holds for ours; here applying, changes of
the schema and the life of a connection. Method: as in sqlite_rules_test.py."""
import os
import pathlib
import random
import sys
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import main, raises, same_rows, test  # noqa: E402
from sqlite_pair import log, pair, plain, quarantine, sync  # noqa: E402


# --- applying

@test("S12: applying runs neither triggers nor foreign key actions, and restores both switches")
def _(t):
    schema = ("CREATE TABLE p(id INTEGER PRIMARY KEY);"
              "CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);"
              "CREATE TABLE audit(what);"
              "CREATE TRIGGER seen AFTER INSERT ON c BEGIN INSERT INTO audit VALUES(NEW.id); END")
    a, b = pair(t, schema, ("p", "c"), pragma="PRAGMA foreign_keys=ON;")
    a.run("INSERT INTO p VALUES(1); INSERT INTO c VALUES(1, 1)")
    sync(a, b)
    assert b.rows("SELECT * FROM audit") == []
    assert a.value("PRAGMA foreign_keys") == 1
    chunk = b.value("SELECT changes FROM sync_changes_since('{}')")
    a.value("SELECT sync_apply(?)", chunk)
    raises(lambda: a.value("SELECT sync_apply(?)", b"nonsense"))
    assert a.value("PRAGMA foreign_keys") == 1
    a.run("INSERT INTO c VALUES(2, 1)")
    assert a.rows("SELECT * FROM audit") == [(1,), (2,)]
    assert len(log(a)) == 3
    raises(lambda: a.run("INSERT INTO c VALUES(3, 99)"), "FOREIGN KEY")


@test("S12: applying beside another running statement is refused")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1), (2, 2)")
    chunk = a.value("SELECT changes FROM sync_changes_since('{}')")
    cursor = a.db.execute("SELECT * FROM t")
    cursor.fetchone()
    raises(lambda: a.value("SELECT sync_apply(?)", chunk), "another statement")
    raises(lambda: a.value("SELECT sync_now(?)", b.path), "another statement")
    assert cursor.fetchall() == [(2, 2)]
    a.value("SELECT sync_now(?)", b.path)


@test("S12: chunks kept in a table are applied by one statement over it")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE TABLE mail(n, chunk)")
    a.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
          "INSERT INTO t SELECT i, i FROM n")
    for n, chunk in a.rows("SELECT chunk, changes FROM "
                           "sync_changes_since('{}', '{\"max_bytes\": 300}')"):
        b.run("INSERT INTO mail VALUES(?, ?)", n, chunk)
    assert b.value("SELECT count(*) FROM mail") > 3
    assert len(b.rows("SELECT sync_apply(chunk) FROM mail ORDER BY n")) > 3
    same_rows(a, b, ["t"])


@test("S13: rows travel in key order across all chunks of an exchange")
def _(t):
    a, _ = pair(t, "CREATE TABLE t(id TEXT PRIMARY KEY, x)")
    names = [str(uuid.UUID(int=random.Random(7).getrandbits(128) ^ i)) for i in range(400)]
    random.Random(1).shuffle(names)
    for name in names:
        a.run("INSERT INTO t VALUES(?, 1)", name)
    seen = [row[0] for (chunk,) in a.rows(
        "SELECT changes FROM sync_changes_since('{}', '{\"max_bytes\": 2000}')")
        for row in a.rows("SELECT DISTINCT pk FROM sync_inspect(?)", chunk)]
    assert len(seen) == 400 and seen == sorted(seen)


@test("S14: functions with side effects cannot be called from a schema, nor inside a write")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE TABLE out(x)")
    a.run("CREATE TRIGGER evil AFTER INSERT ON out BEGIN SELECT sync_disable('t'); END")
    raises(lambda: a.run("INSERT INTO out VALUES(1)"), "unsafe use")
    a.run("DROP TRIGGER evil")
    for call in ("sync_enable('t')", "sync_disable('t')", "sync_new_identity()",
                 f"sync_now('{b.path}')"):
        raises(lambda: a.run(f"INSERT INTO out SELECT {call}"), "statement that writes")
        assert not a.db.in_transaction
    a.run("INSERT INTO out VALUES(1)")
    raises(lambda: a.rows("UPDATE out SET x = 2 RETURNING sync_enable('t')"),
           "statement that writes")


@test("S14: sync_now is refused inside a transaction; sync_apply and sync_enable join it")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x); "
                   "CREATE TABLE u(id INTEGER PRIMARY KEY)")
    a.run("INSERT INTO t VALUES(1, 1)")
    chunk = a.value("SELECT changes FROM sync_changes_since('{}')")
    b.rows("BEGIN")
    raises(lambda: b.value("SELECT sync_now(?)", a.path), "inside a transaction")
    b.value("SELECT sync_apply(?)", chunk)
    b.value("SELECT sync_enable('u')")
    raises(lambda: b.value("SELECT sync_apply(?)", chunk[:-1]))
    assert b.value("SELECT count(*) FROM t") == 1
    b.rows("ROLLBACK")
    assert b.value("SELECT count(*) FROM t") == 0
    assert b.rows("SELECT table_name FROM sync_tables") == [("t",)]
    b.rows("BEGIN")
    b.value("SELECT sync_apply(?)", chunk)
    b.rows("COMMIT")
    same_rows(a, b, ["t"])


@test("S14: companions are skipped, not errors")
def _(t):
    a = t.sqlite()
    a.run("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE q(id TEXT PRIMARY KEY, x UNIQUE)")
    a.rows("SELECT sync_enable(name) FROM sqlite_schema WHERE type = 'table'")
    said = a.rows("SELECT sync_enable(name) FROM sqlite_schema WHERE type = 'table'")
    assert len(said) > 10
    assert a.rows("SELECT table_name FROM sync_tables ORDER BY 1") == [("p",), ("q",)]


# --- schema and life

@test("S13: a refused row keeps none of its neighbours out of a table that is being filled")
def _(t):
    source, replica = t.sqlite("source"), t.sqlite("replica")
    source.run("CREATE TABLE item(id TEXT PRIMARY KEY, n INTEGER, word TEXT)")
    replica.run("CREATE TABLE item(id TEXT PRIMARY KEY, n INTEGER, word TEXT,"
                " CHECK (n % 100 <> 63))")
    source.run("INSERT INTO item WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c"
               " LIMIT 1000) SELECT printf('%05d', i), i, iif(i % 3, NULL, 'word') FROM c")
    for database in (source, replica):
        database.value("SELECT sync_enable('item')")
    report = sync(replica, source)
    assert report["pulled"]["rows"] == 1000 and report["quarantined"] == 10, report
    stored = replica.rows("SELECT id, n, word FROM item ORDER BY id")
    assert stored == source.rows("SELECT * FROM item WHERE n % 100 <> 63 ORDER BY id")
    held = replica.rows("SELECT json_extract(pk, '$.id') FROM sync_conflicts"
                        " WHERE kind = 'constraint' ORDER BY 1")
    assert [row[0] for row in held] == [f"{i:05}" for i in range(63, 1000, 100)], held
    assert replica.value("PRAGMA integrity_check") == "ok"


@test("S13: many rows of a table that was dropped here wait until it is there again")
def _(t):
    a, b = pair(t, "CREATE TABLE item(id INTEGER PRIMARY KEY, n)", tables=("item",))
    b.run("DROP TABLE item")
    a.run("INSERT INTO item WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c"
          " LIMIT 1000) SELECT i, i FROM c")
    assert sync(a, b)["pushed"]["rows"] == 1000
    b.run("CREATE TABLE item(id INTEGER PRIMARY KEY, n)")
    b.value("SELECT sync_enable('item')")
    assert sync(a, b)["pushed"]["rows"] == 0
    assert same_rows(a, b, ["item"]) == 1000


@test("S15: ADD COLUMN: writes before and after the next call travel")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1), (2, 2)")
    sync(a, b)
    for db in (a, b):
        db.run("ALTER TABLE t ADD COLUMN y DEFAULT 'd'")
    a.run("UPDATE t SET y = 'unseen by the trigger' WHERE id = 1")
    sync(a, b)
    a.run("UPDATE t SET y = 'seen' WHERE id = 2")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert b.rows("SELECT y FROM t") == [("unseen by the trigger",), ("seen",)]


@test("S15: a column one side lacks is parked, relayed, and filled in when it appears")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    c = t.sqlite("c")
    c.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x, y)")
    c.value("SELECT sync_enable('t')")
    a.run("ALTER TABLE t ADD COLUMN y")
    a.run("INSERT INTO t VALUES(1, 1, 'yes'), (2, 2, NULL)")
    sync(a, b)
    sync(b, c)
    assert c.rows("SELECT * FROM t") == [(1, 1, "yes"), (2, 2, None)]
    b.run("UPDATE t SET x = 'changed at b' WHERE id = 1")
    b.run("ALTER TABLE t ADD COLUMN y")
    sync(a, b)
    assert b.rows("SELECT * FROM t") == [(1, "changed at b", "yes"), (2, 2, None)]
    same_rows(a, b, ["t"])


@test("S15: a table one side lacks is parked, relayed, and adopted by sync_enable")
def _(t):
    a = t.sqlite("a")
    a.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE TABLE u(id TEXT PRIMARY KEY, y)")
    b = t.sqlite("b")
    b.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    c = t.sqlite("c")
    c.run("CREATE TABLE u(id TEXT PRIMARY KEY, y)")
    for db, table in ((a, "t"), (a, "u"), (b, "t"), (c, "u")):
        db.value("SELECT sync_enable(?)", table)
    a.run("INSERT INTO u VALUES('k', 1), ('l', 2); DELETE FROM u WHERE id = 'l'")
    sync(a, b)
    assert b.rows("SELECT table_name, status FROM sync_tables ORDER BY 1") == [
        ("t", "tracked"), ("u", "parked")]
    sync(b, c)
    assert c.rows("SELECT * FROM u") == [("k", 1)]
    b.run("CREATE TABLE u(id TEXT PRIMARY KEY, y); INSERT INTO u VALUES('mine', 3), ('k', 9)")
    b.value("SELECT sync_enable('u')")
    sync(a, b)
    same_rows(a, b, ["u"])
    assert sorted(r[0] for r in b.rows("SELECT id FROM u")) == ["k", "mine"]


@test("S15: DROP COLUMN goes through sync_alter")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x, y)")
    a.run("INSERT INTO t VALUES(1, 1, 1)")
    sync(a, b)
    raises(lambda: a.run("ALTER TABLE t DROP COLUMN x"), "error in trigger")
    a.value("SELECT sync_alter('t', 'ALTER TABLE t DROP COLUMN x')")
    raises(lambda: a.value("SELECT sync_alter('t', 'ALTER TABLE t DROP COLUMN nope')"), "nope")
    a.run("UPDATE t SET y = 2; INSERT INTO t VALUES(2, 2)")
    sync(a, b)
    assert b.rows("SELECT id, y FROM t") == [(1, 2), (2, 2)]
    b.run("UPDATE t SET x = 'b still has it', y = 3 WHERE id = 1")
    sync(a, b)
    assert a.rows("SELECT * FROM t") == [(1, 3), (2, 2)]
    assert a.rows("SELECT status FROM sync_tables") == [("tracked",)]


@test("S15: what was written in a column before it was dropped still arrives")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x, y)")
    a.run("INSERT INTO t VALUES(1, 1, 1), (2, 1, 1)")
    sync(a, b)
    a.run("DELETE FROM t WHERE id = 1")
    b.run("UPDATE t SET x = 2")
    b.value("SELECT sync_alter('t', 'ALTER TABLE t DROP COLUMN x')")
    sync(a, b)
    assert a.rows("SELECT * FROM t") == [(1, 2, 1), (2, 2, 1)]
    assert b.rows("SELECT * FROM t") == [(1, 1), (2, 1)]
    a.value("SELECT sync_alter('t', 'ALTER TABLE t DROP COLUMN x')")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert len(a.rows("SELECT * FROM t")) == 2
    assert a.json("SELECT sync_verify(?)", b.path)["same"]
    for db in (a, b):
        db.run("ALTER TABLE t ADD COLUMN x")
    sync(a, b)
    same_rows(a, b, ["t"])
    for db in (a, b):
        assert db.rows("SELECT * FROM sync_check() WHERE severity = 'error'") == []


@test("S15: RENAME COLUMN and RENAME TABLE keep capture going")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1)")
    sync(a, b)
    for db in (a, b):
        db.run("ALTER TABLE t RENAME COLUMN x TO z; ALTER TABLE t RENAME TO \"new name\"")
    a.run("UPDATE \"new name\" SET z = 2; INSERT INTO \"new name\" VALUES(2, 2)")
    sync(a, b)
    same_rows(a, b, ["new name"])
    assert b.rows("SELECT * FROM \"new name\"") == [(1, 2), (2, 2)]
    assert a.rows("SELECT table_name, status FROM sync_tables") == [("new name", "tracked")]


@test("a kept parent goes when only rows are left whose reference it may leave: SET NULL")
def _(t):
    a, b, c = pair(t, "PRAGMA foreign_keys=ON; CREATE TABLE p(id INTEGER PRIMARY KEY);"
                      "CREATE TABLE r(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE RESTRICT);"
                      "CREATE TABLE s(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE SET NULL)",
                   tables=("p", "r", "s"), names=("a", "b", "c"))
    a.run("INSERT INTO p VALUES(1)")
    for one, other in ((a, b), (b, c)):
        sync(one, other)
    a.run("INSERT INTO r VALUES(1, 1)")
    b.run("DELETE FROM p")
    c.run("INSERT INTO s VALUES(1, 1)")
    sync(a, b)
    assert a.rows("SELECT id FROM p") == b.rows("SELECT id FROM p") == [(1,)]
    sync(a, c)
    assert a.rows("SELECT p FROM s") == [(1,)]
    b.run("UPDATE r SET p = NULL")
    for _ in range(2):
        for one, other in ((a, b), (b, c), (c, a)):
            sync(one, other)
    for db in (a, b, c):
        assert db.rows("SELECT id FROM p") == [] and db.rows("SELECT p FROM s") == [(None,)]


@test("S15: an open conflict goes on under the new name of its column and table")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 'a'), (2, 'a')")
    b.run("INSERT INTO t VALUES(1, 'b'), (2, 'b')")
    sync(a, b)
    assert len(a.rows("SELECT * FROM sync_conflicts WHERE column_name = 'x'")) == 2
    for db in (a, b):
        db.run("ALTER TABLE t RENAME COLUMN x TO z; ALTER TABLE t RENAME TO u")
    sync(a, b)
    listed = "SELECT id, table_name, column_name, status FROM sync_conflicts ORDER BY pk"
    found = a.rows(listed)
    assert [row[1:] for row in found] == [("u", "z", "open")] * 2, found
    assert b.rows(listed) == found
    a.value("SELECT sync_resolve(?, 'local')", found[0][0])
    b.run("UPDATE u SET z = 'decided' WHERE id = 2")
    sync(a, b)
    same_rows(a, b, ["u"])
    for db in (a, b):
        assert not db.rows("SELECT * FROM sync_conflicts WHERE status = 'open'")


def give(source, target):
    """The changes of `source` go to `target` by hand: `source` does not even write its fold."""
    vector = target.value("SELECT sync_version_vector()")
    chunks = source.rows("SELECT changes FROM sync_changes_since(?)", vector)
    for (chunk,) in chunks:
        target.value("SELECT sync_apply(?)", chunk)


@test("S15: who reads changes may be the first to see that a column was added")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, y)")
    a.run("INSERT INTO t VALUES(1, 1), (2, 2), (3, 3)")
    sync(a, b)
    a.run("UPDATE t SET y = 4 WHERE id = 1; DELETE FROM t WHERE id = 2")
    a.run("ALTER TABLE t ADD COLUMN x; UPDATE t SET x = 5 WHERE id = 3")
    b.run("ALTER TABLE t ADD COLUMN x")
    give(a, b)
    assert b.rows("SELECT * FROM t") == [(1, 4, None), (3, 3, 5)]
    sync(a, b)
    assert same_rows(a, b, ["t"]) == 2


@test("S15: an update from before a column was added does not write that column")
def _(t):
    a, b, c = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, y)", names=("a", "b", "c"))
    a.run("INSERT INTO t VALUES(1, 1), (2, 2), (3, 3)")
    for other in (b, c):
        sync(a, other)
    a.run("UPDATE t SET y = y + 10")  # not folded before the next session but one
    for chunk, in a.rows("SELECT changes FROM sync_changes_since(?)",
                         c.value("SELECT sync_version_vector()")):
        c.value("SELECT sync_apply(?)", chunk)
    for db in (a, b, c):
        db.run("ALTER TABLE t ADD COLUMN x DEFAULT 3")
    a.run("UPDATE t SET x = 'a, by a trigger that does not know it' WHERE id = 2")
    b.run("UPDATE t SET x = 'b' WHERE id <> 2")
    for _ in range(2):
        for one, other in ((a, b), (b, c), (c, a)):
            sync(one, other)
    for other in (b, c):
        assert same_rows(a, other, ["t"]) == 3
    assert a.rows("SELECT * FROM t") == [
        (1, 11, "b"), (2, 12, "a, by a trigger that does not know it"), (3, 13, "b")]
    for db in (a, b, c):
        assert not db.rows("SELECT * FROM sync_conflicts"), db.rows("SELECT * FROM sync_conflicts")


@test("S15: a row that was deleted before a column was added comes back with its default there")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, y)")
    a.run("INSERT INTO t VALUES(1, 1)")
    sync(a, b)
    b.run("DELETE FROM t")  # not folded before the column is there
    a.run("UPDATE t SET y = 2")
    for db in (a, b):
        db.run("ALTER TABLE t ADD COLUMN x INTEGER NOT NULL DEFAULT 3")
    sync(a, b)
    for db in (a, b):
        assert db.rows("SELECT * FROM t") == [(1, 2, 3)], db.rows("SELECT * FROM sync_conflicts")


@test("S15: a row that was deleted before a parked column was added comes back with its value")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, y)")
    a.run("ALTER TABLE t ADD COLUMN x")
    a.run("INSERT INTO t VALUES(1, 1, 'parked at b')")
    sync(a, b)
    b.run("DELETE FROM t")  # not folded before the column is there
    a.run("UPDATE t SET y = 2")
    b.run("ALTER TABLE t ADD COLUMN x")
    sync(a, b)
    for db in (a, b):
        assert db.rows("SELECT * FROM t") == [(1, 2, "parked at b")], db.rows("SELECT * FROM t")


@test("S15: an insert from before a parked column was added does not write that column")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE)")
    a.run("ALTER TABLE t ADD COLUMN x INTEGER NOT NULL DEFAULT 3")
    b.run("INSERT INTO t VALUES(1, 'one')")
    a.run("INSERT INTO t VALUES(5, 'mine', 258), (6, 'six', 160), (7, 'seven', 170), (8, 'e', 8)")
    b.run("UPDATE t SET u = 'mine' WHERE id = 1")
    give(a, b)
    give(b, a)
    held = b.rows("SELECT pk FROM sync_conflicts WHERE kind = 'unique'")
    assert held == [('{"id": 5}',)], held
    # Over the held row, anew, twice in one fold, and one that sets the column before it is noticed.
    b.run("INSERT INTO t VALUES(5, 'five'); DELETE FROM t WHERE id IN (6, 8);"
          "INSERT INTO t VALUES(6, 'six'), (8, 'eight'); UPDATE t SET u = 'VII' WHERE id = 7")
    give(b, a)
    b.run("ALTER TABLE t ADD COLUMN x INTEGER NOT NULL DEFAULT 3; UPDATE t SET x = 9 WHERE id = 8")
    for _ in range(2):
        sync(a, b)
        same_rows(a, b, ["t"])
        assert a.rows("SELECT * FROM t ORDER BY id") == [
            (1, "mine", 3), (5, "five", 3), (6, "six", 3), (7, "VII", 170), (8, "eight", 9)]
    for db in (a, b):
        assert db.rows("SELECT * FROM sync_check() WHERE severity = 'error'") == []


@test("S15: a row from who lacks a column holds its default, however that is spelled")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    spelled = ("INTEGER DEFAULT 1.0", "INTEGER DEFAULT '7'", "TEXT DEFAULT 5", "REAL DEFAULT 2",
               "NUMERIC DEFAULT '1e3'", "BLOB DEFAULT x'00ff'", 'TEXT DEFAULT "a""b"', "TEXT",
               "NUMERIC DEFAULT 'it''s'", "TEXT DEFAULT +1.50", "INTEGER DEFAULT 0x10",
               "DEFAULT -3", "INTEGER DEFAULT TRUE")
    for i, column in enumerate(spelled):
        b.run(f"ALTER TABLE t ADD COLUMN x{i} {column}")
    b.run("INSERT INTO t(id, v) VALUES(1, 'b'), (2, 'b'); UPDATE t SET x0 = 1 WHERE id = 1")
    a.run("INSERT INTO t VALUES(1, 'a')")
    sync(a, b)
    shown = ",".join(f"quote(x{i})" for i in range(len(spelled)))
    came, made = b.rows(f"SELECT {shown} FROM t ORDER BY id")
    assert came == made, (came, made)
    for db in (a, b):
        assert db.rows("SELECT column_name FROM sync_conflicts") == [("v",)]
        assert db.rows("SELECT * FROM sync_check() WHERE severity = 'error'") == []


@test("S15: a rebuilt table is captured again, nothing written meanwhile is lost, and it says so")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1), (2, 2), (3, 3)")
    sync(a, b)
    a.run("CREATE TABLE n(id INTEGER PRIMARY KEY, x, y DEFAULT 0); INSERT INTO n(id, x) "
          "SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t")
    a.run("UPDATE t SET x = 'uncaptured' WHERE id = 1; DELETE FROM t WHERE id = 2; "
          "INSERT INTO t VALUES(4, 'also', 1)")
    sync(a, b)
    assert b.rows("SELECT id, x FROM t") == [(1, "uncaptured"), (3, 3), (4, "also")]
    status, note = a.rows("SELECT status, note FROM sync_tables")[0]
    assert status == "suspect" and "triggers" in note, (status, note)
    a.run("UPDATE t SET x = 'captured again' WHERE id = 3")
    sync(a, b)
    assert b.value("SELECT x FROM t WHERE id = 3") == "captured again"


@test("S15: a dropped table is forgotten")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x); CREATE TABLE u(id TEXT PRIMARY KEY)",
                ("t", "u"))
    a.run("INSERT INTO t VALUES(1, 1); INSERT INTO u VALUES('k')")
    sync(a, b)
    a.run("DROP TABLE t")
    sync(a, b)
    assert a.rows("SELECT table_name FROM sync_tables") == [("u",)]
    assert b.value("SELECT count(*) FROM t") == 1


@test("S15: VACUUM changes the schema version and nothing else")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1); VACUUM; INSERT INTO t VALUES(2, 2)")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert a.rows("SELECT status FROM sync_tables") == [("tracked",)]


@test("S16: a connection closes cleanly after every kind of call")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1)")
    sync(a, b)
    for view in ("sync_tables", "sync_changes", "sync_conflicts", "sync_peers",
                 "sync_changes_since('{}')"):
        a.rows(f"SELECT * FROM {view}")
    raises(lambda: a.rows("SELECT * FROM sync_inspect(x'00')"))
    a.close()
    assert not os.path.exists(a.path + "-wal")
    os.rename(a.path, a.path + ".moved")


@test("S17: a collation that the peer's connection lacks names itself")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    b.db.create_collation("mine", lambda x, y: (x > y) - (x < y))
    b.run("CREATE TABLE u(id TEXT PRIMARY KEY COLLATE mine, x)")
    b.value("SELECT sync_enable('u')")
    b.run("INSERT INTO u VALUES('k', 1)")
    a.db.create_collation("mine", lambda x, y: (x > y) - (x < y))
    message = raises(lambda: sync(a, b), "mine")
    assert b.path in message, message


@test("a partial unique index says nothing of rows that it does not hold")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id TEXT COLLATE NOCASE PRIMARY KEY, c, open INTEGER);"
                   "CREATE UNIQUE INDEX one_open ON t(c) WHERE open > 0")
    for db, row in ((a, "'k', 1, 1"), (b, "'K', 2, 0"), (a, "'other', 2, 1")):
        db.run(f"INSERT INTO t VALUES({row})")
        time.sleep(0.005)
    for _ in range(2):
        sync(a, b)
        for db in (a, b):  # 'K' goes before 'k', and does not claim what 'other' has
            assert db.rows("SELECT id FROM t ORDER BY id") == [("K",), ("other",)]
            assert quarantine(db) == [("unique", '{"id": "k"}')]


@test("what an update takes away by coming into a unique index is deleted elsewhere, too")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, c, open, n, twice AS (n * 2));"
                   "CREATE UNIQUE INDEX one_open ON t(c) WHERE open > 0;"
                   "CREATE UNIQUE INDEX twice ON t(twice)")
    a.run("INSERT INTO t(id, c, open, n) VALUES(1, 'x', 0, 1), (2, 'x', 1, 2), (3, 'y', 1, 3)")
    sync(a, b)
    a.run("UPDATE OR REPLACE t SET open = 1 WHERE id = 1;"
          "UPDATE OR REPLACE t SET n = 1 WHERE id = 3")
    assert a.rows("SELECT id FROM t") == [(3,)]
    sync(a, b)
    same_rows(a, b, ["t"])


@test("a row that goes with the one whose key it takes is deleted elsewhere, too")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id TEXT PRIMARY KEY, up REFERENCES t ON DELETE CASCADE)",
                pragma="PRAGMA foreign_keys = ON;")
    a.run("INSERT INTO t VALUES('a', NULL), ('b', 'a'), ('c', NULL), ('d', NULL)")
    sync(a, b)
    a.run("UPDATE OR REPLACE t SET id = 'a' WHERE id = 'b';"
          "UPDATE OR REPLACE t SET id = 'c' WHERE id = 'd'")
    assert a.rows("SELECT * FROM t") == [("c", None)]
    sync(a, b)
    same_rows(a, b, ["t"])


@test("a program without the extension writes, and its writes are tracked")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, email TEXT UNIQUE, x)")
    app = plain(t, a.path)
    app.run("INSERT INTO t VALUES(1, 'e', 1), (2, 'f', 2); UPDATE t SET x = 3 WHERE id = 1; "
            "DELETE FROM t WHERE id = 2; REPLACE INTO t VALUES(5, 'e', 5)")
    sync(b, a)
    same_rows(a, b, ["t"])
    assert b.rows("SELECT * FROM t") == [(5, "e", 5)]


if __name__ == "__main__":
    main()
