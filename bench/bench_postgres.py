#!/usr/bin/python3
"""PostgreSQL workload W1: what tracking costs a writer, and what fold, apply and sync_now cost.

    bench_postgres.py [ROWS] [REPETITIONS]

Runs in a private cluster without fsync. Every figure is a ratio against the same statement on an
untracked table in the same run; repetitions alternate the two and the median is printed. One line
of JSON per figure goes to standard output, a table to standard error.
"""
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
import harness  # noqa: E402

W1 = """(id text PRIMARY KEY, title text, body text, status int, priority float8,
         updated_at bigint)"""
ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
REPETITIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
COPY_FOLDER = tempfile.mkdtemp()
os.chmod(COPY_FOLDER, 0o777)  # the server writes there as another user
samples = {}


def add(name, value):
    samples.setdefault(name, []).append(value)


def seconds(database, sql):
    """The server's own time for one statement, from psql's \\timing."""
    out = database.psql("-c", "\\timing on", "-c", sql)
    line = [x for x in out.splitlines() if x.startswith("Time:")][-1]
    return float(line.split()[1]) / 1000


def prepare(database):
    database.run(f"""
        CREATE UNLOGGED TABLE source AS
        SELECT gen_random_uuid()::text AS id, 'order ' || md5(i::text) AS title,
               repeat(md5((i * 7)::text) || ' ', 3) AS body, i % 5 AS status,
               (i % 1000) / 8.0::float8 AS priority, 1700000000000 + i AS updated_at
        FROM generate_series(1, {ROWS}) i;
        CREATE TABLE plain {W1};
        ANALYZE source""")


def tracked_table(database):
    database.run(f"DROP TABLE IF EXISTS task; CREATE TABLE task {W1}")
    database.value("SELECT sync_enable('task')")


def compare_writes(database):
    database.run("TRUNCATE plain")
    tracked_table(database)
    statements = {
        "write: one INSERT (x)": "INSERT INTO {} SELECT * FROM source",
        "write: one UPDATE (x)": "UPDATE {} SET status = status + 1",
        "write: one DELETE (x)": "DELETE FROM {}",
    }
    for name, sql in statements.items():
        database.run("CHECKPOINT")
        plain = seconds(database, sql.format("plain"))
        database.run("CHECKPOINT")
        add(name, seconds(database, sql.format("task")) / plain)
    path = f"{COPY_FOLDER}/rows"
    database.run(f"COPY source TO '{path}'; TRUNCATE plain")
    plain = seconds(database, f"COPY plain FROM '{path}'")
    tracked_table(database)
    add("write: COPY (x)", seconds(database, f"COPY task FROM '{path}'") / plain)


def compare_exchange(cluster, database, number):
    database.run("TRUNCATE plain")
    tracked_table(database)
    insert = seconds(database, "INSERT INTO plain SELECT * FROM source")
    database.run("INSERT INTO task SELECT * FROM source")
    fold = seconds(database, "SELECT sync_hello() IS NOT NULL")
    add("fold (us a row)", fold * 1e6 / ROWS)
    export = "SELECT sum(length(changes)) FROM sync_changes_since('{}')"
    add("export: full, folded (x INSERT ... SELECT)", seconds(database, export) / insert)
    size = float(database.value(export))
    add("wire: full, bytes a row", size / ROWS)

    database.run("CREATE TABLE wire AS SELECT * FROM sync_changes_since('{}')")
    replica = cluster.database(f"replica{number}")
    replica.run(f"CREATE TABLE task {W1}")
    replica.value("SELECT sync_enable('task')")
    begin = time.monotonic()
    replica.value(f"SELECT sync_now('{database.url}')")
    add("sync_now: full into an empty table (x INSERT ... SELECT)",
        (time.monotonic() - begin) / insert)
    add("sync_now: nothing to do (ms)",
        seconds(replica, f"SELECT sync_now('{database.url}')") * 1000)
    cluster.drop(f"replica{number}")


def main():
    cluster = harness.Cluster()
    try:
        database = cluster.database("bench")
        prepare(database)
        for i in range(REPETITIONS):
            compare_writes(database)
            compare_exchange(cluster, database, i)
            database.run("DROP TABLE wire")
    finally:
        cluster.stop()
        shutil.rmtree(COPY_FOLDER, ignore_errors=True)
    print(f"{'figure':<56} {'median':>10} {'min':>10} {'max':>10}", file=sys.stderr)
    for name, values in samples.items():
        middle = statistics.median(values)
        print(f"{name:<56} {middle:>10.3f} {min(values):>10.3f} {max(values):>10.3f}",
              file=sys.stderr)
        print(json.dumps({"figure": name, "median": middle, "min": min(values),
                          "max": max(values)}))


if __name__ == "__main__":
    main()
