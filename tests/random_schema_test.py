#!/usr/bin/env python3
"""Goal: databases that nobody prepared for synchronising converge. Method: schemas after Chinook,
Northwind and Sakila with all that real ones have (composite keys, self references, cycles, unique
indexes partial and without case, checks, triggers that write other tables, generated columns,
WITHOUT ROWID, STRICT); random edits on two SQLite files and a third database of either engine,
synchronised in random order; in the end rows are compared one by one, and conflicts with their ids.

SYNCLINE_SEED=n runs one seed; SYNCLINE_SECONDS bounds the time (60).
"""
import itertools
import os
import pathlib
import random
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import ident, main, test  # noqa: E402
from pairs import enable, equal, quote, settle, site, sync  # noqa: E402

SECONDS = float(os.environ.get("SYNCLINE_SECONDS", 60))
WORDS = ["a", "A", "b", "Ab", "aB", "", "it's", "Zoë", "x y"]

# Each schema: what both engines take, what only one takes, and for each table its key and columns
# with a letter for what they hold: i small integer, r reference (small integer), t text, n text or
# NULL, m amount, f flag, p positive integer.
MUSIC = {
    "both": """
CREATE TABLE artist(id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE album(id INTEGER PRIMARY KEY, title TEXT NOT NULL,
  artist INTEGER NOT NULL REFERENCES artist(id));
CREATE TABLE employee(id INTEGER PRIMARY KEY, email TEXT, boss INTEGER REFERENCES employee(id));
CREATE TABLE customer(id INTEGER PRIMARY KEY, email TEXT, live INTEGER,
  rep INTEGER REFERENCES employee(id) ON DELETE SET NULL);
CREATE UNIQUE INDEX customer_email ON customer(email) WHERE live = 1;
CREATE TABLE track(id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'untitled',
  album INTEGER REFERENCES album(id) ON DELETE SET NULL, ms INTEGER CHECK (ms > 0),
  price DOUBLE PRECISION);
CREATE TABLE playlist(id INTEGER PRIMARY KEY, name TEXT);
""",
    "sqlite": """
CREATE UNIQUE INDEX employee_email ON employee(email COLLATE NOCASE);
CREATE TABLE playlist_track(playlist INTEGER REFERENCES playlist(id) ON DELETE CASCADE,
  track INTEGER REFERENCES track(id), PRIMARY KEY(playlist, track)) WITHOUT ROWID;
""",
    "postgres": """
CREATE UNIQUE INDEX employee_email ON employee(lower(email));
CREATE TABLE playlist_track(playlist INTEGER REFERENCES playlist(id) ON DELETE CASCADE,
  track INTEGER REFERENCES track(id), PRIMARY KEY(playlist, track));
""",
    "tables": {
        "artist": ("id", "id:i name:n"), "album": ("id", "id:i title:t artist:r"),
        "employee": ("id", "id:i email:n boss:r"),
        "customer": ("id", "id:i email:n live:f rep:r"),
        "track": ("id", "id:i name:t album:r ms:p price:m"), "playlist": ("id", "id:i name:n"),
        "playlist_track": ("playlist track", "playlist:r track:r")},
}

