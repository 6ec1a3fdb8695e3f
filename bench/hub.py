"""How much one PostgreSQL hub takes: SQLite clients that synchronise with it as fast as they can.

Each client is a database file and a thread of this process; SQLite and the network are outside of
Python's lock. Clients, hub and harness share the machine.
"""
import itertools
import threading
import time

from engines import W1_SQLITE
from measure import harness, say
from postgres_client import Connection, make_table

CLIENTS = (1, 8, 32)
CHANGES = (0, 1, 100)   # rows changed before each session


class Client:
    def __init__(self, folder, number, url):
        self.number, self.url = number, url
        self.database = harness.Sqlite(folder / f"client{number}.db")
        self.database.db.execute("PRAGMA journal_mode=WAL")
        self.database.db.execute(W1_SQLITE)
        self.database.value("SELECT sync_enable('task')")
        self.written = self.sessions = self.failed = 0

    def write(self, rows):
        self.database.db.execute("BEGIN")
        for _ in range(rows):
            self.written += 1
            self.database.db.execute("INSERT INTO task VALUES (?, 'order', 'a body', 1, 0.5, 0)",
                                     (f"{self.number} {self.written}",))
        self.database.db.execute("COMMIT")

    def run(self, rows, until):
        while time.monotonic() < until:
            if rows:
                self.write(rows)
            try:
                self.database.value("SELECT sync_now(?, '{\"direction\": \"push\"}')", self.url)
                self.sessions += 1
            except harness.sqlite3.Error:
                self.failed += 1


def measure_at(samples, kind, url, folder, count, rows, seconds):
    clients = [Client(folder, number, url) for number in range(count)]
    for client in clients:
        client.database.value("SELECT sync_now(?)", url)
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=client.run, args=(rows, until)) for client in clients]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - begin
    failed = sum(client.failed for client in clients)
    samples.add(f"hub.{kind}.{count}.{rows}", sum(c.sessions for c in clients) / took)
    if failed:
        samples.skip(f"hub, {kind}, {count} clients, {rows} rows",
                     f"{failed} sessions failed and were not counted")
    for client in clients:
        client.database.close()
        for path in folder.glob(f"client{client.number}.db*"):
            path.unlink()


def measure(samples, cluster, folder, options):
    for kind, keep in (("sessions", ""), ("kept", "&keep=1")):
        for count, rows in itertools.product(CLIENTS, CHANGES):
            say(f"hub: {kind}, {count} clients, {rows} rows a session")
            hub = cluster.database("hub")
            connection = Connection(hub)
            try:
                make_table(connection, "task", True)
                measure_at(samples, kind, hub.url + keep, folder, count, rows,
                           options.pgbench_seconds)
            finally:
                connection.close()
                cluster.drop("hub")
