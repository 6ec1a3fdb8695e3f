"""Random writes, policies, decisions, undoings and exchanges on two to four SQLite files: once all
have exchanged everything they hold the same rows and the same open conflicts.

    tests/random_decisions_test.py           # a few seeds, each a test
    SEEDS=500-900 tests/random_decisions_test.py
"""
import os
import random
import sqlite3
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/support")
from harness import main, test  # noqa: E402
from pairs import create, equal, settle, sync  # noqa: E402

SCHEMA = ("CREATE TABLE item (id INTEGER PRIMARY KEY, n INTEGER, s TEXT, d TEXT, "
          "u TEXT UNIQUE);")
POLICIES = ("last_writer", "first_writer", "max", "min", "counter", "union", "concat", "json",
            "text", "manual", "sql:coalesce(a, b)", "default")
TABLE_RULES = ('{"on_delete": "delete_wins"}', '{"on_delete": "update_wins"}',
               '{"on_delete": "last_writer"}', '{"grain": "row"}', '{"grain": "column"}')
# What a call may answer when the state of things does not fit it.
REFUSALS = ("UNIQUE", "refuses", "has no base", "held row", "is not in table", "adds numbers",
            "needs JSON", "merges text", "joins text", "not settled by", "changed since",
            "JSON object", "nothing to undo")


class Run:
    def __init__(self, t, seed):
        self.random = random.Random(seed)
        self.sites = [t.sqlite(f"s{i}") for i in range(self.random.choice((2, 3, 3, 4)))]
        create(SCHEMA, *self.sites)
        self.sql(self.sites[0], "INSERT INTO item VALUES (1, 1, 'a b c\nd e f', '{\"a\": 1}', "
                                "'u1'), (2, 2, 'x', '[1, 2]', 'u2')")
        settle(self.sites, rounds=12)

    @staticmethod
    def sql(db, statement, *parameters):
        try:
            db.rows(statement, *parameters)
        except sqlite3.Error as error:
            if not any(words in str(error) for words in REFUSALS):
                raise

    def one_of(self, *choices):
        return self.random.choice(choices)

    def write(self, db):
        key = self.random.randint(1, 4)
        self.sql(db, *self.one_of(
            ("INSERT OR IGNORE INTO item VALUES (?, ?, ?, '[1]', ?)", key,
             self.random.randint(0, 9), self.one_of("a", "b"), self.one_of("u1", "u3", None)),
            ("DELETE FROM item WHERE id = ?", key),
            ("UPDATE item SET n = n + ? WHERE id = ?", self.random.randint(-3, 5), key),
            ("UPDATE item SET s = replace(s, ?, ?) WHERE id = ?", self.one_of(*"abcdef"),
             self.one_of("Q", "R\nS", ""), key),
            ("UPDATE item SET d = ?, s = ? WHERE id = ?",
             self.one_of("[1, 3]", "[2]", '{"a": 2}', '{"b": 1}', "x"),
             self.one_of("one\ntwo", "three"), key),
            ("UPDATE OR IGNORE item SET u = ? WHERE id = ?", self.one_of("u1", "u2", "u3"), key)))

    def ids(self, db, where):
        return [row[0] for row in db.rows(f"SELECT id FROM sync_conflicts WHERE {where}")]

    def step(self):
        db, kind = self.one_of(*self.sites), self.random.random()
        if kind < 0.55:
            self.write(db)
        elif kind < 0.62:
            column = self.one_of("n", "s", "d", None)
            self.sql(db, "SELECT sync_set_policy('item', ?, ?, ?)", column,
                     *((self.one_of(*POLICIES), None) if column
                       else ("", self.one_of(*TABLE_RULES))))
        elif kind < 0.66:
            self.sql(db, "SELECT sync_set_actor(?)", self.one_of("ann", "bob", None))
        elif kind < 0.80:
            for conflict in self.ids(db, "status = 'open'")[:1]:
                db.rows("SELECT * FROM sync_preview(?)", conflict)
                db.value("SELECT sync_conflict_diff(?, 'html')", conflict)
                self.sql(db, "SELECT sync_resolve(?, ?)", conflict,
                         self.one_of("local", "remote", "merged", "base", "skip"))
        elif kind < 0.86:
            for conflict in self.ids(db, "how = 'decision'")[:1]:
                self.sql(db, "SELECT sync_undo(?)", conflict)
        elif kind < 0.88:
            self.sql(db, "SELECT sync_new_identity()")
        elif kind < 0.90:
            self.sql(db, "SELECT sync_resolve_all('{}', ?)", self.one_of("local", "merged"))
        else:
            sync(*self.random.sample(self.sites, 2))

    def check(self):
        settle(self.sites, rounds=25)
        equal(self.sites, ["item"])
        for db in self.sites:
            assert db.value("SELECT count(*) FROM sync_origin") <= 1
            if db.value("SELECT 1 FROM sqlite_schema WHERE name = 'sync_before_1'"):
                assert db.rows("SELECT * FROM sync_before_1") == []


first, last = map(int, os.environ.get(
    "SEEDS", "1-2" if os.environ.get("SYNCLINE_QUICK") else "1-8").split("-"))
for number in range(first, last + 1):
    @test(f"random decisions: seed {number}: all files end alike")
    def _(t, seed=number):
        run = Run(t, seed)
        for _step in range(run.random.randint(10, 40)):
            run.step()
        run.check()

main()
