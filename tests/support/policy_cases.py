"""Bodies about policies and local columns; conflict_cases.CASES has them, too."""
from case_tools import case, cell, clash, field, open_id, policy, start
from harness import raises
from pairs import enable, equal, rows, run, sync


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
