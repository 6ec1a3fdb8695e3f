"""PostgreSQL: what tracking costs a writer, and what fold, export, apply and sync_now cost.

One private cluster without fsync. Times are the server's own, by psql's \\timing.
"""
from measure import alternate, harness, say
from postgres_client import (Connection, fill_source, make_table, pgbench, server_bindir)

COPY_IN = "COPY {} FROM '{}'"
WRITES = {
    "insert": "INSERT INTO {} SELECT * FROM source",
    "update": "UPDATE {} SET status = status + 1",
    "delete": "DELETE FROM {}",
}
# A procedure, so that no round trip is measured.
BATCHES = """
    CREATE PROCEDURE insert_{0}() LANGUAGE plpgsql AS $$
    DECLARE r record; n int := 0;
    BEGIN
      FOR r IN SELECT * FROM source LOOP
        INSERT INTO {0} VALUES (r.id, r.title, r.body, r.status, r.priority, r.updated_at);
        n := n + 1;
        IF n % 1000 = 0 THEN COMMIT; END IF;
      END LOOP;
    END $$"""
# Updates by key, likewise. Statements of a procedure are prepared once.
UPDATES = """
    CREATE OR REPLACE PROCEDURE update_{0}(first int, count int) LANGUAGE plpgsql AS $$
    DECLARE k text; n int := 0;
    BEGIN
      FOR k IN SELECT id FROM source OFFSET first LIMIT count LOOP
        UPDATE {0} SET status = status + 1 WHERE id = k;
        n := n + 1;
        IF n % 1000 = 0 THEN COMMIT; END IF;
      END LOOP;
    END $$"""
PGBENCH = {
    "insert": "INSERT INTO {} VALUES (gen_random_uuid()::text, 'order', 'a body of some words', "
              "1, 0.5, 1700000000000);\n",
    "update": "\\set n random(1, {rows})\n"
              "UPDATE {} SET status = status + 1 WHERE id = 'key ' || :n;\n",
}


def compare(connection, repetition, sql, tables):
    """(untracked, tracked) seconds of one statement."""
    def one(table):
        connection.run("CHECKPOINT")
        return connection.seconds(sql.format(table))
    return alternate(repetition, lambda: one(tables[0]), lambda: one(tables[1]))


def measure_writes(samples, connection, repetition, folder, prefix, tables, prepare):
    """All kinds of writes; `prepare` makes both tables anew, empty."""
    prepare()
    for key, sql in WRITES.items():
        plain, other = compare(connection, repetition, sql, tables)
        samples.add_ratio(f"{prefix}.{key}", other, plain)
    path = folder / "rows"
    connection.run(f"COPY source TO '{path}'")
    prepare()
    plain, other = compare(connection, repetition, COPY_IN.format("{}", path), tables)
    samples.add_ratio(f"{prefix}.copy", other, plain)
    prepare()
    for table in tables:
        connection.run(BATCHES.format(table))
    plain, other = compare(connection, repetition, "CALL insert_{}()", tables)
    samples.add_ratio(f"{prefix}.batches", other, plain)
    for table in tables:
        connection.run(f"DROP PROCEDURE insert_{table}")


def measure_slot(samples, cluster, folder, options):
    """What native logical replication costs a writer: the same writes in a database with a slot.

    Every change of the database is in the WAL either way; with a publication and a slot, and
    replica identity, old keys are too. Nobody reads the slot here.
    """
    database = cluster.database("slot", extension=False)
    connection = Connection(database)
    fill_source(connection, options.rows)

    def prepare():
        for table in ("plain", "published"):
            make_table(connection, table, False)
        connection.run("ALTER TABLE plain REPLICA IDENTITY NOTHING")
        connection.run("DROP PUBLICATION IF EXISTS bench; CREATE PUBLICATION bench "
                       "FOR TABLE published")
    try:
        connection.run("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')")
        for repetition in range(options.repetitions):
            measure_writes(samples, connection, repetition, folder, "postgres.slot",
                           ("plain", "published"), prepare)
    finally:
        connection.run("SELECT pg_drop_replication_slot('bench')")
        connection.close()
        cluster.drop("slot")


