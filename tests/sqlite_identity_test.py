#!/usr/bin/env python3
"""Goal: a SQLite file that is copied, restored or rolled back takes a new id before, or when, its
changes could be mistaken for others', and nothing that any life of it wrote is lost. Method: files
are copied and put back in every order that matters, both lives write, all sites meet, and the rows
are compared. Some tests take the hints of the file system away, as a disk image put back would."""
import os
import pathlib
import shutil
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import EXTENSION, Skip, Sqlite, main, raises, same_rows, test  # noqa: E402

TASK = "CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT)"
TEN_YEARS = 315360000000 << 16


def site(db):
    return db.value("SELECT sync_site_id()")


def tracked(t, name):
    db = t.sqlite(name)
    db.run(TASK)
    db.value("SELECT sync_enable('task')")
    return db


def put(db, *names):
    for name in names:
        db.run(f"INSERT INTO task VALUES('{name}', 'from {pathlib.Path(db.path).stem}')")


def sync(a, b):
    return a.json("SELECT sync_now(?)", b.path)


def meet(*sites):
    """Everyone with everyone, twice; then all must hold the same rows."""
    for _ in range(2):
        for i, a in enumerate(sites):
            for b in sites[i + 1:]:
                sync(a, b)
    for other in sites[1:]:
        same_rows(sites[0], other, ["task"])


def names(db):
    return sorted(row[0] for row in db.rows("SELECT id FROM task"))


def save(db, to):
    """A copy of the file, as `cp` makes it."""
    db.run("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(db.path, to)


def copy(t, db, name):
    path = t.folder / f"{name}.db"
    save(db, path)
    made = Sqlite(path)
    t.open.append(made)
    return made


def put_back(t, db, backup, in_place=True):
    """The saved file in place of the database; in place: written into the very same file."""
    db.close()
    for end in ("-wal", "-shm", "-journal"):
        pathlib.Path(db.path + end).unlink(missing_ok=True)
    if not in_place:
        os.remove(db.path)
    shutil.copyfile(backup, db.path)
    t.open.remove(db)
    made = Sqlite(db.path)
    t.open.append(made)
    return made


def blind(db):
    """What the file system knows is gone, as if the disk itself had been put back."""
    db.run("DELETE FROM sync_meta WHERE key = 'file'")
    try:
        os.removexattr(db.path, "user.syncline")
    except OSError:
        pass


def needs_birth(t):
    db = tracked(t, "probe")
    if db.value("SELECT value FROM sync_meta WHERE key = 'file'") is None:
        raise Skip("this file system does not say when a file was made")


def needs_attribute(t):
    db = tracked(t, "probe")
    try:
        os.getxattr(db.path, "user.syncline")
    except OSError:
        raise Skip("this file system has no extended attributes") from None


def one_hub(t, order, hints):
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "before")
    sync(db, hub)
    put(db, "unsent")
    other = copy(t, db, "copy")
    if not hints:
        blind(other)
    put(db, "original")
    put(other, "copied")
    for place in [(db, other), (other, db)][order]:
        sync(place, hub)
    meet(db, hub, other)
    assert names(hub) == ["before", "copied", "original", "unsent"], names(hub)
    assert site(db) != site(other)
    assert hub.value("SELECT count(*) FROM sync_conflicts") == 0


for direction in (0, 1):
    for known in (True, False):
        test(f"a copy and its original, {'copy' if direction else 'original'} first, reach one hub"
             f"{'' if known else ', without hints'}")(
                 lambda t, d=direction, k=known: one_hub(t, d, k))


@test("a copy that only meets peers the original never meets loses nothing")
def _(t):
    needs_birth(t)
    db, one, two = tracked(t, "db"), tracked(t, "one"), tracked(t, "two")
    put(db, "before")
    sync(db, one)
    other = copy(t, db, "copy")
    put(db, "original 1", "original 2")
    put(other, "copied 1", "copied 2", "copied 3")
    old = site(db)
    sync(db, one)
    sync(other, two)
    assert site(db) == old != site(other), "the original keeps its id, whatever the order"
    sync(one, two)  # whoever confused the two would skip rows here, and nobody would notice
    meet(db, one, two, other)
    assert len(names(db)) == 6


@test("copies of a file that never synchronised, made to be installed, are sites of their own")
def _(t):
    needs_birth(t)
    first = tracked(t, "shipped")
    put(first, "example")
    devices = [copy(t, first, f"device{i}") for i in range(3)]
    for device in devices:
        put(device, f"of {device.path[-4]}")
    for i, device in enumerate(devices):
        sync(device, devices[i - 1])
    meet(*devices)
    assert names(devices[0]) == ["example", "of 0", "of 1", "of 2"]
    assert len({site(device) for device in devices}) == 3


