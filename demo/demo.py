"""Three databases with the PROJ data are edited apart from each other, synchronised and compared.

    demo.py FOLDER [--hub]

Without --hub there are only the two SQLite devices. With it, PGHOST and the other libpq variables
name a private server. scripts/demo.sh calls this and cleans up afterwards.
"""
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import proj_to_postgres as proj  # noqa: E402
from harness import SqlError, Sqlite, cluster, table_rows  # noqa: E402

PROJ_FILES = ("/usr/share/proj/proj.db", "/usr/local/share/proj/proj.db")
MOST_ROUNDS = 5

# Made offline. One cell is set to different values on device1 and device2; a third column of the
# same row changes on the hub, which is no conflict.
EDITS = {
    "device1": [
        ("a cell that device2 changes too",
         "UPDATE geodetic_crs SET description = 'As surveyed by device 1' "
         "WHERE auth_name = 'EPSG' AND code = '4326'"),
        ("an update of many rows",
         "UPDATE projected_crs SET description = 'Checked in the field' "
         "WHERE auth_name = 'EPSG' AND name LIKE 'WGS 84 / UTM%'"),
        ("a delete",
         "DELETE FROM grid_alternatives WHERE original_grid_name = 'AGQG_20191107.gsb'"),
        ("an insert through a view, by the schema's own triggers",
         "INSERT INTO helmert_transformation (auth_name, code, name, method_auth_name, method_code,"
         " method_name, source_crs_auth_name, source_crs_code, target_crs_auth_name,"
         " target_crs_code, accuracy, tx, ty, tz, translation_uom_auth_name, translation_uom_code,"
         " deprecated) VALUES ('DEMO', 'shift', 'A shift measured today', 'EPSG', '9603',"
         " 'Geocentric translations (geog2D domain)', 'EPSG', '4326', 'EPSG', '4258', 0.5, 0.1,"
         " 0.2, 0.3, 'EPSG', '9001', 0)"),
    ],
    "device2": [
        ("the cell that device1 changed too",
         "UPDATE geodetic_crs SET description = 'As surveyed by device 2' "
         "WHERE auth_name = 'EPSG' AND code = '4326'"),
        ("a parent",
         "INSERT INTO ellipsoid VALUES ('DEMO', '1', 'Demo 2026', 'made on device 2', 'PROJ', "
         "'EARTH', 6378137.25, 'EPSG', '9001', 298.25, NULL, 0)"),
        ("its child",
         "INSERT INTO geodetic_datum VALUES ('DEMO', '1', 'Demo datum', NULL, 'DEMO', '1', 'EPSG', "
         "'8901', '2026-01-01', NULL, NULL, NULL, 0)"),
        ("its grandchild",
         "INSERT INTO geodetic_crs VALUES ('DEMO', '1', 'Demo 2D', NULL, 'geographic 2D', 'EPSG', "
         "'6422', 'DEMO', '1', NULL, 0)"),
    ],
    "hub": [
        ("another column of the clashing row: no conflict",
         "UPDATE geodetic_crs SET name = 'WGS 84 (hub)' "
         "WHERE auth_name = 'EPSG' AND code = '4326'"),
        ("a delete that cascades to two tables",
         "DELETE FROM vertical_datum WHERE auth_name = 'EPSG' AND code = '5100'"),
        ("updates", "UPDATE extent SET description = description || '.' "
                    "WHERE auth_name = 'EPSG' AND code < '1100'"),
    ],
}


def say(text=""):
    print(text, flush=True)


def step(text):
    say(f"\n== {text}")


def prepare(folder, hub_wanted):
    """The databases, by name, filled alike."""
    places = (os.environ.get("PROJ_DB", ""), *PROJ_FILES)
    source = next((place for place in places if os.path.isfile(place)), "")
    if not source:
        sys.exit("proj.db was not found: install proj-data, or set PROJ_DB")
    keyed = folder / "keyed.db"
    without_key = proj.make_keyed(source, str(keyed))
    say(f"{source}: six of its tables have no primary key, and are refused as they are:")
    show_refusal(source, folder, without_key)
    say("They get one before the copies are made, as their owner would do it.")
    databases = {}
    for name in ("device1", "device2"):
        shutil.copy(keyed, folder / f"{name}.db")
        databases[name] = Sqlite(folder / f"{name}.db")
        databases[name].run("PRAGMA foreign_keys = on")
    if hub_wanted:
        databases["hub"] = make_hub(keyed)
    return databases


def show_refusal(source, folder, tables):
    copy = folder / "original.db"
    shutil.copy(source, copy)
    original = Sqlite(copy)
    for table in tables:
        try:
            original.value("SELECT sync_enable(?)", table)
            sys.exit(f"{table} has no primary key and was not refused")
        except sqlite3.Error as error:
            say(f"  {error}")
    original.close()
    copy.unlink()


