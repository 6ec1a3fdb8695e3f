"""One test body for all three pairs of engines.

    @on_pairs("interop: an update reaches the other site")
    def _(t, a, b):
        create(TASK, a, b)          # the schema in each engine's words, every table tracked
        ...
        sync(a, b)
        equal([a, b], ["task"])     # rows by each engine's own SELECT; conflicts with their ids

Schemas and statements are written so that both engines take them; words() turns BLOB into BYTEA
and drops what only SQLite knows.
"""
import json
import re

from harness import same_rows, test

PAIRS = {"SQLite-SQLite": ("sqlite", "sqlite"), "SQLite-PostgreSQL": ("sqlite", "postgres"),
         "PostgreSQL-PostgreSQL": ("postgres", "postgres")}
HELD = ("unique", "foreign_key", "constraint")


def on_pairs(name, pairs=tuple(PAIRS)):
    """Registers the body once for each pair: body(t, a, b)."""
    def register(body):
        for pair in pairs:
            engines = PAIRS[pair]
            test(f"{name} [{pair}]")(
                lambda t, engines=engines: body(t, *(site(t, engine, f"s{i}")
                                                     for i, engine in enumerate(engines))))
        return body
    return register


def site(t, engine, name):
    return getattr(t, engine)(name)


def batch(statements):
    """Statements as one transaction."""
    return "BEGIN;" + ";".join(statements) + ";COMMIT"


def quote(text):
    return "'" + str(text).replace("'", "''") + "'"


def words(db, sql):
    if db.engine == "postgres":
        sql = re.sub(r"\bBLOB\b", "BYTEA", sql)
        sql = re.sub(r"\)\s*(?:STRICT|WITHOUT ROWID)\b", ")", sql)
    return sql


def run(sql, *sites):
    for db in sites:
        db.run(words(db, sql))


def tables_of(schema):
    return [a or b for a, b in re.findall(r'CREATE TABLE\s+(?:"([^"]+)"|(\w+))', schema)]


def enable(db, *tables):
    calls = [f"SELECT sync_enable({quote(table)})" for table in tables]
    if db.engine == "postgres":
        return [json.loads(row[0]) for row in db.rows(";".join(calls))]
    return [db.json(call) for call in calls]


def create(schema, *sites):
    for db in sites:
        run(schema, db)
        enable(db, *tables_of(schema))


def sync(a, b, options=None):
    """sync_now, called in the SQLite database if one of the two is one; the report."""
    if a.engine == "postgres" and b.engine == "sqlite":
        a, b = b, a
    more = f", {quote(json.dumps(options))}" if options else ""
    return a.json(f"SELECT sync_now({quote(b.url)}{more})")


def moved(report):
    return report["pulled"]["rows"] + report["pushed"]["rows"]


def settle(sites, rounds=4):
    """Synchronises neighbours round and round until nothing moves."""
    for _ in range(rounds):
        if not sum(moved(sync(a, b)) for a, b in zip(sites, sites[1:])):
            return
    raise AssertionError(f"rows still move after {rounds} rounds")


def plain_json(value):
    return json.dumps(json.loads(value), sort_keys=True) if value is not None else None


def conflicts(db, status="open"):
    """What every site must show alike: the pair of values has no order."""
    rows = db.rows("SELECT id, table_name, pk, column_name, kind, winner, local, remote "
                   f"FROM sync_conflicts WHERE status = {quote(status)}")
    return sorted((r[0], r[1], plain_json(r[2]), r[3], r[4], plain_json(r[5]),
                   *sorted(map(str, map(plain_json, r[6:8])))) for r in rows)


def kinds(db):
    """The kinds of the open conflicts."""
    return [row[4] for row in sorted(conflicts(db), key=lambda row: row[4])]


def held(db):
    """(kind, table, key) of the rows kept out of their tables."""
    return sorted((c[4], c[1], c[2]) for c in conflicts(db) if c[4] in HELD)


def equal(sites, tables, as_found=True):
    """Same rows, same open conflicts; returns the number of rows. A conflict is recorded with the
    kind and values it had when a site found it: where sites find it in different states of a row,
    `as_found=False` compares which conflicts there are."""
    total = 0
    for other in sites[1:]:
        total = same_rows(sites[0], other, tables)
        here, there = conflicts(sites[0]), conflicts(other)
        if not as_found:
            here, there = ([c[:4] for c in side] for side in (here, there))
        assert here == there, "conflicts differ\n" + "".join(
            f"  only {side}: {c}\n" for side, one, two in (("first", here, there),
                                                         ("other", there, here))
            for c in one if c not in two)
    return total


def rows(db, sql):
    """Rows with every value as text or None, sorted: the same for both engines."""
    return sorted((tuple(None if v is None else str(v) for v in row) for row in db.rows(sql)),
                  key=repr)


def export(db, vector="{}", options=None):
    """The chunks as bytes."""
    known = json.dumps(vector) if isinstance(vector, dict) else vector
    call = f"sync_changes_since({quote(known)}, {quote(json.dumps(options or {}))})"
    if db.engine == "sqlite":
        return [row[0] for row in db.rows(f"SELECT changes FROM {call} ORDER BY chunk")]
    return [bytes.fromhex(row[0][2:])
            for row in db.rows(f"SELECT changes FROM {call} ORDER BY chunk")]


def apply(db, chunk):
    if db.engine == "sqlite":
        return db.json("SELECT sync_apply(?)", chunk)
    return db.json(f"SELECT sync_apply('\\x{chunk.hex()}')")


def vector(db):
    return db.json("SELECT sync_version_vector()")
