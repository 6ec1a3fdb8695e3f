"""Policies, conflicts and decisions on SQLite: the bodies that both engines share, and what is
SQLite's own."""
import json
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/support")
from conflict_cases import (CASES, SCHEMA, cell, clash, decide, field,  # noqa: E402
                            kinds_of_events, open_id, policy, rivals, start)
from harness import main, raises, test  # noqa: E402
from pairs import (apply, conflicts, create, equal, export, on_pairs, quote,  # noqa: E402
                   rows, run, settle, sync, vector)
from sqlite_pair import plain  # noqa: E402

for case_name, case_body in CASES:
    on_pairs(case_name, pairs=("SQLite-SQLite",))(case_body)


def pair(t, **policies):
    a, b = t.sqlite("a"), t.sqlite("b")
    start(a, b, **policies)
    return a, b


def triggers(db):
    return db.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name")


@test("sqlite policies: triggers change only where a policy needs to know what an update saw")
def _(t):
    a, _b = pair(t)
    before = triggers(a)
    policy(a, "title", "max")
    policy(a, None, "first_writer")
    assert triggers(a) == before
    policy(a, "qty", "counter")
    after = triggers(a)
    changed = [name for (name, sql), (_, old) in zip(after, before) if sql != old]
    assert len(changed) == 1 and changed[0].endswith("_update")
    assert "sync_before_1" in dict(after)[changed[0]]
    policy(a, "qty", "default")
    assert triggers(a) == before


@test("sqlite policies: a policy that comes from a peer makes its triggers, too")
def _(t):
    a, b = pair(t)
    policy(a, "qty", "counter")
    sync(a, b)
    assert any("sync_before_1" in sql for _, sql in triggers(b))
    run("UPDATE item SET qty = qty + 1", b)
    assert b.rows("SELECT n, v FROM sync_before_1") == [(2, 10)]
    b.value("SELECT sync_now(?)", a.path)
    assert b.rows("SELECT * FROM sync_before_1") == []
    assert int(cell(a, "qty")) == 11


@test("sqlite policies: a program without the extension counts, too; NULL seen is not nothing seen")
def _(t):
    a, b = pair(t, qty="counter")
    other = plain(t, a.path)
    other.run("UPDATE item SET qty = qty + 1; UPDATE item SET qty = qty + 1;")
    assert clash(a, b, "qty", "qty + 4", "qty + 10") is None
    assert int(cell(b, "qty")) == 26
    other.run("UPDATE item SET qty = NULL")
    sync(a, b)
    run("UPDATE item SET qty = 3", a)
    assert a.rows("SELECT n, v FROM sync_before_1") == [(2, None)]
    run("UPDATE item SET title = 'other'", a)
    assert len(a.rows("SELECT * FROM sync_before_1")) == 1
    sync(a, b)
    equal([a, b], ["item"])


@test("sqlite policies: an export overlays what is not folded yet, notes and actors included")
def _(t):
    a, b = pair(t, qty="counter")
    a.value("SELECT sync_set_actor('ann')")
    run("UPDATE item SET qty = qty + 4, title = 'of ann'", a)
    run("UPDATE item SET qty = qty + 10, title = 'of b'", b)
    folded = a.value("SELECT value FROM sync_meta WHERE key = 'folded'")
    for chunk in export(a, vector(b)):
        apply(b, chunk)
    assert a.value("SELECT value FROM sync_meta WHERE key = 'folded'") == folded
    assert int(cell(b, "qty")) == 24
    found = open_id(b, "title")
    assert field(b, found, "remote_actor") == "ann" and field(b, found, "local_actor") is None
    sync(a, b)
    equal([a, b], ["item"])


@test("sqlite policies: triggers that fire on rows that arrive leave nothing of their own writes")
def _(t):
    a, b = pair(t, qty="counter")
    b.value("SELECT sync_enable('item', '{\"triggers\": \"fire\"}')")
    for step in range(3):
        run("UPDATE item SET qty = qty + 1", a)
        sync(a, b)
        assert b.rows("SELECT * FROM sync_before_1") == [], step
        run("UPDATE item SET qty = qty + 10", b)
    sync(a, b)
    assert int(cell(a, "qty")) == int(cell(b, "qty")) == 43