@test("a copy of a copy, and each writes")
def _(t):
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "before")
    sync(db, hub)
    second = copy(t, db, "second")
    put(second, "second")
    third = copy(t, second, "third")
    put(third, "third")
    put(second, "second again")
    put(db, "first")
    for place in (third, second, db):
        sync(place, hub)
    meet(db, hub, second, third)
    assert names(hub) == ["before", "first", "second", "second again", "third"]
    assert len({site(place) for place in (db, second, third)}) == 3


def restored_twice(t, in_place, hints):
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "before")
    sync(db, hub)
    backup = t.folder / "backup"
    save(db, backup)
    ids = {site(db)}
    for life in ("one", "two", "three"):
        put(db, f"{life} a", f"{life} b")
        sync(db, hub)
        ids.add(site(db))
        if life != "three":
            db = put_back(t, db, backup, in_place)
            if not hints:
                blind(db)
    meet(db, hub)
    assert len(names(db)) == 7, names(db)
    assert len(ids) == 3, "one id for each life"


for same_file in (True, False):
    for known in (True, False):
        test(f"restored twice from one backup, {'in place' if same_file else 'as a new file'}"
             f"{'' if known else ', without hints'}")(
                 lambda t, s=same_file, k=known: restored_twice(t, s, k))


@test("restored in place, it meets first a site that never saw what was lost")
def _(t):
    needs_attribute(t)
    db, one, two = tracked(t, "db"), tracked(t, "one"), tracked(t, "two")
    put(db, "before")
    sync(db, one)
    sync(db, two)
    backup = t.folder / "backup"
    save(db, backup)
    put(db, "lost 1", "lost 2", "lost 3")
    sync(db, one)
    old = site(db)
    db = put_back(t, db, backup)
    put(db, "after 1", "after 2")
    sync(db, two)
    assert site(db) != old, "nobody had shown it"
    sync(one, two)
    meet(db, one, two)
    assert len(names(one)) == 6, names(one)


@test("restored in place while a third site relays what was lost, without hints")
def _(t):
    db, hub, relay = tracked(t, "db"), tracked(t, "hub"), tracked(t, "relay")
    put(db, "before")
    sync(db, hub)
    backup = t.folder / "backup"
    save(db, backup)
    put(db, "lost 1", "lost 2")
    sync(db, hub)
    sync(hub, relay)
    db = put_back(t, db, backup)
    blind(db)
    old = site(db)
    put(db, "after")
    sync(relay, db)
    assert site(db) != old
    meet(db, hub, relay)
    assert names(db) == ["after", "before", "lost 1", "lost 2"]


@test("an older state of the file is noticed even if the id was another one since")
def _(t):
    needs_attribute(t)
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "before")
    sync(db, hub)
    backup = t.folder / "backup"
    save(db, backup)
    first, second = site(db), db.value("SELECT sync_new_identity()")
    put(db, "lost")
    sync(db, hub)
    db = put_back(t, db, backup)
    assert site(db) == first
    put(db, "after")
    sync(db, hub)
    assert site(db) not in (first, second)
    meet(db, hub)
    assert names(db) == ["after", "before", "lost"]


@test("two copies whose clock stands behind what they have merged stamp alike, and are told apart")
def _(t):
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "before")
    sync(db, hub)
    db.run(f"UPDATE sync_clock SET floor = floor + {60000 << 16}")
    other = copy(t, db, "copy")
    blind(other)
    put(db, "original")
    put(other, "copied")
    sync(db, hub)
    sync(other, hub)
    meet(db, hub, other)
    assert names(hub) == ["before", "copied", "original"]


@test("sync_changes_since writes nothing: on a copy it refuses; one that cannot write may export")
def _(t):
    needs_birth(t)
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "before")
    other = copy(t, db, "copy")
    put(other, "copied")
    raises(lambda: other.rows("SELECT * FROM sync_changes_since('{}')"), "sync_new_identity")
    old = site(other)
    other.value("SELECT sync_new_identity()")
    assert site(other) != old
    for place in (db, other):
        for (chunk,) in place.rows("SELECT changes FROM sync_changes_since(?)",
                                   hub.value("SELECT sync_version_vector()")):
            hub.value("SELECT sync_apply(?)", chunk)
    assert names(hub) == ["before", "copied"]
    frozen = copy(t, db, "frozen")
    frozen.db.close()
    frozen.db = sqlite3.connect(f"file:{frozen.path}?mode=ro", uri=True, isolation_level=None)
    frozen.db.enable_load_extension(True)
    frozen.db.load_extension(EXTENSION)
    assert frozen.rows("SELECT row_count FROM sync_changes_since('{}')") == [(1,)]


