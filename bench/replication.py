"""PostgreSQL to PostgreSQL beside the database's own ways: native logical replication, pglogical.

Two databases of one cluster. A slot is made by hand first: CREATE SUBSCRIPTION would wait for its
own transaction otherwise. Latency counts from the start of the INSERT until the last row is there.
"""
import pathlib
import subprocess
import time

from measure import harness, say
from postgres_client import Connection, fill_source, make_table, server_bindir

TIMEOUT_SECONDS = 120


def wait_for_rows(target, rows):
    """Until the other database has as many rows."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    last = "SELECT count(*) FROM task"
    while int(target.value(last)) < rows:
        if time.monotonic() > deadline:
            raise harness.SqlError(f"{rows} rows did not arrive in {TIMEOUT_SECONDS} s")
        time.sleep(0.01)


class Pair:
    """Two databases, the first with rows to insert; `base` is INSERT ... SELECT untracked."""

    def __init__(self, cluster, extension, rows, suffix=""):
        self.cluster, self.rows = cluster, rows
        self.databases = [cluster.database(name + suffix, extension)
                          for name in ("origin", "copy")]
        self.origin, self.copy = map(Connection, self.databases)
        fill_source(self.origin, rows)
        make_table(self.origin, "plain", False)
        self.base = self.origin.seconds("INSERT INTO plain SELECT * FROM source")

    def insert(self):
        self.origin.run("INSERT INTO task SELECT * FROM source")

    def close(self, drop=True):
        for connection in (self.origin, self.copy):
            connection.close()
        for database in self.databases if drop else ():
            self.cluster.drop(database.name)


def since(begin, base):
    return (time.monotonic() - begin) / base


def measure_syncline(samples, cluster, rows):
    pair = Pair(cluster, True, rows)
    try:
        now = f"SELECT sync_now('{pair.databases[0].url}') IS NOT NULL"
        for connection in (pair.origin, pair.copy):
            make_table(connection, "task", True)
        pair.copy.run(now)
        begin = time.monotonic()
        pair.insert()
        pair.copy.run(now)
        samples.add("replication.syncline.full", since(begin, pair.base))
        # the first sync of a table that was full when tracking began
        for connection in (pair.origin, pair.copy):
            make_table(connection, "task", False)
        pair.insert()
        for connection in (pair.origin, pair.copy):
            connection.run("SELECT sync_enable('task')")
        begin = time.monotonic()
        pair.copy.run(now)
        samples.add("replication.syncline.copy", since(begin, pair.base))
        if int(pair.copy.value("SELECT count(*) FROM task")) != rows:
            raise RuntimeError("sync_now did not bring all rows")
    finally:
        pair.close()


def subscribe(pair, copy):
    """Makes a slot, then a subscription with it."""
    pair.origin.run("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
    pair.copy.run(f"""CREATE SUBSCRIPTION bench CONNECTION '{pair.databases[0].url}'
                      PUBLICATION bench WITH (create_slot = false, slot_name = 'bench',
                      copy_data = {str(copy).lower()})""")


def unsubscribe(pair):
    pair.copy.run("ALTER SUBSCRIPTION bench DISABLE")
    pair.copy.run("ALTER SUBSCRIPTION bench SET (slot_name = NONE)")
    pair.copy.run("DROP SUBSCRIPTION bench")
    deadline = time.monotonic() + 10
    while pair.origin.value("SELECT bool_or(active) FROM pg_replication_slots") == "t":
        if time.monotonic() > deadline:
            raise harness.SqlError("the replication slot stays in use")
        time.sleep(0.05)
    pair.origin.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                    "WHERE NOT active")


def ready(pair):
    """Until the subscription's tables have had their first copy."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while pair.copy.value("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel") != "t":
        if time.monotonic() > deadline:
            raise harness.SqlError("the subscription did not become ready")
        time.sleep(0.01)


