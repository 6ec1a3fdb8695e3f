"""The PROJ database as SQLite devices and a PostgreSQL hub can share it.

keyed SOURCE TARGET   copies SOURCE (proj.db) to TARGET with a key for every table
ddl DATABASE          prints the same schema for PostgreSQL: tables with keys, foreign keys,
                      checks and indexes, then after the data views and triggers
data DATABASE         prints the rows as COPY commands

psql runs the output of `ddl DB tables`, `data DB`, `ddl DB rest`, in that order.

PROJ's schema as it comes: 35 tables. Six have no primary key, which synchronisation needs: where a
UNIQUE constraint over NOT NULL columns names the row it becomes the key, the others get a random
`id`, given once, before the copies are made. In a seventh, usage, every key is NULL: its rows are
numbered.
"""
import re
import sqlite3
import sys

TYPES = {"INTEGER_OR_TEXT": "text", "FLOAT": "double precision", "BOOLEAN": "boolean",
         "INTEGER": "bigint", "SMALLINT": "smallint", "TEXT": "text"}
NEW_ID = "id TEXT NOT NULL PRIMARY KEY DEFAULT (lower(hex(randomblob(16))))"
PG_NEW_ID = "DEFAULT replace(gen_random_uuid()::text, '-', '')"


def objects(db, kind):
    """(name, table, sql) of all schema objects of a kind, in order of creation."""
    return db.execute("SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = ? AND sql IS NOT "
                      "NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid",
                      (kind,)).fetchall()


def columns(db, table):
    return db.execute("SELECT name, upper(type), pk FROM pragma_table_info(?)", (table,)).fetchall()


def keyless(db):
    """Tables without a primary key."""
    return [name for name, _, _ in objects(db, "table")
            if not any(pk for _, _, pk in columns(db, name))]


def with_key(sql):
    """A table definition without a primary key, given one."""
    unique = re.search(r"\bUNIQUE\s*\(", sql)
    if unique:
        return sql[:unique.start()] + "PRIMARY KEY (" + sql[unique.end():]
    return re.sub(r"\s*\)\s*$", f"\n    , {NEW_ID}\n)", sql)


def make_keyed(source, target):
    """Copies the database, every table with a key whose values are not NULL."""
    db = sqlite3.connect(target, isolation_level=None)
    db.execute("ATTACH ? AS original", (source,))
    origin = sqlite3.connect(source)
    changed = keyless(origin)
    db.execute("PRAGMA journal_mode = wal")
    db.execute("BEGIN")
    for name, _, sql in objects(origin, "table"):
        db.execute(with_key(sql) if name in changed else sql)
        names = [c[0] for c in columns(origin, name)]
        values = list(names)
        if name == "usage":
            values[0:2] = ["coalesce(auth_name, object_auth_name)", "coalesce(code, rowid)"]
        db.execute(f'INSERT INTO main."{name}" ({", ".join(names)}) '
                   f'SELECT {", ".join(values)} FROM original."{name}"')
    for kind in ("index", "view", "trigger"):
        for _, _, sql in objects(origin, kind):
            db.execute(sql)
    db.execute("COMMIT")
    db.close()
    return changed


def without_comments(sql):
    """Drops -- comments, leaving quoted strings alone."""
    return re.sub(r"('(?:[^']|'')*')|--[^\n]*", lambda m: m.group(1) or "", sql)