TRADE = {
    "both": """
CREATE TABLE product(id INTEGER PRIMARY KEY, name TEXT UNIQUE, stock INTEGER NOT NULL DEFAULT 0);
CREATE TABLE "order"(id TEXT PRIMARY KEY, "to" TEXT, parent TEXT REFERENCES "order"(id));
CREATE TABLE "order detail"("order" TEXT REFERENCES "order"(id) ON DELETE CASCADE,
  product INTEGER REFERENCES product(id) ON UPDATE CASCADE, quantity INTEGER NOT NULL,
  discount INTEGER, twice INTEGER GENERATED ALWAYS AS (quantity * 2) STORED,
  CHECK (discount IS NULL OR discount <= quantity), PRIMARY KEY("order", product));
CREATE TABLE movement(product INTEGER, at INTEGER, what TEXT, PRIMARY KEY(product, at));
""",
    "sqlite": """
CREATE TRIGGER take AFTER INSERT ON "order detail" BEGIN
  UPDATE product SET stock = stock - NEW.quantity WHERE id = NEW.product;
  INSERT OR IGNORE INTO movement VALUES(NEW.product, NEW.quantity, NEW."order");
END;
CREATE TRIGGER undo AFTER DELETE ON "order detail" BEGIN
  DELETE FROM movement WHERE product = OLD.product AND at = OLD.quantity;
END;
""",
    "postgres": """
CREATE FUNCTION take() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE product SET stock = stock - NEW.quantity WHERE id = NEW.product;
  INSERT INTO movement VALUES(NEW.product, NEW.quantity, NEW."order") ON CONFLICT DO NOTHING;
  RETURN NULL; END $$;
CREATE TRIGGER take AFTER INSERT ON "order detail" FOR EACH ROW EXECUTE FUNCTION take();
""",
    "tables": {
        "product": ("id", "id:i name:n stock:i"), "order": ("id", "id:t to:n parent:t"),
        "order detail": ("order product", "order:t product:r quantity:p discount:i"),
        "movement": ("product at", "product:i at:i what:n")},
}

RENTAL = {
    "both": "",
    "sqlite": """
CREATE TABLE store(id INTEGER PRIMARY KEY, name TEXT,
  manager INTEGER REFERENCES staff(id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE staff(id INTEGER PRIMARY KEY, name TEXT, store INTEGER REFERENCES store(id));
CREATE TABLE film(id INTEGER PRIMARY KEY, title TEXT NOT NULL, rating TEXT
  CHECK (rating IN ('a', 'b', 'it''s')), length INTEGER) STRICT;
CREATE TABLE inventory(id INTEGER PRIMARY KEY, film INTEGER NOT NULL REFERENCES film(id),
  store INTEGER NOT NULL REFERENCES store(id) ON DELETE RESTRICT);
CREATE TABLE rental(code TEXT PRIMARY KEY, inventory INTEGER REFERENCES inventory(id),
  day INTEGER, staff INTEGER REFERENCES staff(id) ON DELETE SET NULL, UNIQUE(inventory, day));
CREATE TABLE category(film INTEGER REFERENCES film(id) ON DELETE CASCADE, name TEXT,
  PRIMARY KEY(film, name)) WITHOUT ROWID;
""",
    "postgres": """
CREATE TABLE store(id INTEGER PRIMARY KEY, name TEXT, manager INTEGER);
CREATE TABLE staff(id INTEGER PRIMARY KEY, name TEXT, store INTEGER REFERENCES store(id));
ALTER TABLE store ADD FOREIGN KEY (manager) REFERENCES staff(id) DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE film(id INTEGER PRIMARY KEY, title TEXT NOT NULL, rating TEXT
  CHECK (rating IN ('a', 'b', 'it''s')), length INTEGER);
CREATE TABLE inventory(id INTEGER PRIMARY KEY, film INTEGER NOT NULL REFERENCES film(id),
  store INTEGER NOT NULL REFERENCES store(id) ON DELETE RESTRICT);
CREATE TABLE rental(code TEXT PRIMARY KEY, inventory INTEGER REFERENCES inventory(id),
  day INTEGER, staff INTEGER REFERENCES staff(id) ON DELETE SET NULL, UNIQUE(inventory, day));
CREATE TABLE category(film INTEGER REFERENCES film(id) ON DELETE CASCADE, name TEXT,
  PRIMARY KEY(film, name));
""",
    "tables": {
        "store": ("id", "id:i name:n manager:r"), "staff": ("id", "id:i name:n store:r"),
        "film": ("id", "id:i title:t rating:n length:i"),
        "inventory": ("id", "id:i film:r store:r"),
        "rental": ("code", "code:t inventory:r day:i staff:r"),
        "category": ("film name", "film:r name:t")},
}
SCHEMAS = {"music": MUSIC, "trade": TRADE, "rental": RENTAL}


