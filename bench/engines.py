"""sync_now between every pair of engines: all rows, updates, nothing, and one row at a time."""
import statistics
import time

from measure import harness, say
from postgres_client import W1_SQLITE, Connection, fill_source, make_table

IDLE_CALLS = 11
SMALL_SYNCS = 90


def seconds(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


class Pairs:
    """One set of rows in both engines, and how long writing them plainly takes in each."""

    def __init__(self, cluster, folder, rows):
        self.cluster, self.folder, self.rows = cluster, folder, rows
        self.hub = cluster.database("hub")
        self.connection = Connection(self.hub)
        fill_source(self.connection, rows)
        make_table(self.connection, "plain", False)
        self.postgres_base = self.connection.seconds("INSERT INTO plain SELECT * FROM source")
        self.data = [(a, b, c, int(d), float(e), int(f))
                     for a, b, c, d, e, f in self.hub.rows("SELECT * FROM source")]
        plain = self.device("plain", False)
        self.sqlite_base = seconds(lambda: self.fill(plain))
        plain.close()

    def device(self, name, tracked=True):
        for suffix in ("", "-wal", "-shm", "-sync"):
            (self.folder / f"{name}.db{suffix}").unlink(missing_ok=True)
        made = harness.Sqlite(self.folder / f"{name}.db")
        made.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
        made.run(W1_SQLITE)
        if tracked:
            made.value("SELECT sync_enable('task')")
        return made

    def fill(self, device):
        for first in range(0, len(self.data), 1000):
            device.db.execute("BEGIN")
            device.db.executemany("INSERT INTO task VALUES (?, ?, ?, ?, ?, ?)",
                                  self.data[first:first + 1000])
            device.db.execute("COMMIT")

    def update(self, device):
        device.db.execute("UPDATE task SET status = status + 1 WHERE rowid % 5 = 0")

    def close(self):
        self.connection.close()
        self.cluster.drop("hub")


def measure_pairs(samples, pairs):
    """All rows from each engine to each, then updates between the engines and back."""
    first, second = pairs.device("first"), pairs.device("second")
    pairs.fill(first)
    samples.add("pairs.sqlite_sqlite", seconds(lambda: first.value(
        "SELECT sync_now(?)", second.url)) / pairs.sqlite_base)
    make_table(pairs.connection, "task", True)
    push = lambda: first.value("SELECT sync_now(?)", pairs.hub.url)
    samples.add("pairs.sqlite_postgres", seconds(push) / pairs.postgres_base)
    third = pairs.device("third")
    pull = lambda: third.value("SELECT sync_now(?)", pairs.hub.url)
    samples.add("pairs.postgres_sqlite", seconds(pull) / pairs.sqlite_base)
    if third.value("SELECT count(*) FROM task") != pairs.rows:
        raise RuntimeError("sync_now did not bring all rows")
    pairs.update(first)
    samples.add("pairs.sqlite_postgres.delta", seconds(push) / pairs.postgres_base)
    pairs.connection.run("UPDATE task SET priority = 2 WHERE id IN "
                         f"(SELECT id FROM source LIMIT {pairs.rows // 5})")
    samples.add("pairs.postgres_sqlite.delta", seconds(pull) / pairs.sqlite_base)
    for device in (first, second, third):
        device.close()
    other = pairs.cluster.database("other")
    with_other = Connection(other)
    try:
        make_table(with_other, "task", True)
        make_table(pairs.connection, "task", True)
        pairs.connection.run("INSERT INTO task SELECT * FROM source")
        samples.add("pairs.postgres_postgres", seconds(lambda: with_other.run(
            f"SELECT sync_now('{pairs.hub.url}') IS NOT NULL")) / pairs.postgres_base)
    finally:
        with_other.close()
        pairs.cluster.drop("other")


# ---- nothing to do -------------------------------------------------------------------------------

IDLE_TABLE = "task_{}(id text PRIMARY KEY, title text, status int)"


def make_idle_tables(run, tables):
    for i in range(tables):
        run(f"CREATE TABLE {IDLE_TABLE.format(i)}")
        run(f"SELECT sync_enable('task_{i}')")


def idle_device(folder, name, tables):
    for suffix in ("", "-wal", "-shm", "-sync"):
        (folder / f"{name}.db{suffix}").unlink(missing_ok=True)
    made = harness.Sqlite(folder / f"{name}.db")
    made.db.execute("PRAGMA journal_mode=WAL")
    make_idle_tables(lambda sql: made.db.execute(sql).fetchall(), tables)
    return made


def median_ms(work, calls):
    return statistics.median(seconds(work) for _ in range(calls)) * 1000


def measure_idle(samples, cluster, folder, tables, peers):
    """A device and a second server against one hub that knows `peers` sites beside itself."""
    hub, other = cluster.database("hub"), cluster.database("other")
    at_other = Connection(other)
    try:
        for database in (hub, other):
            database.run("".join(f"CREATE TABLE {IDLE_TABLE.format(i)};"
                                 f"SELECT sync_enable('task_{i}');" for i in range(tables)))
        device = idle_device(folder, "device", tables)
        for i in range(1, peers):
            peer = idle_device(folder, "peer", 1)
            peer.db.execute("INSERT INTO task_0 VALUES (?, 'from a peer', 1)", (str(i),))
            peer.value("SELECT sync_now(?)", hub.url)
            peer.close()
        device.db.execute("INSERT INTO task_0 VALUES ('device', 'from here', 1)")
        suffix = f"tables_{tables}.peers_{peers}"

        def from_device():
            device.value("SELECT sync_now(?)", hub.url)

        def over_kept():
            device.value("SELECT sync_now(?)", hub.url + "&keep=1")

        def from_server():
            at_other.run(f"SELECT sync_now('{hub.url}') IS NOT NULL")
        for key, call in (("mixed.idle", from_device), ("mixed.kept", over_kept),
                          ("postgres.idle", from_server)):
            call()
            call()
            samples.add(f"{key}.{suffix}", median_ms(call, IDLE_CALLS))
        device.close()
    finally:
        at_other.close()
        cluster.drop("other")
        cluster.drop("hub")


def measure_small(samples, pairs):
    """Does the last of many small syncs cost more than the first?"""
    make_table(pairs.connection, "task", True)
    device = pairs.device("device")
    other = pairs.cluster.database("other")
    at_other = Connection(other)
    try:
        make_table(at_other, "task", True)
        pairs.connection.run("INSERT INTO task SELECT * FROM source LIMIT 10000")
        device.value("SELECT sync_now(?)", pairs.hub.url)
        now = f"SELECT sync_now('{pairs.hub.url}') IS NOT NULL"
        at_other.run(now)
        ids = [row[0] for row in device.rows("SELECT id FROM task LIMIT ?", SMALL_SYNCS)]
        change = lambda k: device.db.execute("UPDATE task SET status = status + 1 WHERE id = ?",
                                             (k,))
        for engine, write, sync in (
                ("mixed", change, lambda: device.value("SELECT sync_now(?)", pairs.hub.url)),
                ("kept", change,
                 lambda: device.value("SELECT sync_now(?)", pairs.hub.url + "&keep=1")),
                ("postgres", lambda k: at_other.run(f"UPDATE task SET priority = 9 "
                                                    f"WHERE id = '{k}'"),
                 lambda: at_other.run(now))):
            times = []
            for key in ids:
                write(key)
                times.append(seconds(sync) * 1000)
            third = len(times) // 3
            samples.add(f"{engine}.small.median", statistics.median(times))
            samples.add(f"{engine}.small.growth", statistics.median(times[-third:])
                        / statistics.median(times[:third]))
    finally:
        at_other.close()
        pairs.cluster.drop("other")
    device.close()


def measure(samples, cluster, folder, options):
    for repetition in range(options.repetitions):
        say(f"pairs, repetition {repetition + 1} of {options.repetitions}")
        pairs = Pairs(cluster, folder, options.rows)
        try:
            measure_pairs(samples, pairs)
            measure_small(samples, pairs)
        finally:
            pairs.close()
    for tables, peers in options.idle:
        say(f"nothing to do: {tables} tables, {peers} peers")
        measure_idle(samples, cluster, folder, tables, peers)
