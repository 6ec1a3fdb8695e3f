"""Goal: each rule by which SQLite breaks a simpler design holds for ours; here capture, folding,
exporting and identity. Method: provoke the failure through SQL, synchronise with a second file,
compare rows with SQLite's own SELECT."""
import os
import pathlib
import shutil
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import EXTENSION, ROOT, Sqlite, main, raises, same_rows, test  # noqa: E402
from sqlite_pair import pair, plain, quarantine, sync  # noqa: E402


# --- capture

@test("S1: the log position is the dot, dense, and its last row is never deleted")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1), (2, 2), (3, 3); DELETE FROM t")
    a.run("BEGIN; INSERT INTO t VALUES(9, 9); ROLLBACK")
    sync(a, b)
    assert [r[0] for r in a.rows("SELECT seq FROM sync_log")] == list(range(1, 8))
    a.run("INSERT INTO t VALUES(4, 4)")
    head = a.value("SELECT max(seq) FROM sync_log")
    assert head == 8, head
    vector = a.json("SELECT sync_version_vector()")
    assert vector[a.value("SELECT sync_site_id()")][0] == 8
    sync(a, b)
    same_rows(a, b, ["t"])


@test("S1: writers in several processes lose nothing")
def _(t):
    a, b = pair(t, "PRAGMA journal_mode=WAL; CREATE TABLE t(id TEXT PRIMARY KEY, x)")
    other = plain(t, a.path)
    for i in range(200):
        (a if i % 2 else other).run("INSERT INTO t VALUES(?, ?)", f"k{i}", i)
        if i % 20 == 0:
            sync(b, a)
    sync(b, a)
    assert same_rows(a, b, ["t"]) == 200


@test("S2: changes invisible to IS NOT are captured: case, trailing blanks, 1 to 1.0")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT COLLATE NOCASE, "
                   "r TEXT COLLATE RTRIM, v)")
    a.run("INSERT INTO t VALUES(1, 'a', 'x', 1)")
    sync(a, b)
    a.run("UPDATE t SET n = 'A'; UPDATE t SET r = 'x  '; UPDATE t SET v = 1.0")
    sync(a, b)
    assert b.rows("SELECT n, r, v, typeof(v) FROM t") == [("A", "x  ", 1.0, "real")]


@test("S2: under a NOCASE key, 'A' against 'a' is a unique conflict, the same on both sides")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id TEXT PRIMARY KEY COLLATE NOCASE, x)")
    a.run("INSERT INTO t VALUES('a', 'from a')")
    b.run("INSERT INTO t VALUES('A', 'from b')")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert len(a.rows("SELECT * FROM t")) == 1
    assert [k for k, _ in quarantine(a)] == ["unique"], quarantine(a)
    assert quarantine(a) == quarantine(b)
    a.run("DELETE FROM t")
    sync(a, b)
    sync(a, b)
    same_rows(a, b, ["t"])
    assert len(a.rows("SELECT * FROM t")) == 1
    assert quarantine(a) == quarantine(b) == []


@test("S2: rows that refer to a NOCASE key in another spelling go with their parent")
def _(t):
    a, b = pair(t, "CREATE TABLE p(id TEXT PRIMARY KEY COLLATE NOCASE);"
                   "CREATE TABLE c(id INTEGER PRIMARY KEY, p TEXT REFERENCES p ON DELETE CASCADE)",
                ("p", "c"), pragma="PRAGMA foreign_keys=ON;")
    a.run("INSERT INTO p VALUES('key')")
    sync(a, b)
    a.run("DELETE FROM p")
    b.run("INSERT INTO c VALUES(1, 'KEY')")
    sync(a, b)
    for db in (a, b):
        assert db.rows("PRAGMA foreign_key_check") == [] and db.rows("SELECT * FROM c") == []
        assert quarantine(db) == [("foreign_key", '{"id": 1}')], quarantine(db)
    a.run("INSERT INTO p VALUES('Key')")
    sync(a, b)
    assert same_rows(a, b, ["p", "c"]) == 2
    assert quarantine(a) == quarantine(b) == []


@test("S2: renaming a NOCASE key by case alone moves the row")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id TEXT PRIMARY KEY COLLATE NOCASE, x)")
    a.run("INSERT INTO t VALUES('key', 1)")
    sync(a, b)
    a.run("UPDATE t SET id = 'KEY'")
    sync(a, b)
    assert b.rows("SELECT * FROM t") == [("KEY", 1)], b.rows("SELECT * FROM t")