class Translator:
    """SQLite's SQL, as PROJ uses it, in PostgreSQL's words."""

    def __init__(self, db):
        self.db = db
        flags = {name for table, _, _ in objects(db, "table")
                 for name, kind, _ in columns(db, table) if kind == "BOOLEAN"}
        self.flag = r"((?:\w+\.)?(?:" + "|".join(sorted(flags)) + r"))"

    def expression(self, sql):
        truth = {"0": "false", "1": "true"}
        sql = re.sub(self.flag + r"\s*(!?=)\s*([01])\b",
                     lambda m: f"{m[1]} {m[2]} {truth[m[3]]}", sql)
        sql = re.sub(self.flag + r"\s+IN\s*\(0,\s*1\)", r"\1 IN (false, true)", sql)
        sql = re.sub(r"\bNULL, 0( as deprecated)? FROM", r"NULL, false\1 FROM", sql)
        sql = re.sub(r"(?<!LEFT )\bJOIN (\w+(?: \w+)?)\s+WHERE", r"CROSS JOIN \1 WHERE", sql)
        return re.sub(r"\bLIKE\b", "ILIKE", sql)  # SQLite's LIKE does not look at case

    def table(self, sql):
        sql = without_comments(sql)
        sql = re.sub(r"\)\s*WITHOUT ROWID\s*$", ")", sql)
        sql = re.sub(r"(?m)^(\s*,?\s*\w+\s+)(" + "|".join(TYPES) + r")\b",
                     lambda m: m[1] + TYPES[m[2]], sql)
        sql = sql.replace("NOT NULL NULL", "NOT NULL")  # a slip in grid_packages
        sql = sql.replace(NEW_ID.split("KEY ")[1], PG_NEW_ID)
        return self.expression(sql) + ";"

    def trigger(self, number, name, table, sql):
        head, body = re.split(r"\bBEGIN\b", without_comments(sql), maxsplit=1)
        body = body[:body.rindex("END")]
        moment = re.search(r"(BEFORE|AFTER|INSTEAD OF)\s+(INSERT|UPDATE|DELETE)", head)[0]
        when = re.search(r"\bWHEN\b(.*)", head, re.S)
        lines = [self.statement(s) for s in re.findall(r"((?:'(?:[^']|'')*'|[^;'])+);", body)]
        body = "\n".join(lines)
        if when:
            body = f"IF {self.expression(when[1])} THEN\n{body}\nEND IF;"
        return (f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n{body}\n"
                f"RETURN NEW; END $$;\n"
                # PostgreSQL fires triggers in the order of their names
                f"CREATE TRIGGER t{number:02}_{name} {moment} ON {table} FOR EACH ROW "
                f"EXECUTE FUNCTION {name}();")

    def statement(self, sql):
        refusal = re.match(r"\s*SELECT RAISE\(ABORT,\s*('(?:[^']|'')*')\)\s*WHERE\b(.*)", sql, re.S)
        if refusal:
            return (f"IF {self.expression(refusal[2])} THEN RAISE check_violation "
                    f"USING MESSAGE = {refusal[1]}; END IF;")
        return self.expression(sql) + ";"


def ddl(db, part):
    translator = Translator(db)
    yield "SET client_min_messages = warning;"  # two trigger names are cut to 63 bytes
    if part in ("tables", "all"):
        for _, _, sql in objects(db, "table"):
            yield translator.table(sql)
    if part in ("rest", "all"):
        for kind in ("index", "view"):
            for _, _, sql in objects(db, kind):
                yield translator.expression(without_comments(sql)) + ";"
        for number, (name, table, sql) in enumerate(objects(db, "trigger")):
            yield translator.trigger(number, name, table, sql)
        yield "ANALYZE;"


def copy_text(value, kind):
    if value is None:
        return r"\N"
    if kind == "BOOLEAN":
        return "t" if value else "f"
    if isinstance(value, float):
        return repr(value)
    return (str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
            .replace("\r", "\\r"))


def copy_commands(db):
    """The rows, table by table, as psql reads them."""
    for name, _, _ in objects(db, "table"):
        described = columns(db, name)
        kinds = [kind for _, kind, _ in described]
        yield f"COPY {name} ({', '.join(c[0] for c in described)}) FROM stdin;"
        for row in db.execute(f'SELECT * FROM "{name}"'):
            yield "\t".join(copy_text(v, k) for v, k in zip(row, kinds))
        yield "\\."


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "keyed":
        print("\n".join(make_keyed(arguments[1], arguments[2])))
    elif len(arguments) in (2, 3) and arguments[0] == "ddl":
        part = arguments[2] if len(arguments) == 3 else "all"
        print("\n".join(ddl(sqlite3.connect(arguments[1]), part)))
    elif len(arguments) == 2 and arguments[0] == "data":
        for line in copy_commands(sqlite3.connect(arguments[1])):
            print(line)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
