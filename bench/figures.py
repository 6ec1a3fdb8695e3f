"""What is measured: every figure with its group, its unit and what it is compared with.

The order here is the order of the tables. A figure's unit says what its number means:

    x     a ratio of two times of the same run (the group says against what); 1 is no difference
    B     bytes a row
    ms    milliseconds     us   microseconds a row
    /s    times a second   MiB  memory        ^    exponent of the growth with the number of rows
"""
import collections

Figure = collections.namedtuple("Figure", "key group title unit")
Budget = collections.namedtuple("Budget", "what parts")  # parts: (key, greatest value or None)

GROUPS = collections.OrderedDict()   # group -> what its ratios are against
FIGURES = collections.OrderedDict()


def group(name, against, *rows):
    GROUPS[name] = against
    for key, title, unit in rows:
        assert key not in FIGURES, key
        FIGURES[key] = Figure(key, name, title, unit)


WRITES = [
    ("insert", "insert, 1,000 a transaction"), ("update", "update one column by key"),
    ("delete", "delete by key"), ("one_transaction", "insert, all in one transaction"),
    ("in_memory", "insert, all in one transaction, PRAGMA temp_store = MEMORY in both"),
    ("single", "insert, one row a transaction"),
    ("update_all", "update every row in one statement"),
    ("delete_all", "delete every row in one statement"),
]

for workload, title in (("narrow", "W1"), ("wide", "60 columns"),
                        ("composite", "a key of two columns")):
    group(f"SQLite: writing, {title}", "the same statements on an untracked table",
          *((f"sqlite.write.{workload}.{key}", text, "x") for key, text in WRITES))

group("SQLite: writing under its session extension",
      "the same statements on an unrecorded table",
      ("session.write.insert", "insert, 1,000 a transaction", "x"),
      ("session.write.update", "update one column by key", "x"),
      ("session.write.delete", "delete by key", "x"))

group("SQLite: exchange",
      "inserting the rows plainly, 1,000 a transaction; updates: making them plainly",
      ("sqlite.export.unfolded", "export all, log not folded", "x"),
      ("sqlite.export.folded", "export all, log folded", "x"),
      ("sqlite.apply.full", "apply all into an empty tracked table", "x"),
      ("sqlite.now.full", "sync_now, file to empty file, fold included", "x"),
      ("sqlite.export.delta", "export one-column updates of a fifth of the rows", "x"),
      ("sqlite.apply.delta", "apply them", "x"),
      ("sqlite.now.delta", "sync_now with them, fold included", "x"),
      ("session.export.full", "session extension: changeset of all", "x"),
      ("session.apply.full", "session extension: apply it, one transaction", "x"),
      ("session.export.delta", "session extension: changeset of the updates", "x"),
      ("session.apply.delta", "session extension: apply it, one transaction", "x"))

PG_WRITES = [
    ("insert", "one INSERT ... SELECT"), ("copy", "COPY"),
    ("batches", "single-row INSERTs on the server, 1,000 a transaction"),
    ("update", "one UPDATE"), ("delete", "one DELETE"),
]
group("PostgreSQL: writing", "the same statement on an untracked table",
      *((f"postgres.write.{key}", text, "x") for key, text in PG_WRITES),
      *((f"postgres.slot.{key}", f"with a logical replication slot instead: {text}", "x")
        for key, text in PG_WRITES))

group("PostgreSQL: single rows with pgbench",
      "throughput and latency against an untracked table: less is slower, more is slower",
      *((f"postgres.pgbench.{kind}.{clients}.{key}",
         f"{kind}, {clients} client{'s' if clients > 1 else ''}: {text}", unit)
        for kind in ("insert", "update") for clients in (1, 4)
        for key, text, unit in (("throughput", "throughput", "x"), ("latency", "p95 latency", "x"),
                                ("plain", "untracked", "/s"))))