@test("sqlite origins: an actor holds from the next write on, until another is named")
def _(t):
    a, b = pair(t)
    run("UPDATE item SET title = 'nobody'", a)
    assert a.value("SELECT sync_set_actor('ann')") == "ann"
    assert a.value("SELECT sync_set_context('{\"ticket\": 7}')") == '{"ticket": 7}'
    run("UPDATE item SET status = 'of ann'", a)
    a.value("SELECT sync_set_actor('bob')")
    run("UPDATE item SET qty = 4", a)
    assert a.value("SELECT sync_set_actor(NULL)") is None
    assert a.value("SELECT sync_set_context(NULL)") is None
    run("UPDATE item SET at = 4", a)
    sync(a, b)
    for db in (a, b):
        got = dict(db.rows("SELECT column_name, actor FROM sync_explain('item', 'i1') "
                           "WHERE column_name IN ('title', 'status', 'qty', 'at')"))
        assert got == {"title": None, "status": "ann", "qty": "bob", "at": None}, got
    assert a.value("SELECT count(*) FROM sync_origin") == 1
    raises(lambda: a.value("SELECT sync_set_context('{')"), "not JSON")
    raises(lambda: a.value("SELECT sync_set_actor(?)", "x" * 2000), "1024")


@test("sqlite deciding: inside the application's transaction it is kept or goes with it")
def _(t):
    a, b = pair(t)
    found = clash(a, b, "title", "'x'", "'y'")
    a.db.execute("BEGIN")
    a.db.execute("INSERT INTO item(id) VALUES ('i9')")
    decide(a, found, "value", "decided")
    assert field(a, found, "status") == "closed" and cell(a, "title") == "decided"
    a.db.execute("ROLLBACK")
    assert field(a, found, "status") == "open" and cell(a, "title") == "y"
    assert kinds_of_events(a, found) == ["detected"]
    a.db.execute("BEGIN")
    decide(a, found, "value", "decided")
    a.db.execute("COMMIT")
    sync(a, b)
    equal([a, b], ["item"])
    assert field(b, found, "status") == "closed"
    running = a.db.execute("SELECT 1 UNION ALL SELECT 2")
    running.fetchone()
    raises(lambda: a.value(f"SELECT sync_undo({quote(found)})"), "another statement")
    running.close()


@test("sqlite deciding: the application's triggers run, and may refuse")
def _(t):
    a, b = pair(t)
    run("CREATE TABLE audit (what TEXT)", a)
    run("CREATE TRIGGER watch AFTER UPDATE ON item BEGIN INSERT INTO audit VALUES "
        "(NEW.title); END", a)
    found = clash(a, b, "title", "'x'", "'y'")
    run("DELETE FROM audit", a)
    decide(a, found, "local")
    assert a.rows("SELECT * FROM audit") == [("x",)]
    found = clash(a, b, "title", "'xx'", "'yy'")
    run("CREATE TRIGGER never BEFORE UPDATE ON item BEGIN SELECT RAISE(ABORT, 'not on Sundays'); "
        "END", a)
    raises(lambda: decide(a, found, "local"), "not on Sundays")
    run("DROP TRIGGER never; CREATE TRIGGER never BEFORE UPDATE ON item BEGIN "
        "SELECT RAISE(IGNORE); END", a)
    raises(lambda: decide(a, found, "local"), "trigger ignores")
    assert field(a, found, "status") == "open" and cell(a, "title") == "yy"


@test("sqlite deciding: three files in a row: one id, closed everywhere, open again everywhere")
def _(t):
    sites = [t.sqlite(name) for name in "abc"]
    a, b, c = sites
    create(SCHEMA, *sites)
    run("INSERT INTO item(id, title, qty) VALUES ('i1', 'one', 1)", a)
    settle(sites)
    run("UPDATE item SET title = 'x', qty = 2", a)
    run("UPDATE item SET title = 'y', qty = 3", c)
    settle(sites)
    equal(sites, ["item"])
    assert len(conflicts(b)) == 2
    found = open_id(b, "title")
    assert [open_id(db, "title") for db in sites] == [found] * 3
    decide(c, found, "value", "z", "said c")
    settle(sites)
    for db in sites:
        assert field(db, found, "status") == "closed" and field(db, found, "note") == "said c"
    a.value(f"SELECT sync_undo({quote(found)})")
    settle(sites)
    equal(sites, ["item"])
    assert [field(db, found, "status") for db in sites] == ["open"] * 3
    # Two decisions at once are a clash like any other, and settled like one.
    decide(a, found, "value", "of a")
    decide(c, found, "value", "of c")
    settle(sites)
    equal(sites, ["item"])
    assert [field(db, found, "status") for db in sites] == ["closed"] * 3
    new = open_id(b, "title")
    assert new is not None and new != found
    assert a.json("SELECT sync_resolve_all('{}', 'merged')")["refused"] == []
    settle(sites)
    equal(sites, ["item"])
    assert [conflicts(db) for db in sites] == [[]] * 3


