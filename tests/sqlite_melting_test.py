"""Goal: metadata that every site has seen goes, and nothing else changes: rows are exchanged as
before, whoever joins or comes back later. Method: files that are synchronised and maintained, in
the orders in which it could go wrong; rows are compared with SQLite's own SELECT."""
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Sqlite, main, raises, same_rows, test  # noqa: E402
from sqlite_pair import pair, plain, sync  # noqa: E402

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)"


def states(db, table="t"):
    return db.value("SELECT rows_with_state FROM sync_tables WHERE table_name = ?", table)


def maintain(*databases, **options):
    """Until nothing is left to do; the reports of the last calls."""
    out = []
    for db in databases:
        for _ in range(1000):
            report = db.json("SELECT sync_maintain(?)", json.dumps(options) if options else None)
            if report["done"]:
                break
        assert report["done"], report
        out.append(report)
    return out


def site(db):
    return db.value("SELECT sync_site_id()")


def melted_pair(t, rows=20, schema=SCHEMA, names=("a", "b")):
    """Two files with the same rows and no metadata of them."""
    a, b = pair(t, schema, names=names)
    for i in range(1, rows + 1):
        a.run("INSERT INTO t(id, a, b) VALUES(?, ?, 0)", i, i)
    sync(a, b)
    maintain(a, b)
    assert (states(a), states(b)) == (0, 0)
    return a, b


def join(t, name, schema=SCHEMA):
    db = t.sqlite(name)
    db.run(schema)
    db.value("SELECT sync_enable('t')")
    return db


def open_conflicts(db):
    return db.rows("SELECT kind, pk, column_name FROM sync_conflicts WHERE status = 'open' "
                   "ORDER BY pk, column_name")


# --- what goes, and what comes after

@test("melting: two files keep no metadata of rows that both have")
def _(t):
    a, b = pair(t, SCHEMA)
    for i in range(1, 101):
        (a if i % 3 else b).run("INSERT INTO t VALUES(?, ?, 0)", i, i)
    sync(a, b)
    a.run("UPDATE t SET a = a + 1 WHERE id < 20; DELETE FROM t WHERE id > 90")
    b.run("DELETE FROM t WHERE id = 50")
    sync(a, b)
    before = a.value("SELECT sum(metadata_bytes) FROM sync_tables")
    for db, report in zip((a, b), maintain(a, b)):
        assert report["waiting_for"] == [], report
        assert states(db) == 0
        assert db.value("SELECT count(*) FROM sync_log") <= 3, db.rows("SELECT * FROM sync_log")
        assert db.value("SELECT count(*) FROM sync_relay") <= 1
        assert db.value("SELECT count(*) FROM sync_growth") == 0
        assert report["bytes_metadata"] < before / 20, (report, before)
    again = sync(a, b)
    assert again["pulled"]["rows"] == again["pushed"]["rows"] == 0, again
    assert same_rows(a, b, ["t"]) == 89
    assert not a.rows("SELECT * FROM sync_check()") and not b.rows("SELECT * FROM sync_check()")


@test("melting: the report has what it says, and a second call finds nothing to do")
def _(t):
    a, b = pair(t, SCHEMA)
    a.run("INSERT INTO t VALUES(1, 1, 1), (2, 2, 2)")
    sync(a, b)
    report = a.json("SELECT sync_maintain()")
    assert list(report) == ["rows_melted", "rows_looked_at", "done", "waiting_for",
                            "conflicts_dropped", "events_dropped", "log_dropped",
                            "bytes_metadata"], report
    assert (report["rows_melted"], report["rows_looked_at"], report["done"]) == (2, 2, True)
    assert report["log_dropped"] == 2, report
    report = a.json("SELECT sync_maintain()")
    assert (report["rows_melted"], report["log_dropped"], report["done"]) == (0, 0, True)


@test("melting: sync_now maintains afterwards, if it is told to, the calling side")
def _(t):
    a, b = pair(t, SCHEMA)
    a.run("INSERT INTO t VALUES(1, 1, 1), (2, 2, 2)")
    assert "maintained" not in sync(a, b)
    b.run("UPDATE t SET a = 5 WHERE id = 1")
    report = a.json("SELECT sync_now(?, '{\"maintain\": true}')", b.path)
    assert report["maintained"]["rows_melted"] == 2 and report["warnings"] == [], report
    assert (states(a), states(b)) == (0, 2)
    b.value("SELECT sync_add_peer('a', ?, '{\"maintain\": true}')", a.path)
    assert b.json("SELECT sync_now()")["peers"][0]["maintained"]["done"]
    assert (states(a), states(b)) == (0, 0)
    raises(lambda: a.value("SELECT sync_now(?, '{\"maintain\": 1}')", b.path), "maintain", "true")
    assert same_rows(a, b, ["t"]) == 2