group("PostgreSQL: exchange", "INSERT ... SELECT of the same rows; updates: one UPDATE of them",
      ("postgres.fold.insert", "fold, inserted rows", "us"),
      ("postgres.fold.update", "fold, updated rows", "us"),
      ("postgres.fold.delete", "fold, deleted rows", "us"),
      ("postgres.export.full", "export all, log folded", "x"),
      ("postgres.apply.full", "apply all into an empty tracked table", "x"),
      ("postgres.now.full", "sync_now, database to empty database, fold included", "x"),
      ("postgres.export.delta", "export one-column updates of a fifth of the rows", "x"),
      ("postgres.apply.delta", "apply them", "x"),
      ("postgres.now.delta", "sync_now with them, fold included", "x"),
      ("postgres.apply.delta.by_key",
       "apply them, against making them by key on the server, 1,000 a transaction", "x"),
      ("postgres.now.delta.by_key", "sync_now with them, fold included, against the same", "x"),
      ("postgres.copy.out", "COPY out, text", "x"),
      ("postgres.copy.in", "COPY into an untracked table, text", "x"))

group("PostgreSQL to PostgreSQL: one commit until it is in the other database",
      "INSERT ... SELECT of the rows into an untracked table",
      ("replication.syncline.full", "insert, then sync_now", "x"),
      ("replication.native.full", "insert under native logical replication", "x"),
      ("replication.pglogical.full", "insert under pglogical", "x"),
      ("replication.syncline.copy", "initial copy: sync_now", "x"),
      ("replication.native.copy", "initial copy: native subscription", "x"),
      ("replication.pglogical.copy", "initial copy: pglogical subscription", "x"))

group("First fill of an empty database: a table that was full when tracking began",
      "the engines' own way, named in brackets",
      ("sqlite.fill.now", "SQLite to SQLite: sync_now (INSERT ... SELECT ... ORDER BY key)", "x"),
      ("sqlite.fill.clone", "SQLite to SQLite: sync_clone", "x"),
      *((f"fill.{key}.{figure}", f"{text}: {title}", unit)
        for key, text, own, figures in (
            ("postgres_postgres", "PostgreSQL to PostgreSQL", "COPY out | COPY in, binary",
             ("now", "rate", "clone")),
            ("postgres_sqlite", "PostgreSQL to SQLite", "COPY out in key order | .import, CSV",
             ("now", "rate", "clone")),
            ("sqlite_postgres", "SQLite to PostgreSQL", "SELECT | COPY in, CSV", ("now", "rate")))
        for figure, title, unit in (("now", f"sync_now ({own})", "x"),
                                    ("rate", "sync_now, rows a second", "/s"),
                                    ("clone", "sync_clone", "x")) if figure in figures))

group("Pairs: one sync_now", "inserting the rows plainly in the receiving engine",
      ("pairs.sqlite_sqlite", "SQLite to SQLite", "x"),
      ("pairs.sqlite_postgres", "SQLite to PostgreSQL", "x"),
      ("pairs.postgres_sqlite", "PostgreSQL to SQLite", "x"),
      ("pairs.postgres_postgres", "PostgreSQL to PostgreSQL", "x"),
      ("pairs.sqlite_postgres.delta", "SQLite to PostgreSQL, updates of a fifth of the rows", "x"),
      ("pairs.postgres_sqlite.delta", "PostgreSQL to SQLite, updates of a fifth of the rows", "x"))

group("Bytes on the wire: all rows of W1", "bytes a row",
      ("wire.full.syncline", "Syncline", "B"), ("wire.full.csv", "CSV", "B"),
      ("wire.full.csv_zstd", "CSV, zstd -3", "B"),
      ("wire.full.changeset", "SQLite changeset", "B"),
      ("wire.full.changeset_zstd", "SQLite changeset, zstd -3", "B"))

group("Bytes on the wire: one-column updates of a fifth of the rows", "bytes an update",
      ("wire.delta.syncline", "Syncline, key included", "B"),
      ("wire.delta.beyond_key", "Syncline, beyond the keys (sorted, zstd -3)", "B"),
      ("wire.delta.csv", "CSV of key and value", "B"),
      ("wire.delta.csv_zstd", "CSV of key and value, zstd -3", "B"),
      ("wire.delta.changeset", "SQLite changeset", "B"),
      ("wire.delta.patchset", "SQLite patchset", "B"),
      ("wire.delta.patchset_zstd", "SQLite patchset, zstd -3", "B"))

