"""sync_verify, sync_repair, sync_digest, sync_check and sync_invariant.

Rows are damaged behind the log's back (support/comparison.py).
"""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from comparison import ask, check, damage, repair, verdict, verify  # noqa: E402
from harness import ident, main, raises, same_rows, test  # noqa: E402
from pairs import (batch, conflicts, create, enable, equal, moved, on_pairs, quote,  # noqa: E402
                   rows, run, sync)

TASK = "CREATE TABLE task (id TEXT PRIMARY KEY, title TEXT, n INTEGER, amount NUMERIC)"


def caller_and_peer(a, b):
    """Sessions with a SQLite database are called there."""
    return (b, a) if a.engine == "postgres" and b.engine == "sqlite" else (a, b)


def keys(report, table="task"):
    found = next(t for t in report["tables"] if t["table"] == table)
    return {(tuple(k["pk"].values()), k["is"]) for k in found["keys"]}


def digest(db, table="task"):
    return db.value(f"SELECT sync_digest({quote(table)})")


def fill(db, count, table="task"):
    db.run(batch(f"INSERT INTO {table} VALUES ('k{i}', 't{i}', {i}, {i}.50)"
                 for i in range(count)))


def two(a, b, count=300):
    """Both tables filled and alike."""
    create(TASK, a, b)
    fill(a, count)
    sync(a, b)


@on_pairs("verify: equal data is the same, by few bytes whatever its size")
def _(_t, a, b):
    two(a, b, 20)
    small = verify(a, b)
    assert small["same"] and small["consistent"] and small["score"] == 1, small
    assert small["equal_knowledge"] and small["rounds"] == 2, small
    a.run(batch(f"INSERT INTO task VALUES ('l{i}', 'x', {i}, NULL)" for i in range(3000)))
    sync(a, b)
    large = verify(a, b)
    assert large["same"] and large["tables"][0]["same"] == 3020, large
    assert large["bytes"] < small["bytes"] + 40, (small["bytes"], large["bytes"])
    assert digest(a) == digest(b) and digest(a).startswith("3020 ")


@on_pairs("verify: digests do not depend on how an engine spells a value")
def _(_t, a, b):
    schema = """CREATE TABLE kinds (id UUID PRIMARY KEY, flag BOOLEAN, whole BIGINT,
                real DOUBLE PRECISION, amount NUMERIC, words TEXT, bytes BLOB, day DATE,
                at TIMESTAMP, zoned TIMESTAMPTZ, doc JSON)"""
    create(schema, a, b)
    hexa = "x'00ff'" if a.engine == "sqlite" else "'\\x00ff'"
    a.run(f"""INSERT INTO kinds VALUES
      ('0b1c2d3e-0000-4000-8000-000000000001', true, 9007199254740993, -0.0, 12.50, 'äß\n',
       {hexa}, '2024-02-29', '2024-02-29 12:00:00.50', '2024-02-29 12:00:00+02',
       '{{"b": [1.0, 2], "a": {{"x": null}}}}'),
      ('0b1c2d3e-0000-4000-8000-000000000002', NULL, NULL, 1e308, -0.001, '', NULL, NULL, NULL,
       '1960-01-01 00:00:00Z', 'null')""")
    sync(a, b)
    report = verify(a, b, deep=True)
    assert report["same"], report
    assert digest(a, "kinds") == digest(b, "kinds")
    a.run("UPDATE kinds SET whole = 9007199254740992 WHERE whole IS NOT NULL")
    assert digest(a, "kinds") != digest(b, "kinds")


@on_pairs("verify: ten differences on either side are found, and told from what is in flight")
def _(_t, a, b):
    two(a, b, 4000)
    verify(a, b)
    a.run("UPDATE task SET title = 'here' WHERE n % 400 = 7")
    b.run("UPDATE task SET title = 'there' WHERE n % 400 = 9; DELETE FROM task WHERE n = 11")
    report = verify(a, b)
    assert not report["same"] and report["consistent"] and not report["equal_knowledge"], report
    assert verdict(report) == {"in_flight": 21}, report
    damage(b, "UPDATE task SET amount = -1 WHERE n % 400 = 20")
    damage(a, "UPDATE task SET amount = -2 WHERE n % 400 = 30")
    assert verdict(verify(a, b))["in_flight"] == 21
    report = verify(a, b, deep=True)
    assert verdict(report) == {"in_flight": 21, "different": 20}, report
    assert not report["consistent"] and 0.99 < report["score"] < 1, report
    assert {k for k, what in keys(report) if what == "different"} == {
        (f"k{i}",) for i in range(4000) if i % 400 in (20, 30)}
    assert report["bytes"] < 40_000, report["bytes"]
    sync(a, b)
    assert verdict(verify(a, b, deep=True)) == {"different": 20}