@test("melting: what is written later is exchanged exactly, and melts again")
def _(t):
    a, b = melted_pair(t)
    a.run("UPDATE t SET a = 'new' WHERE id = 1; DELETE FROM t WHERE id = 2; "
          "INSERT INTO t VALUES(100, 'mine', 1)")
    b.run("UPDATE t SET b = 'other' WHERE id = 1; DELETE FROM t WHERE id = 3; "
          "INSERT INTO t VALUES(101, 'yours', 1)")
    report = sync(a, b)
    assert (report["pulled"]["rows"], report["pushed"]["rows"]) == (3, 3), report
    assert a.rows("SELECT * FROM t WHERE id IN (1, 2, 3, 100, 101) ORDER BY id") == [
        (1, "new", "other"), (100, "mine", 1), (101, "yours", 1)]
    same_rows(a, b, ["t"])
    assert open_conflicts(a) == open_conflicts(b) == []
    maintain(a, b)
    assert (states(a), states(b)) == (0, 0)
    same_rows(a, b, ["t"])
    b.run("INSERT INTO t VALUES(2, 'again', 1)")  # a key that was deleted, and forgotten
    sync(a, b)
    assert a.rows("SELECT a FROM t WHERE id = 2") == [("again",)]


@test("melting: writes to a melted row that did not see each other are a conflict on both sides")
def _(t):
    a, b = melted_pair(t)
    a.run("UPDATE t SET a = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2")
    b.run("UPDATE t SET a = 'y' WHERE id = 1; UPDATE t SET b = 9 WHERE id = 2")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert open_conflicts(a) == open_conflicts(b)
    assert [k for k, _, _ in open_conflicts(a)] == ["update_update", "update_delete"]
    assert a.value("SELECT b FROM t WHERE id = 2") == 9
    maintain(a, b)
    assert states(a) == states(b) == 2  # as long as both versions are there
    a.value("SELECT sync_resolve_all('{}', 'local')")
    sync(a, b)
    maintain(a, b)
    assert (states(a), states(b)) == (0, 0)
    same_rows(a, b, ["t"])


@test("melting: rows that came in many chunks melt, also those of a full exchange")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id TEXT PRIMARY KEY, a, b)")
    a.run("INSERT INTO t WITH RECURSIVE s(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM s "
          "WHERE i < 300) SELECT hex(randomblob(8)), i, i FROM s")
    small = '{"max_bytes": 1000}'
    assert a.json("SELECT sync_now(?, ?)", b.path, small)["pushed"]["chunks"] > 3
    maintain(a, b)
    assert (states(a), states(b)) == (0, 0)
    c = join(t, "c", "CREATE TABLE t(id TEXT PRIMARY KEY, a, b)")
    assert c.json("SELECT sync_now(?, ?)", b.path, small)["pulled"]["chunks"] > 3
    b.run("UPDATE t SET b = 0 WHERE a = 1")
    sync(a, b)
    sync(c, b)
    sync(c, a)
    maintain(c)
    assert states(c) <= 1, states(c)
    assert same_rows(a, c, ["t"]) == 300


@test("melting: a call does no more than it may, and the next goes on")
def _(t):
    a, b = pair(t, SCHEMA)
    a.run("INSERT INTO t WITH RECURSIVE s(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM s "
          "WHERE i < 1000) SELECT i, i, i FROM s")
    sync(a, b)
    melted = calls = dropped = 0
    while True:
        report = a.json("""SELECT sync_maintain('{"rows_max": 300}')""")
        assert report["rows_looked_at"] <= 300 and report["log_dropped"] <= 300, report
        melted += report["rows_melted"]
        dropped += report["log_dropped"]
        calls += 1
        if report["done"]:
            break
        assert calls < 20
    assert (melted, dropped, states(a)) == (1000, 1000, 0), (melted, dropped, calls)
    assert calls >= 4


