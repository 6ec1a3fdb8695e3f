#!/usr/bin/env python3
"""Goal: the engines agree. Method: one history on all three pairs; rows are compared by each
engine's own SELECT, conflicts with their ids, chunks byte by byte through tests/support/wire.py."""
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
import wire  # noqa: E402
from harness import main, test  # noqa: E402
from pairs import (apply, batch, conflicts, create, equal, export, kinds, moved,  # noqa: E402
                   on_pairs, rows, run, settle, site, sync, vector)

SCHEMA = """
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT NOT NULL, score DOUBLE PRECISION, photo BLOB);
CREATE TABLE note(owner INTEGER, slug TEXT, body TEXT, stars BIGINT, done BOOLEAN,
                  PRIMARY KEY(owner, slug));
CREATE TABLE token(id UUID PRIMARY KEY, value TEXT, price NUMERIC, at TIMESTAMPTZ);
"""
TABLES = ["person", "note", "token"]


def uuid_of(number):
    return f"{number:08x}-0000-4000-8000-{number * 977:012x}"


def history(seed, size=60):
    """Statements that both engines take; none fails."""
    rng = random.Random(seed)
    out = []
    for number in range(size):
        name = rng.choice(["Zoë", "O''Brien", "", "名前", "a\nb", "🙂"])
        out.append(f"INSERT INTO person VALUES ({number}, '{name}', {rng.randrange(99) / 8}, NULL)")
        out.append(f"INSERT INTO note VALUES ({number % 7}, 's{number}', 'b', {rng.getrandbits(60)}"
                   f", {rng.choice(['true', 'false', 'NULL'])})")
        out.append(f"INSERT INTO token VALUES ('{uuid_of(number)}', 'v', '{number}.25', "
                   f"'20{number % 90 + 10}-02-03 04:05:06+00')")
    for _ in range(size):
        number = rng.randrange(size)
        out.append(rng.choice([
            f"UPDATE person SET name = 'n{number}' WHERE id = {number}",
            f"UPDATE person SET score = NULL WHERE id = {number}",
            f"UPDATE note SET stars = -stars, body = NULL WHERE slug = 's{number}'",
            f"UPDATE note SET slug = 'r{number}' WHERE slug = 's{number}'",
            f"DELETE FROM note WHERE slug = 's{number}'",
            f"DELETE FROM token WHERE id = '{uuid_of(number)}'",
            f"UPDATE token SET value = NULL, price = '-0.25' WHERE id = '{uuid_of(number)}'"]))
    return out


@on_pairs("interop: one history reaches the other site, rows equal")
def _(t, a, b):
    create(SCHEMA, a, b)
    run(batch(history(1)), a)
    sync(a, b)
    assert equal([a, b], TABLES) > 120
    assert moved(sync(a, b)) == 0


@on_pairs("interop: edits on both sides, several rounds, rows and conflicts equal")
def _(t, a, b):
    create(SCHEMA, a, b)
    run(batch(history(2)), a)
    sync(a, b)
    for turn in range(3):
        edits = history(10 + turn)[180:]
        run(batch(edits[:40]), a)
        run(batch(e.replace("'n", f"'m{turn}") for e in edits[20:]), b)
        sync(a, b)
        equal([a, b], TABLES)
        assert moved(sync(a, b)) == 0
    assert conflicts(a), "the edits did not clash"


@on_pairs("interop: both sites enable tables that hold rows already")
def _(t, a, b):
    for db in (a, b):
        run(SCHEMA + batch(history(3)), db)
    run("UPDATE person SET name = 'only here' WHERE id = 5; DELETE FROM note WHERE slug = 's1'", a)
    for db in (a, b):
        for table in TABLES:
            db.value(f"SELECT sync_enable('{table}')")
    run("UPDATE person SET score = 77 WHERE id = 6", b)
    sync(a, b)
    equal([a, b], TABLES)
    assert rows(a, "SELECT score FROM person WHERE id = 6") == [("77.0",)] or \
        rows(a, "SELECT score FROM person WHERE id = 6") == [("77",)]
    assert moved(sync(a, b)) == 0


@on_pairs("interop: an exchange in many small chunks gives the same as one")
def _(t, a, b):
    create(SCHEMA, a, b)
    run(batch(history(4, 200)), a)
    chunks = export(a, vector(b), {"max_bytes": 2000})
    assert len(chunks) > 5
    for chunk in chunks:
        apply(b, chunk)
    equal([a, b], TABLES)
    assert moved(sync(a, b)) == 0


@on_pairs("interop: chunks packed with zstd, LZ4 and not at all are all read")
def _(t, a, b):
    create(SCHEMA, a, b)
    for number, way in enumerate(("zstd", "lz4", "none")):
        run(f"INSERT INTO person VALUES ({number}, '{'x' * 500}', 1, NULL)", a)
        for chunk in export(a, vector(b), {"compress": way}):
            assert chunk[5] == {"none": 0, "zstd": 1, "lz4": 2}[way]
            apply(b, chunk)
    equal([a, b], TABLES)


@test("interop: through a Unix-domain socket chunks go as they are, unless it is asked otherwise")
def _(t):
    a, b = t.sqlite("device"), t.postgres("hub")
    create(SCHEMA, a, b)
    for number, (options, packed) in enumerate(((None, False), ({"compress": "zstd"}, True))):
        run(f"INSERT INTO person VALUES ({number}, '{'x' * 5000}', 1, NULL)", a)
        report = sync(a, b, options)
        assert report["pushed"]["rows"] == 1, report
        assert (report["pushed"]["bytes"] < 5000) == packed, report
    equal([a, b], TABLES)


