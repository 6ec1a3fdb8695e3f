#!/usr/bin/python3
"""Measures Syncline on this machine and writes build/bench/report.md, report.json and plots.

    bench/bench.py [--full] [--rows N] [--repetitions N] [--only PART]...

PART: sqlite, postgres, fills, replication, pairs, beside, background, hub, scaling; default: all.
--full repeats more, has 1,000,000 rows in first fills and in the sync beside an application, and
10,000,000 at the end of the scaling.
Both extensions must be built (`make bench` does) and the PostgreSQL extension installed; without a
PostgreSQL server only SQLite is measured.
"""
import argparse
import signal
import sys
import time

import background
import beside
import engines
import fills
import hub
import measure
import postgres
import postgres_client
import replication
import report
import scaling
import sqlite

PARTS = ("sqlite", "postgres", "fills", "replication", "pairs", "beside", "background", "hub",
         "scaling")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--full", action="store_true", help="more repetitions, 10,000,000 rows")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the harness")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--only", action="append", choices=PARTS)
    options = parser.parse_args()
    options.fill_rows = options.rows or (5_000 if options.quick else
                                         1_000_000 if options.full else 200_000)
    options.rows = options.rows or (5_000 if options.quick else 100_000)
    options.repetitions = options.repetitions or (1 if options.quick else 7 if options.full else 3)
    options.pgbench_repetitions = options.repetitions
    options.pgbench_seconds = 1 if options.quick else 10 if options.full else 3
    options.sizes = [10_000, 100_000, 1_000_000] + ([10_000_000] if options.full else [])
    options.beside_rows = 1_000_000 if options.full else options.rows
    options.idle = [(1, 1), (50, 1), (200, 1), (1, 100)]
    if options.quick:
        options.sizes = [1_000, 10_000]
    options.only = options.only or list(PARTS)
    return options


def measure_server(samples, folder, options):
    """What needs a PostgreSQL server."""
    try:
        # native logical replication needs it; no figure of ours does
        cluster = measure.harness.Cluster("--conf", "wal_level=logical",
                                          "--conf", "autovacuum_naptime=1min")
    except measure.harness.Skip as reason:
        samples.skip("PostgreSQL", reason)
        return
    try:
        if "postgres" in options.only:
            postgres.measure(samples, cluster, folder, options)
        if "fills" in options.only:
            fills.measure(samples, cluster, folder, options)
        if "replication" in options.only:
            replication.measure(samples, cluster, options)
        if "pairs" in options.only:
            engines.measure(samples, cluster, folder, options)
        if "beside" in options.only:
            beside.measure_server(samples, cluster, folder, options)
        if "background" in options.only:
            background.measure(samples, cluster, folder, options)
        if "hub" in options.only:
            hub.measure(samples, cluster, folder, options)
        if "scaling" in options.only:
            scaling.measure_postgres(samples, cluster, options)
    finally:
        cluster.stop()


def main():
    # so that a server is stopped and folders go when the program is told to end
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_arguments()
    machine = measure.environment()
    samples = measure.Samples()
    begin = time.monotonic()
    with measure.scratch() as folder:
        if "sqlite" in options.only:
            sqlite.measure(samples, folder, options)
        if "fills" in options.only:
            sqlite.measure_fills(samples, folder, options)
        if "beside" in options.only:
            beside.measure_devices(samples, folder, options)
        if "scaling" in options.only:
            scaling.measure_sqlite(samples, folder, options)
        if postgres_client.available():
            measure_server(samples, folder, options)
        else:
            samples.skip("PostgreSQL", "no server is installed")
    scaling.fit(samples)
    machine["minutes"] = round((time.monotonic() - begin) / 60, 1)
    target = measure.BUILD / "bench"
    target.mkdir(parents=True, exist_ok=True)
    report.write(samples, options, machine, target, sys.stdout)
    measure.say(f"\n{target}/report.md, report.json")


if __name__ == "__main__":
    main()
