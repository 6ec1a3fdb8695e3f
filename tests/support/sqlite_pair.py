"""What the SQLite suites share: two databases of one schema, and a few questions to them."""
from harness import Sqlite


def pair(t, schema, tables=("t",), names=("a", "b"), pragma=""):
    """Databases with the same schema, all `tables` tracked."""
    made = [t.sqlite(name) for name in names]
    for db in made:
        db.run(pragma + schema)
        for table in tables:
            db.value("SELECT sync_enable(?)", table)
    return made


def sync(a, b):
    return a.json("SELECT sync_now(?)", b.path)


def plain(t, path):
    """A connection that has not loaded the extension."""
    made = Sqlite(path, extension=False)
    t.open.append(made)
    return made


def log(db):
    return db.rows("SELECT seq, mask, k1 FROM sync_log WHERE k1 IS NOT NULL ORDER BY seq")


def quarantine(db):
    return db.rows("SELECT kind, pk FROM sync_conflicts WHERE status = 'open' AND kind IN "
                   "('unique', 'foreign_key', 'constraint') ORDER BY pk")