@on_pairs("repair: damage goes the right way, from whichever side it is")
def _(_t, a, b):
    two(a, b)
    assert verify(a, b)["same"]
    damage(b, "UPDATE task SET title = 'wrong' WHERE n = 5; DELETE FROM task WHERE n = 6;"
              "INSERT INTO task VALUES ('new there', 'x', -1, 1)")
    damage(a, "UPDATE task SET title = 'wrong, too' WHERE n = 7; DELETE FROM task WHERE n = 8")
    assert verdict(verify(a, b, deep=True)) == {"different": 2, "only_here": 1, "only_there": 2}
    before = digest(a), digest(b)
    plan = repair(a, b, dry_run=True)
    assert plan["dry_run"] and plan["repaired"] == 5 and not plan["undecided"], plan
    assert (digest(a), digest(b)) == before, "a dry run wrote"
    report = repair(a, b)
    assert report["repaired"] == 5 and not report["undecided"], report
    assert not report["still_different"] and all(row["done"] for row in report["rows"]), report
    assert verify(a, b, deep=True)["same"]
    assert equal([a, b], ["task"]) == 301
    assert rows(a, "SELECT title FROM task WHERE n IN (5, 6, 7, 8)") == [
        ("t5",), ("t6",), ("t7",), ("t8",)]
    assert not moved(sync(a, b)) and not conflicts(a)
    assert not check(a, deep=True) and not check(b, deep=True)


@on_pairs("repair: what cannot be decided stays, until a side is named")
def _(_t, a, b):
    two(a, b)
    damage(b, "UPDATE task SET title = 'which' WHERE n = 5")
    report = repair(a, b)
    assert report["undecided"] == report["still_different"] == 1 and not report["repaired"], report
    assert not report["rows"][0]["done"] and "from" in report["rows"][0]["action"], report
    assert rows(b, "SELECT title FROM task WHERE n = 5") == [("which",)]
    assert repair(a, b, **{"from": "local"})["repaired"] == 1
    assert equal([a, b], ["task"]) == 300
    assert rows(b, "SELECT title FROM task WHERE n = 5") == [("t5",)]
    damage(b, "UPDATE task SET title = 'this' WHERE n = 5; DELETE FROM task WHERE n = 9")
    assert repair(a, b, **{"from": "peer"})["repaired"] == 2
    assert equal([a, b], ["task"]) == 299
    assert rows(a, "SELECT title FROM task WHERE n IN (5, 9)") == [("this",)]
    assert not moved(sync(a, b)) and not conflicts(a)


@on_pairs("repair: a version that one side lost is joined, whatever its vector says")
def _(_t, a, b):
    two(a, b)
    for db in (a, b):  # a version of its own for each column
        sync(a, b)
        column = "title" if db is a else "n"
        db.run(f"UPDATE task SET {column} = '77' WHERE id = 'k5'")
    sync(a, b)
    kept = "SELECT * FROM {0} WHERE {1}"
    state, key = (("sync_state_1", "k1 = 'k5'") if b.engine == "sqlite" else
                  ("syncline.state_1", "key = (SELECT key FROM syncline.state_1 ORDER BY pos DESC"
                                       " LIMIT 1)"))
    b.run(f"CREATE TABLE old_state AS {kept.format(state, key)};"
          "CREATE TABLE old_row AS SELECT * FROM task WHERE id = 'k5'")
    a.run("UPDATE task SET amount = 1234 WHERE id = 'k5'")
    sync(a, b)
    where = key if b.engine == "sqlite" else "key = (SELECT key FROM old_state)"
    damage(b, f"DELETE FROM {state} WHERE {where}; INSERT INTO {state} SELECT * FROM old_state;"
              "DELETE FROM task WHERE id = 'k5'; INSERT INTO task SELECT * FROM old_row")
    assert not moved(sync(a, b)), "the vectors should hide the loss"
    assert verdict(verify(a, b, deep=True)) == {"different": 1}
    report = repair(a, b)
    assert report["repaired"] == 1 and not report["still_different"], report
    assert "lacks versions" in report["rows"][0]["action"], report
    assert equal([a, b], ["task"]) == 300
    assert rows(b, "SELECT title, n, amount FROM task WHERE id = 'k5'")[0][:2] == ("77", "77")