@test("what is no copy keeps its id: renamed, vacuumed, restarted, with a strange attribute")
def _(t):
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "one")
    sync(db, hub)
    old = site(db)
    db.run("VACUUM")
    sync(db, hub)
    db.close()
    os.rename(db.path, db.path + ".moved")
    t.open.remove(db)
    db = Sqlite(db.path + ".moved")
    t.open.append(db)
    put(db, "two")
    sync(db, hub)
    try:
        os.setxattr(db.path, "user.syncline", b"somebody else's")
    except OSError:
        pass
    put(db, "three")
    sync(db, hub)
    assert site(db) == old
    assert names(hub) == ["one", "three", "two"]
    memory = Sqlite(":memory:")
    t.open.append(memory)
    memory.run(TASK)
    memory.value("SELECT sync_enable('task')")
    old = site(memory)
    memory.json("SELECT sync_now(?)", hub.path)
    assert site(memory) == old and names(memory) == names(hub)


@test("VACUUM INTO makes a copy")
def _(t):
    needs_birth(t)
    db = tracked(t, "db")
    put(db, "one")
    path = t.folder / "vacuumed.db"
    db.run(f"VACUUM INTO '{path}'")
    other = Sqlite(path)
    t.open.append(other)
    put(other, "two")
    put(db, "three")
    sync(other, db)
    assert site(other) != site(db)
    assert names(db) == names(other) == ["one", "three", "two"]


def wrong_clock(db, by=TEN_YEARS):
    """What a clock that was ahead for a moment leaves: a floor, which stamps what follows."""
    db.run(f"UPDATE sync_clock SET floor = {int(time.time() * 1000) << 16} + {by}")


@test("S7: a clock once ten years ahead: what nobody accepted is stamped anew, and arrives")
def _(t):
    db, hub = tracked(t, "db"), tracked(t, "hub")
    put(db, "before")
    sync(db, hub)
    wrong_clock(db)
    put(db, "future")
    db.run("UPDATE task SET title = 'future' WHERE id = 'before'")
    db.value("SELECT sync_hello()")  # folded: the wrong clock is in row state, too
    old = site(db)
    sync(db, hub)
    assert names(hub) == ["before", "future"] and site(db) != old
    bound = (int(time.time()) + 60) * 1000 << 16
    assert db.value("SELECT floor FROM sync_clock") < bound, "the floor fell back"
    for place in (db, hub):
        for _, hlc in place.json("SELECT sync_version_vector()").values():
            assert hlc < bound
    hub.run("UPDATE task SET title = 'later' WHERE id = 'before'")
    sync(db, hub)
    assert db.value("SELECT title FROM task WHERE id = 'before'") == "later"
    new = site(db)
    put(db, "healthy")
    sync(db, hub)
    assert site(db) == new, "once is enough"
    meet(db, hub)
    assert hub.value("SELECT count(*) FROM sync_conflicts WHERE status = 'open'") == 0


@test("S7: the poisoned site is only ever called: its peer is refused until it stamps anew itself")
def _(t):
    db, caller = tracked(t, "db"), tracked(t, "caller")
    put(caller, "mine")
    wrong_clock(db)
    put(db, "future")
    db.run("SELECT sync_set_policy('task', 'title', 'first_writer')")
    raises(lambda: sync(caller, db), "ahead", "sync_new_identity")
    db.value("SELECT sync_new_identity()")
    meet(caller, db)
    assert names(caller) == ["future", "mine"]
    caller.run("SELECT sync_set_policy('task', 'title', 'last_writer')")
    meet(caller, db)
    assert db.value("SELECT policy FROM sync_policies WHERE column_name = 'title'") == \
        "last_writer", "a policy set under the wrong clock does not win for ten years"


@test("S7: a clock that is wrong now is refused before anything is stamped")
def _(t):
    db, hub = tracked(t, "db"), tracked(t, "hub")
    db.run(f"UPDATE sync_clock SET floor = floor + {240000 << 16}")  # within what peers accept
    put(db, "a little ahead")
    old = site(db)
    sync(db, hub)
    assert site(db) == old and names(hub) == ["a little ahead"]


@test("S7: what came from others at a clock far ahead is theirs: no new id, and the same refusal")
def _(t):
    db, poisoned, third = tracked(t, "db"), tracked(t, "poisoned"), tracked(t, "third")
    wrong_clock(poisoned)
    put(poisoned, "future")
    for (chunk,) in poisoned.rows("SELECT changes FROM sync_changes_since('{}')"):
        db.value("SELECT sync_apply(?, '{\"drift_ms_max\": 999999999999}')", chunk)
    put(db, "mine")
    old = site(db)
    for _ in range(2):
        raises(lambda: sync(db, third), "ahead")
    assert site(db) == old


if __name__ == "__main__":
    sys.exit(main())
