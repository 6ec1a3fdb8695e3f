"""Bodies about policies, conflicts and decisions that speak only SQL both engines take.

    from conflict_cases import CASES
    for name, body in CASES:
        on_pairs(name, pairs=("SQLite-SQLite",))(body)

Each body is body(t, a, b), for two sites of whatever engine.
"""
from harness import raises
from pairs import (conflicts, create, enable, equal, export, apply, quote, rows, run, sync,
                   vector)

CASES = []
SCHEMA = """CREATE TABLE item (id TEXT PRIMARY KEY, title TEXT, qty INTEGER, price NUMERIC(12,2),
  tags JSON, doc JSON, notes TEXT, status TEXT, at INTEGER);"""
ROW = """INSERT INTO item VALUES ('i1', 'one', 10, 1.50, '["x"]', '{"a": 1, "b": 2}',
  'first line
second line
third line', 'new', 5)"""


def case(name):
    def register(body):
        CASES.append((name, body))
        return body
    return register


def policy(db, column, name, options=None, table="item"):
    arguments = [quote(table), "NULL" if column is None else quote(column), quote(name)]
    if options is not None:
        arguments.append(quote(options))
    return db.json(f"SELECT sync_set_policy({', '.join(arguments)})")


def start(a, b, **policies):
    """Two sites with one row, and policies by column that both have."""
    create(SCHEMA, a, b)
    run(ROW, a)
    for column, name in policies.items():
        policy(a, column, name)
    sync(a, b)


def clash(a, b, column, here, there):
    """Concurrent writes of one column, a's first; the id of what is open then, or None."""
    run(f"UPDATE item SET {column} = {here} WHERE id = 'i1'", a)
    run(f"UPDATE item SET {column} = {there} WHERE id = 'i1'", b)
    sync(a, b)
    equal([a, b], ["item"])
    return open_id(a, column)


def open_id(db, column=None, status="open"):
    where = "column_name IS NULL" if column is None else f"column_name = {quote(column)}"
    return db.value(f"SELECT id FROM sync_conflicts WHERE status = {quote(status)} AND {where}")


def cell(db, column):
    return db.value(f"SELECT {column} FROM item WHERE id = 'i1'")


def field(db, conflict, column):
    return db.value(f"SELECT {column} FROM sync_conflicts WHERE id = {quote(conflict)}")


def decide(db, conflict, choice, *more):
    arguments = [quote(conflict), quote(choice)]
    arguments += ["NULL" if m is None else quote(m) for m in more]
    return db.json(f"SELECT sync_resolve({', '.join(arguments)})")


def kinds_of_events(db, conflict):
    return [r[0] for r in db.rows(f"SELECT kind FROM sync_events(0) WHERE conflict_id = "
                                  f"{quote(conflict)} ORDER BY event")]


# --- policies

@case("policies: first_writer, max, min and concat show what they say, alike on both sites")
def _(_t, a, b):
    start(a, b, title="first_writer", qty="max", at="min", status="concat")
    assert clash(a, b, "title", "'early'", "'late'") is not None
    assert cell(b, "title") == "early"
    clash(a, b, "qty", "7", "30")
    clash(a, b, "qty", "40", "20")
    assert int(cell(a, "qty")) == 40
    clash(a, b, "at", "9", "3")
    assert int(cell(a, "at")) == 3
    assert clash(a, b, "status", "'red'", "'green'") is None
    assert cell(a, "status") == "red, green"


@case("policies: counter adds up what both added, and is no conflict")
def _(_t, a, b):
    start(a, b, qty="counter", price="counter")
    assert clash(a, b, "qty", "qty + 5", "qty - 3") is None
    assert int(cell(a, "qty")) == 12
    assert clash(a, b, "price", "price + 0.25", "price + 0.50") is None
    assert float(cell(b, "price")) == 2.25
    run("UPDATE item SET qty = qty + 1 WHERE id = 'i1'; "
        "UPDATE item SET qty = qty + 1 WHERE id = 'i1'", a)
    assert clash(a, b, "qty", "qty + 1", "qty + 10") is None
    assert int(cell(b, "qty")) == 25
    sync(a, b)
    assert int(cell(a, "qty")) == 25, "counted twice"