def measure_pgbench(samples, connection, database, folder, options):
    bindir = server_bindir()
    for kind, script in PGBENCH.items():
        for clients in (1, 4):
            for repetition in range(options.pgbench_repetitions):
                for table, tracked in (("plain", False), ("task", True)):
                    make_table(connection, table, tracked)
                    connection.run(f"INSERT INTO {table} SELECT 'key ' || i, 'order', 'body', 1, "
                                   f"0.5, 0 FROM generate_series(1, {options.rows}) i")
                    connection.run("SELECT sync_hello()")  # folds; else the log grows and grows
                connection.run("VACUUM ANALYZE plain, task; CHECKPOINT")

                def one(table, text=script, count=clients):
                    return pgbench(database, bindir,
                                   text.replace("{rows}", str(options.rows)).format(table),
                                   folder, count, options.pgbench_seconds)
                plain, tracked = alternate(repetition, lambda: one("plain"), lambda: one("task"))
                prefix = f"postgres.pgbench.{kind}.{clients}"
                samples.add(f"{prefix}.throughput", tracked[0] / plain[0])
                samples.add(f"{prefix}.latency", tracked[1] / plain[1])
                samples.add(f"{prefix}.plain", plain[0])


FOLD = "SELECT sync_hello() IS NOT NULL"
EXPORT = "SELECT sum(length(changes)) FROM sync_changes_since('{}')"
APPLY = "SELECT count(sync_apply(changes)) FROM (SELECT changes FROM {} ORDER BY chunk) wire"
# Of the table that is there now: those dropped before it keep theirs.
STATE_SIZE = ("SELECT sum(pg_total_relation_size(('syncline.' || kind || number)::regclass)) "
              "FROM syncline.tbl, unnest('{state_,arrival_}'::text[]) kind "
              "WHERE relation = 'task'::regclass")


def add_fold(samples, connection, kind, rows):
    """Microseconds a row of a fold: by the clock, and of the processor."""
    time = connection.seconds(FOLD)
    samples.add(f"postgres.fold.{kind}", time * 1e6 / rows, time.cpu and time.cpu * 1e6 / rows)


def measure_exchange(samples, cluster, connection, database, folder, options):
    """Fold, export, apply and sync_now of one table of rows."""
    rows = options.rows
    make_table(connection, "plain", False)
    make_table(connection, "task", True)
    insert = connection.seconds("INSERT INTO plain SELECT * FROM source")
    path = folder / "rows"
    samples.add_ratio("postgres.copy.out", connection.seconds(f"COPY plain TO '{path}'"), insert)
    connection.run("TRUNCATE plain")
    samples.add_ratio("postgres.copy.in",
                      connection.seconds(COPY_IN.format("plain", path)), insert)
    # fold and export hold no more than the log before: an emptied log is as short as a new one
    connection.run("VACUUM syncline.log")
    connection.run("INSERT INTO task SELECT * FROM source")
    samples.add("postgres.metadata.log", float(connection.value(
        "SELECT sum(pg_column_size(l.*)) FROM syncline.log l")) / rows)
    add_fold(samples, connection, "insert", rows)
    samples.add("postgres.metadata.state", float(connection.value(STATE_SIZE)) / rows)
    samples.add_ratio("postgres.export.full", connection.seconds(EXPORT), insert)
    connection.run("DROP TABLE IF EXISTS wire; CREATE TABLE wire AS "
                   "SELECT * FROM sync_changes_since('{}')")
    replica = cluster.database("replica")
    target = Connection(replica)
    try:
        make_table(target, "task", True)
        copy_chunks(database, replica, "wire")
        samples.add_ratio("postgres.apply.full", target.seconds(APPLY.format("wire")), insert)
        vector = target.value("SELECT sync_version_vector()")
        by_key = measure_delta(samples, connection, database, replica, target, vector, rows)
        connection.run("UPDATE task SET priority = 1")
        add_fold(samples, connection, "update", rows)
        connection.run("DELETE FROM task")
        add_fold(samples, connection, "delete", rows)
        measure_now(samples, connection, database, target, insert, by_key)
        # it goes, and what it has not seen would be kept for it in the next repetition
        site = target.value("SELECT sync_site_id()")
        connection.run(f"SELECT sync_retire_site('{site}')")
    finally:
        target.close()
        cluster.drop("replica")


