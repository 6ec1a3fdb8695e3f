"""Goal: a long log is folded in parts, between which others write, and what comes of it is what
one fold would have made. Method: rows that were inserted, updated, deleted and inserted again in
several parts; the versions shown before the fold, by overlaying the log, and after it must be the
same."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import main, same_rows, test  # noqa: E402

SCHEMA = "CREATE TABLE task(id INTEGER PRIMARY KEY, title TEXT, status INTEGER)"
ROWS = 60_000


def made(t, name):
    db = t.sqlite(name)
    db.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)
    db.value("SELECT sync_enable('task')")
    return db


def fill(db):
    """Some 235,000 log entries: ten parts, most rows in several of them."""
    db.run(f"""
      INSERT INTO task SELECT value, 'one', 0 FROM
        (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n
         WHERE value < {ROWS}) SELECT value FROM n);
      UPDATE task SET title = 'two';
      DELETE FROM task WHERE id % 3 = 0;
      UPDATE task SET status = id WHERE id % 2 = 0;
      INSERT INTO task SELECT id + 2, 'again', 3 FROM task WHERE id % 3 = 1 AND id % 2 = 0;
      UPDATE task SET title = 'three' WHERE id % 5 = 0;
      DELETE FROM task WHERE id % 7 = 0;
      INSERT OR REPLACE INTO task SELECT id + 1, 'over', 4 FROM task WHERE id % 11 = 1;
      UPDATE task SET status = status + 1, title = title || '!';""")


def writing_transactions(db, sql):
    """How many of them a statement of ours makes."""
    seen = []
    db.db.set_trace_callback(seen.append)
    db.value(sql)
    db.db.set_trace_callback(None)
    return sum(text.lstrip("- ") == "BEGIN IMMEDIATE" for text in seen)


def versions(db):
    """What everyone would be told, of rows that are folded and of others."""
    return db.rows("SELECT * FROM sync_changes")


@test("long fold: in parts it leaves what one fold would have")
def _(t):
    a, b = made(t, "a"), made(t, "b")
    fill(a)
    before = versions(a)
    assert writing_transactions(a, "SELECT sync_hello()") == 10
    assert a.value("SELECT value FROM sync_meta WHERE key = 'folded'") == \
        a.value("SELECT max(seq) FROM sync_log")
    assert versions(a) == before and len(before) > ROWS // 2
    assert a.value("SELECT count(*) FROM sync_check() WHERE severity <> 'info'") == 0
    a.value("SELECT sync_now(?)", b.path)
    same_rows(a, b, ["task"])
    a.run("UPDATE task SET title = 'last'")
    a.value("SELECT sync_now(?)", b.path)
    same_rows(a, b, ["task"])


@test("long fold: sync_maintain folds in parts too, inside a transaction all at once")
def _(t):
    a = made(t, "a")
    fill(a)
    a.db.execute("BEGIN")
    assert writing_transactions(a, "SELECT sync_maintain()") == 0
    a.db.execute("ROLLBACK")
    assert writing_transactions(a, "SELECT sync_maintain()") == 11
    assert a.value("SELECT count(*) FROM sync_check() WHERE severity <> 'info'") == 0


@test("long fold: what the log says of counters is folded at once")
def _(t):
    a, b = made(t, "a"), made(t, "b")
    for db in (a, b):
        db.value("SELECT sync_set_policy('task', 'status', 'counter')")
    fill(a)
    assert writing_transactions(a, "SELECT sync_hello()") == 1
    a.value("SELECT sync_now(?)", b.path)
    same_rows(a, b, ["task"])


main()