@case("policies: union, json and text keep what both sides did")
def _(_t, a, b):
    start(a, b, tags="union", doc="json", notes="text")
    assert clash(a, b, "tags", "'[\"x\", \"a\"]'", "'[\"b\"]'") is None
    for db in (a, b):
        tags = db.json("SELECT tags FROM item")
        assert sorted(tags) == ["a", "b"], tags
    assert clash(a, b, "doc", "'{\"a\": 7, \"b\": 2}'", "'{\"a\": 1, \"b\": 8}'") is None
    assert a.json("SELECT doc FROM item") == {"a": 7, "b": 8}
    assert clash(a, b, "notes", "replace(notes, 'first', 'FIRST')",
                 "replace(notes, 'third', 'THIRD')") is None
    assert cell(a, "notes") == "FIRST line\nsecond line\nTHIRD line"


@case("policies: manual stays open with its base, whoever wrote last")
def _(_t, a, b):
    start(a, b, status="manual")
    found = clash(a, b, "status", "'done'", "'stuck'")
    assert field(a, found, "base") == field(b, found, "base") == '"new"'
    assert float(field(a, found, "confidence")) == 0
    assert field(b, found, "policy") == "manual"


@case("policies: sql expressions give the same on both sites")
def _(_t, a, b):
    start(a, b, qty="sql:a + b - coalesce(base, 0)")
    clash(a, b, "qty", "15", "7")
    assert int(cell(a, "qty")) == 12
    run("SELECT sync_set_policy('item', 'title', 'sql:case when length(a) >= length(b) then a "
        "else b end')", b)
    sync(a, b)
    clash(a, b, "title", "'the longer one'", "'short'")
    assert cell(b, "title") == "the longer one"


@case("policies: site_priority knows sites by name")
def _(_t, a, b):
    run("SELECT sync_site_name('office')", a)
    start(a, b)
    made = policy(a, "title", "site_priority", '{"order": ["office"]}')
    assert made["options"]["order"] == [a.value("SELECT sync_site_id()")]
    sync(a, b)
    clash(a, b, "title", "'of the office'", "'of the van'")
    assert cell(b, "title") == "of the office"


@case("policies: the whole table's policy holds for columns without one of their own")
def _(_t, a, b):
    start(a, b, title="last_writer")
    assert policy(b, None, "first_writer")["column"] is None
    sync(a, b)
    clash(a, b, "title", "'early'", "'late'")
    clash(a, b, "status", "'early'", "'late'")
    assert (cell(a, "title"), cell(a, "status")) == ("late", "early")


@case("policies: a new one shows anew what is in conflict, on every site, with rows alike")
def _(_t, a, b):
    start(a, b)
    found = clash(a, b, "qty", "30", "7")
    assert int(cell(a, "qty")) == 7
    assert policy(b, "qty", "max")["rows"] == 1
    assert int(cell(b, "qty")) == 30
    sync(a, b)
    equal([a, b], ["item"])
    assert int(cell(a, "qty")) == 30
    assert field(a, found, "policy") == "max" and field(a, found, "winner") == "30"
    assert policy(a, "qty", "default")["policy"] == "default"
    sync(a, b)
    assert int(cell(b, "qty")) == 7


@case("policies: the later of two settings wins, and travels without a row")
def _(_t, a, b):
    start(a, b)
    policy(a, "qty", "max")
    policy(b, "qty", "min")
    sync(a, b)
    seen = [rows(db, "SELECT table_name, column_name, policy, set_by_site, source "
                     "FROM sync_policies") for db in (a, b)]
    assert seen[0] == seen[1] == [("item", "qty", "min", b.value("SELECT sync_site_id()"),
                                   "column")]


@case("policies: a newer setting of a table takes the place of the whole older one")
def _(_t, a, b):
    start(a, b)
    run("INSERT INTO item(id, title) VALUES ('i2', 'two')", a)
    sync(a, b)
    run("SELECT sync_set_policy('item', NULL, '', '{\"on_delete\": \"delete_wins\"}')", a)
    run("DELETE FROM item WHERE id = 'i2'", a)
    run("UPDATE item SET title = 'kept' WHERE id = 'i2'", b)
    run("SELECT sync_set_policy('item', NULL, '', '{\"severity\": \"high\"}')", b)
    sync(a, b)
    equal([a, b], ["item"])
    assert rows(a, "SELECT title FROM item WHERE id = 'i2'") == [("kept",)]