@test("melting: a program without the extension writes on, and is tracked")
def _(t):
    a, b = melted_pair(t)
    program = plain(t, a.path)
    program.run("UPDATE t SET a = 'plain' WHERE id = 1; DELETE FROM t WHERE id = 2; "
                "INSERT INTO t VALUES(50, 'plain', 1)")
    sync(a, b)
    assert b.rows("SELECT id, a FROM t WHERE a = 'plain' ORDER BY id") == [
        (1, "plain"), (50, "plain")]
    assert same_rows(a, b, ["t"]) == 20
    maintain(a, b)
    assert (states(a), states(b)) == (0, 0)


@test("melting: a column that is added, and a table enabled anew, go on as before")
def _(t):
    a, b = melted_pair(t, rows=3)
    for db in (a, b):
        db.value("SELECT sync_alter('t', 'ALTER TABLE t ADD COLUMN c DEFAULT 7')")
    a.run("UPDATE t SET c = 8 WHERE id = 1")
    sync(a, b)
    assert b.rows("SELECT id, c FROM t ORDER BY id") == [(1, 8), (2, 7), (3, 7)]
    maintain(a, b)
    assert (states(a), states(b)) == (0, 0)
    b.value("SELECT sync_disable('t')")
    b.value("SELECT sync_enable('t')")
    b.run("UPDATE t SET a = 'b' WHERE id = 2")
    a.run("UPDATE t SET a = 'a' WHERE id = 3")
    sync(a, b)
    same_rows(a, b, ["t"])
    assert a.rows("SELECT id, a FROM t ORDER BY id") == [(1, 1), (2, "b"), (3, "a")]


@test("melting: verify and repair where one side alone has dropped its metadata")
def _(t):
    a, b = pair(t, SCHEMA)
    a.run("INSERT INTO t WITH RECURSIVE s(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM s "
          "WHERE i < 300) SELECT i, i, i FROM s")
    sync(a, b)
    maintain(a)
    assert (states(a), states(b)) == (0, 300)
    report = a.json("SELECT sync_verify(?)", b.path)
    assert report["same"], report
    hidden = Sqlite(b.path, extension=False)
    hidden.db.executescript(
        "DELETE FROM t WHERE id = 5; UPDATE t SET a = 'rot' WHERE id = 6; "
        "DELETE FROM sync_log WHERE seq > (SELECT value FROM sync_meta WHERE key = 'folded')")
    hidden.close()
    deep = '{"deep": true}'
    report = a.json("SELECT sync_verify(?, ?)", b.path, deep)
    assert not report["same"], report
    report = a.json("SELECT sync_repair(?)", b.path)
    assert report["repaired"] == 2, report
    report = a.json("SELECT sync_verify(?, ?)", b.path, deep)
    assert report["same"], report
    assert same_rows(a, b, ["t"]) == 300
    assert a.value("SELECT a FROM t WHERE id = 6") == 6


# --- who joins later, or comes back

@test("melting: a file that joins gets everything, and brings what it has")
def _(t):
    a, b = melted_pair(t)
    c = join(t, "c")
    c.run("INSERT INTO t VALUES(200, 'c', 1), (1, 'differs', 1), (2, 2, 0)")
    sync(c, a)
    assert same_rows(a, c, ["t"]) == 21
    assert [(k, json.loads(p)["id"], n) for k, p, n in open_conflicts(c)] == [
        ("insert_insert", 1, "a"), ("insert_insert", 1, "b")], open_conflicts(c)
    sync(b, a)
    sync(b, c)
    same_rows(a, b, ["t"])
    same_rows(b, c, ["t"])
    assert open_conflicts(a) == open_conflicts(b) == open_conflicts(c)
    b.run("DELETE FROM t WHERE id = 10")
    sync(b, c)
    sync(a, c)
    assert same_rows(a, c, ["t"]) == 20
    a.value("SELECT sync_resolve_all('{}', 'local')")
    a.run("DELETE FROM t WHERE id IN (1, 2)")
    for i in range(3):  # who has what travels with what is new
        for n, db in enumerate((a, b, c)):
            db.run("UPDATE t SET b = ? WHERE id = ?", i, 3 + n)
        sync(a, b)
        sync(b, c)
        sync(c, a)
    maintain(a, b, c)
    for db in (a, b, c):
        assert not db.rows("SELECT k1 FROM sync_state_1 WHERE k1 NOT IN (3, 4, 5)")
    same_rows(a, c, ["t"])


