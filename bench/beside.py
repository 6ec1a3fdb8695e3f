"""An application that writes and reads beside a sync: what it waits while sync_now brings all rows.

The application inserts and updates single rows of the table that is being filled, in transactions
of their own, and reads single rows, each on a connection of its own. It has something to do every
5 ms and waits from then on, also while it is still busy with what came before: else one long wait
would count for one, whatever came up meanwhile. Its waits beside the sync are compared with those
before it. In SQLite the application is processes of its own, and one more asks for the write lock
every millisecond: the longest time that it was not to be had is the longest hold. It is asked for
in the file that the rows come from, too, whose log is folded first.
"""
import multiprocessing
import random
import sqlite3
import subprocess
import time
import uuid

from measure import harness, say
from postgres_client import W1_SQLITE, Connection, fill_source, make_table, server_bindir

OWN_ROWS = 1000
EVERY_SECONDS = 0.005
WARM_SECONDS = 1
ALONE_SECONDS = 3
BUSY_SECONDS = 60


def add_waits(samples, engine, kind, alone, beside):
    def p95(waits):
        return sorted(waits)[int(len(waits) * 0.95)]
    samples.add(f"beside.{engine}.{kind}.alone", p95(alone))
    samples.add(f"beside.{engine}.{kind}.beside", p95(beside))
    samples.add(f"beside.{engine}.{kind}.longest", max(beside))


def compare(applications, sync):
    """Lets them run for a while, then beside `sync`; returns kind -> waits, of both times."""
    time.sleep(WARM_SECONDS)
    begin = time.time()
    time.sleep(ALONE_SECONDS)
    middle = time.time()
    sync()
    end = time.time()
    waits = applications.end()
    return ({kind: [wait for at, wait in waits[kind] if first <= at <= last] for kind in waits}
            for first, last in ((begin, middle), (middle, end)))


class Waits:
    """When something was done, and how many milliseconds after it came up."""

    def __init__(self, every=EVERY_SECONDS):
        self.every, self.due, self.waits = every, time.time(), []

    def do(self, work):
        work(len(self.waits))
        now = time.time()
        self.waits.append((now, (now - self.due) * 1000))
        self.due += self.every
        if self.due > now:
            time.sleep(self.due - now)
            self.due = time.time()  # having overslept is no wait


# ---- SQLite --------------------------------------------------------------------------------------


def sqlite_write(db, number):
    if number % 2:
        db.execute("INSERT INTO task VALUES (?, 'written beside', 'a body', 1, 0.5, 0)",
                   (f"own {uuid.uuid4()}",))
    else:
        db.execute("UPDATE task SET status = status + 1 WHERE id = ?",
                   (f"own {random.randrange(OWN_ROWS)}",))


def sqlite_read(db, _):
    db.execute("SELECT title FROM task WHERE id = ?",
               (f"own {random.randrange(OWN_ROWS)}",)).fetchone()


def sqlite_ask(db, _):
    """Waits until the write lock is to be had."""
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            time.sleep(0.0002)


def application(path, work, ended, out):
    """A process: does `work` over and over; puts its waits into `out` in the end."""
    timeout = 0 if work is sqlite_ask else BUSY_SECONDS
    db = sqlite3.connect(path, isolation_level=None, timeout=timeout)
    db.execute("PRAGMA synchronous=NORMAL")
    waits = Waits(0.001 if work is sqlite_ask else EVERY_SECONDS)
    while not ended.is_set():
        waits.do(lambda number: work(db, number))
    db.close()
    out.put(waits.waits)


class Applications:
    """Processes that write, read and ask for locks until they are told to end."""

    def __init__(self, target, source):
        context = multiprocessing.get_context("fork")
        self.ended = context.Event()
        self.running = {}
        for name, work, path in (("write", sqlite_write, target), ("read", sqlite_read, target),
                                 ("hold", sqlite_ask, target), ("fold", sqlite_ask, source)):
            out = context.Queue()
            process = context.Process(target=application, daemon=True,
                                      args=(path, work, self.ended, out))
            process.start()
            self.running[name] = (process, out)

    def end(self):
        self.ended.set()
        waits = {name: out.get(timeout=BUSY_SECONDS) for name, (_, out) in self.running.items()}
        for process, _ in self.running.values():
            process.join()
        return waits


def make_device(folder, name):
    for suffix in ("", "-wal", "-shm", "-sync"):
        (folder / f"{name}.db{suffix}").unlink(missing_ok=True)
    device = harness.Sqlite(folder / f"{name}.db")
    device.db.execute("PRAGMA journal_mode=WAL")
    device.db.execute("PRAGMA synchronous=NORMAL")
    device.db.execute(W1_SQLITE)
    device.value("SELECT sync_enable('task')")
    return device