@case("policies: what is unknown is named, with what is near")
def _(_t, a, b):
    start(a, b)
    for call, *parts in (
            ("'itm', 'qty', 'max'", "itm", "item"), ("'item', 'qtty', 'max'", "qtty", "qty"),
            ("'item', 'qty', 'maximum'", "maximum"), ("'item', 'qty', 'countr'", "counter"),
            ("'item', 'title', 'counter'", "title", "adds numbers"),
            ("'item', 'id', 'max'", "primary key"), ("'item', 'qty', 'site_priority'", "order"),
            ("'item', 'qty', 'max', '{\"severty\": \"high\"}'", "severty", "severity"),
            ("'item', 'qty', 'max', '{\"severity\": \"hi\"}'", "hi"),
            ("'item', 'qty', 'max', '[]'", "JSON object"),
            ("'item', 'title', 'sql:frobnicate(a)'", "frobnicate"),
            ("NULL, 'qty', 'max'", "table"), ("'item', 'qty', NULL", "policy")):
        raises(lambda call=call: a.value(f"SELECT sync_set_policy({call})"), *parts)
    assert rows(a, "SELECT * FROM sync_policies") == []


@case("policies: severity goes with the conflict")
def _(_t, a, b):
    start(a, b)
    policy(a, "qty", "last_writer", '{"severity": "critical"}')
    run("SELECT sync_set_policy('item', NULL, '', '{\"severity\": {\"update_delete\": \"high\"}}')",
        a)
    sync(a, b)
    found = clash(a, b, "qty", "1", "2")
    assert field(b, found, "severity") == "critical"
    run("DELETE FROM item", a)
    run("UPDATE item SET title = 'kept' WHERE id = 'i1'", b)
    sync(a, b)
    assert field(a, open_id(a), "severity") == "high"


@case("policies: suggestions go by name, type and uniqueness, and set nothing")
def _(_t, a, _b):
    run("""CREATE TABLE s (id INTEGER PRIMARY KEY, stock INTEGER, updated_at TIMESTAMP,
      created_at TIMESTAMP, tags JSON, settings JSON, body TEXT, status TEXT, code TEXT UNIQUE,
      name TEXT, owner_id INTEGER);""", a)
    enable(a, "s")
    found = dict(rows(a, "SELECT column_name, policy FROM sync_suggest_policies('s')"))
    assert found == {"stock": "counter", "updated_at": "max", "created_at": "min",
                     "tags": "union", "settings": "json", "body": "text", "status": "manual",
                     "code": "last_writer", "name": "last_writer", "owner_id": "last_writer"}
    assert rows(a, "SELECT * FROM sync_policies") == []
    raises(lambda: a.value("SELECT count(*) FROM sync_suggest_policies('nothere')"), "nothere")


@case("policies: a local column never leaves, and rows that arrive leave it alone")
def _(_t, a, b):
    run("CREATE TABLE l (id INTEGER PRIMARY KEY, title TEXT, path TEXT DEFAULT 'none', "
        "must TEXT NOT NULL);", a, b)
    a.value("SELECT sync_enable('l', '{\"local\": [\"path\"]}')")
    b.value("SELECT sync_enable('l')")
    assert policy(b, "path", "local", table="l")["policy"] == "local"
    run("INSERT INTO l VALUES (1, 'one', '/a/one', 'x')", a)
    sync(a, b)
    assert rows(b, "SELECT * FROM l") == [("1", "one", "none", "x")]
    run("UPDATE l SET path = '/b/one'", b)
    run("UPDATE l SET title = 'uno', path = '/a/uno'", a)
    sync(a, b)
    assert rows(b, "SELECT * FROM l") == [("1", "uno", "/b/one", "x")]
    assert rows(a, "SELECT path FROM l") == [("/a/uno",)]
    assert "path" not in str(rows(a, "SELECT * FROM sync_changes"))
    assert [r[2] for r in rows(a, "SELECT table_name, column_name, policy FROM sync_policies")] \
        == ["local"]
    raises(lambda: policy(a, "id", "local", table="l"), "primary key")
    raises(lambda: policy(a, "must", "local", table="l"), "NOT NULL")
    raises(lambda: policy(a, "pth", "local", table="l"), "pth", "path")
    raises(lambda: policy(a, "path", "max", table="l"), "local")


# --- conflicts and decisions

