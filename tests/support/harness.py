"""What the Python suites share: databases of both kinds, a comparison that uses none of our code,
and a small runner.

    from harness import test, main, sqlite, postgres, same_rows

    @test("interop: an update made offline on SQLite reaches PostgreSQL")
    def _(t):
        device, hub = t.sqlite("device"), t.postgres("hub")
        ...
        same_rows(device, hub, ["task"])

    main()

A test gets fresh databases, dropped at its end. Every suite's last line is "N passed, M failed[, K
skipped]". Arguments choose tests by a part of their name; -v shows every traceback in full.
"""
import atexit
import csv
import decimal
import io
import json
import os
import pathlib
import queue
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXTENSION = os.environ.get("SYNCLINE_SO", str(ROOT / os.environ.get("BUILD", "build") / "syncline"))
CLUSTER_SCRIPT = str(ROOT / "scripts" / "pg_cluster.sh")
csv.field_size_limit(1 << 30)
NULL = "\x01null\x01"


class SqlError(Exception):
    """What psql said; .sqlstate where it is known."""

    def __init__(self, message):
        super().__init__(message)
        found = re.search(r"(?:ERROR|FATAL):\s+([0-9A-Z]{5}):", message)
        self.sqlstate = found[1] if found else None


class Skip(Exception):
    """Raised by a test that cannot run here; the text is the reason."""


def ident(name):
    return '"' + name.replace('"', '""') + '"'


class Sqlite:
    """A SQLite database file on one connection in autocommit mode."""

    engine = "sqlite"

    def __init__(self, path, extension=True):
        self.path = str(path)
        self.url = self.path
        self.db = sqlite3.connect(self.path, isolation_level=None, timeout=10,
                                  check_same_thread=False)
        if extension:
            self.db.enable_load_extension(True)
            self.db.load_extension(EXTENSION)

    def run(self, sql, *parameters):
        """Runs statements; with parameters, one statement. What one test writes one after the
        other must not fall into one millisecond: then the site id decides which is later."""
        time.sleep(0.002)
        if parameters:
            self.db.execute(sql, parameters).fetchall()
        else:
            self.db.executescript(sql)

    def rows(self, sql, *parameters):
        return self.db.execute(sql, parameters).fetchall()

    def value(self, sql, *parameters):
        row = self.db.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def json(self, sql, *parameters):
        return json.loads(self.value(sql, *parameters))

    def kinds(self, table):
        """column -> comparison kind, in order."""
        declared = self.rows("SELECT name, upper(type) FROM pragma_table_xinfo(?) "
                             "WHERE hidden <> 1", table)  # generated columns included
        words = (("BOOL", "bool"), ("JSON", "json"), ("NUMERIC", "numeric"), ("DECIMAL", "numeric"))
        return {name: next((k for word, k in words if word in kind), "any")
                for name, kind in declared}

    def content(self, table):
        """(column names, rows as Python values)."""
        names = list(self.kinds(table))
        return names, self.rows(f"SELECT {', '.join(map(ident, names))} FROM {ident(table)}")

    def close(self):
        self.db.close()


class Postgres:
    """A PostgreSQL database, spoken to through psql. Values come back typed by their column."""

    engine = "postgres"

    def __init__(self, name, environment):
        self.name = name
        self.env = environment
        self.url = (f"postgresql:///{name}?host={environment['PGHOST']}"
                    f"&port={environment['PGPORT']}&user={environment['PGUSER']}")

    def psql(self, *arguments, text=None):
        done = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose",
             "-d", self.name, *arguments],
            env=self.env, input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SqlError(done.stderr.strip())
        return done.stdout

    def run(self, sql):
        self.psql("-f", "-", text=sql)

    def rows(self, sql):
        """Rows as lists of text or None."""
        out = self.psql("--csv", "-t", "-P", f"null={NULL}", "-f", "-", text=sql)
        return [tuple(None if v == NULL else v for v in row)
                for row in csv.reader(io.StringIO(out))]

    def value(self, sql):
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def json(self, sql):
        return json.loads(self.value(sql))

    def kinds(self, table):
        types = self.rows(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = "
            f"'{ident(table)}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum")
        known = {"boolean": "bool", "bigint": "int", "integer": "int", "smallint": "int",
                 "double precision": "float", "real": "float", "numeric": "numeric",
                 "bytea": "bytes", "json": "json", "jsonb": "json"}
        return {name: known.get(kind, "text") for name, kind in types}

    def content(self, table):
        kinds = self.kinds(table)
        rows = self.rows(f"SELECT {', '.join(map(ident, kinds))} FROM {ident(table)}")
        readers = [READERS.get(k, str) for k in kinds.values()]
        return list(kinds), [tuple(None if v is None else read(v) for v, read in zip(row, readers))
                             for row in rows]

    def session(self):
        return Session(self)

    def close(self):
        pass


