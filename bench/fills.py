"""The first fill of an empty database from or to PostgreSQL, beside the engines' own way.

The rows were there when tracking began, so they have no row state at the sender, and the receiver
writes none. The own way moves the same rows out of the one database and into an untracked table of
the other, with COPY and the sqlite3 shell. Both are timed from outside, in an order that changes
from repetition to repetition. (SQLite to SQLite: bench/helper.)
"""
import subprocess
import time

from measure import alternate, harness, say
from postgres_client import W1_SQLITE, Connection, fill_source, make_table, server_bindir


def seconds(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def shell(command):
    subprocess.run(command, shell=True, check=True)


def psql(database, sql):
    return f"{server_bindir()}/psql -qXd '{database.url}' -c '{sql}'"


class File:
    """An empty SQLite database; `tracked`: with the table, ready to be filled."""

    def __init__(self, folder, name, table=True, tracked=True):
        self.path = folder / f"{name}.db"
        for suffix in ("", "-wal", "-shm", "-sync"):
            (folder / f"{name}.db{suffix}").unlink(missing_ok=True)
        self.device = harness.Sqlite(self.path)
        self.device.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")
        if table:
            self.device.run(W1_SQLITE)
        if tracked and table:
            self.device.value("SELECT sync_enable('task')")

    def call(self, function, url):
        self.device.value(f"SELECT {function}(?)", url)

    def rows(self):
        return self.device.value("SELECT count(*) FROM task")

    def close(self):
        self.device.db.close()


class Server:
    """The same in a PostgreSQL database of its own."""

    def __init__(self, cluster, name, table=True, tracked=True):
        self.cluster, self.database = cluster, cluster.database(name)
        self.connection = Connection(self.database)
        if table:
            make_table(self.connection, "task", tracked)
        self.connection.run("CHECKPOINT")

    def call(self, function, url):
        self.connection.run(f"SELECT {function}('{url}') IS NOT NULL")

    def rows(self):
        return int(self.connection.value("SELECT count(*) FROM task"))

    def close(self):
        self.connection.close()
        self.cluster.drop(self.database.name)


def measure_fill(samples, repetition, key, rows, make, own, fill):
    """One pair: `make` gives an empty database, `own` and `fill` bring it the rows."""
    def timed(work, *what):
        target = make(*what)
        try:
            spent = seconds(lambda: work(target))
            if target.rows() != rows:
                raise RuntimeError(f"{key}: not all rows arrived")
            return spent
        finally:
            target.close()
    base, now = alternate(repetition, lambda: timed(own, True, False),
                          lambda: timed(fill, True, True))
    samples.add(f"{key}.now", now / base)
    samples.add(f"{key}.rate", rows / now)
    return base, timed


class Fills:
    """A full database of each engine, tracked since."""

    def __init__(self, cluster, folder, rows):
        self.cluster, self.folder, self.rows = cluster, folder, rows
        self.server = Server(cluster, "full", tracked=False)
        fill_source(self.server.connection, rows)
        self.server.connection.run("INSERT INTO task SELECT * FROM source; DROP TABLE source")
        self.file = File(folder, "full", tracked=False)
        rows = ((a, b, c, int(d), float(e), int(f))
                for a, b, c, d, e, f in self.server.database.rows("SELECT * FROM task"))
        self.file.device.db.execute("BEGIN")
        self.file.device.db.executemany("INSERT INTO task VALUES (?, ?, ?, ?, ?, ?)", rows)
        self.file.device.db.execute("COMMIT")
        self.file.device.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.file.device.value("SELECT sync_enable('task')")
        # as a table is that has been in use for a while
        self.server.connection.run("SELECT sync_enable('task'); VACUUM ANALYZE task")

    def measure(self, samples, repetition):
        def server(*what):
            return Server(self.cluster, "filled", *what)

        def file(*what):
            return File(self.folder, "filled", *what)

        def pull(target, function="sync_now"):
            target.call(function, self.server.database.url)

        def push(target):  # a server opens no files: the file is the one that calls
            self.file.call("sync_now", target.database.url)
        for key, make, own, fill in (("fill.postgres_postgres", server, self.copy, pull),
                                     ("fill.postgres_sqlite", file, self.import_csv, pull),
                                     ("fill.sqlite_postgres", server, self.copy_csv, push)):
            base, timed = measure_fill(samples, repetition, key, self.rows, make, own, fill)
            if fill is pull:
                samples.add(f"{key}.clone",
                            timed(lambda target: pull(target, "sync_clone"), False) / base)

    def copy(self, target):
        shell(f"{psql(self.server.database, 'COPY task TO STDOUT (FORMAT binary)')} | "
              f"{psql(target.database, 'COPY task FROM STDIN (FORMAT binary)')}")

    def import_csv(self, target):
        rows = "COPY (SELECT * FROM task ORDER BY id) TO STDOUT (FORMAT csv)"
        shell(f"{psql(self.server.database, rows)} | "
              f"sqlite3 '{target.path}' '.mode csv' '.import /dev/stdin task'")

    def copy_csv(self, target):
        shell(f"sqlite3 -csv '{self.file.path}' 'SELECT * FROM task' | "
              f"{psql(target.database, 'COPY task FROM STDIN (FORMAT csv)')}")

    def close(self):
        self.file.close()
        self.server.close()


def measure(samples, cluster, folder, options):
    fills = Fills(cluster, folder, options.fill_rows)
    try:
        for repetition in range(options.repetitions):
            say(f"fills, repetition {repetition + 1} of {options.repetitions}")
            fills.measure(samples, repetition)
    finally:
        fills.close()