@test("S3: 300 columns; those from number 62 on share a bit")
def _(t):
    columns = ", ".join(f"c{i}" for i in range(300))
    a, b = pair(t, f"CREATE TABLE t(id INTEGER PRIMARY KEY, {columns})")
    a.run("INSERT INTO t(id, c5, c299) VALUES(1, 5, 299)")
    sync(a, b)
    a.run("UPDATE t SET c299 = 'new'; UPDATE t SET c5 = 'five'")
    sync(a, b)
    assert b.rows("SELECT c5, c299 FROM t") == [("five", "new")]
    same_rows(a, b, ["t"])


@test("S3: a table of 1,100 columns can be tracked")
def _(t):
    columns = ", ".join(f"c{i}" for i in range(1100))
    a, b = pair(t, f"CREATE TABLE t(id INTEGER PRIMARY KEY, {columns})")
    a.run("INSERT INTO t(id, c1099) VALUES(1, 'x'); UPDATE t SET c0 = 'y'")
    sync(a, b)
    same_rows(a, b, ["t"])


@test("S4: a row that REPLACE removes through a NOCASE key, spelt otherwise, is a delete")
def _(t):
    a, b = pair(t, "CREATE TABLE t(k1 TEXT, k2 TEXT COLLATE NOCASE, x, PRIMARY KEY(k1, k2)) "
                   "WITHOUT ROWID; CREATE TABLE u(id TEXT PRIMARY KEY COLLATE NOCASE, x)",
                tables=("t", "u"))
    a.run("INSERT INTO t VALUES('k', 'One', 1); INSERT INTO u VALUES('One', 1), ('Two', 2)")
    sync(a, b)
    a.run("REPLACE INTO t VALUES('k', 'ONE', 2); REPLACE INTO u VALUES('ONE', 3), ('Two', 4)")
    a.run("UPDATE OR REPLACE u SET id = 'one' WHERE id = 'Two' COLLATE BINARY")
    sync(a, b)
    assert same_rows(a, b, ["t", "u"]) == 2
    assert b.rows("SELECT id, x FROM u") == [("one", 4)]
    assert quarantine(a) == quarantine(b) == []
    assert a.rows("SELECT * FROM sync_check()") == b.rows("SELECT * FROM sync_check()") == []


@test("S4: rows that REPLACE removes through a secondary unique index are deletes")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, email TEXT UNIQUE COLLATE NOCASE, x)")
    a.run("INSERT INTO t VALUES(1, 'one@x', 1), (2, 'two@x', 2), (3, NULL, 3)")
    sync(a, b)
    a.run("REPLACE INTO t VALUES(9, 'ONE@X', 9)")
    a.run("UPDATE OR REPLACE t SET email = 'two@x' WHERE id = 3")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert [r[0] for r in b.rows("SELECT id FROM t ORDER BY id")] == [3, 9]


@test("S4: partial and composite unique indexes; a suspect that stays is no change")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, g, n, live);"
                   "CREATE UNIQUE INDEX i ON t(g, n) WHERE live = 1")
    a.run("INSERT INTO t VALUES(1, 'g', 1, 1), (2, 'g', 1, 0), (3, 'g', 1, 0)")
    sync(a, b)
    a.run("INSERT OR IGNORE INTO t VALUES(4, 'g', 1, 1)")
    assert sync(a, b)["pushed"]["rows"] == 0
    a.run("REPLACE INTO t VALUES(5, 'g', 1, 1)")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert [r[0] for r in b.rows("SELECT id FROM t ORDER BY id")] == [2, 3, 5]


@test("S4: with recursive_triggers on the same writes travel")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, email UNIQUE, x)")
    a.run("PRAGMA recursive_triggers=ON; INSERT INTO t VALUES(1, 'e', 1)")
    sync(a, b)
    a.run("REPLACE INTO t VALUES(2, 'e', 2); REPLACE INTO t VALUES(2, 'f', 3)")
    sync(a, b)
    same_rows(a, b, ["t"])


@test("S4: foreign key cascades are captured")
def _(t):
    a, b = pair(t, "CREATE TABLE p(id INTEGER PRIMARY KEY);"
                   "CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE "
                   "ON UPDATE CASCADE)", ("p", "c"), pragma="PRAGMA foreign_keys=ON;")
    a.run("INSERT INTO p VALUES(1), (2); INSERT INTO c VALUES(1, 1), (2, 2), (3, 2)")
    sync(a, b)
    a.run("DELETE FROM p WHERE id = 1; UPDATE p SET id = 7 WHERE id = 2")
    sync(a, b)
    same_rows(a, b, ["p", "c"])
    assert b.rows("SELECT id, p FROM c") == [(2, 7), (3, 7)]


@test("S5: a user's trigger that undoes the change; existence is read from the table")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("CREATE TRIGGER undo AFTER INSERT ON t WHEN NEW.x < 0 BEGIN "
          "DELETE FROM t WHERE id = NEW.id; END")
    a.run("INSERT INTO t VALUES(1, 1), (2, -2)")
    sync(a, b)
    a.run("INSERT INTO t VALUES(3, -3)")
    sync(a, b)
    assert b.rows("SELECT id FROM t") == a.rows("SELECT id FROM t") == [(1,)]


