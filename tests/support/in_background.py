"""Databases that synchronise in the background, and waiting for what comes of it."""
import time

TASK = "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, n INTEGER)"
PATIENCE_SECONDS = 60


def device(t, name, wal=True):
    made = t.sqlite(name)
    if wal:
        made.value("PRAGMA journal_mode=WAL")
    made.run(TASK)
    made.value("SELECT sync_enable('task')")
    return made


def server(t, name):
    made = t.postgres(name)
    made.run("CREATE TABLE task(id text PRIMARY KEY, title text, n int);"
             "SELECT sync_enable('task')")
    return made


def start(device_, peer, name="peer", options="{}"):
    device_.value("SELECT sync_add_peer(?, ?)", name, getattr(peer, "url", peer))
    return device_.json("SELECT sync_start(?, ?)", name, options)


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_SECONDS} s"
        time.sleep(0.005)


def arrives(database, row_id, title=None):
    def there():
        found = database.rows(f"SELECT title FROM task WHERE id = '{row_id}'")
        return found and (title is None or found[0][0] == title)
    eventually(f"row {row_id}", there)


def add(database, row_id, title="a title"):
    database.run(f"INSERT INTO task VALUES ('{row_id}', '{title}', 0)")


def settled(database, *names):
    """After this many looks nothing is under way any more."""
    for name in names or ("peer",):
        seen = [None, None]

        def calm(seen=seen, name=name):
            time.sleep(0.3)
            seen[:] = seen[1:] + [database.rows(
                f"SELECT last_success FROM sync_peers WHERE name = '{name}'")]
            return seen[0] == seen[1]
        eventually("calm", calm)