group("Metadata kept", "bytes a row of W1 on disk",
      ("sqlite.metadata.state", "SQLite: row state, key included, after a sync", "B"),
      ("sqlite.metadata.beyond_key", "SQLite: row state beyond the key's 36 bytes", "B"),
      ("sqlite.metadata.log", "SQLite: change log", "B"),
      ("sqlite.metadata.after_horizon",
       "SQLite: row state and log, both have everything and sync_maintain ran", "B"),
      ("postgres.metadata.state", "PostgreSQL: row state and list of arrivals with their indexes",
       "B"),
      ("postgres.metadata.log", "PostgreSQL: change log, not folded yet", "B"),
      ("postgres.metadata.after_horizon",
       "PostgreSQL: state and arrivals, both have everything, sync_maintain and VACUUM ran", "B"),
      ("postgres.metadata.rewritten", "PostgreSQL: the same after VACUUM FULL", "B"))

group("Cost that must not grow with the table", "milliseconds, on {big} rows",
      ("sqlite.enable", "SQLite: sync_enable", "ms"),
      ("sqlite.add_column", "SQLite: ADD COLUMN, noticed", "ms"),
      ("postgres.enable", "PostgreSQL: sync_enable", "ms"),
      ("postgres.add_column", "PostgreSQL: ADD COLUMN", "ms"))

IDLE = [(1, 1), (50, 1), (200, 1), (1, 100)]
group("sync_now with nothing to do", "milliseconds",
      *((f"sqlite.open.{tables}", f"SQLite alone: open a file with {tables} tracked "
         f"table{'s' if tables > 1 else ''}", "ms") for tables in (1, 50, 200)),
      *((f"{engine}.idle.tables_{tables}.peers_{peers}",
         f"{text}: {tables} table{'s' if tables > 1 else ''}, {peers} "
         f"peer{'s' if peers > 1 else ''} known", "ms")
        for engine, text in (("sqlite", "SQLite to SQLite"), ("mixed", "SQLite to PostgreSQL"),
                             ("postgres", "PostgreSQL to PostgreSQL"))
        for tables, peers in IDLE),
      *((f"{engine}.kept.tables_{tables}.peers_{peers}",
         f"SQLite to a {text} peer that is kept open: {tables} "
         f"table{'s' if tables > 1 else ''}, {peers} peer{'s' if peers > 1 else ''} known", "ms")
        for engine, text in (("sqlite", "SQLite"), ("mixed", "PostgreSQL"))
        for tables, peers in IDLE))

group("Many small syncs: one row changed, sync_now, over and over",
      "milliseconds a sync; growth: the last third against the first",
      *((f"{engine}.small.{key}", f"{text}: {title}", unit)
        for engine, text in (("sqlite", "SQLite to SQLite"), ("mixed", "SQLite to PostgreSQL"),
                             ("kept", "SQLite to PostgreSQL, connection kept"),
                             ("postgres", "PostgreSQL to PostgreSQL"))
        for key, title, unit in (("median", "median", "ms"), ("growth", "growth", "x"))))

group("In the background: one changed row from device to hub to device",
      "milliseconds, SQLite to PostgreSQL to SQLite, sync_start on both devices",
      ("background.median", "median", "ms"), ("background.p95", "95th percentile", "ms"))

group("Beside a sync: what an application waits",
      "its single-row writes and reads, while sync_now fills the table they go to",
      *((f"beside.{engine}.{key}", f"{text}: {title}", "ms")
        for engine, text in (("sqlite", "SQLite"), ("postgres", "PostgreSQL"))
        for key, title in (("write.alone", "a write without a sync, 95th percentile"),
                           ("write.beside", "a write beside the sync, 95th percentile"),
                           ("write.longest", "the longest wait of a write"),
                           ("read.alone", "a read without a sync, 95th percentile"),
                           ("read.beside", "a read beside the sync, 95th percentile"),
                           ("read.longest", "the longest wait of a read"))),
      ("beside.sqlite.hold", "SQLite: the longest time the write lock was not to be had", "ms"),
      ("beside.sqlite.fold", "SQLite: the same in the file that the rows come from", "ms"))