@case("deciding: every choice is written, closes the conflict there, and says who and why")
def _(_t, a, b):
    start(a, b, title="manual")
    for choice, value in (("local", None), ("remote", None), ("merged", None), ("value", "else"),
                          ("base", None)):
        before = cell(a, "title")
        found = clash(a, b, "title", f"'{choice} a'", f"'{choice} b'")
        assert found == open_id(b, "title"), choice
        sides = {"local": field(a, found, "local"), "remote": field(a, found, "remote")}
        expected = {"merged": cell(a, "title"), "base": before, "value": "else"}.get(choice) \
            or sides[choice].strip('"')
        answer = decide(a, found, choice, value, "because")
        assert answer["status"] == "closed" and answer["value"] == expected, answer
        assert cell(a, "title") == expected
        sync(a, b)
        equal([a, b], ["item"])
        for db in (a, b):
            got = db.rows("SELECT status, how, choice, note FROM sync_conflicts WHERE id = "
                          + quote(found))[0]
            assert tuple(got) == ("closed", "decision", choice, "because"), (db.engine, got)
            assert field(db, found, "resolved_at") is not None
        assert field(a, found, "resolved_at") == field(b, found, "resolved_at") or \
            a.engine != b.engine


@case("deciding: a write settles a conflict as well, and is told apart from a decision")
def _(_t, a, b):
    start(a, b)
    found = clash(a, b, "title", "'x'", "'y'")
    run("UPDATE item SET title = 'z' WHERE id = 'i1'", b)
    sync(a, b)
    assert [field(db, found, "how") for db in (a, b)] == ["write", "write"]
    assert field(a, found, "resolved_by") == b.value("SELECT sync_site_id()")
    raises(lambda: decide(a, found, "local"), "closed", "later write")
    raises(lambda: a.value(f"SELECT sync_undo({quote(found)})"), "not settled by a decision")


@case("deciding: what shows already is a new version too, so the conflict closes everywhere")
def _(_t, a, b):
    start(a, b)
    found = clash(a, b, "title", "'x'", "'y'")
    shown = cell(a, "title")
    decide(a, found, "merged")
    assert cell(a, "title") == shown
    sync(a, b)
    assert field(b, found, "status") == "closed"


@case("deciding: undo shows the same conflict open again, everywhere, and it can be decided anew")
def _(_t, a, b):
    start(a, b)
    found = clash(a, b, "title", "'x'", "'y'")
    shown = cell(a, "title")
    decide(a, found, "value", "decided")
    sync(a, b)
    assert cell(b, "title") == "decided"
    answer = b.json(f"SELECT sync_undo({quote(found)})")
    assert answer["status"] == "open" and answer["value"] == shown
    sync(a, b)
    equal([a, b], ["item"])
    for db in (a, b):
        assert cell(db, "title") == shown and field(db, found, "status") == "open"
        assert kinds_of_events(db, found) == ["detected", "resolved", "reopened"]
    decide(a, found, "value", "again")
    sync(a, b)
    assert [field(db, found, "status") for db in (a, b)] == ["closed", "closed"]
    assert cell(b, "title") == "again"
    run("UPDATE item SET title = 'later'", b)
    raises(lambda: b.value(f"SELECT sync_undo({quote(found)})"), "changed since")
    sync(a, b)
    raises(lambda: a.value(f"SELECT sync_undo({quote(found)})"), "changed since")


@case("deciding: update against delete: the row stays or goes, and comes back whole by undo")
def _(_t, a, b):
    start(a, b)
    for keeps in (True, False):
        run("DELETE FROM item", a)
        run("UPDATE item SET title = 'kept', qty = qty + 1 WHERE id = 'i1'", b)
        sync(a, b)
        found = open_id(a)
        assert field(a, found, "kind") == "update_delete"
        deleting = "local" if field(a, found, "local") in ("null", None) else "remote"
        other = {"local": "remote", "remote": "local"}[deleting]
        decide(a, found, other if keeps else deleting)
        sync(a, b)
        equal([a, b], ["item"])
        assert len(rows(b, "SELECT * FROM item")) == (1 if keeps else 0)
        assert [field(db, found, "status") for db in (a, b)] == ["closed", "closed"]
    b.value(f"SELECT sync_undo({quote(found)})")
    sync(a, b)
    equal([a, b], ["item"])
    assert rows(a, "SELECT title, qty, status FROM item") == [("kept", "12", "new")]
    assert field(a, found, "status") == "open"