@test("sqlite deciding: a deleted row that others refer to stays, or may not go yet")
def _(t):
    schema = ("CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT);"
              "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p(id));")
    a, b = t.sqlite("a"), t.sqlite("b")
    create(schema, a, b)
    run("PRAGMA foreign_keys = ON", a, b)
    run("INSERT INTO p VALUES (1, 'one'), (2, 'two')", a)
    sync(a, b)
    run("DELETE FROM p WHERE id = 1", a)
    run("INSERT INTO c VALUES (7, 1)", b)
    sync(a, b)
    equal([a, b], ["p", "c"])
    found = a.value("SELECT id FROM sync_conflicts WHERE kind = 'foreign_key' AND status = 'open'")
    raises(lambda: decide(a, found, "remote"), "FOREIGN KEY")
    assert field(a, found, "status") == "open"
    assert decide(a, found, "local")["value"] == {"id": 1, "name": "one"}
    sync(a, b)
    equal([a, b], ["p", "c"])
    assert a.rows("PRAGMA foreign_key_check") == b.rows("PRAGMA foreign_key_check") == []
    assert [field(db, found, "how") for db in (a, b)] == ["decision", "decision"]
    raises(lambda: b.value(f"SELECT sync_undo({quote(found)})"), "foreign key")
    run("DELETE FROM c", b)
    sync(a, b)
    assert rows(a, "SELECT id FROM p") == [("1",), ("2",)], "what was decided to stay is gone"


@test("sqlite deciding: a row without a parent waits, is given up, or gets another one")
def _(t):
    schema = ("CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE);"
              "CREATE TABLE c (id INTEGER PRIMARY KEY, code TEXT REFERENCES p(code));")
    for choice, value, left in (("local", None, []), ("value", '{"code": "two"}', [("7", "two")])):
        a, b = t.sqlite("a" + choice), t.sqlite("b" + choice)
        create(schema, a, b)
        run("PRAGMA foreign_keys = ON", a, b)
        run("INSERT INTO p VALUES (1, 'one'), (2, 'two')", a)
        sync(a, b)
        run("DELETE FROM p WHERE id = 1", a)
        run("INSERT INTO c VALUES (7, 'one')", b)
        sync(a, b)
        equal([a, b], ["p", "c"])
        found = a.value("SELECT id FROM sync_conflicts WHERE kind = 'foreign_key' "
                        "AND status = 'open'")
        raises(lambda: decide(a, found, "remote"), "FOREIGN KEY")
        assert field(a, found, "status") == "open" and rows(a, "SELECT * FROM c") == []
        decide(a, found, choice, value)
        sync(a, b)
        equal([a, b], ["p", "c"])
        assert rows(b, "SELECT * FROM c") == left
        assert [field(db, found, "how") for db in (a, b)] == ["decision", "decision"]


@test("sqlite deciding: a row whose parent is held waits for the decision about that one")
def _(t):
    schema = ("CREATE TABLE g (id INTEGER PRIMARY KEY);"
              "CREATE TABLE p (id INTEGER PRIMARY KEY, g REFERENCES g ON DELETE CASCADE);"
              "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);")
    a, b = t.sqlite("a"), t.sqlite("b")
    create(schema, a, b)  # foreign keys are off: nothing but the decision asks for the parent
    run("INSERT INTO g VALUES (1)", a)
    sync(a, b)
    run("DELETE FROM g", a)
    run("INSERT INTO p VALUES (2, 1); INSERT INTO c VALUES (3, 2)", b)
    run("PRAGMA foreign_keys = ON", a)
    sync(a, b)
    ids = dict(a.rows("SELECT table_name, id FROM sync_conflicts WHERE status = 'open'"))
    assert set(ids) == {"p", "c"}, ids
    run("PRAGMA foreign_keys = OFF", a)
    raises(lambda: decide(a, ids["c"], "remote"), "of table p that is not in its table either")
    decide(a, ids["p"], "remote")  # and the child comes along
    assert [rows(a, f"SELECT count(*) FROM {table}") for table in "gpc"] == [[("1",)]] * 3