def measure_native(samples, cluster, rows):
    pair = Pair(cluster, False, rows)
    try:
        for connection in (pair.origin, pair.copy):
            make_table(connection, "task", False)
        pair.origin.run("CREATE PUBLICATION bench FOR TABLE task")
        subscribe(pair, False)
        ready(pair)
        begin = time.monotonic()
        pair.insert()
        wait_for_rows(pair.copy, rows)
        samples.add("replication.native.full", since(begin, pair.base))
        unsubscribe(pair)
        pair.copy.run("TRUNCATE task")
        begin = time.monotonic()
        subscribe(pair, True)
        wait_for_rows(pair.copy, rows)
        samples.add("replication.native.copy", since(begin, pair.base))
        ready(pair)
        unsubscribe(pair)
    finally:
        pair.close()


def has_pglogical():
    out = subprocess.run([f"{server_bindir()}/pg_config", "--sharedir"], capture_output=True,
                         text=True, check=False).stdout.strip()
    return pathlib.Path(out, "extension", "pglogical.control").exists()


def pglogical_subscribe(pair, copy):
    pair.copy.run("SELECT pglogical.create_subscription(subscription_name := 'bench', "
                  f"provider_dsn := '{pair.databases[0].url}', synchronize_structure := false, "
                  f"synchronize_data := {str(copy).lower()})")
    pair.copy.run("SELECT pglogical.wait_for_subscription_sync_complete('bench')")


def trust_pglogical(cluster):
    """Newer minor releases load no output plugin that is not named in a setting."""
    known = cluster.postgres().value(
        "SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'")
    if known is not None:
        names = ", ".join(f"'{name.strip()}'" for name in known.split(",") + ["pglogical_output"])
        cluster.postgres().psql("-c", f"ALTER SYSTEM SET output_plugin_libraries = {names}",
                                "-c", "SELECT pg_reload_conf()")


def measure_pglogical(samples, cluster, rows, suffix):
    pair = Pair(cluster, False, rows, suffix)
    pair.copy.run(f"SET statement_timeout = '{TIMEOUT_SECONDS}s'")
    try:
        for connection, database in zip((pair.origin, pair.copy), pair.databases):
            make_table(connection, "task", False)
            connection.run("CREATE EXTENSION pglogical")
            connection.run(f"SELECT pglogical.create_node('{database.name}', '{database.url}')")
        pair.origin.run("SELECT pglogical.replication_set_add_table('default', 'task')")
        pglogical_subscribe(pair, False)
        begin = time.monotonic()
        pair.insert()
        wait_for_rows(pair.copy, rows)
        samples.add("replication.pglogical.full", since(begin, pair.base))
        pair.copy.run("SELECT pglogical.drop_subscription('bench')")
        pair.copy.run("TRUNCATE task")
        begin = time.monotonic()
        pglogical_subscribe(pair, True)
        wait_for_rows(pair.copy, rows)
        samples.add("replication.pglogical.copy", since(begin, pair.base))
        pair.copy.run("SELECT pglogical.drop_subscription('bench')")
    finally:
        pair.close(drop=False)  # its manager process keeps a database from being dropped


def measure(samples, cluster, options):
    for repetition in range(options.repetitions):
        say(f"replication, repetition {repetition + 1} of {options.repetitions}")
        measure_syncline(samples, cluster, options.rows)
        try:
            measure_native(samples, cluster, options.rows)
        except harness.SqlError as error:
            samples.skip("native logical replication", error)
    if not has_pglogical():
        samples.skip("pglogical", "not installed (scripts/setup.sh bench installs it on Debian)")
        return
    # it must be preloaded, and would be in the way of everything else
    try:
        other = harness.Cluster("--conf", "wal_level=logical", "--conf",
                                "shared_preload_libraries=pglogical", "--conf",
                                "track_commit_timestamp=on")
    except harness.Skip as reason:
        samples.skip("pglogical", reason)
        return
    try:
        trust_pglogical(other)
        for repetition in range(options.repetitions):
            measure_pglogical(samples, other, options.rows, str(repetition))
    except harness.SqlError as error:
        samples.skip("pglogical", error)
    finally:
        other.stop()
