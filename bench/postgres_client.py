"""One connection to PostgreSQL on which statements are timed, and pgbench."""
import os
import pathlib
import re
import subprocess
import threading
import time

from measure import harness

W1 = """(id text PRIMARY KEY, title text, body text, status int, priority float8,
         updated_at bigint)"""
# The same in SQLite, for pairs.
W1_SQLITE = """CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, body TEXT, status INTEGER,
               priority REAL, updated_at INTEGER)"""


class Seconds(float):
    """Time on the wall; .cpu is what the server process spent on the processor, if known."""

    cpu = None


class Connection:
    """A psql that stays open. seconds() is what the server took: psql's \\timing."""

    def __init__(self, database):
        self.session = harness.Session(database)
        self.session.run("\\timing on\nSELECT 1")
        self.pid = int(self.value("SELECT pg_backend_pid()"))

    def value(self, sql):
        lines = self.session.run(sql, 600).splitlines()
        return "\n".join(line for line in lines if not line.startswith("Time: "))

    def run(self, sql):
        self.session.run(sql, 3600)

    def seconds(self, sql):
        """Of one statement."""
        before = self._processor_seconds()
        found = re.findall(r"(?m)^Time: ([0-9.]+) ms", self.session.run(sql, 3600))
        after = self._processor_seconds()
        time = Seconds(float(found[-1]) / 1000)
        time.cpu = after - before if before is not None and after is not None else None
        return time

    def _processor_seconds(self):
        try:
            with open(f"/proc/{self.pid}/schedstat", encoding="ascii") as file:
                return int(file.read().split()[0]) / 1e9
        except OSError:
            return None

    def close(self):
        self.session.close()


def fill_source(connection, rows):
    """A table of W1's rows to copy from, in random order of their keys."""
    connection.run(f"""
        DROP TABLE IF EXISTS source;
        CREATE UNLOGGED TABLE source AS
        SELECT gen_random_uuid()::text AS id, 'order ' || md5(i::text) AS title,
               repeat(md5((i * 7)::text) || ' ', 3) AS body, i % 5 AS status,
               (i % 1000) / 8.0::float8 AS priority, 1700000000000 + i AS updated_at
        FROM generate_series(1, {rows}) i;
        ANALYZE source""")


def make_table(connection, name, tracked):
    connection.run(f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} {W1}")
    if tracked:
        connection.run(f"SELECT sync_enable('{name}')")


def pgbench(database, bindir, script, folder, clients, seconds):
    """(transactions a second, p95 latency in ms) of a script."""
    path, log = pathlib.Path(folder, "script.sql"), pathlib.Path(folder, "latency")
    path.write_text(script, encoding="utf-8")
    for old in pathlib.Path(folder).glob("latency*"):
        old.unlink()
    out = subprocess.run(
        [f"{bindir}/pgbench", "-n", "-M", "prepared", "-f", str(path), "-c", str(clients), "-j",
         str(clients), "-T", str(seconds), "-l", "--log-prefix", str(log), database.name],
        env=database.env, capture_output=True, text=True, check=True).stdout
    latencies = sorted(int(line.split()[2]) for part in pathlib.Path(folder).glob("latency*")
                       for line in part.read_text(encoding="utf-8").splitlines())
    throughput = float(re.search(r"tps = ([0-9.]+)", out)[1])
    return throughput, latencies[len(latencies) * 95 // 100] / 1000


class MemoryWatch:
    """The greatest private memory that any process of a server had, sampled every 20 ms."""

    def __init__(self, cluster):
        self.postmaster = int(pathlib.Path(cluster.data, "postmaster.pid")
                              .read_text(encoding="utf-8").split("\n")[0])
        self.peak = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _watch(self):
        children = pathlib.Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children")
        while not self.ended.is_set():
            for pid in children.read_text(encoding="utf-8").split():
                self.peak = max(self.peak, private_memory(pid))
            time.sleep(0.02)


def private_memory(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # it has ended
        return 0
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def server_bindir():
    return subprocess.run([harness.CLUSTER_SCRIPT, "bindir"], capture_output=True, text=True,
                          check=True).stdout.strip()


def available():
    """Is there a PostgreSQL server to start?"""
    return subprocess.run([harness.CLUSTER_SCRIPT, "bindir"], capture_output=True,
                          check=False).returncode == 0 and os.path.isdir(server_bindir())