@test("S5: our triggers are made again to stay newest")
def _(t):
    a, _ = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("CREATE TRIGGER mine AFTER INSERT ON t BEGIN SELECT 1; END")
    a.value("SELECT sync_site_name('a')")
    order = [r[0] for r in a.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger' "
                                  "ORDER BY rowid")]
    assert order[0] == "mine", order


@test("S5: RAISE(IGNORE) and RAISE(FAIL) in a user's trigger are reported at sync_enable")
def _(t):
    a = t.sqlite()
    a.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x);"
          "CREATE TRIGGER quiet AFTER INSERT ON t BEGIN SELECT RAISE (IGNORE); END")
    said = a.json("SELECT sync_enable('t')")
    assert "quiet" in said["warnings"][0], said


@test("S6: rows with NULL in the primary key are listed and stay; the fold goes on")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id TEXT PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(NULL, 1), ('k', 2), (NULL, 3)")
    sync(a, b)
    assert b.rows("SELECT * FROM t") == [("k", 2)]
    assert quarantine(a) == [("constraint", '{"id": null}')], quarantine(a)
    a.run("UPDATE t SET id = 'now' WHERE x = 1")
    sync(a, b)
    assert b.rows("SELECT * FROM t ORDER BY id") == [("k", 2), ("now", 1)]
    a.run("DELETE FROM t WHERE id IS NULL")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert quarantine(a) == [], quarantine(a)


@test("S6: rows with NULL keys that stood there before sync_enable")
def _(t):
    a = t.sqlite("a")
    a.run("CREATE TABLE t(id TEXT PRIMARY KEY, x); INSERT INTO t VALUES(NULL, 1), ('k', 2)")
    said = a.json("SELECT sync_enable('t')")
    assert "NULL" in said["warnings"][0], said
    assert quarantine(a) == [("constraint", '{"id": null}')]
    b = t.sqlite("b")
    b.run("CREATE TABLE t(id TEXT PRIMARY KEY, x)")
    b.value("SELECT sync_enable('t')")
    sync(a, b)
    assert b.rows("SELECT * FROM t") == [("k", 2)]


@test("S7: an empty clock table neither silences capture nor stays empty")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1)")
    sync(a, b)
    a.run("DELETE FROM sync_clock; INSERT INTO t VALUES(2, 2)")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert a.value("SELECT count(*) FROM sync_clock") == 1


@test("S7: a write after a merge is later than what it saw, whatever the clock says")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 'first')")
    ahead = a.value("SELECT (CAST((julianday('now')-2440587.5)*86400000 AS INTEGER)+60000)<<16")
    a.run("UPDATE sync_clock SET floor = ?", ahead)
    a.run("UPDATE t SET x = 'from the future'")
    sync(a, b)
    b.run("UPDATE t SET x = 'seen and changed'")
    sync(a, b)
    assert a.value("SELECT x FROM t") == "seen and changed"
    assert b.rows("SELECT * FROM sync_conflicts") == []


@test("S8: last_insert_rowid and changes are as without us")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x UNIQUE)")
    b.run("INSERT INTO t VALUES(77, 77), (78, 78)")
    cursor = a.db.execute("INSERT INTO t VALUES(41, 1), (42, 2)")
    assert cursor.lastrowid == 42 and a.value("SELECT last_insert_rowid()") == 42
    assert a.value("SELECT changes()") == 2
    sync(a, b)
    assert a.value("SELECT last_insert_rowid()") == 42
    assert a.db.execute("DELETE FROM t WHERE id > 76").rowcount == 2


# --- folding, exporting, applying

@test("S9: sync_changes_since writes nothing: on a read-only database, unfolded entries included")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1), (2, 2); UPDATE t SET x = 'u' WHERE id = 1; "
          "DELETE FROM t WHERE id = 2")
    before = pathlib.Path(a.path).read_bytes()
    reader = Sqlite.__new__(Sqlite)
    reader.path = a.path
    reader.db = sqlite3.connect(f"file:{a.path}?mode=ro", uri=True, isolation_level=None)
    reader.db.enable_load_extension(True)
    reader.db.load_extension(EXTENSION)
    t.open.append(reader)
    chunks = reader.rows("SELECT changes FROM sync_changes_since('{}')")
    assert reader.rows("SELECT count(*) FROM sync_changes")[0][0] > 0
    assert pathlib.Path(a.path).read_bytes() == before
    for (chunk,) in chunks:
        b.value("SELECT sync_apply(?)", chunk)
    same_rows(a, b, ["t"])
    raises(lambda: reader.value("SELECT sync_enable('t')"), "read-only")
    raises(lambda: reader.value("SELECT sync_apply(?)", chunks[0][0]), "read-only")


