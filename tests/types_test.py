#!/usr/bin/env python3
"""Goal: a value keeps its type and meaning between the engines, or its row is held and says why.
Method: one value a row, written by one engine, read by the other with its own SELECT, and back."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import main, test  # noqa: E402
from pairs import enable, equal, held, moved, quote, rows, sync  # noqa: E402


def table(t, declared, postgres, key="id INTEGER PRIMARY KEY", postgres_more=""):
    """A SQLite and a PostgreSQL database with a table t(id, v) each."""
    lite, server = t.sqlite("lite"), t.postgres("server")
    lite.run(f"CREATE TABLE t({key}, v {declared})")
    server.run(f"{postgres_more};CREATE TABLE t({key}, v {postgres})")
    enable(lite, "t")
    enable(server, "t")
    return lite, server


def both_ways(t, declared, postgres, values, more=""):
    """values: (SQL in SQLite, SQL in PostgreSQL, text there, value here). The rows are written once
    by each engine, and every one must read the same in both."""
    lite, server = table(t, declared, postgres, postgres_more=more)
    count = len(values)
    lite.run("BEGIN;" + ";".join(f"INSERT INTO t VALUES({i}, {v[0]})"
                                 for i, v in enumerate(values)) + ";COMMIT")
    server.run("BEGIN;" + ";".join(f"INSERT INTO t VALUES({i + count}, {v[1]})"
                                   for i, v in enumerate(values)) + ";COMMIT")
    sync(lite, server)
    assert held(lite) == held(server) == [], (held(lite), held(server))
    there = [row[1] for row in server.rows("SELECT id, v FROM t ORDER BY id")]
    here = [row[0] for row in lite.rows("SELECT v FROM t ORDER BY id")]
    for i, value in enumerate(values):
        for found in (there[i], there[i + count]):
            assert found == value[2], f"{value[:2]}: PostgreSQL has {found!r}, not {value[2]!r}"
        # what SQLite wrote stays as it was spelled there
        found, kept = here[i + count], here[i]
        assert repr(found) == repr(value[3]), f"{value[:2]}: SQLite has {found!r}, not {value[3]!r}"
        spelled = lite.value(f"SELECT v FROM (SELECT {value[0]} AS v)")
        assert kept == found or kept == spelled or str(kept) == str(spelled), (kept, spelled)
    assert moved(sync(lite, server)) == 0
    return lite, server


@test("types: integers to the limits of int64, and 2^53 + 1")
def _(t):
    numbers = [0, -1, 2**31, 2**53 + 1, -2**53 - 1, 2**63 - 1, -2**63]
    texts = [f"CAST('{n}' AS {{}})" for n in numbers]
    both_ways(t, "INTEGER", "BIGINT",
              [(s.format("INTEGER"), s.format("BIGINT"), str(n), n)
               for s, n in zip(texts, numbers)])


@test("types: doubles: infinities, -0.0, denormals, the limits, NaN")
def _(t):
    texts = ["1.5", "-0.0", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308",
             "0.1", "1e22", "9007199254740993.0"]
    values = [(s, f"'{s}'", None, float(s)) for s in texts]
    values += [("9e999", "'Infinity'", "Infinity", float("inf")),
               ("-9e999", "'-Infinity'", "-Infinity", float("-inf"))]
    lite, server = table(t, "DOUBLE PRECISION", "DOUBLE PRECISION")
    for i, value in enumerate(values):
        lite.run(f"INSERT INTO t VALUES({i}, {value[0]})")
        server.run(f"INSERT INTO t VALUES({i + 100}, {value[1]})")
    server.run("INSERT INTO t VALUES(200, 'NaN')")
    sync(lite, server)
    for i, value in enumerate(values):
        for number in (i, i + 100):
            here = lite.value(f"SELECT v FROM t WHERE id = {number}")
            there = float(server.value(f"SELECT v FROM t WHERE id = {number}"))
            # SQLite's REAL columns do not keep the sign of zero
            assert here == there == value[3], (value[0], number, here, there)
            assert value[0] == "-0.0" or repr(here) == repr(there)
    assert lite.value("SELECT v FROM t WHERE id = 200") == "NaN"
    lite.run("UPDATE t SET v = 'NaN' WHERE id = 0")
    server.run("UPDATE t SET v = '-0' WHERE id = 2")
    sync(lite, server)
    assert server.value("SELECT v FROM t WHERE id = 0") == "NaN"
    assert server.value("SELECT v FROM t WHERE id = 2") == "-0", "it came back without its sign"
    assert held(lite) == held(server) == []
    assert moved(sync(lite, server)) == 0


@test("types: a numeric of 40 digits and its scale come back")
def _(t):
    lite, server = table(t, "TEXT", "NUMERIC")
    long = "1234567890123456789012345678901234567890.1234500"
    for i, number in enumerate((long, "-0.10", "1e-30", "NaN", "0.000", "100")):
        server.run(f"INSERT INTO t VALUES({i}, '{number}')")
    lite.run(f"INSERT INTO t VALUES(10, '{long}'), (11, '1.50')")
    sync(lite, server)
    assert lite.value("SELECT v FROM t WHERE id = 0") == long
    assert lite.value("SELECT v FROM t WHERE id = 1") == "-0.10"
    assert lite.value("SELECT v FROM t WHERE id = 4") == "0.000"
    assert server.value("SELECT v FROM t WHERE id = 10") == long
    assert server.value("SELECT v FROM t WHERE id = 11") == "1.50"
    assert held(lite) == held(server) == []


@test("types: a SQLite column NUMERIC(10,2) and a PostgreSQL one agree on what SQLite can hold")
def _(t):
    lite, server = table(t, "NUMERIC(10,2)", "NUMERIC(10,2)")
    lite.run("INSERT INTO t VALUES(1, 12.5), (2, 3), (3, -0.01), (4, NULL)")
    server.run("INSERT INTO t VALUES(11, 12.5), (12, 3), (13, -0.01), (14, 99999999.99)")
    sync(lite, server)
    assert rows(server, "SELECT v FROM t WHERE id < 10 ORDER BY id") == \
        sorted([("12.50",), ("3.00",), ("-0.01",), (None,)], key=repr)
    assert lite.rows("SELECT v FROM t WHERE id > 10 ORDER BY id") == \
        [(12.5,), (3,), (-0.01,), (99999999.99,)]
    assert held(lite) == held(server) == []
    equal([lite, server], ["t"])
    assert moved(sync(lite, server)) == 0


@test("types: text: emoji, quotes, line ends, empty against NULL")
def _(t):
    texts = ["🙂 é 名前", "it's \"so\"", "a\nb\tc", "", "\\x00", "\u202e", " ", "x" * 100000]
    both_ways(t, "TEXT", "TEXT", [(quote(s), quote(s), s, s) for s in texts]
              + [("NULL", "NULL", None, None)])


@test("types: text with NUL, or invalid UTF-8, cannot enter PostgreSQL: held by the column's name")
def _(t):
    lite, server = table(t, "TEXT", "TEXT")
    lite.run("INSERT INTO t VALUES(1, 'a' || char(0) || 'b'), (2, CAST(x'ff41' AS TEXT)), (3, 'k')")
    sync(lite, server)
    assert server.rows("SELECT id, v FROM t") == [("3", "k")]
    assert [h[0] for h in held(server)] == ["constraint", "constraint"], held(server)
    notes = rows(server, "SELECT note FROM sync_conflicts WHERE status = 'open'")
    assert all("v" in note for (note,) in notes), notes
    third = t.sqlite("third")
    third.run("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    enable(third, "t")
    sync(third, server)
    assert third.rows("SELECT id, hex(CAST(v AS BLOB)), typeof(v) FROM t ORDER BY id") == \
        [(1, "610062", "text"), (2, "FF41", "text"), (3, "6B", "text")], "held rows travel whole"
    lite.run("UPDATE t SET v = 'clean'")
    sync(lite, server)
    sync(third, server)
    assert held(server) == []
    equal([lite, server, third], ["t"])


@test("types: bytes, all 256 of them, empty and NULL")
def _(t):
    everything = bytes(range(256))
    values = [(f"x'{b.hex()}'", f"'\\x{b.hex()}'", "\\x" + b.hex(), b) for b in (everything, b"")]
    both_ways(t, "BLOB", "BYTEA", values + [("NULL", "NULL", None, None)])


@test("types: booleans, however they are spelled")
def _(t):
    both_ways(t, "BOOLEAN", "BOOLEAN",
              [("1", "true", "t", 1), ("0", "false", "f", 0), ("TRUE", "'yes'", "t", 1),
               ("'false'", "'off'", "f", 0), ("NULL", "NULL", None, None)])


@test("types: a uuid in any spelling is one uuid, as a value and as a key")
def _(t):
    plain = "0b1c2d3e-0000-4fff-8000-00000000abcd"
    lite, server = both_ways(t, "UUID", "UUID", [
        (quote(plain), quote(plain), plain, plain),
        (quote(plain.upper()), quote("{" + plain.upper() + "}"), plain, plain)])
    for db in (lite, server):
        db.run("CREATE TABLE k(id UUID PRIMARY KEY, x INTEGER)")
        enable(db, "k")
    lite.run(f"INSERT INTO k VALUES('{plain}', 1)")
    server.run(f"INSERT INTO k VALUES('{plain.upper()}', 1)")
    sync(lite, server)
    assert equal([lite, server], ["k"]) == 1


@test("types: a key that PostgreSQL would spell differently is held there, never two rows in one")
def _(t):
    plain = "0b1c2d3e-0000-4fff-8000-00000000abcd"
    lite, server = t.sqlite("lite"), t.postgres("server")
    for db in (lite, server):
        db.run("CREATE TABLE k(id UUID PRIMARY KEY, x INTEGER)")
        enable(db, "k")
    lite.run(f"INSERT INTO k VALUES('{plain.upper()}', 1)")
    server.run(f"INSERT INTO k VALUES('{plain}', 2)")
    for number in (3, 4):
        sync(lite, server)
        assert lite.value("SELECT count(*) FROM k") == 2
        assert [h[0] for h in held(server)] == ["constraint"]
        lite.run(f"UPDATE k SET x = {number}")
    lite.run(f"DELETE FROM k WHERE id = '{plain.upper()}'")
    sync(lite, server)
    assert held(server) == [] and equal([lite, server], ["k"]) == 1


@test("types: dates and timestamps before 1970, infinite, with zones; no session setting matters")
def _(t):
    lite, server = t.sqlite("lite"), t.postgres("server")
    columns = "id INTEGER PRIMARY KEY, d DATE, s TIMESTAMP, z TIMESTAMP WITH TIME ZONE, c TIME"
    for db in (lite, server):
        db.run(f"CREATE TABLE t({columns})")
        enable(db, "t")
    name = server.name
    server.run(f"ALTER DATABASE \"{name}\" SET TimeZone = 'America/St_Johns'")
    server.run(f"ALTER DATABASE \"{name}\" SET DateStyle = 'SQL, DMY'")
    server.run(f"ALTER DATABASE \"{name}\" SET extra_float_digits = -3")
    server.run("SET DateStyle = 'ISO'; INSERT INTO t VALUES"
               "(1, '1883-11-18', '0099-12-31 23:59:59.123456', '1900-01-01 00:00:00+05:30', "
               "'24:00'),"
               "(2, '4713-01-01 BC', '-infinity', 'infinity', '00:00:00.5')")
    lite.run("INSERT INTO t VALUES(3, '1969-12-31', '1969-12-31 23:59:59.5', "
             "'1969-12-31T23:59:59Z', '01:02:03'), "
             "(4, NULL, NULL, '2024-02-29 12:00:00+02:00', NULL)")
    sync(lite, server)
    assert held(server) == [], held(server)
    assert lite.rows("SELECT d, s, z, c FROM t WHERE id < 3 ORDER BY id") == [
        ("1883-11-18", "0099-12-31 23:59:59.123456", "1899-12-31 18:30:00+00", "24:00:00"),
        ("4713-01-01 BC", "-infinity", "infinity", "00:00:00.5")]
    shown = server.rows("SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC';"
                        "SELECT d, s, z, c FROM t WHERE id > 2 ORDER BY id")
    assert shown == [("1969-12-31", "1969-12-31 23:59:59.5", "1969-12-31 23:59:59+00", "01:02:03"),
                     (None, None, "2024-02-29 10:00:00+00", None)], shown
    assert moved(sync(lite, server)) == 0


@test("types: json keeps its text, jsonb its meaning")
def _(t):
    lite, server = t.sqlite("lite"), t.postgres("server")
    for db in (lite, server):
        db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, j JSON, b JSONB)")
        enable(db, "t")
    text = '{"b": 1,  "a": [1, 2.50, null, "\\u00e9🙂"]}'
    lite.run("INSERT INTO t VALUES(1, ?, ?)", text, text)
    server.run(f"INSERT INTO t VALUES(2, '{text}', '{text}'), (3, 'null', NULL)")
    sync(lite, server)
    assert held(server) == []
    assert lite.value("SELECT j FROM t WHERE id = 2") == text
    assert server.value("SELECT j FROM t WHERE id = 1") == text
    assert json.loads(lite.value("SELECT b FROM t WHERE id = 2")) == json.loads(text)
    assert lite.rows("SELECT j, b FROM t WHERE id = 3") == [("null", None)]
    lite.run("UPDATE t SET b = '{' WHERE id = 1")
    sync(lite, server)
    assert [h[0] for h in held(server)] == ["constraint"], "broken JSON cannot be stored as jsonb"
    lite.run("UPDATE t SET b = '{}' WHERE id = 1")
    sync(lite, server)
    assert held(server) == [] and equal([lite, server], ["t"]) == 3


@test("types: arrays, enums, domains, ranges, intervals, inet in text form")
def _(t):
    lite, server = t.sqlite("lite"), t.postgres("server")
    server.run("CREATE TYPE mood AS ENUM('sad', 'it''s ok'); CREATE DOMAIN small AS int "
               "CHECK (value < 100); CREATE TABLE t(id int PRIMARY KEY, a int[], x text[], m mood, "
               "s small, r int4range, i interval, n inet)")
    lite.run("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, x TEXT, m TEXT, s INTEGER, r TEXT, "
             "i TEXT, n TEXT)")
    for db in (lite, server):
        enable(db, "t")
    row = ("{{1,2},{3,NULL}}", '{"a b",NULL,"q\\"q"}', "it's ok", 7, "[1,5)", "1 mon 03:04:05.5",
           "10.0.0.0/8")
    listed = ", ".join(quote(v) for v in row)
    server.run(f"INSERT INTO t VALUES(1, {listed})")
    lite.run(f"INSERT INTO t VALUES(2, {listed})")
    sync(lite, server)
    assert held(server) == [], rows(server, "SELECT note FROM sync_conflicts")
    assert lite.rows("SELECT a, x, m, s, r, n FROM t WHERE id = 1") == [row[:5] + row[6:]]
    assert server.rows("SELECT * FROM t WHERE id = 2")[0][1:] == tuple(map(str, row))
    lite.run("INSERT INTO t(id, m) VALUES(3, 'unknown mood'); INSERT INTO t(id, s) VALUES(4, 100)")
    sync(lite, server)
    assert [h[0] for h in held(server)] == ["constraint", "constraint"]
    server.run("ALTER TYPE mood ADD VALUE 'unknown mood'")
    lite.run("UPDATE t SET s = 99 WHERE id = 4")
    sync(lite, server)
    assert held(server) == [] and server.value("SELECT m FROM t WHERE id = 3") == "unknown mood"


@test("types: text in an INTEGER column of SQLite is held in PostgreSQL until it is a number")
def _(t):
    lite, server = table(t, "INTEGER", "BIGINT")
    lite.run("INSERT INTO t VALUES(1, 'n/a'), (2, 2), (3, 1.5)")
    sync(lite, server)
    assert server.rows("SELECT id, v FROM t") == [("2", "2")]
    assert [h[0] for h in held(server)] == ["constraint", "constraint"]
    lite.run("UPDATE t SET v = 7 WHERE id <> 2")
    sync(lite, server)
    assert held(server) == []
    equal([lite, server], ["t"])


@test("types: integers too large for the column are held by its name")
def _(t):
    lite, server = table(t, "INTEGER", "SMALLINT")
    lite.run("INSERT INTO t VALUES(1, 32767), (2, 32768)")
    sync(lite, server)
    assert server.rows("SELECT id FROM t") == [("1",)]
    note = server.value("SELECT note FROM sync_conflicts WHERE status = 'open'")
    assert '"v"' in note, note


@test("types: PostgreSQL text keys '1' and '01' against an INTEGER key of SQLite")
def _(t):
    lite, server = t.sqlite("lite"), t.postgres("server")
    lite.run("CREATE TABLE t(id INTEGER, part TEXT, x TEXT, PRIMARY KEY(id, part))")
    server.run("CREATE TABLE t(id TEXT, part TEXT, x TEXT, PRIMARY KEY(id, part))")
    for db in (lite, server):
        enable(db, "t")
    server.run("INSERT INTO t VALUES('1', 'a', 'one'), ('01', 'a', 'zero one'), ('z', 'a', 'text')")
    lite.run("INSERT INTO t VALUES(4326, 'a', 'number')")
    sync(lite, server)
    assert server.rows("SELECT id FROM t ORDER BY id COLLATE \"C\"") == \
        [("01",), ("1",), ("4326",), ("z",)]
    assert lite.rows("SELECT typeof(id), id FROM t ORDER BY x") == \
        [("integer", 4326), ("integer", 1), ("text", "z")]
    assert [(k, json.loads(pk)) for k, _, pk in held(lite)] == \
        [("constraint", {"id": "01", "part": "a"})], held(lite)
    server.run("DELETE FROM t WHERE id = '01'; UPDATE t SET x = 'new' WHERE id IN ('1', '4326')")
    sync(lite, server)
    assert held(lite) == []
    equal([lite, server], ["t"])
    lite.run("DELETE FROM t WHERE id = 4326")
    sync(lite, server)
    assert equal([lite, server], ["t"]) == 2


@test("types: a blob of 20 MB")
def _(t):
    lite, server = table(t, "BLOB", "BYTEA")
    lite.run("INSERT INTO t VALUES(1, randomblob(20000000))")
    sync(lite, server)
    assert server.value("SELECT length(v) || ' ' || md5(v) FROM t") == \
        "20000000 " + __import__("hashlib").md5(lite.value("SELECT v FROM t")).hexdigest()


@test("types: SQLite to PostgreSQL to another SQLite: every class comes back as it was")
def _(t):
    lite, server, back = t.sqlite("lite"), t.postgres("server"), t.sqlite("back")
    schema = ("CREATE TABLE t(id INTEGER PRIMARY KEY, i INTEGER, r DOUBLE PRECISION, s TEXT, "
              "b {}, n NUMERIC)")
    for db in (lite, server, back):
        db.run(schema.format("BYTEA" if db is server else "BLOB"))
        enable(db, "t")
    lite.run("INSERT INTO t VALUES(1, 9223372036854775807, 1e308, 'x', x'00ff', 12.5),"
             "(2, -1, 3.0, '', x'', 10), (3, NULL, NULL, NULL, NULL, NULL)")
    sync(lite, server)
    sync(back, server)
    typed = "SELECT i, typeof(i), r, typeof(r), s, typeof(s), b, typeof(b), n, typeof(n) FROM t"
    assert lite.rows(typed) == back.rows(typed), (lite.rows(typed), back.rows(typed))


@test("types: columns that cannot hold each other's values are named before the first sync")
def _(t):
    lite, server = table(t, "TEXT", "BIGINT")
    report = sync(lite, server)
    warned = json.dumps(report)
    assert "v" in warned and report.get("warnings"), report


if __name__ == "__main__":
    main()