READERS = {"bool": lambda v: int(v in ("t", "true")), "int": int, "float": float,
           "bytes": lambda v: bytes.fromhex(v[2:])}


class Session:
    """A psql that stays open: its own transaction, run beside others.

    begin = session.send(sql) starts a statement without waiting; session.wait() returns its output
    or raises SqlError; session.busy() tells whether it still runs (it waits for a lock, say).
    """

    def __init__(self, database):
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", database.name],
            env=database.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1)
        self.lines = queue.Queue()
        self.number = 0
        self.waiting = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def send(self, sql):
        assert not self.waiting, "a statement is still running"
        self.number += 1
        self.waiting = True
        self.process.stdin.write(f"{sql.rstrip().rstrip(';')};\n\\echo __done_{self.number}__\n")
        self.process.stdin.flush()

    def wait(self, timeout=30):
        out, deadline = [], time.monotonic() + timeout
        while True:
            line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if line is None:
                raise SqlError("\n".join(out) or "the connection ended")
            if line == f"__done_{self.number}__":
                break
            out.append(line)
        self.waiting = False
        text = "\n".join(out)
        if re.search(r"^(ERROR|FATAL|PANIC):", text, re.M):
            raise SqlError(text)
        return text

    def busy(self, after=0.3):
        """True when the statement sent is still running `after` seconds from now."""
        time.sleep(after)
        return self.waiting and not any(line == f"__done_{self.number}__"
                                        for line in list(self.lines.queue))

    def run(self, sql, timeout=30):
        self.send(sql)
        return self.wait(timeout)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Cluster:
    """A private PostgreSQL server; see scripts/pg_cluster.sh."""

    def __init__(self, *options):
        out = subprocess.run([CLUSTER_SCRIPT, "start", *options], capture_output=True, text=True,
                             check=False)
        if out.returncode:
            raise Skip(out.stderr.strip() or "no PostgreSQL server")
        self.env = dict(os.environ)
        self.env.update(re.findall(r"(PG\w+)=(\S+)", out.stdout))
        self.data = self.env["PGDATA"]
        self.stopped = False
        atexit.register(self.stop)

    def database(self, name, extension=True):
        """A new, empty database."""
        self.postgres().run(f"DROP DATABASE IF EXISTS {ident(name)} WITH (FORCE)")
        self.postgres().run(f"CREATE DATABASE {ident(name)}")
        made = Postgres(name, self.env)
        if extension:
            made.run("CREATE EXTENSION syncline")
        return made

    def drop(self, name):
        self.postgres().run(f"DROP DATABASE IF EXISTS {ident(name)} WITH (FORCE)")

    def postgres(self):
        return Postgres("postgres", self.env)

    def restart(self, mode="fast"):
        subprocess.run([CLUSTER_SCRIPT, "restart", self.data, mode], check=True)

    def stop(self):
        if not self.stopped:
            self.stopped = True
            subprocess.run([CLUSTER_SCRIPT, "stop", self.data], check=False)


_cluster = None


def cluster():
    """The session's server: the one PGDATA names if a caller started it, else our own."""
    global _cluster
    if _cluster is None:
        if os.path.exists(os.path.join(os.path.dirname(os.environ.get("PGDATA", "")),
                                       "syncline-private-cluster")):
            _cluster = Cluster.__new__(Cluster)
            _cluster.env, _cluster.data = dict(os.environ), os.environ["PGDATA"]
            _cluster.stopped = True
        else:
            _cluster = Cluster()
    return _cluster


# Comparison: each database is read with its own engine's SELECT, and rows are compared here.

