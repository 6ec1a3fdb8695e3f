"""Asking two databases whether they hold the same, and damaging one behind the log's back.

Triggers are dropped and made again in SQLite, switched off together with the event trigger that
would switch them on again in PostgreSQL.
"""
import json

from harness import ident
from pairs import quote


def ask(function, a, b, options=None):
    return a.json(f"SELECT {function}({quote(b.url)}, {quote(json.dumps(options or {}))})")


def verify(a, b, **options):
    return ask("sync_verify", a, b, options)


def repair(a, b, **options):
    return ask("sync_repair", a, b, options)


def verdict(report, table="task"):
    """What is not zero of a table's verdict."""
    found = next(t for t in report["tables"] if t["table"] == table)
    return {k: found[k] for k in ("different", "only_here", "only_there", "in_flight", "held")
            if found[k]}


def check(db, **options):
    """(severity, table, what) of every finding."""
    call = f"SELECT * FROM sync_check({quote(json.dumps(options))})"
    return [tuple(row[:3]) for row in db.rows(call)]


def damage(db, sql, table="task"):
    """Writes while capture is off, and leaves it as it was."""
    if db.engine == "sqlite":
        triggers = db.rows("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        for name, _ in triggers:
            db.run(f"DROP TRIGGER {ident(name)}")
        db.run(sql)
        for _, text in triggers:
            db.run(text)
        return
    switches = "".join(f"ALTER TABLE {ident(table)} {{0}} TRIGGER {name};"
                       for name in ("syncline_capture", "syncline_truncate"))
    db.run("ALTER EVENT TRIGGER syncline_ddl_end DISABLE;" + switches.format("DISABLE") + sql + ";"
           + switches.format("ENABLE ALWAYS")
           + "ALTER EVENT TRIGGER syncline_ddl_end ENABLE ALWAYS")
