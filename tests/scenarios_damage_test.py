#!/usr/bin/env python3
"""Goal: scenarios 21 and 22: who was away for too long loses and revives nothing; damage that the
log does not know of is found and repaired the right way. Method: sites that are retired and melt
while one is away; rows changed with triggers off, by pg_restore, and bytes of a file changed; then
sync_check, sync_verify and sync_repair, and the rows compared by each engine's own SELECT."""
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from comparison import check, damage, repair, verdict, verify  # noqa: E402
from harness import main, raises, test  # noqa: E402
from pairs import batch, conflicts, create, equal, moved, on_pairs, rows, settle, sync  # noqa: E402

TASK = "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, n INTEGER)"


def filled(*sites, count=200):
    create(TASK, *sites)
    sites[0].run(batch(f"INSERT INTO task VALUES('k{i}', 't{i}', {i})" for i in range(count)))
    settle(sites)


def melt(*sites):
    """Until no row has metadata."""
    for _ in range(10):
        settle(sites)
        for db in sites:
            while not db.json("SELECT sync_maintain()")["done"]:
                pass
        if all(int(db.value("SELECT rows_with_state FROM sync_tables")) == 0 for db in sites):
            return
    raise AssertionError("row state is left")


@on_pairs("scenario 21: a site away for a year, tombstones purged: its writes kept, none revived")
def _(t, a, b):
    c = t.sqlite("away")
    filled(a, b, c)
    melt(a, b, c)
    c.run("UPDATE task SET title = 'unsent' WHERE n = 1; DELETE FROM task WHERE n = 2;"
          "INSERT INTO task VALUES('new', 'unsent', -1);"
          "UPDATE task SET title = 'mine' WHERE n = 3")
    a.run("DELETE FROM task WHERE n BETWEEN 100 AND 149; DELETE FROM task WHERE n = 3;"
          "UPDATE task SET n = 1000 WHERE n = 1")
    old = c.value("SELECT sync_site_id()")
    a.json(f"SELECT sync_retire_site('{old}')")
    melt(a, b)
    for db in (a, b):
        raises(lambda db=db: sync(c, db), "was retired", "sync_new_identity()")
    assert rows(c, "SELECT title FROM task WHERE id IN ('k1', 'new')") == [("unsent",)] * 2
    assert c.value("SELECT sync_new_identity()") != old
    settle([b, c, a, b, c])
    for db in (a, b, c):
        assert rows(db, "SELECT id FROM task WHERE n BETWEEN 100 AND 149 OR n = 2") == []
        found = rows(db, "SELECT id, title, n FROM task WHERE id IN ('k1', 'k3', 'new')")
        assert found == [("k1", "unsent", "1000"), ("k3", "mine", "3"),
                         ("new", "unsent", "-1")], found
        # Written there, deleted here: the update wins, as ever, and the conflict says so. That the
        # write of k1 had seen what stood there is forgotten: both values are on record.
        assert sorted((c[2], c[4]) for c in conflicts(db)) == [
            ('{"id": "k1"}', "update_update"), ('{"id": "k3"}', "update_delete")], conflicts(db)
    assert equal([a, b, c], ["task"]) == 200 - 50 - 1 + 1


@on_pairs("scenario 22: rows changed with triggers off are found, and repaired the right way")
def _(_t, a, b):
    filled(a, b)
    assert verify(a, b)["same"]  # both keep the sums of it
    damage(b, "UPDATE task SET title = 'wrong' WHERE n = 5; DELETE FROM task WHERE n = 6;"
              "INSERT INTO task VALUES('none', 'x', -1)")
    assert not moved(sync(a, b)), "the log knows nothing of it"
    assert check(a, deep=True) == []
    found = " ".join(what for _, _, what in check(b, deep=True))
    assert "without being logged" in found and "deleted while the triggers were off" in found, found
    assert verdict(verify(a, b, deep=True)) == {"different": 1, "only_here": 1, "only_there": 1}
    report = repair(a, b)
    assert report["repaired"] == 3 and not report["undecided"], report
    assert verify(a, b, deep=True)["same"] and check(b, deep=True) == []
    assert equal([a, b], ["task"]) == 201, "a row that no log knows of is somebody's row"
    assert rows(b, "SELECT title FROM task WHERE n IN (5, 6)") == [("t5",), ("t6",)]


@on_pairs("scenario 22: pg_restore --disable-triggers over a table: captured, and the same there",
          ("SQLite-PostgreSQL", "PostgreSQL-PostgreSQL"))
def _(t, a, b):
    filled(a, b)
    file = pathlib.Path(t.folder) / "rows.dump"
    subprocess.run(["pg_dump", "-Fc", "-a", "-t", "task", "-f", str(file), b.name], env=b.env,
                   check=True)
    a.run("UPDATE task SET title = 'later'")
    sync(a, b)
    b.run("DELETE FROM task WHERE n < 50")
    b.run("TRUNCATE task")
    subprocess.run(["pg_restore", "-a", "--disable-triggers", "-d", b.name, str(file)], env=b.env,
                   check=True)
    assert check(b) == [], check(b)
    sync(a, b)
    assert verify(a, b, deep=True)["same"]
    assert equal([a, b], ["task"]) == 200
    assert rows(a, "SELECT count(*) FROM task WHERE title = 'later'") == [("0",)]


def change_page(db, name, old, new):
    """Bytes of a table or index change on the disk; the database is opened anew."""
    db.run("PRAGMA wal_checkpoint(TRUNCATE)")
    root, size = db.rows("SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM "
                         "sqlite_schema WHERE name = ?", name)[0]
    pages = [row[0] for row in db.rows("SELECT pageno FROM dbstat WHERE name = ?", name)] or [root]
    db.close()
    data = bytearray(pathlib.Path(db.path).read_bytes())
    for page in pages:
        at = data.find(old, (page - 1) * size, page * size)
        if at >= 0:
            data[at:at + len(new)] = new
            pathlib.Path(db.path).write_bytes(data)
            return
    raise AssertionError(f"{old} is on no page of {name}")


@test("scenario 22: a damaged page of a SQLite file, of an index and of the rows")
def _(t):
    a, b = t.sqlite("a"), t.sqlite("b")
    filled(a, b)
    assert verify(a, b)["same"]
    change_page(b, "sqlite_autoindex_task_1", b"k77", b"k7x")
    b = t.sqlite("b")
    found = b.rows("SELECT severity, what, repair FROM sync_check('{\"deep\": true}')")
    assert any(row[0] == "error" and "integrity check" in row[1] and row[2] == "REINDEX"
               for row in found), found
    b.run("REINDEX")
    assert check(b, deep=True) == [] and verify(a, b, deep=True)["same"]
    change_page(b, "task", b"t55", b"t5x")
    b = t.sqlite("b")
    assert verdict(verify(a, b, deep=True)) == {"different": 1}
    assert [what for _, _, what in check(b, deep=True) if "without being logged" in what]
    assert repair(a, b)["repaired"] == 1
    assert verify(a, b, deep=True)["same"] and equal([a, b], ["task"]) == 200
    assert rows(b, "SELECT title FROM task WHERE n = 55") == [("t55",)]


main()