@on_pairs("verify: a row that a constraint keeps out on one side is no difference")
def _(_t, a, b):
    run(TASK, a)
    run(TASK.replace("n INTEGER", "n INTEGER CHECK (n < 100)"), b)
    enable(a, "task")
    enable(b, "task")
    fill(a, 110)
    sync(a, b)
    report = verify(a, b, deep=True)
    assert verdict(report) == {"held": 10}, report
    assert repair(a, b)["undecided"] == 10
    assert [row for row in check(b) if row[0] == "error"] == []


@on_pairs("verify: a held row that is let in without news changes the stored sums")
def _(_t, a, b):
    create("CREATE TABLE task (id TEXT PRIMARY KEY, code INTEGER UNIQUE)", a, b)
    # enough rows that the two fall into different groups
    a.run(batch(f"INSERT INTO task VALUES ('k{i}', {i + 10})" for i in range(2000)))
    a.run("INSERT INTO task VALUES ('here', 1)")
    b.run("INSERT INTO task VALUES ('there', 1)")
    sync(a, b)
    sync(a, b)
    assert equal([a, b], ["task"]) == 2001 and verify(a, b)["same"]
    kept = rows(a, "SELECT id FROM task WHERE code = 1")[0][0]
    a.run(f"DELETE FROM task WHERE id = {quote(kept)}")
    sync(a, b)
    sync(a, b)
    assert equal([a, b], ["task"]) == 2001
    assert rows(a, "SELECT id FROM task WHERE code = 1")[0][0] != kept
    assert verify(a, b)["same"] and verify(a, b, deep=True)["same"]
    assert not check(a, deep=True) and not check(b, deep=True)


@on_pairs("verify: tables and columns that one side lacks are named")
def _(_t, a, b):
    two(a, b, 10)
    for db, name in ((a, "here"), (b, "there")):
        run(f"CREATE TABLE only_{name} (id INTEGER PRIMARY KEY)", db)
        enable(db, f"only_{name}")
        run("CREATE TABLE odd (" + ("a" if db is a else "b") + " INTEGER PRIMARY KEY)", db)
        enable(db, "odd")
    a.run("ALTER TABLE task ADD COLUMN extra TEXT")
    report = verify(a, b)
    problems = {t["table"]: t.get("problem", "") for t in report["tables"]}
    assert "does not track" in problems["only_here"], problems
    assert "not tracked here" in problems["only_there"], problems
    assert "primary key" in problems["odd"], problems
    task = next(t for t in report["tables"] if t["table"] == "task")
    assert task["columns_left_out"] == ["extra"] and task["same"] == 10, task
    assert not report["same"], "tables were left out"
    assert verify(a, b, table="task")["same"]
    # Also where the values of the column are kept for the day when it appears.
    a.run("UPDATE task SET extra = 'parked' WHERE id = 'k1'")
    sync(a, b)
    report = verify(a, b, table="task")
    assert report["same"] and report["tables"][0]["columns_left_out"] == ["extra"], report


@on_pairs("verify: names with quotes, keys of several columns")
def _(_t, a, b):
    name = 'it\'s "mine"'
    schema = (f'CREATE TABLE {ident(name)} ("a ""b" TEXT, "select" INTEGER, "it\'s" TEXT,'
              ' PRIMARY KEY ("a ""b", "select"))')
    for db in (a, b):
        run(schema, db)
        enable(db, ident(name) if db.engine == "postgres" else name)
    a.run(f"INSERT INTO {ident(name)} VALUES ('x', 1, 'y'), ('x''\"', 2, 'z')")
    sync(a, b)
    assert verify(a, b)["same"]
    damage(b, f"UPDATE {ident(name)} SET \"it's\" = 'q' WHERE \"select\" = 2", name)
    report = verify(a, b, deep=True, table=name)
    assert keys(report, name) == {(("x'\"", 2), "different")}, report
    assert repair(a, b)["repaired"] == 1 and verify(a, b, deep=True)["same"]
    assert digest(a, name) == digest(b, name)


