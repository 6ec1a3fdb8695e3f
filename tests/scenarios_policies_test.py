#!/usr/bin/env python3
"""Goal: scenarios in which a policy decides (7, 19, 29), and triggers of the user beside a merge
(28), give the same on all pairs. Method: edits on both sides through SQL, sync_now, a third SQLite
site as relay; rows, conflicts and their ids compared."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import main, test  # noqa: E402
from pairs import (conflicts, create, enable, equal, kinds, on_pairs, quote, rows,  # noqa: E402
                   run, settle, sync)

STOCK = """CREATE TABLE stock(id TEXT PRIMARY KEY, n INTEGER, r DOUBLE PRECISION, m NUMERIC(12,2),
                  doc TEXT, tags TEXT);"""


def policy(db, column, name, table="stock"):
    return db.json(f"SELECT sync_set_policy({quote(table)}, {quote(column)}, {quote(name)})")


def started(*sites, row="INSERT INTO stock VALUES('k', 10, 0.5, 100.00, 'one', NULL)", **policies):
    create(STOCK, *sites)
    run(row, sites[0])
    for column, name in policies.items():
        policy(sites[0], column, name)
    for other in sites[1:]:
        sync(sites[0], other)


def cell(db, column):
    value = db.value(f"SELECT {column} FROM stock WHERE id = 'k'")
    return None if value is None else str(value)


@on_pairs("scenario 7: concurrent increments add up, through a relay, once each")
def _(t, a, b):
    c = t.sqlite("relay")
    started(a, b, c, n="counter", r="counter", m="counter")
    run("UPDATE stock SET n = n + 1, r = r + 0.25, m = m + 0.10", a)
    run("UPDATE stock SET n = n + 1", a)
    run("UPDATE stock SET n = n - 5, r = r + 0.25, m = m - 0.30", b)
    run("UPDATE stock SET n = n + 100, m = m + 1", c)
    for one, two in ((a, c), (c, b), (a, b), (b, c), (a, c), (a, c)):
        sync(one, two)
    settle([a, b, c])
    equal([a, b, c], ["stock"])
    for db in (a, b, c):
        assert cell(db, "n") == "107", cell(db, "n")
        assert float(cell(db, "r")) == 1.0 and float(cell(db, "m")) == 100.8
        assert conflicts(db) == []


@on_pairs("scenario 18: a renamed column and a renamed table keep their policies")
def _(t, a, b):
    c = t.sqlite("later")
    started(a, b, c, n="counter", r="max", tags="first_writer")
    a.json("SELECT sync_set_policy('stock', NULL, 'min')")
    settle([a, b, c])
    for db in (a, b):
        run("ALTER TABLE stock RENAME COLUMN n TO amount", db)
    settle([a, b])
    policy(b, "amount", "max")  # under the new name: who renames later finds this one
    policy(b, "amount", "counter")
    for db in (a, b):
        run("UPDATE stock SET amount = amount + 1, r = r + 1", db)
    run("ALTER TABLE stock RENAME TO shelf; ALTER TABLE shelf RENAME COLUMN tags TO labels", b)
    run("ALTER TABLE stock RENAME COLUMN tags TO labels; ALTER TABLE stock RENAME TO shelf", a)
    settle([a, b])
    run("UPDATE shelf SET doc = 'doc 7', labels = 'from a'", a)
    run("UPDATE shelf SET doc = 'doc 8', labels = 'from b'", b)
    settle([a, b])
    run("ALTER TABLE stock RENAME TO shelf; ALTER TABLE shelf RENAME COLUMN n TO amount;"
        "ALTER TABLE shelf RENAME COLUMN tags TO labels", c)
    settle([a, b, c])
    equal([a, b, c], ["shelf"])
    assert rows(c, "SELECT amount, labels FROM shelf") == [("12", "from a")]
    for db in (a, b, c):
        assert db.value("SELECT doc FROM shelf") == "doc 7"
        found = rows(db, "SELECT table_name, column_name, policy FROM sync_policies "
                         "WHERE source = 'column'")
        assert found == [("shelf", "amount", "counter"), ("shelf", "labels", "first_writer"),
                         ("shelf", "r", "max")], found


@on_pairs("scenario 7: an assignment takes the place of what it saw and keeps what it did not")
def _(_t, a, b):
    started(a, b, n="counter")
    run("UPDATE stock SET n = n + 5", a)
    run("UPDATE stock SET n = NULL", b)
    run("UPDATE stock SET n = 50", b)
    settle([a, b])
    equal([a, b], ["stock"])
    assert cell(a, "n") == "55", cell(a, "n")


@on_pairs("scenario 7: deleted and made anew while the other side adds; a fresh copy in between")
def _(t, a, b):
    started(a, b, n="counter")
    run("UPDATE stock SET n = n + 5", a)
    settle([a, b])
    run("DELETE FROM stock", a)
    run("INSERT INTO stock(id, n) VALUES('k', 100)", a)
    run("UPDATE stock SET n = n + 1", b)
    c = t.sqlite("fresh")
    create(STOCK, c)
    sync(a, c)
    settle([a, b, c])
    equal([a, b, c], ["stock"])
    for db in (a, b, c):
        assert cell(db, "n") == "101", cell(db, "n")
    run("UPDATE stock SET n = n + 1", c)
    run("UPDATE stock SET n = n + 1", b)
    settle([a, b, c])
    assert [cell(db, "n") for db in (a, b, c)] == ["103"] * 3


@on_pairs("scenario 19: a policy is changed while an offline site writes under the old one")
def _(t, a, b):
    c = t.sqlite("offline")
    started(a, b, c, n="max")
    run("UPDATE stock SET n = 30", c)
    run("UPDATE stock SET n = 20", b)
    run("UPDATE stock SET n = 25", a)
    sync(a, b)
    assert cell(a, "n") == cell(b, "n") == "25"
    policy(b, "n", "min")
    sync(a, b)
    assert cell(a, "n") == cell(b, "n") == "20", "shown anew where the policy came later"
    run("UPDATE stock SET doc = 'seen'", c)
    settle([a, b, c])
    equal([a, b, c], ["stock"])
    assert [cell(db, "n") for db in (a, b, c)] == ["20"] * 3
    names = {db.value("SELECT policy FROM sync_policies WHERE column_name = 'n'")
             for db in (a, b, c)}
    assert names == {"min"}, names


@on_pairs("scenario 19: two sites set a policy at once: the later one holds everywhere")
def _(_t, a, b):
    started(a, b)
    policy(a, "doc", "text")
    policy(b, "doc", "first_writer")
    settle([a, b])
    shown = [db.rows("SELECT column_name, policy FROM sync_policies") for db in (a, b)]
    assert [tuple(r) for r in shown[0]] == [tuple(r) for r in shown[1]] == [
        ("doc", "first_writer")], shown


POEM = "The rain falls\nover the town\nand over the sea\n"


@on_pairs("scenario 29: edits of different lines and words are both kept")
def _(_t, a, b):
    row = f"INSERT INTO stock(id, doc) VALUES('k', {quote(POEM)})"
    started(a, b, row=row, doc="text")
    run("UPDATE stock SET doc = replace(doc, 'The rain', 'The old rain')", a)
    run("UPDATE stock SET doc = replace(doc, 'the sea', 'the quiet sea')", b)
    settle([a, b])
    equal([a, b], ["stock"])
    assert cell(a, "doc") == "The old rain falls\nover the town\nand over the quiet sea\n"
    assert conflicts(a) == []


@on_pairs("scenario 29: the same words edited on both sides are a conflict, and nothing is lost")
def _(_t, a, b):
    row = f"INSERT INTO stock(id, doc) VALUES('k', {quote(POEM)})"
    started(a, b, row=row, doc="text")
    run("UPDATE stock SET doc = replace(doc, 'the town', 'our town')", a)
    run("UPDATE stock SET doc = replace(doc, 'the town', 'a village')", b)
    settle([a, b])
    equal([a, b], ["stock"])
    assert cell(a, "doc") == POEM.replace("the town", "a village")
    assert kinds(a) == kinds(b) == ["update_update"]
    (text,) = a.rows("SELECT local, remote FROM sync_conflicts")
    assert any("our town" in side for side in text) and any("a village" in side for side in text)


@on_pairs("scenario 29: a whole rewrite is an assignment: no word salad, the edit kept beside it")
def _(_t, a, b):
    row = f"INSERT INTO stock(id, doc) VALUES('k', {quote(POEM)})"
    started(a, b, row=row, doc="text")
    run("UPDATE stock SET doc = replace(doc, 'the town', 'our town')", a)
    other = "Nothing of all this is left here. An entirely different story begins.\n"
    run(f"UPDATE stock SET doc = {quote(other)}", b)
    settle([a, b])
    equal([a, b], ["stock"])
    assert cell(a, "doc") == other
    assert kinds(a) == ["update_update"]
    identity = a.value("SELECT id FROM sync_conflicts")
    a.json(f"SELECT sync_resolve({quote(identity)}, 'value', {quote(POEM)})")
    settle([a, b])
    assert cell(b, "doc") == POEM and conflicts(a) == conflicts(b) == []


AUDIT = """CREATE TABLE item(id INTEGER PRIMARY KEY, x TEXT);
CREATE TABLE audit(id INTEGER PRIMARY KEY, item INTEGER, x TEXT);"""


def audit_trigger(db):
    body = "INSERT INTO audit VALUES(NEW.id * 1000 + length(NEW.x), NEW.id, NEW.x)"
    if db.engine == "sqlite":
        db.run(f"CREATE TRIGGER note AFTER UPDATE ON item BEGIN {body}; END")
    else:
        db.run(f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; "
               "RETURN NULL; END $$; CREATE TRIGGER note AFTER UPDATE ON item FOR EACH ROW "
               "EXECUTE FUNCTION note()")


@on_pairs("scenario 28: triggers that write other tracked tables: once each, and no ping-pong")
def _(_t, a, b):
    create(AUDIT, a, b)
    for db in (a, b):
        audit_trigger(db)
    run("INSERT INTO item VALUES(1, 'a'), (2, 'b')", a)
    settle([a, b])
    run("UPDATE item SET x = 'aaa' WHERE id = 1", a)
    run("UPDATE item SET x = 'bb' WHERE id = 2", b)
    settle([a, b])
    equal([a, b], ["item", "audit"])
    assert rows(a, "SELECT id, item, x FROM audit") == [("1003", "1", "aaa"), ("2002", "2", "bb")]
    report = sync(a, b)
    assert report["pulled"]["rows"] == report["pushed"]["rows"] == 0, report


@test("scenario 28: a full-text index fed by triggers is right on the device that pulls")
def _(t):
    a, b = t.sqlite("a"), t.postgres("b")
    schema = "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)"
    run(schema, a, b)
    a.run("CREATE VIRTUAL TABLE words USING fts5(body, content='note', content_rowid='id');"
          "CREATE TRIGGER ai AFTER INSERT ON note BEGIN INSERT INTO words(rowid, body) "
          "VALUES(new.id, new.body); END;"
          "CREATE TRIGGER ad AFTER DELETE ON note BEGIN INSERT INTO words(words, rowid, body) "
          "VALUES('delete', old.id, old.body); END;"
          "CREATE TRIGGER au AFTER UPDATE ON note BEGIN INSERT INTO words(words, rowid, body) "
          "VALUES('delete', old.id, old.body); INSERT INTO words(rowid, body) "
          "VALUES(new.id, new.body); END;")
    options = json.dumps({"triggers": "fire"})
    a.json(f"SELECT sync_enable('note', {quote(options)})")
    enable(b, "note")
    run("INSERT INTO note VALUES(1, 'red apple'), (2, 'green pear')", b)
    sync(a, b)
    run("UPDATE note SET body = 'red pear' WHERE id = 1; DELETE FROM note WHERE id = 2", b)
    sync(a, b)
    found = rows(a, "SELECT rowid FROM words WHERE words MATCH 'pear'")
    assert found == [("1",)], found
    a.run("INSERT INTO words(words, rank) VALUES('integrity-check', 1)")


if __name__ == "__main__":
    main()