def spread(t, engines, statements):
    """A writer's history at sites of the given engines, all of which know all of them."""
    writer = t.sqlite(f"writer_{engines[0]}")
    others = [site(t, engine, f"reader{i}_{engine}") for i, engine in enumerate(engines)]
    create(SCHEMA, writer, *others)
    run(batch(statements), writer)
    for _ in range(2):
        for other in others:
            sync(writer, other)
    return others


def sections(db):
    chunks = [wire.decode(chunk) for chunk in export(db, "{}", {"compress": "none"})]
    assert all(chunk.sites == chunks[0].sites for chunk in chunks)
    return chunks


@test("interop: SQLite and PostgreSQL emit the same section bytes for the same history")
def _(t):
    left, right = spread(t, ("sqlite", "postgres"), history(5))
    one, two = sections(left), sections(right)
    assert one[0].sites == two[0].sites
    assert [c.tables for c in one] == [c.tables for c in two]
    assert [c.section_bytes for c in one] == [c.section_bytes for c in two]
    for key in ("since", "start", "knowledge"):
        assert one[0].header[key] == two[0].header[key], key


@test("interop: the same bytes after concurrent edits at both, conflicts and tombstones in them")
def _(t):
    left, right = spread(t, ("sqlite", "postgres"), history(6))
    run(batch(history(7)[180:]), left)
    run(batch(e.replace("'n", "'other") for e in history(7)[180:]), right)
    sync(left, right)
    equal([left, right], TABLES)
    one, two = sections(left), sections(right)
    assert [c.tables for c in one] == [c.tables for c in two]
    assert [c.section_bytes for c in one] == [c.section_bytes for c in two]
    found = [row for chunk in one for table in chunk.tables for row in table.rows]
    dead = [row for row in found if any(version[3] for version in row.versions)]
    several = [row for row in found if any(n > 1 for n in row.shape.cells.values())]
    assert dead and several, (len(dead), len(several))


@test("interop: two PostgreSQL sites emit the same bytes, and so do two SQLite sites")
def _(t):
    for engine in ("sqlite", "postgres"):
        left, right = spread(t, (engine, engine), history(8))
        assert [c.section_bytes for c in sections(left)] == \
            [c.section_bytes for c in sections(right)], engine


@on_pairs("interop: what an independent reader finds in a chunk is what the database holds")
def _(t, a, b):
    create(SCHEMA, a, b)
    run(batch(history(9)), a)
    sync(a, b)
    for db in (a, b):
        found = {table.name: table for chunk in sections(db) for table in chunk.tables}
        alive = [row for row in found["person"].rows if not all(v[3] for v in row.versions)]
        names = sorted((str(row.key[0]), row.cells["name"][-1]) for row in alive)
        assert names == rows(db, "SELECT id, name FROM person")


@on_pairs("interop: a clash gives one conflict with one id on both sites, and closes on both")
def _(t, a, b):
    create(SCHEMA, a, b)
    run("INSERT INTO person VALUES (1, 'start', 0, NULL)", a)
    sync(a, b)
    run("UPDATE person SET name = 'from a' WHERE id = 1", a)
    run("UPDATE person SET name = 'from b' WHERE id = 1", b)
    sync(a, b)
    assert kinds(a) == ["update_update"]
    equal([a, b], TABLES)
    run("UPDATE person SET name = 'settled' WHERE id = 1", b)
    sync(a, b)
    assert kinds(a) == kinds(b) == []
    assert conflicts(a, "closed") and len(conflicts(b, "closed")) == 1


@on_pairs("interop: a third site relays; a chain and a shortcut give the same")
def _(t, a, b):
    c = t.sqlite("third")
    create(SCHEMA, a, b, c)
    run(batch(history(11)), a)
    run("INSERT INTO person VALUES (900, 'from c', 1, NULL)", c)
    sync(a, b)
    sync(c, b)
    sync(a, b)
    equal([a, b, c], TABLES)
    assert moved(sync(c, a)) == 0
    assert moved(sync(b, c)) == 0


@on_pairs("interop: who wrote a row without a column that others have wrote its default there")
def _(t, a, b):
    c = t.sqlite("third")
    sites, names = [a, b, c], ["t0", "t1", "t2"]
    create(";".join(f"CREATE TABLE {name}(id INTEGER PRIMARY KEY, v TEXT)" for name in names),
           *sites)
    settle([a, b, c, a])
    for turn, name in enumerate(names):
        has, lacks, relay = sites[turn:] + sites[:turn]
        add = f"ALTER TABLE {name} ADD COLUMN x INTEGER DEFAULT 3"
        run(add, has)
        run(f"SELECT sync_set_policy('{name}', 'x', 'max')", has)
        run(f"INSERT INTO {name} VALUES(1, 'lacks'), (2, 'lacks'), (3, 'lacks')", lacks)
        run(f"INSERT INTO {name} VALUES(1, 'has', 2), (2, 'has', 3), (3, 'has', 4)", has)
        sync(lacks, relay)
        sync(relay, has)
        run(add, lacks, relay)
    settle([a, b, c, a], rounds=6)
    for name in names:
        shown = [rows(db, f"SELECT id, x FROM {name}") for db in sites]
        assert shown == [[("1", "3"), ("2", "3"), ("3", "4")]] * 3, (name, shown)
    equal(sites, names, as_found=False)
    of_x = sorted((c[1], c[2]) for c in conflicts(a) if c[3] == "x")
    assert of_x == [(n, '{"id": %d}' % i) for n in names for i in (1, 3)], of_x


if __name__ == "__main__":
    main()