@test("sqlite conflicts: sides keep their names however often a conflict is recorded")
def _(t):
    sites = [t.sqlite(name) for name in "abc"]
    a, b, c = sites
    create(SCHEMA, *sites)
    run("INSERT INTO item(id, title, qty) VALUES ('i1', 'one', 1)", a)
    settle(sites)
    run("UPDATE item SET title = 'x'", a)
    run("UPDATE item SET title = 'y'", c)
    sync(b, c)  # b has the greater version first
    settle(sites)
    assert field(b, open_id(b, "title"), "local") == '"y"'
    before = [db.rows("SELECT local, remote, local_site FROM sync_conflicts") for db in sites]
    for db in sites:
        run("UPDATE item SET qty = qty + 1", db)
        settle(sites)
    assert before == [db.rows("SELECT local, remote, local_site FROM sync_conflicts WHERE "
                              "column_name = 'title'") for db in sites]


@test("sqlite conflicts: a new identity records them under their new names")
def _(t):
    a, b = pair(t)
    run("UPDATE item SET title = 'x'", a)
    run("UPDATE item SET title = 'y'", b)
    for chunk in export(b):  # one made for a's vector would show that somebody has seen it
        apply(a, chunk)
    old = open_id(a, "title")
    a.value("SELECT sync_new_identity()")
    found = open_id(a, "title")
    assert found not in (None, old)
    sync(a, b)
    assert open_id(b, "title") == found
    equal([a, b], ["item"])


@test("sqlite conflicts: decided held rows stay decided through relays")
def _(t):
    a, b, c = (t.sqlite(name) for name in "abc")
    found = rivals(a, b)
    create("CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT);", c)
    settle([a, b, c])
    assert field(c, found, "status") == "open"
    decide(c, found, "remote")
    settle([a, b, c])
    equal([a, b, c], ["u"])
    assert rows(a, "SELECT id FROM u") == [("1",)]
    assert [field(db, found, "how") for db in (a, b, c)] == ["decision"] * 3


@test("sqlite conflicts: bookkeeping that nobody has yet is empty, not an error")
def _(t):
    a = t.sqlite("a")
    for view in ("sync_policies", "sync_conflicts", "sync_conflict_stats", "sync_events(0)"):
        assert a.rows(f"SELECT * FROM {view}") == []
    raises(lambda: a.value("SELECT sync_resolve('x', 'local')"), "no conflict")
    raises(lambda: a.value("SELECT sync_conflict_diff('x')"), "no conflict")
    raises(lambda: a.rows("SELECT * FROM sync_preview('x')"), "no conflict")
    raises(lambda: a.value("SELECT sync_set_policy('item', 'qty', 'max')"), "not a tracked table")
    raises(lambda: a.rows("SELECT * FROM sync_events('x')"), "number of an event")


@test("sqlite conflicts: ugly names and values stand in previews, diffs and decisions")
def _(t):
    a, b = t.sqlite("a"), t.sqlite("b")
    schema = ('CREATE TABLE "o""dd / %" ("k ey" TEXT PRIMARY KEY, "c\'ol" TEXT, "raw" BLOB, '
              '"any");')
    for db in (a, b):
        db.run(schema)
        db.value("SELECT sync_enable(?)", 'o"dd / %')
    a.run('INSERT INTO "o""dd / %" VALUES (?, ?, ?, ?)', "k'\n\"", "x", b"\x00\xff", 1)
    sync(a, b)
    made = a.json("SELECT sync_set_policy(?, ?, 'first_writer')", 'o"dd / %', "C'OL")
    assert made["column"] == "c'ol"
    sync(a, b)
    assert b.rows("SELECT table_name, column_name FROM sync_policies") == [('o"dd / %', "c'ol")]
    long = "é" * 5000 + "<&>'\""
    a.run('UPDATE "o""dd / %" SET "c\'ol" = ?, raw = ?, "any" = ?', long, b"\x01", 1.5)
    b.run('UPDATE "o""dd / %" SET "c\'ol" = ?, raw = ?, "any" = ?', long + "!", b"", "1.5")
    sync(a, b)
    equal([a, b], ['o"dd / %'])
    ids = [r[0] for r in a.rows("SELECT id FROM sync_conflicts WHERE status = 'open'")]
    assert len(ids) == 3
    for each in ids:
        assert len(a.rows("SELECT * FROM sync_preview(?)", each)) >= 4
        for form in ("text", "side_by_side", "html"):
            assert a.value("SELECT sync_conflict_diff(?, ?)", each, form)
        remote = a.value("SELECT remote FROM sync_conflicts WHERE id = ?", each)
        assert a.json("SELECT sync_resolve(?, 'remote')", each)["value"] == json.loads(remote)
    sync(a, b)
    equal([a, b], ['o"dd / %'])
    got = b.rows('SELECT "c\'ol", raw, "any", typeof("any") FROM "o""dd / %"')
    assert got == [(long + "!", b"", "1.5", "text")], got[0][1:]


main()