group("One PostgreSQL hub: sessions a second, all clients together",
      "SQLite clients that push as fast as they can, on the hub's own machine",
      *((f"hub.{key}.{clients}.{rows}",
         f"{clients} client{'s' if clients > 1 else ''}{text}, "
         f"{rows or 'no'} changed row{'' if rows == 1 else 's'} a session", "/s")
        for key, text in (("sessions", ""), ("kept", ", connection kept"))
        for clients in (1, 8, 32) for rows in (0, 1, 100)))

SCALES = [("plain", "insert, untracked"), ("insert", "insert, tracked"),
          ("now", "sync_now into an empty database"), ("export", "export"), ("apply", "apply")]
group("Scaling: exponent of the time from {small} to {big} rows", "1 is proportional",
      *((f"scaling.{engine}.{key}", f"{text}: {title}", "^")
        for engine, text in (("sqlite", "SQLite"), ("postgres", "PostgreSQL"))
        for key, title in SCALES))

group("Peak memory", "what a sync_now of {big} rows adds to a process that opens the databases",
      ("sqlite.memory", "SQLite: the whole process", "MiB"),
      ("postgres.memory", "PostgreSQL: the greatest server process, private memory", "MiB"))

BUDGETS = [
    Budget("SQLite W1: insert, update, delete", [("sqlite.write.narrow.insert", 1.3),
           ("sqlite.write.narrow.update", 1.25), ("sqlite.write.narrow.delete", 1.3)]),
    Budget("SQLite: all rows in one transaction; one row a transaction",
           [("sqlite.write.narrow.one_transaction", 1.7), ("sqlite.write.narrow.single", 1.3)]),
    Budget("SQLite: full export, then apply", [("sqlite.export.unfolded", 0.4),
           ("sqlite.apply.full", 0.8)]),
    Budget("wire: all rows, against zstd -3 of CSV", [("wire.full.syncline",
           "wire.full.csv_zstd")]),
    Budget("wire: an update beyond its key", [("wire.delta.beyond_key", 12)]),
    Budget("metadata: SQLite row state beyond its key", [("sqlite.metadata.beyond_key", 64)]),
    Budget("sync_enable; ADD COLUMN: SQLite", [("sqlite.enable", 50), ("sqlite.add_column", 50)]),
    Budget("sync_enable; ADD COLUMN: PostgreSQL", [("postgres.enable", 50),
           ("postgres.add_column", 50)]),
    Budget("nothing to do: SQLite file to file kept open, 200 tables",
           [("sqlite.kept.tables_200.peers_1", 5)]),
    Budget("PostgreSQL: INSERT, UPDATE, COPY, DELETE",
           [("postgres.write.insert", 1.4), ("postgres.write.update", 1.35),
            ("postgres.write.copy", 1.35), ("postgres.write.delete", 2.5)]),
    Budget("PostgreSQL single rows, 4 clients: throughput at least 0.85: insert, update",
           [("postgres.pgbench.insert.4.throughput", -0.85),
            ("postgres.pgbench.update.4.throughput", -0.85)]),
    Budget("PostgreSQL fold: inserts, updates, deletes",
           [("postgres.fold.insert", 2), ("postgres.fold.update", 2), ("postgres.fold.delete", 2)]),
    Budget("PostgreSQL: apply all into an empty tracked table", [("postgres.apply.full", 1.5)]),
    Budget("updates applied in half the time of making them by key: SQLite; PostgreSQL",
           [("sqlite.apply.delta", 0.5), ("postgres.apply.delta.by_key", 0.5)]),
    Budget("first fill, 0.7 of the own speed: SQLite; PostgreSQL; to SQLite; from SQLite",
           [("sqlite.fill.now", 1.43), ("fill.postgres_postgres.now", 1.43),
            ("fill.postgres_sqlite.now", 1.43), ("fill.sqlite_postgres.now", 1.43)]),
    Budget("a change in the background, device to hub to device, 95th percentile",
           [("background.p95", 50)]),
    Budget("PostgreSQL to PostgreSQL, against native replication",
           [("replication.syncline.full", "replication.native.full")]),
]
