"""The same work at several sizes: the exponent of its growth, memory, and calls that must not grow.

An exponent is the slope of a straight line through (log rows, log seconds): 1 is proportional.
"""
import math

from measure import say
from postgres import APPLY, EXPORT, copy_chunks
from postgres_client import Connection, MemoryWatch, fill_source, make_table
from sqlite import Helper

MIB = 2**20


def exponent(points):
    """Least squares over [(rows, seconds)]."""
    logs = [(math.log(rows), math.log(seconds)) for rows, seconds in points]
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    return (sum((x - mean_x) * (y - mean_y) for x, y in logs)
            / sum((x - mean_x) ** 2 for x, _ in logs))


def measure_sqlite(samples, folder, options):
    helper = Helper(samples, folder)
    for rows in options.sizes:
        say(f"SQLite, {rows} rows")
        helper.run("scale", rows)
    # the last size's source is still there
    helper.run("memory", options.sizes[-1])
    helper.run("enable", options.sizes[-1], options.repetitions)


def measure_postgres_calls(samples, connection, repetitions):
    """On the full table `plain`."""
    for repetition in range(repetitions):
        samples.add("postgres.enable", connection.seconds("SELECT sync_enable('plain')") * 1000)
        samples.add("postgres.add_column", connection.seconds(
            f"ALTER TABLE plain ADD COLUMN note_{repetition} text DEFAULT 'none'") * 1000)
        connection.run("SELECT sync_disable('plain')")


def postgres_at(samples, cluster, rows, repetitions):
    """Everything at one size. Exports and applies chunk by chunk, as sync_now does."""
    database, replica = cluster.database("bench"), cluster.database("replica")
    source, target = Connection(database), Connection(replica)

    def note(what, seconds):
        samples.add_point("postgres", what, rows, seconds)
    try:
        fill_source(source, rows)
        make_table(source, "plain", False)
        note("plain", source.seconds("INSERT INTO plain SELECT * FROM source"))
        make_table(source, "task", True)
        note("insert", source.seconds("INSERT INTO task SELECT * FROM source"))
        make_table(target, "task", True)
        with MemoryWatch(cluster) as watch:
            note("now", target.seconds(f"SELECT sync_now('{database.url}') IS NOT NULL"))
        note("export", source.seconds(EXPORT))
        source.run("CREATE TABLE wire AS SELECT * FROM sync_changes_since('{}')")
        target.close()
        fresh = cluster.database("replica")  # in place of the other: to a new site all is news
        target = Connection(fresh)
        make_table(target, "task", True)
        copy_chunks(database, fresh, "wire")
        note("apply", target.seconds(APPLY.format("wire")))
        measure_postgres_calls(samples, source, repetitions)
        return watch.peak
    finally:
        source.close()
        target.close()
        cluster.drop("replica")
        cluster.drop("bench")


def measure_postgres(samples, cluster, options):
    for rows in options.sizes:
        say(f"PostgreSQL, {rows} rows")
        last = rows == options.sizes[-1]
        peak = postgres_at(samples, cluster, rows, options.repetitions if last else 0)
    samples.add("postgres.memory", peak / MIB)


def fit(samples):
    """Exponents of all that was measured at more than one size."""
    for (engine, what), sizes in samples.points.items():
        if len(sizes) > 1:
            samples.add(f"scaling.{engine}.{what}",
                        exponent([(rows, min(times)) for rows, times in sizes.items()]))