def literal(rng, kind):
    if kind in "i":
        return str(rng.randrange(1, 12))
    if kind == "r":
        return rng.choice(["NULL"] + [str(i) for i in range(1, 12)])
    if kind == "p":
        return str(rng.choice([1, 2, 3, 4, 60000, 0]))
    if kind == "m":
        return str(rng.choice([0.99, 1.25, 7, -3.5]))
    if kind == "f":
        return rng.choice(["0", "1", "1", "NULL"])
    if kind == "n" and rng.randrange(5) == 0:
        return "NULL"
    return quote(rng.choice(WORDS))


def statement(rng, tables):
    """One edit; it may violate a constraint, and then changes nothing."""
    name = rng.choice(list(tables))
    key, listed = tables[name]
    columns = [tuple(c.split(":")) for c in listed.split()]
    kinds = dict(columns)
    table = ident(name)
    where = " AND ".join(f"{ident(k)} = {literal(rng, kinds[k].replace('r', 'i'))}"
                         for k in key.split())
    dice = rng.randrange(20)
    if dice < 9:
        names = ", ".join(ident(c) for c, _ in columns)
        values = ", ".join(literal(rng, kind.replace("r", "i") if c in key.split() else kind)
                           for c, kind in columns)
        return f"INSERT INTO {table}({names}) VALUES({values})"
    if dice < 16:
        column, kind = rng.choice(columns)
        if column in key.split() and dice < 14:
            column, kind = columns[-1]
        if column in key.split():
            kind = kind.replace("r", "i")
        return f"UPDATE {table} SET {ident(column)} = {literal(rng, kind)} WHERE {where}"
    return f"DELETE FROM {table} WHERE {where}"


def edit(db, statements):
    """Runs each statement by itself; those that a constraint refuses change nothing."""
    if db.engine == "postgres":
        db.psql("-v", "ON_ERROR_STOP=0", "-f", "-", text=";\n".join(statements) + ";")
        return
    for sql in statements:
        try:
            db.run(sql)
        except sqlite3.IntegrityError:
            pass


def make_sites(t, schema, seed, third):
    sites = [t.sqlite(f"a{seed}"), t.sqlite(f"b{seed}"), site(t, third, f"c{seed}")]
    for db in sites:
        if db.engine == "sqlite":
            db.run("PRAGMA foreign_keys=ON; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF")
        db.run(schema["both"] + schema[db.engine])
        enable(db, *schema["tables"])
    return sites


def run_seed(t, family, seed, third):
    rng = random.Random(seed)
    schema = SCHEMAS[family]
    sites = make_sites(t, schema, seed, third)
    for _ in range(4):
        for db in sites:
            edit(db, [statement(rng, schema["tables"]) for _ in range(25)])
        for _ in range(rng.randrange(1, 4)):
            sync(*rng.sample(sites, 2))
    settle([*sites, sites[0]], rounds=6)
    return equal(sites, list(schema["tables"]), as_found=False)


def run_seeds(t, family, third):
    given = os.environ.get("SYNCLINE_SEED")
    seeds = [int(given)] if given else range(random.randrange(10**6), 10**9)
    until = time.monotonic() + SECONDS / len(SCHEMAS) * (0.75 if third == "postgres" else 0.25)
    done = 0
    for seed in seeds:
        try:
            run_seed(t, family, seed, third)
        except Exception as error:
            raise AssertionError(f"SYNCLINE_SEED={seed}: {error}") from error
        done += 1
        if time.monotonic() > until:
            break
    print(f"     {done} seeds from {seeds[0]}", flush=True)


for family_name, third_engine in itertools.product(SCHEMAS, ("sqlite", "postgres")):
    test(f"random schemas: {family_name}, two SQLite files and a {third_engine} database converge")(
        lambda t, family=family_name, third=third_engine: run_seeds(t, family, third))


if __name__ == "__main__":
    main()