@on_pairs("verify: what is wrong with a call is said")
def _(t, a, b):
    two(a, b, 3)
    a, b = caller_and_peer(a, b)
    peer = quote(b.url)
    for call, *words in (
            ("sync_verify('nobody')", "nobody"),
            ("sync_verify(NULL)", "missing"),
            (f"sync_verify({peer}, '{{\"deeep\": true}}')", "deeep", "deep"),
            (f"sync_verify({peer}, '{{\"deep\": 1}}')", "deep"),
            (f"sync_verify({peer}, '{{\"table\": \"tsk\"}}')", "tsk", "task"),
            (f"sync_verify({peer}, '[]')", "object"),
            (f"sync_repair({peer}, '{{\"from\": \"mine\"}}')", "mine"),
            (f"sync_repair({peer}, '{{\"deep\": true}}')", "deep"),
            ("sync_digest('tsk')", "tsk", "task"),
            ("sync_digest(NULL)", "missing"),
            ("sync_invariant(NULL, 'SELECT 1')", "missing"),
            ("sync_invariant('x', 'SELECT 1', '{\"expect\": \"maybe\"}')", "maybe"),
            ("sync_invariant('x', 'DELETE FROM task')", "query"),
            ("sync_invariant('x', 'SELECT 1; SELECT 2')", "invariant"),
            ("sync_invariant('x', 'SELEC')", "syntax")):
        raises(lambda call=call: a.value(f"SELECT {call}"), *words)
    raises(lambda: a.rows("SELECT * FROM sync_check('{\"deeep\": 1}')"), "deeep")
    raises(lambda: a.run(f"BEGIN; SELECT sync_verify({peer}); COMMIT"), "transaction")
    if a.engine == "sqlite":
        a.db.rollback()
        fresh = t.sqlite("fresh")
        raises(lambda: fresh.value("SELECT sync_verify('x.db')"), "tracks no table")
        raises(lambda: fresh.rows("SELECT * FROM sync_check()"), "tracks no table")
        raises(lambda: a.value(f"SELECT sync_verify({quote(a.url)})"), "itself")
        a.run(f"SELECT sync_add_peer('hub', {peer})")
        assert a.json("SELECT sync_verify('hub')")["same"]
    else:
        raises(lambda: a.value("SELECT syncline.answer('\\x0101ff')"), "damaged")
        raises(lambda: a.value("SELECT syncline.answer('\\x')"), "damaged")
        raises(lambda: a.value("SELECT syncline.answer('\\x0901')"), "not known")


def on_engines(name):
    def register(body):
        for engine in ("sqlite", "postgres"):
            test(f"{name} [{engine}]")(lambda t, engine=engine: body(t, getattr(t, engine)("db")))
        return body
    return register


@on_engines("check: a sound database gives no findings")
def _(_t, db):
    create(TASK, db)
    fill(db, 50)
    db.run("DELETE FROM task WHERE n < 10; UPDATE task SET title = 'x' WHERE n > 40")
    assert check(db) == check(db, deep=True) == []


@on_engines("check: rows written while the triggers were off, and their repair")
def _(t, db):
    other = t.sqlite("other")
    create(TASK, other, db)
    fill(other, 20)
    sync(other, db)
    db.run("DELETE FROM task WHERE n = 1")
    sync(other, db)
    assert check(db) == []
    damage(db, "DELETE FROM task WHERE n IN (2, 3); INSERT INTO task VALUES ('k1', 'back', 1, 1)")
    found = check(db)
    assert len(found) == 2 and all(row[:2] == ("error", "task") for row in found), found
    assert any("2 rows" in what and "missing" in what for _, _, what in found), found
    assert any("1 row" in what and "deleted" in what for _, _, what in found), found
    assert {row[0] for row in check(db, repair=True)} == {"repaired"}
    assert check(db) == []
    sync(other, db)
    same_rows(other, db, ["task"])
    assert rows(other, "SELECT title FROM task WHERE n IN (1, 2, 3)") == [("back",)]


