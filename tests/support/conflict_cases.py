"""Bodies about policies (policy_cases.py), conflicts and decisions in SQL that both engines take.

    from conflict_cases import CASES
    for name, body in CASES:
        on_pairs(name, pairs=("SQLite-SQLite",))(body)

Each body is body(t, a, b), for two sites of whatever engine.
"""
import time

import policy_cases  # noqa: F401: registers its bodies
from case_tools import (CASES, SCHEMA, case, cell, clash, decide, field,  # noqa: F401
                        kinds_of_events, open_id, policy, start)
from harness import raises
from pairs import apply, conflicts, create, equal, export, quote, rows, run, sync, vector


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


@case("deciding: a row that is held again closes what else was in conflict about it")
def _(_t, a, b):
    create("CREATE TABLE place (id INTEGER PRIMARY KEY, code TEXT UNIQUE);", a, b)
    run("INSERT INTO place VALUES (1, 'x')", a)
    run("INSERT INTO place VALUES (2, 'x')", b)
    sync(a, b)
    found = open_id(a)
    assert field(a, found, "kind") == "unique"
    held = 3 - int(a.value("SELECT id FROM place"))
    decide(a, found, "local")  # the row is given up
    run(f"INSERT INTO place VALUES ({held}, 'y')", b)  # over the held row, which is not seen there
    sync(a, b)
    other = open_id(a)
    assert field(a, other, "kind") == "update_delete"
    a.value(f"SELECT sync_undo({quote(found)})")
    assert (field(a, found, "status"), field(a, other, "status")) == ("open", "closed")
    sync(a, b)
    equal([a, b], ["place"])
    assert [r[4] for r in conflicts(a)] == [r[4] for r in conflicts(b)] == ["unique"]


@case("deciding: what refers to a row that is held again is held, too")
def _(_t, a, b):
    for db in (a, b):
        if db.engine == "sqlite":
            run("PRAGMA foreign_keys = ON", db)
    create("CREATE TABLE place (id INTEGER PRIMARY KEY, code TEXT UNIQUE);"
           "CREATE TABLE shelf (id INTEGER PRIMARY KEY, place_id INTEGER REFERENCES place (id));",
           a, b)
    run("INSERT INTO place VALUES (1, 'x')", a)
    run("INSERT INTO shelf VALUES (7, 1)", a)
    time.sleep(0.02)
    run("INSERT INTO place VALUES (2, 'x')", b)
    sync(a, b)
    found = a.value("SELECT id FROM sync_conflicts WHERE kind = 'unique'")
    for db in (a, b):
        assert rows(db, "SELECT id FROM place") == [("2",)] and not rows(db, "SELECT * FROM shelf")
    decide(a, found, "remote")
    assert rows(a, "SELECT id FROM place") == [("1",)]
    assert rows(a, "SELECT * FROM shelf") == [("7", "1")]
    a.value(f"SELECT sync_undo({quote(found)})")
    for _ in range(2):
        for db in (a, b):
            assert rows(db, "SELECT id FROM place") == [("2",)]
            assert rows(db, "SELECT * FROM shelf") == []
            assert sorted(r[4] for r in conflicts(db)) == ["foreign_key", "unique"]
        sync(a, b)


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