@case("deciding: delete_wins: the deleted row can be kept after all")
def _(_t, a, b):
    start(a, b)
    run("SELECT sync_set_policy('item', NULL, '', '{\"on_delete\": \"delete_wins\"}')", a)
    sync(a, b)
    run("DELETE FROM item", a)
    run("UPDATE item SET title = 'kept' WHERE id = 'i1'", b)
    sync(a, b)
    assert rows(a, "SELECT * FROM item") == []
    found = open_id(b)
    keeping = "remote" if field(b, found, "local") in ("null", None) else "local"
    decide(b, found, keeping)
    sync(a, b)
    equal([a, b], ["item"])
    assert rows(a, "SELECT title, qty FROM item") == [("kept", "10")]
    assert field(a, found, "status") == "closed"


UNIQUE = "CREATE TABLE u (id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT);"


def rivals(a, b):
    """Two rows that claim one address: the id of the conflict of the one that is held."""
    create(UNIQUE, a, b)
    run("INSERT INTO u VALUES (1, 'x@y', 'ann')", a)
    run("INSERT INTO u VALUES (2, 'x@y', 'bob')", b)
    sync(a, b)
    equal([a, b], ["u"])
    assert rows(a, "SELECT id FROM u") == [("2",)]
    return a.value("SELECT id FROM sync_conflicts WHERE kind = 'unique' AND status = 'open'")


@case("deciding: unique: the held row is given up")
def _(_t, a, b):
    found = rivals(a, b)
    decide(a, found, "local")
    sync(a, b)
    equal([a, b], ["u"])
    assert rows(b, "SELECT id FROM u") == [("2",)]
    run("DELETE FROM u", b)
    sync(a, b)
    assert rows(a, "SELECT id FROM u") == [], "what was given up came back"
    assert [field(db, found, "status") for db in (a, b)] == ["closed", "closed"]
    assert [field(db, found, "how") for db in (a, b)] == ["decision", "decision"]


@case("deciding: unique: the held row takes the place of its rival")
def _(_t, a, b):
    found = rivals(a, b)
    decide(b, found, "remote")
    assert rows(b, "SELECT id, name FROM u") == [("1", "ann")]
    sync(a, b)
    equal([a, b], ["u"])
    assert rows(a, "SELECT id, name FROM u") == [("1", "ann")]
    assert [field(db, found, "status") for db in (a, b)] == ["closed", "closed"]
    assert [field(db, found, "how") for db in (a, b)] == ["decision", "decision"]


@case("deciding: unique: the held row is stored with another address")
def _(_t, a, b):
    found = rivals(a, b)
    raises(lambda: decide(a, found, "value", '{"name": "still"}'), "refuses")
    raises(lambda: decide(a, found, "value", '{"emial": "z@y"}'), "emial", "email")
    raises(lambda: decide(a, found, "value", "z@y"), "JSON object")
    raises(lambda: decide(a, found, "merged"), "held row")
    assert rows(a, "SELECT id FROM u") == [("2",)], "a refusal changed something"
    decide(a, found, "value", '{"email": "z@y"}')
    sync(a, b)
    equal([a, b], ["u"])
    assert rows(b, "SELECT id, email, name FROM u") == [("1", "z@y", "ann"), ("2", "x@y", "bob")]
    assert [field(db, found, "status") for db in (a, b)] == ["closed", "closed"]


@case("deciding: unique: taken back, both rows stand as before")
def _(_t, a, b):
    found = rivals(a, b)
    for choice, value in (("local", None), ("remote", None), ("value", '{"email": "z@y"}')):
        decide(a, found, choice, value)
        sync(a, b)
        assert [field(db, found, "status") for db in (a, b)] == ["closed", "closed"], choice
        a.value(f"SELECT sync_undo({quote(found)})")
        sync(a, b)
        equal([a, b], ["u"])
        assert rows(b, "SELECT id, email, name FROM u") == [("2", "x@y", "bob")], choice
        assert [field(db, found, "status") for db in (a, b)] == ["open", "open"], choice
    run("DELETE FROM u", a)
    sync(a, b)
    assert rows(b, "SELECT id, email, name FROM u") == [("1", "x@y", "ann")]