@on_engines("check: with \"prefer\": \"state\" a row that was deleted is deleted again")
def _(t, db):
    other = t.sqlite("other")
    create(TASK, other, db)
    fill(db, 5)
    sync(other, db)
    db.run("DELETE FROM task WHERE n = 1")
    sync(other, db)
    damage(db, "INSERT INTO task VALUES ('k1', 'back', 1, 1)")
    assert [row[0] for row in check(db, repair=True, prefer="state")] == ["repaired"]
    assert check(db) == [] and not moved(sync(other, db))
    assert same_rows(other, db, ["task"]) == 4


@on_engines("check: changed values show against the digests of the last verification")
def _(t, db):
    other = t.sqlite("other")
    create(TASK, other, db)
    fill(db, 200)
    sync(other, db)
    assert verify(*caller_and_peer(other, db))["same"]
    db.run("UPDATE task SET title = 'logged' WHERE n = 3")
    assert check(db, deep=True) == []
    damage(db, "UPDATE task SET title = 'not logged' WHERE n = 4")
    assert check(db) == [], "rows were compared that need not be"
    found = check(db, deep=True)
    assert len(found) == 1 and "without being logged" in found[0][2], found


@test("check: triggers that are missing or altered are found and restored [sqlite]")
def _(t):
    db = t.sqlite("db")
    create(TASK, db)
    fill(db, 3)
    text = db.value("SELECT sql FROM sqlite_schema WHERE name = 'sync_1_update'")
    db.run("DROP TRIGGER sync_1_insert; DROP TRIGGER sync_1_update;"
           + text.replace("BEGIN", "WHEN 0 BEGIN"))
    found = check(db)
    assert [row[:2] for row in found] == [("error", "task")], found
    assert "1 triggers" in found[0][2] and "1 are not" in found[0][2], found
    assert check(db, repair=True)[0][0] == "repaired"
    assert all(row[0] == "warning" for row in check(db)), check(db)
    assert db.value("SELECT sql FROM sqlite_schema WHERE name = 'sync_1_update'") == text


@test("check: triggers that are switched off are found and switched on [postgres]")
def _(t):
    db = t.postgres("db")
    create(TASK, db)
    db.run("ALTER EVENT TRIGGER syncline_ddl_end DISABLE;"
           "ALTER EVENT TRIGGER syncline_drop DISABLE;"
           "ALTER TABLE task DISABLE TRIGGER syncline_capture;"
           "DROP TRIGGER syncline_truncate ON task")
    found = check(db)
    assert len(found) == 4 and {row[0] for row in found} == {"error"}, found
    assert {row[0] for row in check(db, repair=True)} == {"repaired"}
    assert check(db) == []
    db.run("INSERT INTO task VALUES ('a', 'x', 1, 1); TRUNCATE task")
    assert db.value("SELECT count(*) FROM syncline.log") == "2"


@on_engines("check: dangling foreign keys")
def _(_t, db):
    create("CREATE TABLE p (id INTEGER PRIMARY KEY);"
           "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))", db)
    db.run("INSERT INTO p VALUES (1); INSERT INTO c VALUES (1, 1)")
    assert check(db) == []
    if db.engine == "sqlite":
        db.run("DELETE FROM p")
    else:
        db.run("SET session_replication_role = replica; DELETE FROM p")
    found = check(db)
    assert [row[:2] for row in found] == [("warning", "c")] and "1 rows" in found[0][2], found


