"""Goal: with "triggers": "fire" the application's triggers run on rows that arrive, keep a text
index right, and neither double nor send back what they write. Method: two files, real triggers,
FTS5's own integrity check."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import main, raises, same_rows, test  # noqa: E402
from sqlite_pair import pair, quarantine, sync  # noqa: E402

SCHEMA = """
CREATE TABLE note(id INTEGER PRIMARY KEY, title TEXT, seen INTEGER DEFAULT 0);
CREATE VIRTUAL TABLE note_fts USING fts5(title, content='note', content_rowid='id');
CREATE TRIGGER note_ai AFTER INSERT ON note BEGIN
  INSERT INTO note_fts(rowid, title) VALUES (new.id, new.title);
END;
CREATE TRIGGER note_ad AFTER DELETE ON note BEGIN
  INSERT INTO note_fts(note_fts, rowid, title) VALUES ('delete', old.id, old.title);
END;
CREATE TRIGGER note_au AFTER UPDATE ON note BEGIN
  INSERT INTO note_fts(note_fts, rowid, title) VALUES ('delete', old.id, old.title);
  INSERT INTO note_fts(rowid, title) VALUES (new.id, new.title);
END;
"""
EFFECTS = """
CREATE TABLE total(id INTEGER PRIMARY KEY, n INTEGER);
CREATE TABLE audit(id TEXT PRIMARY KEY, what TEXT);
CREATE TABLE here(what TEXT);
CREATE TABLE item(id INTEGER PRIMARY KEY, x, y);
INSERT INTO total VALUES(1, 0);
CREATE TRIGGER item_total AFTER INSERT ON item BEGIN
  UPDATE total SET n = n + 1 WHERE id = 1;
  INSERT INTO audit VALUES(hex(randomblob(8)), 'item ' || new.id);
  UPDATE item SET y = coalesce(y, 0) + 1 WHERE id = new.id;
  INSERT INTO here VALUES('item ' || new.id);
END;
"""
FIRE = '{"triggers": "fire"}'


def fire(*databases, table):
    for db in databases:
        assert db.json("SELECT sync_enable(?, ?)", table, FIRE)["already"]


def found(db, word):
    return [r[0] for r in db.rows("SELECT rowid FROM note_fts WHERE note_fts MATCH ? ORDER BY 1",
                                  word)]


def check_index(db):
    db.run("INSERT INTO note_fts(note_fts, rank) VALUES('integrity-check', 1)")


@test("triggers: a full-text index is right on the other device at once")
def _(t):
    a, b = pair(t, SCHEMA, ["note"])
    fire(a, b, table="note")
    a.run("INSERT INTO note(id, title) VALUES(1, 'red pump'), (2, 'blue valve'), (3, 'red door')")
    sync(a, b)
    assert found(b, "red") == [1, 3]
    b.run("UPDATE note SET title = 'green pump' WHERE id = 1; DELETE FROM note WHERE id = 3")
    a.run("UPDATE note SET seen = 1 WHERE id = 1; INSERT INTO note(id, title) VALUES(4, 'red bus')")
    sync(a, b)
    for db in (a, b):
        assert found(db, "red") == [4] and found(db, "green") == [1], db.path
        check_index(db)
    assert same_rows(a, b, ["note"]) == 3


@test("triggers: nothing comes back, and no log entry of what arrived is kept")
def _(t):
    a, b = pair(t, SCHEMA, ["note"])
    fire(a, b, table="note")
    a.run("INSERT INTO note(id, title) VALUES(1, 'x'), (2, 'y')")
    before = b.value("SELECT max(seq) FROM sync_log")
    sync(a, b)
    assert b.value("SELECT max(seq) FROM sync_log") == before
    assert b.value("SELECT count(*) FROM sync_image_1") == 0
    again = sync(a, b)
    assert again["pushed"]["rows"] == again["pulled"]["rows"] == 0, again
    b.run("UPDATE note SET title = 'z' WHERE id = 1")
    assert sync(a, b)["pulled"]["rows"] == 1
    assert a.value("SELECT title FROM note WHERE id = 1") == "z"


@test("triggers: what they write into tracked tables travels, and is not done again")
def _(t):
    a, b = pair(t, EFFECTS, ["item", "total", "audit"])
    fire(a, b, table="item")
    a.run("INSERT INTO item(id) VALUES(1), (2)")
    sync(a, b)
    assert b.rows("SELECT * FROM here ORDER BY 1") == [("item 1",), ("item 2",)]
    for db in (a, b):
        assert db.value("SELECT n FROM total") == 2
        assert db.value("SELECT count(*) FROM audit") == 2
        assert db.rows("SELECT y FROM item") == [(1,), (1,)]
    same_rows(a, b, ["item", "total", "audit"])
    again = sync(a, b)
    assert again["pushed"]["rows"] == again["pulled"]["rows"] == 0, again
    b.run("INSERT INTO item(id) VALUES(3)")
    assert b.value("SELECT n FROM total") == 3, "the guard outlived the call"
    sync(a, b)
    same_rows(a, b, ["item", "total", "audit"])


@test("triggers: a row that a trigger ignores or refuses is held; a delete goes through")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
    b.run("CREATE TRIGGER no BEFORE INSERT ON t WHEN new.x < 0 BEGIN SELECT RAISE(IGNORE); END;"
          "CREATE TRIGGER never BEFORE INSERT ON t WHEN new.x = 0 BEGIN "
          "SELECT RAISE(ABORT, 'no zero'); END;"
          "CREATE TRIGGER keep BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'never'); END")
    fire(b, table="t")
    a.run("INSERT INTO t VALUES(1, 1), (2, -2), (3, 0)")
    sync(a, b)
    assert b.rows("SELECT id FROM t") == [(1,)]
    assert len(quarantine(b)) == 2, quarantine(b)
    a.run("DELETE FROM t")
    sync(a, b)
    assert b.value("SELECT count(*) FROM t") == 0


@test("triggers: off unless asked for; can be set later; a wrong value is refused by name")
def _(t):
    a, b = pair(t, SCHEMA, ["note"])
    a.run("INSERT INTO note(id, title) VALUES(1, 'red')")
    sync(a, b)
    assert b.value("SELECT count(*) FROM note_fts_docsize") == 0
    assert b.value("SELECT note FROM sync_tables") is None
    fire(b, table="note")
    assert "fire" in b.value("SELECT note FROM sync_tables")
    raises(lambda: b.value("SELECT sync_enable('note', '{\"triggers\": \"maybe\"}')"), "maybe")


if __name__ == "__main__":
    main()