def make_hub(keyed):
    hub = cluster().database("hub", extension=False)
    db = sqlite3.connect(keyed)
    lines = [*proj.ddl(db, "tables"), *proj.copy_commands(db), *proj.ddl(db, "rest")]
    hub.psql("-1", "-f", "-", text="\n".join(lines))
    hub.run("CREATE EXTENSION syncline")
    return hub


def enable(databases, tables):
    for name, database in databases.items():
        started = time.monotonic()
        for table in tables:
            database.json(f"SELECT sync_enable('{table}')")
        say(f"  {name}: {len(tables)} tables in {time.monotonic() - started:.2f} s")


def exchange(name, device, peer_name, peer):
    """One sync_now from device; returns how many rows moved."""
    started = time.monotonic()
    result = device.json(f"SELECT sync_now('{peer.url}')")
    seconds = time.monotonic() - started
    pulled, pushed = result["pulled"], result["pushed"]
    say(f"  {name} <- {peer_name}: {pulled['rows']:6} rows {pulled['bytes']:9} bytes   "
        f"{name} -> {peer_name}: {pushed['rows']:6} rows {pushed['bytes']:9} bytes   "
        f"{result.get('conflicts', 0)} conflicts   {seconds:.2f} s")
    return pulled["rows"] + pushed["rows"]


def synchronise(databases):
    """Every device with the hub (or the two with each other), until nothing moves."""
    if "hub" in databases:
        pairs = [("device1", "hub"), ("device2", "hub")]
    else:
        pairs = [("device1", "device2")]
    for _ in range(MOST_ROUNDS):
        if sum(exchange(a, databases[a], b, databases[b]) for a, b in pairs) == 0:
            return
    sys.exit(f"rows still move after {MOST_ROUNDS} rounds")


def edit(databases):
    for name, database in databases.items():
        for what, sql in EDITS[name]:
            if database.engine == "sqlite":
                database.db.execute(sql)
            else:
                database.run(sql)
            say(f"  {name}: {what}")


def show_conflicts(databases):
    """Prints what each database shows; all must show the clash."""
    for name, database in databases.items():
        rows = database.rows("SELECT table_name, pk, column_name, kind, status, local, remote, "
                             "winner FROM sync_conflicts ORDER BY id")
        say(f"  {name}:")
        for table, pk, column, kind, status, local, remote, winner in rows:
            say(f"    {table} {pk} {column}: {kind}, {status}")
            say(f"      local {local}  remote {remote}  winner {winner}")
        if not any((r[0], r[2]) == ("geodetic_crs", "description") for r in rows):
            sys.exit(f"{name} does not show the clash")


def digest(database, tables, kinds):
    """(rows, hash) of all tables, read by the engine's own client and hashed here."""
    total, content = 0, hashlib.sha256()
    for table in tables:
        rows = table_rows(database, table, kinds[table])
        total += len(rows)
        content.update(repr((table, rows)).encode())
    return total, content.hexdigest()


def compare(databases, tables):
    """Proves that all hold the same rows, with none of Syncline's code."""
    typed = databases.get("hub", databases["device1"])
    kinds = {table: typed.kinds(table) for table in tables}
    found = {name: digest(d, tables, kinds) for name, d in databases.items()}
    for name, (rows, sha) in found.items():
        say(f"  {name}: {len(tables)} tables, {rows} rows, sha256 {sha[:32]}")
    if len(set(found.values())) != 1:
        sys.exit("the databases differ")
    say("  the same rows everywhere")


def sound(databases):
    """Foreign keys hold in the SQLite files; PostgreSQL has checked its own on every write."""
    for name in ("device1", "device2"):
        broken = databases[name].rows("PRAGMA foreign_key_check")
        if broken:
            sys.exit(f"{name}: {len(broken)} rows break a foreign key, such as {broken[0]}")


def main(arguments):
    folder, hub_wanted = pathlib.Path(arguments[0]), "--hub" in arguments
    started = time.monotonic()
    step("The PROJ database is copied to two SQLite devices"
         + (" and a PostgreSQL hub" if hub_wanted else ""))
    databases = prepare(folder, hub_wanted)
    tables = [name for name, _, _ in proj.objects(databases["device1"].db, "table")]
    step("SELECT sync_enable(...) for every table")
    enable(databases, tables)
    step("First exchange")
    synchronise(databases)
    step("Offline, each edits its own copy")
    edit(databases)
    step("SELECT sync_now(...) until nothing moves")
    synchronise(databases)
    step("SELECT * FROM sync_conflicts")
    show_conflicts(databases)
    step("Compared by reading every row with sqlite3 and psql")
    compare(databases, tables)
    sound(databases)
    say(f"\nDone in {time.monotonic() - started:.1f} s.")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (SqlError, sqlite3.Error, json.JSONDecodeError) as problem:
        sys.exit(f"demo: {problem}")