@test("S9: an export inside a transaction that has written is refused, inside a reading one not")
def _(t):
    a, _ = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.rows("BEGIN")
    a.rows("INSERT INTO t VALUES(1, 1)")
    raises(lambda: a.rows("SELECT * FROM sync_changes_since('{}')"), "COMMIT first")
    raises(lambda: a.value("SELECT sync_version_vector()"), "COMMIT first")
    a.rows("ROLLBACK")
    a.rows("BEGIN")
    assert a.rows("SELECT * FROM sync_changes_since('{}')")
    a.rows("COMMIT")


@test("S9: an export sees one snapshot while another connection writes")
def _(t):
    a, b = pair(t, "PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
          "INSERT INTO t SELECT i, 'old' FROM n")
    other = plain(t, a.path)
    cursor = a.db.execute("SELECT changes FROM sync_changes_since('{}', '{\"max_bytes\": 500}')")
    first = cursor.fetchone()
    other.run("UPDATE t SET x = 'new'; DELETE FROM t WHERE id > 400")
    chunks = [first] + cursor.fetchall()
    assert len(chunks) > 3
    for (chunk,) in chunks:
        b.value("SELECT sync_apply(?)", chunk)
    assert b.rows("SELECT DISTINCT x FROM t") == [("old",)]
    assert b.value("SELECT count(*) FROM t") == 500
    sync(a, b)
    same_rows(a, b, ["t"])


@test("S10: a database rolled back to an older copy takes a new identity and loses nothing")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1)")
    sync(a, b)
    old = a.value("SELECT sync_site_id()")
    shutil.copy(a.path, a.path + ".backup")
    a.run("INSERT INTO t VALUES(2, 'sent before the crash'); UPDATE t SET x = 'late' WHERE id = 1")
    sync(a, b)
    a.close()
    os.replace(a.path + ".backup", a.path)
    a = t.sqlite("a")
    a.run("INSERT INTO t VALUES(3, 'after the restore'); INSERT INTO t VALUES(4, 4)")
    sync(a, b)
    sync(a, b)
    assert a.value("SELECT sync_site_id()") != old
    same_rows(a, b, ["t"])
    assert [r[0] for r in b.rows("SELECT id FROM t ORDER BY id")] == [1, 2, 3, 4]
    assert a.value("SELECT x FROM t WHERE id = 1") == "late"


@test("S10: a third site that shows the vector makes a restored database notice")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    c = t.sqlite("c")
    c.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    c.value("SELECT sync_enable('t')")
    shutil.copy(a.path, a.path + ".backup")
    a.run("INSERT INTO t VALUES(1, 'lost here')")
    sync(a, b)
    sync(b, c)
    a.close()
    os.replace(a.path + ".backup", a.path)
    a = t.sqlite("a")
    old = a.value("SELECT sync_site_id()")
    a.run("INSERT INTO t VALUES(2, 'new here')")
    sync(c, a)
    sync(c, a)
    assert a.value("SELECT sync_site_id()") != old
    same_rows(a, c, ["t"])
    assert a.value("SELECT count(*) FROM t") == 2


@test("S11: a copied file gets a new identity when the two meet, or by sync_new_identity()")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    a.run("INSERT INTO t VALUES(1, 1)")
    sync(a, b)
    shutil.copy(a.path, str(t.folder / "copy.db"))
    copy = t.sqlite("copy")
    a.run("INSERT INTO t VALUES(2, 'a')")
    copy.run("INSERT INTO t VALUES(3, 'copy')")
    sync(copy, a)
    assert copy.value("SELECT sync_site_id()") != a.value("SELECT sync_site_id()")
    same_rows(a, copy, ["t"])
    sync(a, b)
    same_rows(a, b, ["t"])
    before = copy.value("SELECT sync_site_id()")
    assert copy.value("SELECT sync_new_identity()") != before
    sync(copy, b)
    same_rows(copy, b, ["t"])


@test("S11: the database's own file is refused as a peer, by any of its names")
def _(t):
    a, _ = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    link = str(t.folder / "link.db")
    os.symlink(a.path, link)
    for name in (a.path, link, f"file:{a.path}", f"file://{a.path}?mode=rw"):
        raises(lambda: a.value("SELECT sync_now(?)", name), "this database itself")


@test("S18: the documentation warns of SQLite releases that lose a commit, and says what to do")
def _(_t):
    told = (ROOT / "docs" / "limitations.md").read_text().split("Things to know about SQLite")[1]
    for words in ("3.7.0 to 3.51.2", "3.51.3 is fixed", "two processes checkpoint", "one process"):
        assert words in told, words


if __name__ == "__main__":
    main()