@case("deciding: all that match, in one call; what is refused stays open")
def _(_t, a, b):
    start(a, b)
    run("INSERT INTO item(id, title, qty) VALUES ('i2', 'two', 2), ('i3', 'three', 3)", a)
    sync(a, b)
    run("UPDATE item SET title = 'a', qty = 21", a)
    run("UPDATE item SET title = 'b', qty = 22", b)
    sync(a, b)
    answer = a.json("SELECT sync_resolve_all('{\"table\": \"item\", \"column\": \"title\"}', "
                    "'local', 'in bulk')")
    assert (answer["matched"], answer["resolved"], answer["refused"]) == (3, 3, [])
    assert a.json("SELECT sync_resolve_all('{\"min_age_s\": 3600}', 'local')")["matched"] == 0
    other = b.value("SELECT sync_site_id()")
    answer = a.json(f"SELECT sync_resolve_all('{{\"site\": \"{other}\"}}', 'base')")
    assert answer["matched"] == 3 and answer["resolved"] == 0 and len(answer["refused"]) == 3
    assert a.json("SELECT sync_resolve_all('{\"kind\": \"update_update\"}', 'merged')") \
        ["resolved"] == 3
    sync(a, b)
    equal([a, b], ["item"])
    assert conflicts(b) == []
    for filter_, *parts in (('{"tabel": "item"}', "tabel", "table"), ('{"table": "itm"}', "itm"),
                            ('{"kind": "uniqe"}', "unique"), ('{"severity": "hi"}', "hi"),
                            ('[]', "filter"), ('{"site": "nobody"}', "nobody")):
        raises(lambda f=filter_: a.value(f"SELECT sync_resolve_all({quote(f)}, 'local')"), *parts)


@case("deciding: a decision for each row of a query")
def _(_t, a, b):
    start(a, b)
    run("INSERT INTO item(id, title) VALUES ('i2', 'two'), ('i3', 'three')", a)
    sync(a, b)
    run("UPDATE item SET title = 'a', status = 'a'", a)
    run("UPDATE item SET title = 'b', status = 'b'", b)
    sync(a, b)
    done = a.rows("SELECT sync_resolve(id, 'local') FROM sync_conflicts "
                  "WHERE status = 'open' AND column_name = 'title'")
    assert len(done) == 3
    done = a.rows("SELECT sync_undo(id) FROM sync_conflicts WHERE status = 'closed'")
    assert len(done) == 3
    a.rows("SELECT sync_resolve(id, 'value', pk) FROM sync_conflicts WHERE status = 'open'")
    sync(a, b)
    equal([a, b], ["item"])
    assert conflicts(b) == []
    assert rows(b, "SELECT count(*) FROM item WHERE title LIKE '{\"id\": %'") == [("3",)]


@case("deciding: skip leaves it open, with the note; a preview writes nothing")
def _(_t, a, b):
    start(a, b, status="manual")
    found = clash(a, b, "status", "'done'", "'stuck'")
    assert decide(a, found, "skip", None, "ask ann")["status"] == "open"
    assert field(a, found, "note") == "ask ann" and field(a, found, "status") == "open"
    shown = dict(rows(a, f"SELECT choice, value FROM sync_preview({quote(found)})"))
    assert shown == {"local": field(a, found, "local"), "remote": field(a, found, "remote"),
                     "base": '"new"', "merged": '"stuck"', "value": None, "skip": '"stuck"'}
    assert field(a, found, "status") == "open" and cell(a, "status") == "stuck"


@case("deciding: wrong ids, choices and values are refused in words, and change nothing")
def _(_t, a, b):
    start(a, b)
    found = clash(a, b, "qty", "1", "2")
    before = rows(a, "SELECT * FROM item")
    raises(lambda: decide(a, "beef", "local"), "no conflict", "beef")
    raises(lambda: decide(a, found, "lokal"), "lokal", "local")
    raises(lambda: decide(a, found, "base"), "no base")
    raises(lambda: decide(a, found, "value", "many"), "qty", "integer")
    raises(lambda: decide(a, found, "value", "1.5"), "qty", "integer")
    raises(lambda: decide(a, found, "local", "5"), "takes no value")
    raises(lambda: a.value("SELECT sync_resolve(NULL, 'local')"), "id of the conflict")
    raises(lambda: a.value(f"SELECT sync_undo({quote(found)})"), "open")
    raises(lambda: a.value("SELECT sync_undo('beef')"), "beef")
    raises(lambda: a.value(f"SELECT sync_conflict_diff({quote(found)}, 'htm')"), "html")
    raises(lambda: a.value("SELECT count(*) FROM sync_preview('beef')"), "beef")
    assert rows(a, "SELECT * FROM item") == before
    assert field(a, found, "status") == "open"