@test("melting: a file that was alone, and kept nothing, meets others, whoever begins")
def _(t):
    for begins in (0, 1):
        a, b = join(t, f"a{begins}"), join(t, f"b{begins}")
        a.run("INSERT INTO t VALUES(1, 'a', 0), (2, 'a', 0), (4, 'same', 0)")
        assert maintain(a)[0]["rows_melted"] == 3
        b.run("INSERT INTO t VALUES(2, 'b', 0), (3, 'b', 0), (4, 'same', 0)")
        report = sync(a, b) if begins else sync(b, a)
        assert min(report["pulled"]["rows"], report["pushed"]["rows"]) > 0, report
        assert same_rows(a, b, ["t"]) == 4
        assert [p.replace(" ", "") for _, p, _ in open_conflicts(a)] == ['{"id":2}']
        assert open_conflicts(a) == open_conflicts(b)


@test("melting: rows that come in a full exchange need no metadata at an empty file")
def _(t):
    a, b = melted_pair(t, rows=50)
    c = join(t, "c")
    sync(c, b)
    assert same_rows(b, c, ["t"]) == 50
    assert states(c) == 0, c.rows("SELECT * FROM sync_state_1")
    c.run("UPDATE t SET a = 'c' WHERE id = 7")
    sync(a, c)
    assert a.value("SELECT a FROM t WHERE id = 7") == "c"


def away(t):
    """a, b, and c, which has what they had and then goes away; later, a deletes and changes."""
    a, b = pair(t, SCHEMA)
    c = join(t, "c")
    a.run("INSERT INTO t WITH RECURSIVE s(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM s "
          "WHERE i < 20) SELECT i, i, 0 FROM s")
    for _ in range(2):
        sync(a, b)
        sync(b, c)
        sync(c, a)
    c.run("UPDATE t SET a = 'away' WHERE id = 1; INSERT INTO t VALUES(300, 'away', 0); "
          "DELETE FROM t WHERE id = 4; UPDATE t SET b = 'away' WHERE id = 5")
    a.run("DELETE FROM t WHERE id IN (2, 3, 5); UPDATE t SET b = 'home' WHERE id = 1")
    sync(a, b)
    return a, b, c


@test("melting: a site that is away holds the horizon, and comes back as if it had not been")
def _(t):
    a, b, c = away(t)
    report, _ = maintain(a, b)
    assert report["waiting_for"] == [site(c)], report
    row = a.rows("SELECT status, behind_changes > 0, behind_ms > 0, holds_horizon FROM sync_sites "
                 "WHERE site = ?", site(c))
    assert row == [("active", 1, 1, 1)], row
    assert states(a) >= 4  # of what c does not have
    sync(c, a)
    assert c.rows("SELECT * FROM t WHERE id IN (1, 2, 3, 4, 300) ORDER BY id") == [
        (1, "away", "home"), (300, "away", 0)]
    assert [k for k, _, _ in open_conflicts(a)] == ["update_delete"]
    sync(b, c)
    same_rows(a, b, ["t"])
    same_rows(a, c, ["t"])


@test("melting: a site that was retired is told so, takes a new id and keeps what it wrote")
def _(t):
    a, b, c = away(t)
    old = site(c)
    a.json("SELECT sync_retire_site(?, 'lost')", old)
    sync(a, b)
    for db, report in zip((a, b), maintain(a, b)):
        assert report["waiting_for"] == [] and states(db) == 0, report
    raises(lambda: sync(c, a), "was retired", "sync_new_identity()")
    raises(lambda: sync(b, c), "was retired", "sync_new_identity()")
    assert a.value("SELECT count(*) FROM t WHERE id = 300") == 0
    fresh = c.value("SELECT sync_new_identity()")
    assert fresh != old
    sync(c, a)
    same_rows(a, c, ["t"])
    assert c.rows("SELECT * FROM t WHERE id IN (1, 2, 3, 4, 300) ORDER BY id") == [
        (1, "away", "home"), (300, "away", 0)]
    # Changed there, deleted here: the update wins, as ever, and the conflict is on record.
    assert c.rows("SELECT a, b FROM t WHERE id = 5") == [(5, "away")]
    assert ("update_delete", '{"id":5}') in [(k, p.replace(" ", "")) for k, p, _ in
                                             open_conflicts(a)], open_conflicts(a)
    sync(b, a)
    same_rows(a, b, ["t"])
    assert a.rows("SELECT status FROM sync_sites WHERE site IN (?, ?) ORDER BY status",
                  old, fresh) == [("active",), ("retired",)]