def copy_chunks(source, target, table):
    """Carries a table of chunks to another database."""
    target.run(f"CREATE TABLE {table} (chunk int, changes bytea, row_count int, last bool)")
    target.psql("-c", f"COPY {table} FROM STDIN",
                text=source.psql("-c", f"COPY {table} TO STDOUT"))


def measure_delta(samples, connection, database, replica, target, vector, rows):
    update = ("UPDATE {} SET status = status + 1 WHERE id IN "
              f"(SELECT id FROM source LIMIT {rows // 5})")
    plain = connection.seconds(update.format("plain"))
    # other rows than those that have just been updated: their pages are as full
    connection.run(UPDATES.format("plain"))
    by_key = connection.seconds(f"CALL update_plain({rows // 5}, {rows // 5})")
    connection.run(update.format("task"))
    connection.run(FOLD)
    connection.run("DROP TABLE IF EXISTS delta")
    export = connection.seconds("CREATE TABLE delta AS SELECT * FROM "
                                f"sync_changes_since('{vector}')")
    samples.add_ratio("postgres.export.delta", export, plain)
    copy_chunks(database, replica, "delta")
    apply = target.seconds(APPLY.format("delta"))
    samples.add_ratio("postgres.apply.delta", apply, plain)
    samples.add_ratio("postgres.apply.delta.by_key", apply, by_key)
    return by_key


def measure_now(samples, connection, database, target, insert, by_key):
    """The whole way, fold included: new tables on both sides. `by_key`: as measure_delta has it."""
    rows = int(connection.value("SELECT count(*) FROM source"))
    make_table(connection, "task", True)
    make_table(target, "task", True)
    connection.run("INSERT INTO task SELECT * FROM source")
    now = f"SELECT sync_now('{database.url}') IS NOT NULL"
    samples.add_ratio("postgres.now.full", target.seconds(now), insert)
    update = ("UPDATE {} SET status = status + 1 WHERE id IN "
              f"(SELECT id FROM source ORDER BY id LIMIT {rows // 5})")
    plain = connection.seconds(update.format("plain"))
    connection.run(update.format("task"))
    took = target.seconds(now)
    samples.add_ratio("postgres.now.delta", took, plain)
    samples.add_ratio("postgres.now.delta.by_key", took, by_key)
    measure_after_horizon(samples, connection, target, rows)


def measure_after_horizon(samples, connection, target, rows):
    """What is left when both have everything and have dropped what nobody needs."""
    for one in (connection, target):
        while one.value("SELECT sync_maintain() ->> 'done'") != "true":
            pass
    tables = connection.value("SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_class c "
                              "JOIN pg_namespace n ON n.oid = relnamespace WHERE "
                              "nspname = 'syncline' AND relkind = 'r'")
    for key, command in (("after_horizon", "VACUUM"), ("rewritten", "VACUUM FULL")):
        connection.run(f"{command} {tables}")
        samples.add(f"postgres.metadata.{key}", float(connection.value(STATE_SIZE)) / rows)


def measure(samples, cluster, folder, options):
    database = cluster.database("bench")
    connection = Connection(database)
    try:
        fill_source(connection, options.rows)

        def prepare():
            make_table(connection, "plain", False)
            make_table(connection, "task", True)
        for repetition in range(options.repetitions):
            say(f"PostgreSQL, repetition {repetition + 1} of {options.repetitions}")
            measure_writes(samples, connection, repetition, folder, "postgres.write",
                           ("plain", "task"), prepare)
            measure_exchange(samples, cluster, connection, database, folder, options)
        say("PostgreSQL: single rows")
        measure_pgbench(samples, connection, database, folder, options)
    finally:
        connection.close()
        cluster.drop("bench")
    say("PostgreSQL: a replication slot")
    try:
        measure_slot(samples, cluster, folder, options)
    except harness.SqlError as error:
        samples.skip("logical replication slot", error)
