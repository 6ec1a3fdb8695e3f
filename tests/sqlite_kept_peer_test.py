"""Goal: a peer file whose URL says keep=1 stays open for the next session, and is in nobody's way:
no lock, no file that was replaced, never more than four, gone with the connection that called.
Method: the files this process has open, by /proc/self/fd; a second connection; files that move."""
import os
import pathlib
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import Skip, main, raises, same_rows, test  # noqa: E402


def made(t, name, journal="WAL"):
    db = t.sqlite(name)
    db.run(f"PRAGMA journal_mode={journal};"
           "CREATE TABLE task(id INTEGER PRIMARY KEY, title TEXT)")
    db.value("SELECT sync_enable('task')")
    return db


def closed(t, name, journal="WAL"):
    """The path of a database that nobody has open."""
    db = made(t, name, journal)
    db.close()
    return db.path


def kept(path):
    return f"file:{path}?keep=1"


def is_open(path):
    if not os.path.isdir("/proc/self/fd"):
        raise Skip("no /proc/self/fd")
    names = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:  # that of the list itself
            pass
    return os.path.realpath(path) in names


@test("kept peer: it stays open if the URL says so, and goes with the connection that called")
def _(t):
    a, path = made(t, "a"), closed(t, "b")
    a.run("INSERT INTO task VALUES (1, 'one')")
    a.value("SELECT sync_now(?)", path)
    assert not is_open(path) and not os.path.exists(path + "-wal")
    for url in (f"file:{path}", f"file:{path}?keep=0"):
        a.value("SELECT sync_now(?)", url)
        assert not is_open(path), url
    a.value("SELECT sync_now(?)", kept(path))
    assert is_open(path)
    a.close()
    assert not is_open(path) and not os.path.exists(path + "-wal")


@test("kept peer: changes on both sides, a new table and a new column arrive through it")
def _(t):
    a, b = made(t, "a"), made(t, "b")
    for i in range(4):
        a.run("INSERT INTO task(title) VALUES ('from a')")
        b.run("UPDATE task SET title = title || '!'")
        assert a.json("SELECT sync_now(?)", kept(b.path))["pushed"]["rows"] == 1, i
        same_rows(a, b, ["task"])
    for db in (a, b):
        db.run("CREATE TABLE note(id INTEGER PRIMARY KEY)")
        db.value("SELECT sync_enable('note')")
        db.run("ALTER TABLE task ADD COLUMN more TEXT")
    b.run("INSERT INTO note VALUES (7); UPDATE task SET more = 'more'")
    a.value("SELECT sync_now(?)", kept(b.path))
    same_rows(a, b, ["task", "note"])
    assert a.value("SELECT count(*) FROM task WHERE more = 'more'") == 4


@test("kept peer: it holds no lock between sessions")
def _(t):
    a, path = made(t, "a"), closed(t, "b", "DELETE")
    a.run("INSERT INTO task VALUES (1, 'one')")
    a.value("SELECT sync_now(?)", kept(path))
    assert is_open(path)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    other.execute("INSERT INTO task VALUES (2, 'two')")
    other.execute("COMMIT")
    other.close()
    a.value("SELECT sync_now(?)", kept(path))
    assert a.value("SELECT count(*) FROM task") == 2


@test("kept peer: a file that was replaced, moved or deleted is not written to any more")
def _(t):
    a, path, new = made(t, "a"), closed(t, "b"), closed(t, "c")
    a.run("INSERT INTO task VALUES (1, 'one')")
    a.value("SELECT sync_now(?)", kept(path))
    os.rename(path, path + ".moved")
    for suffix in ("-wal", "-shm"):
        os.unlink(path + suffix)
    raises(lambda: a.value("SELECT sync_now(?)", kept(path)), "there is no database file")
    os.rename(new, path)
    a.run("INSERT INTO task VALUES (2, 'two')")
    a.value("SELECT sync_now(?)", kept(path))
    assert not is_open(path + ".moved")
    fresh = sqlite3.connect(path)
    assert fresh.execute("SELECT count(*) FROM task").fetchone() == (2,)
    fresh.close()
    # a name that leads elsewhere by now
    link, third = path + ".link", closed(t, "d")
    os.symlink(path, link)
    a.value("SELECT sync_now(?)", kept(link))
    os.unlink(link)
    os.symlink(third, link)
    assert a.json("SELECT sync_now(?)", kept(link))["pushed"]["rows"] == 2


@test("kept peer: four stay open, those used last; one that failed does not")
def _(t):
    a = made(t, "a")
    paths = [closed(t, f"peer{i}") for i in range(6)]
    for path in paths[:5] + paths[1:2] + paths[5:]:
        a.value("SELECT sync_now(?)", kept(path))
    assert [is_open(path) for path in paths] == [False, True, False, True, True, True]
    db = sqlite3.connect(paths[5])
    db.execute("DROP TABLE sync_site")
    db.close()
    raises(lambda: a.value("SELECT sync_now(?)", kept(paths[5])), "")
    assert not is_open(paths[5])


@test("kept peer: an application's own function in the place of ours does no harm")
def _(t):
    a, path = made(t, "a"), closed(t, "b")
    a.value("SELECT sync_now(?)", kept(path))
    a.db.create_function("sync_hello", 0, lambda: "mine")
    assert a.value("SELECT sync_hello()") == "mine"
    assert a.json("SELECT sync_verify(?)", kept(path))
    assert is_open(path)
    a.close()
    assert not is_open(path)


main()