@test("melting: members not heard of for long are retired when asked for, this site never")
def _(t):
    a, b, c = away(t)
    a.run("UPDATE sync_ack SET heard_ms = heard_ms - 20 * 86400000")
    a.run("UPDATE sync_setting SET value = json_set(value, '$.joined_ms', 1) "
          "WHERE key LIKE 'site/%'")
    assert a.json("SELECT sync_maintain()")["waiting_for"] == [site(c)]
    report = a.json("""SELECT sync_maintain('{"retire_unseen_days": 30}')""")
    assert report["waiting_for"] == [site(c)], report
    maintain(a, retire_unseen_days=10)
    assert a.rows("SELECT status, retired_by FROM sync_sites WHERE status = 'retired'") == [
        ("retired", site(a))]
    assert states(a) == 0
    assert a.value("SELECT status FROM sync_sites WHERE site = ?", site(b)) == "active"


# --- full exchanges that do not go smoothly

def chunks(sender, receiver, size=64):
    return [row for (row,) in sender.rows(
        "SELECT changes FROM sync_changes_since(?, ?)",
        receiver.value("SELECT sync_version_vector()"), json.dumps({"max_bytes": size}))]


@test("melting: a full exchange that breaks off goes on, and meanwhile gives nothing away")
def _(t):
    a, b = melted_pair(t, rows=60)
    c = join(t, "c")
    c.run("INSERT INTO t VALUES(10, 'c', 0), (55, 'c', 0), (400, 'c', 0)")
    parts = chunks(a, c)
    assert len(parts) > 3
    for part in parts[:2]:
        assert not c.json("SELECT sync_apply(?)", part)["complete"]
    raises(lambda: chunks(c, b), "middle of its first exchange")
    assert c.json("SELECT sync_maintain()")["rows_melted"] == 0
    a.run("DELETE FROM t WHERE id IN (1, 59); UPDATE t SET b = 'later' WHERE id = 30")
    sync(c, a)
    assert same_rows(a, c, ["t"]) == 59
    assert c.value("SELECT count(*) FROM t WHERE id IN (1, 59)") == 0
    sync(b, c)
    same_rows(b, c, ["t"])


@test("melting: a full exchange that is carried by hand, chunks repeated")
def _(t):
    a, b = melted_pair(t, rows=60)
    c = join(t, "c")
    parts = chunks(a, c)
    for i, part in enumerate(parts):
        c.json("SELECT sync_apply(?)", part)
        if i % 2:
            c.json("SELECT sync_apply(?)", part)
    assert same_rows(a, c, ["t"]) == 60
    assert not c.rows("SELECT * FROM sync_check()")
    c.run("UPDATE t SET a = 'c' WHERE id = 3")
    for part in chunks(c, b):
        b.json("SELECT sync_apply(?)", part)
    assert b.value("SELECT a FROM t WHERE id = 3") == "c"


@test("melting: in a chain, sites that never meet hear of each other")
def _(t):
    a, b = pair(t, SCHEMA)
    c = join(t, "c")
    a.run("INSERT INTO t VALUES(1, 1, 1), (2, 2, 2)")
    c.run("INSERT INTO t VALUES(3, 3, 3)")
    for i in range(3):  # who has what travels with what is new
        a.run("UPDATE t SET b = ? WHERE id = 2", i)
        sync(a, b)
        sync(c, b)
    maintain(a, b, c)
    assert [states(db) <= 1 for db in (a, b, c)] == [True] * 3, [states(db) for db in (a, b, c)]
    a.run("DELETE FROM t WHERE id = 3")
    sync(a, b)
    sync(c, b)
    assert same_rows(a, c, ["t"]) == 2


@test("melting: two pairs that never met, both without metadata, become four")
def _(t):
    a, b = melted_pair(t, rows=10)
    c, d = pair(t, SCHEMA, names=("c", "d"))
    c.run("INSERT INTO t VALUES(1, 1, 0), (2, 'two', 0), (50, 'c', 0)")
    sync(c, d)
    maintain(c, d)
    assert states(c) == 0
    sync(a, c)
    same_rows(a, c, ["t"])
    assert a.value("SELECT count(*) FROM t") == 11
    sync(b, a)
    sync(d, c)
    sync(d, b)
    same_rows(a, b, ["t"])
    same_rows(a, d, ["t"])


