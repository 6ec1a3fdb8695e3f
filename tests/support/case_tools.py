"""What the bodies of policy_cases.py and conflict_cases.py share."""
from pairs import create, equal, quote, run, sync

CASES = []
SCHEMA = """CREATE TABLE item (id TEXT PRIMARY KEY, title TEXT, qty INTEGER, price NUMERIC(12,2),
  tags JSON, doc JSON, notes TEXT, status TEXT, at INTEGER);"""
ROW = """INSERT INTO item VALUES ('i1', 'one', 10, 1.50, '["x"]', '{"a": 1, "b": 2}',
  'first line
second line
third line', 'new', 5)"""


def case(name):
    def register(body):
        CASES.append((name, body))
        return body
    return register


def policy(db, column, name, options=None, table="item"):
    arguments = [quote(table), "NULL" if column is None else quote(column), quote(name)]
    if options is not None:
        arguments.append(quote(options))
    return db.json(f"SELECT sync_set_policy({', '.join(arguments)})")


def start(a, b, **policies):
    """Two sites with one row, and policies by column that both have."""
    create(SCHEMA, a, b)
    run(ROW, a)
    for column, name in policies.items():
        policy(a, column, name)
    sync(a, b)


def clash(a, b, column, here, there):
    """Concurrent writes of one column, a's first; the id of what is open then, or None."""
    run(f"UPDATE item SET {column} = {here} WHERE id = 'i1'", a)
    run(f"UPDATE item SET {column} = {there} WHERE id = 'i1'", b)
    sync(a, b)
    equal([a, b], ["item"])
    return open_id(a, column)


def open_id(db, column=None, status="open"):
    where = "column_name IS NULL" if column is None else f"column_name = {quote(column)}"
    return db.value(f"SELECT id FROM sync_conflicts WHERE status = {quote(status)} AND {where}")


def cell(db, column):
    return db.value(f"SELECT {column} FROM item WHERE id = 'i1'")


def field(db, conflict, column):
    return db.value(f"SELECT {column} FROM sync_conflicts WHERE id = {quote(conflict)}")


def decide(db, conflict, choice, *more):
    arguments = [quote(conflict), quote(choice)]
    arguments += ["NULL" if m is None else quote(m) for m in more]
    return db.json(f"SELECT sync_resolve({', '.join(arguments)})")


def kinds_of_events(db, conflict):
    return [r[0] for r in db.rows(f"SELECT kind FROM sync_events(0) WHERE conflict_id = "
                                  f"{quote(conflict)} ORDER BY event")]