@on_engines("invariant: reported after an exchange, or what breaks it is refused")
def _(t, db):
    other = t.sqlite("other")
    create(TASK, other, db)
    fill(other, 5)
    sync(other, db)
    made = db.json("SELECT sync_invariant('no debts', 'SELECT id FROM task WHERE amount < 0')")
    assert made == {"name": "no debts", "expect": "none", "on_apply": "report", "holds": True}, made
    made = db.json("SELECT sync_invariant('sum', 'SELECT sum(n) < 100 FROM task',"
                   " '{\"on_apply\": \"refuse\"}')")
    assert made["expect"] == "true" and made["holds"] and made["on_apply"] == "refuse", made
    assert check(db) == []
    other.run("UPDATE task SET amount = -1 WHERE n = 2")
    sync(other, db)
    found = check(db)
    assert len(found) == 1 and "no debts" in found[0][2] and ", since 2" in found[0][2], found
    other.run("UPDATE task SET n = 1000 WHERE id = 'k3'")
    raises(lambda: sync(other, db), "invariant", "sum")
    assert rows(db, "SELECT n FROM task WHERE id = 'k3'") == [("3",)], "it was applied"
    other.run("UPDATE task SET n = 10 WHERE id = 'k3'; UPDATE task SET amount = 1 WHERE n = 2")
    sync(other, db)
    assert check(db) == [] and same_rows(other, db, ["task"]) == 5
    assert db.json("SELECT sync_invariant('sum', NULL)")["removed"]
    assert not db.json("SELECT sync_invariant('sum', NULL)")["removed"]
    db.run("DELETE FROM task WHERE id = 'k0'")  # an invariant is no constraint for local writes


@test("invariant: what a query may not do [sqlite]")
def _(t):
    db = t.sqlite("db")
    create(TASK, db)
    raises(lambda: db.value("SELECT sync_invariant('x', 'SELECT sync_site_name(''y'')')"),
           "may not call")
    raises(lambda: db.value("SELECT sync_invariant('x', 'PRAGMA user_version = 7')"), "query")
    db.run("SELECT sync_invariant('x', 'SELECT 1 FROM task')")
    db.run("UPDATE sync_invariant SET sql = 'SELECT load_extension(''x'')'")
    found = check(db)
    assert len(found) == 1 and "may not call" in found[0][2], found


@test("invariant: a query that writes or is not its author's to store [postgres]")
def _(t):
    db = t.postgres("db")
    create(TASK, db)
    db.run("CREATE FUNCTION sneak() RETURNS bool LANGUAGE sql AS"
           " 'INSERT INTO task VALUES (''s'', ''x'', 1, 1); SELECT true'")
    raises(lambda: db.value("SELECT sync_invariant('x', 'SELECT sneak()')"), "read-only")
    assert db.value("SELECT count(*) FROM task") == "0"
    db.run("CREATE ROLE verify_guest")
    try:
        db.run("GRANT SELECT ON task TO verify_guest")
        raises(lambda: db.run("SET ROLE verify_guest; SELECT sync_invariant('x', 'SELECT 1')"),
               "permission denied")
        raises(lambda: db.run("SET ROLE verify_guest;"
                              "SELECT * FROM sync_check('{\"repair\": true}')"), "owner")
        db.run("REVOKE SELECT ON task FROM verify_guest")
        raises(lambda: db.run("SET ROLE verify_guest; SELECT sync_digest('task')"),
               "permission denied")
    finally:
        db.run("DROP OWNED BY verify_guest; DROP ROLE verify_guest")


@on_pairs("check: a deleted parent that a row of another site keeps is no damage")
def _(t, a, b):
    for db in (a, b):
        if db.engine == "sqlite":
            db.run("PRAGMA foreign_keys=ON")
    create("CREATE TABLE owner (id INTEGER PRIMARY KEY);"
           "CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner(id))", a, b)
    a.run("INSERT INTO owner VALUES (1)")
    sync(a, b)
    a.run("DELETE FROM owner")
    b.run("INSERT INTO pet VALUES (7, 1)")
    sync(a, b)
    for db in (a, b):
        assert rows(db, "SELECT id FROM owner") == [("1",)], rows(db, "SELECT * FROM owner")
    assert not check(a) and not check(b), (check(a), check(b))


@on_engines("repair: many rows at once, more than fit one question")
def _(t, db):
    other = t.sqlite("other")
    create(TASK, other, db)
    fill(other, 3000)
    sync(other, db)
    damage(db, "DELETE FROM task WHERE n >= 500")
    report = repair(other, db, max_keys=5)
    assert report["repaired"] == 2500 and len(report["rows"]) == 5, report
    assert same_rows(other, db, ["task"]) == 3000 and verify(other, db, deep=True)["same"]


main()