@test("melting: a copy of a file without metadata takes a new id, and nothing is lost")
def _(t):
    a, b = melted_pair(t)
    a.run("INSERT INTO t VALUES(500, 'before', 0)")
    sync(a, b)
    maintain(a, b)
    path = str(pathlib.Path(a.path).with_name("copy.db"))
    shutil.copy(a.path, path)
    copy = Sqlite(path)
    t.open.append(copy)
    a.run("INSERT INTO t VALUES(501, 'a', 0)")
    copy.run("INSERT INTO t VALUES(502, 'copy', 0); UPDATE t SET b = 'copy' WHERE id = 500")
    sync(a, b)
    sync(copy, b)
    assert site(copy) != site(a)
    sync(a, b)
    same_rows(a, b, ["t"])
    assert same_rows(a, copy, ["t"]) == 23
    for i in range(3):
        a.run("UPDATE t SET b = ? WHERE id = 1", i)
        sync(a, b)
        sync(copy, b)
    maintain(a, b, copy)
    assert states(a) <= 1 and states(copy) <= 1, (states(a), states(copy))


# --- what does not melt

@test("melting: nothing melts in a table as long as a row of it is held")
def _(t):
    a, b = pair(t, "CREATE TABLE t(id INTEGER PRIMARY KEY, a UNIQUE, b)")
    a.run("INSERT INTO t VALUES(1, 'same', 1), (3, 'x', 1)")
    b.run("INSERT INTO t VALUES(2, 'same', 2)")
    sync(a, b)
    sync(a, b)
    assert [k for k, _, _ in open_conflicts(a)] == ["unique"]
    maintain(a, b)
    assert states(a) == states(b) == 3
    held = json.loads(open_conflicts(a)[0][1])["id"]
    a.run("UPDATE t SET a = 'other' WHERE a = 'same'")
    sync(a, b)
    sync(a, b)
    assert open_conflicts(a) == open_conflicts(b) == []
    assert same_rows(a, b, ["t"]) == 3 and held in (1, 2)
    maintain(a, b)
    assert (states(a), states(b)) == (0, 0)


@test("melting: rows whose columns count or merge keep what that needs")
def _(t):
    schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, n INTEGER, u TEXT, j TEXT, x TEXT)"
    a, b = pair(t, schema)
    for column, policy in (("n", "counter"), ("u", "union"), ("j", "json"), ("x", "text")):
        a.value("SELECT sync_set_policy('t', ?, ?)", column, policy)
    a.run("INSERT INTO t VALUES(1, 1, 1, 10, '[\"p\"]', '{\"k\": 1}', 'one two three'), "
          "(2, 2, 2, 0, '[]', '{}', '')")
    sync(a, b)
    a.run("DELETE FROM t WHERE id = 2")
    sync(a, b)
    maintain(a, b)
    assert states(a) == states(b) == 1
    a.run("UPDATE t SET n = n + 5, u = '[\"p\", \"q\"]', j = '{\"k\": 1, \"a\": 2}', "
          "x = 'ONE two three'")
    b.run("UPDATE t SET n = n - 3, u = '[\"p\", \"r\"]', j = '{\"k\": 1, \"b\": 3}', "
          "x = 'one two THREE'")
    sync(a, b)
    same_rows(a, b, ["t"])
    n, u, j, x = a.rows("SELECT n, u, j, x FROM t")[0]
    assert (n, x) == (12, "ONE two THREE"), (n, x)
    assert sorted(json.loads(u)) == ["p", "q", "r"] and json.loads(j) == {"k": 1, "a": 2, "b": 3}


@test("melting: closed conflicts and events go when they are old, open ones stay")
def _(t):
    a, b = pair(t, SCHEMA)
    a.run("INSERT INTO t VALUES(1, 0, 0), (2, 0, 0)")
    sync(a, b)
    a.run("UPDATE t SET a = 'a'")
    b.run("UPDATE t SET a = 'b'")
    sync(a, b)
    first = a.value("SELECT id FROM sync_conflicts ORDER BY pk LIMIT 1")
    a.value("SELECT sync_resolve(?, 'local')", first)
    assert a.json("SELECT sync_maintain()")["conflicts_dropped"] == 0
    a.run("UPDATE sync_conflict SET detected_at = '2020-01-01T00:00:00.000Z', resolved_at = "
          "iif(resolved_at IS NULL, NULL, '2020-01-01T00:00:00.000Z'); "
          "UPDATE sync_event SET at = '2020-01-01T00:00:00.000Z'")
    events = a.value("SELECT count(*) FROM sync_event")
    report = a.json("""SELECT sync_maintain('{"keep_closed_days": 30}')""")
    assert (report["conflicts_dropped"], report["events_dropped"]) == (1, events - 1), report
    assert a.rows("SELECT status FROM sync_conflicts") == [("open",)]


main()