@case("deciding: what a constraint refuses changes nothing")
def _(_t, a, b):
    create("CREATE TABLE c (id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 100));", a, b)
    run("INSERT INTO c VALUES (1, 1)", a)
    sync(a, b)
    run("UPDATE c SET n = 2", a)
    run("UPDATE c SET n = 3", b)
    sync(a, b)
    found = open_id(a, "n")
    raises(lambda: decide(a, found, "value", "500"), "refuses")
    assert rows(a, "SELECT n FROM c") == [("3",)]
    assert field(a, found, "status") == "open"
    decide(a, found, "value", "50")
    sync(a, b)
    assert rows(b, "SELECT n FROM c") == [("50",)]


# --- seeing

@case("seeing: explain names version, site, rule and what lost; diff shows both sides")
def _(_t, a, b):
    start(a, b)
    found = clash(a, b, "title", "'x'", "'y'")
    got = rows(a, "SELECT column_name, value, site, rule FROM sync_explain('item', 'i1') "
                  "WHERE column_name = 'title'")
    assert got == [("title", '"y"', b.value("SELECT sync_site_id()"),
                    "last_writer: the latest of 2 versions")]
    lost = a.json("SELECT lost FROM sync_explain('item', '{\"id\": \"i1\"}') "
                  "WHERE column_name = 'title'")
    assert lost[0]["value"] == "x" and lost[0]["site"] == a.value("SELECT sync_site_id()")
    text = a.value(f"SELECT sync_conflict_diff({quote(found)})")
    assert "update_update in item" in text and "- [x]" in text and "+ [y]" in text
    assert "<del>" in a.value(f"SELECT sync_conflict_diff({quote(found)}, 'html')")
    raises(lambda: a.value("SELECT count(*) FROM sync_explain('itm', 'i1')"), "itm")
    assert rows(a, "SELECT * FROM sync_explain('item', 'nobody')") == []


@case("seeing: statistics by table, events in order, and a purge that leaves what is open")
def _(_t, a, b):
    start(a, b)
    first = clash(a, b, "title", "'x'", "'y'")
    second = clash(a, b, "qty", "1", "2")
    third = clash(a, b, "status", "'x'", "'y'")
    decide(a, first, "local")
    run("UPDATE item SET qty = 3 WHERE id = 'i1'", a)
    sync(a, b)
    got = rows(a, "SELECT table_name, total, open, automatic, manual FROM sync_conflict_stats")
    assert got == [("item", "3", "1", "1", "1")], got
    assert float(a.value("SELECT automatic_share FROM sync_conflict_stats")) == 0.5
    assert float(a.value("SELECT p95_s FROM sync_conflict_stats")) >= 0
    assert kinds_of_events(b, first) == ["detected", "resolved"]
    last = int(a.value("SELECT max(event) FROM sync_events(0)"))
    assert rows(a, f"SELECT * FROM sync_events({last})") == []
    assert int(a.value("SELECT sync_conflict_purge('2000-01-01T00:00:00Z')")) == 0
    assert int(a.value("SELECT sync_conflict_purge('2100-01-01T00:00:00Z')")) == 2
    assert rows(a, "SELECT id FROM sync_conflicts") == [(third,)]
    assert int(a.value("SELECT count(*) FROM sync_events(0)")) <= 2
    raises(lambda: a.value("SELECT sync_conflict_purge('yesterday-ish')"), "time")
    sync(a, b)
    equal([a, b], ["item"])
    del second


@case("seeing: the same ids and ends on a site that gets everything through a relay")
def _(t, a, b):
    start(a, b)
    found = clash(a, b, "title", "'x'", "'y'")
    c = getattr(t, a.engine)("relayed")
    create(SCHEMA, c)
    for chunk in export(b, vector(c)):
        apply(c, chunk)
    assert open_id(c, "title") == found
    decide(a, found, "local", None, "as ann said")
    sync(a, b)
    for chunk in export(b, vector(c)):
        apply(c, chunk)
    got = c.rows("SELECT status, how, choice, note FROM sync_conflicts WHERE id = " + quote(found))
    assert tuple(got[0]) == ("closed", "decision", "local", "as ann said")
    a.value(f"SELECT sync_undo({quote(found)})")
    sync(a, b)
    for chunk in export(b, vector(c)):
        apply(c, chunk)
    assert field(c, found, "status") == "open"
    equal([a, c], ["item"])