def measure_sqlite(samples, folder, rows):
    source, device = make_device(folder, "source"), make_device(folder, "device")
    source.db.execute("INSERT INTO task SELECT lower(hex(randomblob(16))), 'order ' || value, "
                      "hex(randomblob(48)), value % 5, value % 1000 / 8.0, 1700000000000 + value "
                      "FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n"
                      " WHERE value < ?) SELECT value FROM n)", (rows,))
    device.db.executemany("INSERT INTO task VALUES (?, 'own', 'a body', 1, 0.5, 0)",
                          [(f"own {i}",) for i in range(OWN_ROWS)])
    alone, beside = compare(Applications(device.path, source.path),
                            lambda: device.value("SELECT sync_now(?)", source.url))
    for kind in ("write", "read"):
        add_waits(samples, "sqlite", kind, alone[kind], beside[kind])
    for kind in ("hold", "fold"):
        samples.add(f"beside.sqlite.{kind}", max(beside[kind]))
    found = device.value("SELECT count(*) FROM task WHERE id NOT LIKE 'own %'")
    source.close()
    device.close()
    if found != rows:
        raise RuntimeError(f"sync_now brought {found} rows of {rows}")


# ---- PostgreSQL ----------------------------------------------------------------------------------

SCRIPTS = {
    "write": "\\set n random(0, {own})\n"
             "UPDATE task SET status = status + 1 WHERE id = 'own ' || :n;\n"
             "INSERT INTO task VALUES (gen_random_uuid()::text, 'own', 'a body', 1, 0.5, 0);\n",
    "read": "\\set n random(0, {own})\nSELECT title FROM task WHERE id = 'own ' || :n;\n",
}


class Clients:
    """Two pgbench, one that writes and one that reads, until they are told to end."""

    def __init__(self, database, folder):
        self.database, self.folder = database, folder
        self.running = {}
        for name, text in SCRIPTS.items():
            script = folder / f"{name}.sql"
            script.write_text(text.format(own=OWN_ROWS - 1), encoding="utf-8")
            for log in folder.glob(f"{name}.waits.*"):
                log.unlink()
            self.running[name] = subprocess.Popen(
                [f"{server_bindir()}/pgbench", "-n", "-M", "prepared", "-f", str(script),
                 "-T", "3600", "-R", str(1 / EVERY_SECONDS), "-l", "--log-prefix",
                 str(folder / f"{name}.waits"), database.name],
                env=database.env | {"PGAPPNAME": "beside"}, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)

    def end(self):
        # a pgbench that loses its connection writes what it has logged, one that is killed does not
        self.database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                          "WHERE application_name = 'beside'")
        waits = {}
        for name, process in self.running.items():
            process.wait()
            lines = [line.split() for log in self.folder.glob(f"{name}.waits.*")
                     for line in log.read_text(encoding="utf-8").splitlines()]
            waits[name] = [(int(line[4]) + int(line[5]) / 1e6, int(line[2]) / 1000)
                           for line in lines]
        return waits


def measure_postgres(samples, cluster, folder, rows):
    hub, other = cluster.database("hub"), cluster.database("other")
    at_hub, at_other = Connection(hub), Connection(other)
    try:
        fill_source(at_hub, rows)
        for connection in (at_hub, at_other):
            make_table(connection, "task", True)
        at_hub.run("INSERT INTO task SELECT * FROM source")
        at_other.run("INSERT INTO task SELECT 'own ' || i, 'own', 'a body', 1, 0.5, 0 "
                     f"FROM generate_series(0, {OWN_ROWS - 1}) i")
        alone, beside = compare(Clients(other, folder), lambda: at_other.run(
            f"SELECT sync_now('{hub.url}') IS NOT NULL"))
        for kind in ("write", "read"):
            add_waits(samples, "postgres", kind, alone[kind], beside[kind])
    finally:
        at_hub.close()
        at_other.close()
        cluster.drop("other")
        cluster.drop("hub")


def measure_devices(samples, folder, options):
    for repetition in range(options.repetitions if options.beside_rows <= 100_000 else 1):
        say(f"SQLite beside a sync, repetition {repetition + 1}")
        measure_sqlite(samples, folder, options.beside_rows)


def measure_server(samples, cluster, folder, options):
    for repetition in range(options.repetitions if options.beside_rows <= 100_000 else 1):
        say(f"PostgreSQL beside a sync, repetition {repetition + 1}")
        measure_postgres(samples, cluster, folder, options.beside_rows)