def normal(value, kind):
    """A value in the form in which the two engines' values are compared."""
    if value is None:
        return None
    if kind == "numeric":
        try:
            number = decimal.Decimal(str(value))
        except decimal.InvalidOperation:
            return value
        return f"{number.normalize():f}" if number.is_finite() else str(number)
    if kind == "json":
        text = value.decode() if isinstance(value, bytes) else value
        return json.dumps(json.loads(text), sort_keys=True)
    if kind == "text":
        return value if isinstance(value, (str, bytes)) else str(value)
    if kind == "float" and isinstance(value, (int, float)):
        return float(value)
    return bytes(value) if isinstance(value, memoryview) else value


def table_rows(database, table, kinds):
    """The table's rows, normalised and sorted, columns in the order of `kinds`."""
    names, rows = database.content(table)
    if set(names) != set(kinds):
        raise AssertionError(f"{table}: columns {sorted(names)} against {sorted(kinds)}")
    order = [(names.index(name), kind) for name, kind in kinds.items()]
    return sorted((tuple(normal(row[i], kind) for i, kind in order) for row in rows), key=repr)


def same_rows(first, second, tables):
    """Raises AssertionError unless both hold the same rows; returns how many rows there are."""
    total = 0
    for table in tables:
        typed = first if first.engine == "postgres" else second
        kinds = typed.kinds(table)
        left, right = (table_rows(d, table, kinds) for d in (first, second))
        if left != right:
            seen_left, seen_right = set(map(repr, left)), set(map(repr, right))
            raise AssertionError(
                f"{table}: {len(left)} and {len(right)} rows differ\n"
                + "".join(f"  only first:  {r}\n" for r in sorted(seen_left - seen_right)[:3])
                + "".join(f"  only second: {r}\n" for r in sorted(seen_right - seen_left)[:3]))
        total += len(left)
    return total


def raises(action, *fragments):
    """Runs action, which must fail with a message that holds every fragment; returns it."""
    try:
        action()
    except (SqlError, sqlite3.Error) as error:
        message = str(error)
        for fragment in fragments:
            assert fragment.lower() in message.lower(), f"{fragment!r} is not in: {message}"
        return message
    raise AssertionError("no error was raised")


# The runner.

class Context:
    """What one test may use: a folder, and databases that vanish at its end."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="syncline-test-"))
        self.folder.chmod(0o755)
        self.open = []
        self.dropped = []

    def sqlite(self, name="db", extension=True):
        made = Sqlite(self.folder / f"{name}.db", extension)
        self.open.append(made)
        return made

    def postgres(self, name="db", extension=True):
        unique = f"{name}_{os.getpid()}_{len(self.dropped)}"
        self.dropped.append(unique)
        return cluster().database(unique, extension)

    def session(self, database):
        made = database.session()
        self.open.append(made)
        return made

    def close(self):
        for item in self.open:
            item.close()
        for name in self.dropped:
            cluster().drop(name)
        shutil.rmtree(self.folder, ignore_errors=True)


_tests = []


def test(name):
    def register(function):
        _tests.append((name, function))
        return function
    return register


def run_one(name, function, verbose):
    context = Context()
    started = time.monotonic()
    try:
        function(context)
        outcome, detail = "ok", ""
    except Skip as reason:
        outcome, detail = "skip", f" ({str(reason).splitlines()[0]})"
    except Exception as error:  # a test may fail in any way
        outcome = "FAIL"
        detail = "\n" + (traceback.format_exc() if verbose else
                         f"    {type(error).__name__}: {error}\n    "
                         + traceback.format_tb(error.__traceback__)[-1].strip())
    try:
        context.close()
    except Exception as error:
        outcome, detail = "FAIL", f"\n    cleaning up: {error}"
    print(f"{outcome:4} {name} [{time.monotonic() - started:.2f}s]{detail}", flush=True)
    return outcome


def main():
    arguments = sys.argv[1:]
    verbose = "-v" in arguments
    wanted = [a for a in arguments if not a.startswith("-")]
    chosen = [t for t in _tests if not wanted or any(w in t[0] for w in wanted)]
    outcomes = [run_one(name, function, verbose) for name, function in chosen]
    failed, skipped = outcomes.count("FAIL"), outcomes.count("skip")
    print(f"{len(outcomes) - failed - skipped} passed, {failed} failed"
          + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed else 0)
