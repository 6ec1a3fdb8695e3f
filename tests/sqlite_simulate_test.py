"""sync_simulate() on schemas of users: it finds what breaks their invariants, as SQL that can be
run again, finds nothing where nothing is wrong, and leaves database and connection alone.
Method: SQL through one connection; counterexamples are run through the sqlite3 shell."""
import hashlib
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import EXTENSION, Skip, main, raises, test  # noqa: E402

UGLY = """
CREATE TABLE "it's ""odd"" t\u00e4ble"("the key" TEXT COLLATE NOCASE PRIMARY KEY, "select" UNIQUE,
  "a.b" INTEGER NOT NULL DEFAULT 7 CHECK("a.b" BETWEEN 0 AND 1000),
  twice GENERATED ALWAYS AS ("a.b" * 2), "group" JSON) WITHOUT ROWID;
CREATE TABLE child(k1 REAL, k2 BLOB, up TEXT COLLATE NOCASE
  REFERENCES "it's ""odd"" t\u00e4ble" ON DELETE SET NULL ON UPDATE CASCADE
  DEFERRABLE INITIALLY DEFERRED, self_1 REAL, self_2 BLOB, n INTEGER, words TEXT,
  PRIMARY KEY(k1, k2), FOREIGN KEY(self_1, self_2) REFERENCES child(k1, k2) ON DELETE CASCADE);
CREATE UNIQUE INDEX "un ique" ON child(words, n) WHERE n > 3;
CREATE TABLE untracked(what TEXT, n INTEGER);
CREATE VIEW seen AS SELECT count(*) FROM child;
CREATE TRIGGER counted AFTER INSERT ON child BEGIN
  INSERT INTO untracked VALUES(NEW.k1, random()); END;
CREATE TRIGGER echoed AFTER UPDATE OF n ON child WHEN NEW.n > 900 BEGIN
  UPDATE child SET words = 'much' WHERE k1 = NEW.k1 AND k2 = NEW.k2; END;
"""
ODD = "it's \"odd\" t\u00e4ble"


def ugly(t):
    db = t.sqlite("db")
    db.run(UGLY)
    db.value("SELECT sync_enable(?, '{\"on_delete\": \"delete_wins\"}')", ODD)
    db.value("SELECT sync_enable('child')")
    db.value("SELECT sync_set_policy('child', 'n', 'counter')")
    db.value("SELECT sync_set_policy('child', 'words', 'sql:max(a, b)')")
    db.value("SELECT sync_set_policy(?, 'group', 'json')", ODD)
    return db


@test("simulate: an ugly schema holds, the same seeds give the same runs")
def _(t):
    db = ugly(t)
    call = ("SELECT sync_simulate('{\"seed\": 40, \"seeds\": 2, \"steps\": 40, \"sites\": 3, "
            "\"seconds\": 600}')")
    found = db.json(call)
    assert found["failure"] is None, found["failure"]
    assert (found["seed"], found["runs"], found["failures"]) == (40, 2, 0), found
    assert found["writes"] > 20 and found["operations"] > 2 * 40 and not found["warnings"], found
    assert db.json(call) == found


@test("simulate: the caller's database and transaction stay as they are")
def _(t):
    db = ugly(t)
    db.run("INSERT INTO child(k1, k2, n) VALUES(1.5, x'00', 7)")
    before = hashlib.sha256(pathlib.Path(db.path).read_bytes()).digest()
    call = "SELECT sync_simulate('{\"seeds\": 1, \"steps\": 20}')"
    changes = db.db.total_changes
    db.json(call)
    assert hashlib.sha256(pathlib.Path(db.path).read_bytes()).digest() == before
    assert db.db.total_changes == changes and not db.db.in_transaction
    # It sees what the transaction has made, and does not end it.
    for sql in ("BEGIN", "CREATE TABLE late(id INTEGER PRIMARY KEY)", "INSERT INTO late VALUES(1)"):
        db.rows(sql)
    assert db.json(call)["runs"] == 1
    assert db.db.in_transaction and db.value("SELECT count(*) FROM late") == 1
    db.rows("ROLLBACK")
    assert hashlib.sha256(pathlib.Path(db.path).read_bytes()).digest() == before
    assert db.value("SELECT count(*) FROM child") == 1


def rooms(t):
    db = t.sqlite("db")
    db.run("CREATE TABLE booking(id INTEGER PRIMARY KEY, room INTEGER CHECK(room IN (1, 2)))")
    db.value("SELECT sync_enable('booking')")
    db.value("SELECT sync_invariant('one booking a room', "
             "'SELECT room FROM booking GROUP BY room HAVING count(*) > 1')")
    return db


@test("simulate: a counterexample to an invariant is a short script that shows it")
def _(t):
    db = rooms(t)
    found = db.json("SELECT sync_simulate('{\"seeds\": 3, \"sites\": 2, \"faults\": false, "
                    "\"seconds\": 60}')")
    failure = found["failure"]
    assert found["failures"] > 0 and failure["kind"] == "invariant", found
    assert "one booking a room" in failure["what"], failure
    script = failure["script"]
    assert f"Seed {failure['seed']}," in script and "-- NOW:" in script, script
    assert script.count("BEGIN;") <= 6 and len(script) < 6_000, script
    assert not db.json("SELECT sync_simulate('{\"seeds\": 1, \"invariants\": false}')")["failures"]
    if shutil.which("sqlite3") is None:
        raise Skip("no sqlite3 shell")
    folder = pathlib.Path(db.path).parent / "again"
    folder.mkdir()
    shutil.copy(f"{EXTENSION}.so", folder / "syncline.so")
    subprocess.run(["sqlite3"], input=script.replace(".load syncline", ".load ./syncline"),
                   cwd=folder, text=True, capture_output=True, check=False)
    broken = 0
    for path in folder.glob("site*.db"):
        with sqlite3.connect(path) as site:
            broken += len(site.execute(
                "SELECT room FROM booking GROUP BY room HAVING count(*) > 1").fetchall())
    assert broken > 0, script


@test("simulate: without faults, with so many sites, without triggers")
def _(t):
    db = ugly(t)
    db.run("CREATE TRIGGER never BEFORE INSERT ON child BEGIN SELECT RAISE(ABORT, 'no'); END;"
           f"CREATE TRIGGER nor_there BEFORE INSERT ON \"{ODD.replace(chr(34), chr(34) * 2)}\" "
           "BEGIN SELECT RAISE(ABORT, 'no'); END")
    few = '"seeds": 1, "sites": 2, "steps": 30, "faults": false'
    found = db.json(f"SELECT sync_simulate('{{{few}}}')")
    assert found["writes"] == 0 and "every write was refused" in found["warnings"][0], found
    found = db.json(f"SELECT sync_simulate('{{{few}, \"triggers\": false}}')")
    assert found["writes"] > 0 and not found["warnings"] and not found["failures"], found


@test("simulate: bad options and databases are refused by name")
def _(t):
    db = t.sqlite("db")
    raises(lambda: db.value("SELECT sync_simulate()"), "tracks no table", "sync_enable")
    db.run("CREATE TABLE t(id INTEGER PRIMARY KEY)")
    db.value("SELECT sync_enable('t')")
    for options, *words in (('{"step": 3}', "step", "steps"), ('{"sites": 9}', "sites", "8"),
                            ('{"sites": 1}', "sites"), ('{"seeds": 0}', "seeds"),
                            ('{"faults": "yes"}', "faults"), ('[1]', "sync_simulate"),
                            ('{', "sync_simulate"), ('{"seconds": -1}', "seconds")):
        raises(lambda o=options: db.value("SELECT sync_simulate(?)", o), *words)
    raises(lambda: db.value("SELECT sync_simulate('{}', 1)"), "wrong number")
    db.db.create_collation("mine", lambda a, b: (a > b) - (a < b))
    db.run("CREATE TABLE u(id INTEGER PRIMARY KEY, x TEXT COLLATE mine UNIQUE)")
    db.value("SELECT sync_enable('u')")
    raises(lambda: db.value("SELECT sync_simulate()"), "no such collation sequence: mine", "memory")


@test("simulate: interrupts and progress handlers end it at once")
def _(t):
    db = ugly(t)
    call = "SELECT sync_simulate('{\"seeds\": 1000000, \"seconds\": 100000, \"steps\": 100000}')"
    timer = threading.Timer(0.3, db.db.interrupt)
    timer.start()
    raises(lambda: db.value(call), "interrupted")
    timer.join()
    calls = []
    db.db.set_progress_handler(lambda: calls.append(1) or len(calls) > 20, 1000)
    raises(lambda: db.value(call), "interrupted")
    db.db.set_progress_handler(None, 0)
    assert db.json("SELECT sync_simulate('{\"seeds\": 1, \"steps\": 5}')")["runs"] == 1


if __name__ == "__main__":
    main()
