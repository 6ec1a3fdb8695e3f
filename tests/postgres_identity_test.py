#!/usr/bin/env python3
"""Rule P16 in sessions: PostgreSQL databases that are copied, restored or rolled back.

Both lives of such a database write on; each one that finds out takes a new id by itself, and
nothing that either wrote, or had shared before, is lost.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import CLUSTER_SCRIPT, Cluster, Postgres, main, raises, test  # noqa: E402

TASK = "CREATE TABLE task(id int PRIMARY KEY, title text)"


def tracked(t, name="db"):
    db = t.postgres(name)
    db.run(TASK)
    db.value("SELECT sync_enable('task')")
    return db


def put(db, number, title):
    db.run(f"INSERT INTO task VALUES ({number}, '{title}')")


def sync(db, peer):
    return db.value(f"SELECT sync_now('{peer.url}')")


def ids(db):
    return sorted(int(row[0]) for row in db.rows("SELECT id FROM task"))


def site(db):
    return db.value("SELECT sync_site_id()")


def send(source, target):
    """Everything `target` lacks, chunk by chunk, as one who carries chunks by hand would."""
    vector = target.value("SELECT sync_version_vector()")
    for (chunk,) in source.rows("SELECT encode(changes, 'hex') FROM"
                                f" sync_changes_since('{vector}') ORDER BY chunk"):
        target.value(f"SELECT sync_apply(decode('{chunk}', 'hex'))")


def template_copy(t, db, name):
    copy = Postgres(f"{db.name}_{name}", db.env)
    copy.url = db.url.replace(db.name, copy.name)
    db.run(f'CREATE DATABASE "{copy.name}" TEMPLATE "{db.name}"')
    t.dropped.append(copy.name)
    return copy


def rolled_back(t, original):
    """A copy with the id and the witnesses that a disk image put back would have."""
    copy = template_copy(t, original, "back")
    copy.run("CREATE TABLE before AS SELECT site, next_seq, shared FROM syncline.self")
    site(copy)
    copy.run("UPDATE syncline.self SET site = before.site, next_seq = before.next_seq,"
             " shared = before.shared FROM before;"
             "TRUNCATE syncline.mark; DELETE FROM syncline.vector v USING before b"
             " WHERE v.site = b.site; DROP TABLE before")
    marks = original.rows("SELECT seq, hlc FROM syncline.mark")
    copy.run("INSERT INTO syncline.mark VALUES "
             + ", ".join(f"({seq}, {hlc})" for seq, hlc in marks))
    assert site(copy) == site(original), "it does not know yet"
    return copy


@test("P16: both copies of a database write and sync to a third: nothing is lost")
def _(t):
    db, third = tracked(t), tracked(t, "third")
    put(db, 1, "before")
    sync(db, third)
    copy = template_copy(t, db, "copy")
    put(db, 2, "original")
    put(copy, 3, "copy")
    for place in (db, copy, db, copy):
        sync(place, third)
    assert site(copy) != site(db)
    for place in (db, copy, third):
        assert ids(place) == [1, 2, 3], place.name
        assert place.value("SELECT count(*) FROM sync_conflicts") == "0"


def roll_back(t, how):
    db, peer = tracked(t), tracked(t, "peer")
    put(db, 1, "shared")
    sync(db, peer)
    sync(db, peer)
    put(db, 4, "numbered, but not shared yet")
    db.value("SELECT sync_hello()")
    back = rolled_back(t, db)
    put(db, 2, "lost with the disk")
    sync(db, peer)
    if how != "push only":
        put(back, 3, "after the roll-back")
    id_before = site(back)
    first, second = (back, peer) if how == "it calls" else (peer, back)
    for _ in range(2):
        sync(first, second)
    assert site(back) != id_before
    wanted = [1, 2, 4] if how == "push only" else [1, 2, 3, 4]
    for place in (back, peer):
        assert ids(place) == wanted, (place.name, ids(place))
        assert place.value("SELECT count(*) FROM sync_conflicts") == "0"


@test("P16: a rolled-back database that no witness betrays finds out when it calls sync_now")
def _(t):
    roll_back(t, "it calls")


@test("P16: a rolled-back database finds out when a peer pulls from it")
def _(t):
    roll_back(t, "it is called")


@test("P16: a rolled-back database finds out when a peer only has something to push")
def _(t):
    roll_back(t, "push only")


@test("P16: whoever carries chunks by hand to a rolled-back database is told, and may go on")
def _(t):
    db, peer = tracked(t), tracked(t, "peer")
    put(db, 1, "shared")
    send(db, peer)
    back = rolled_back(t, db)
    put(db, 2, "lost with the disk")
    send(db, peer)
    id_before = site(back)
    raises(lambda: send(peer, back), "sync_new_identity")
    assert site(back) == id_before, "an error keeps nothing"
    send(back, peer)  # shown the peer's vector, it takes a new id
    assert site(back) != id_before
    send(peer, back)
    assert ids(back) == ids(peer) == [1, 2]


@test("P16: a SQLite database meets a server that was rolled back")
def _(t):
    hub, device = tracked(t, "hub"), t.sqlite("device")
    device.run("CREATE TABLE task(id INTEGER PRIMARY KEY, title TEXT)")
    device.value("SELECT sync_enable('task')")
    put(hub, 1, "shared")
    sync(device, hub)
    back = rolled_back(t, hub)
    put(hub, 2, "lost with the disk")
    sync(device, hub)
    sync(device, back)  # pushes only
    put(back, 3, "after the roll-back")
    sync(device, back)
    assert ids(back) == ids(device) == [1, 2, 3]


@test("P16: a dump restored beside its original, both written, loses nothing")
def _(t):
    db, third = tracked(t), tracked(t, "third")
    put(db, 1, "before")
    sync(db, third)
    restored = t.postgres("restored", extension=False)
    restored.run(subprocess.run(["pg_dump", db.name], env=db.env, capture_output=True, text=True,
                                check=True).stdout)
    put(db, 2, "original")
    put(restored, 3, "restored")
    for place in (db, restored, db, restored):
        sync(place, third)
    for place in (db, restored, third):
        assert ids(place) == [1, 2, 3], place.name


class DataFolder:
    """A server whose data directory is copied while it is stopped, and put back."""

    def __init__(self):
        self.server = Cluster()
        self.data = pathlib.Path(self.server.data)
        self.saved = self.data.parent / "saved"
        self.owner = self.data.stat()

    def ctl(self, *arguments):
        folder = subprocess.run([CLUSTER_SCRIPT, "bindir"], capture_output=True, text=True,
                                check=True).stdout.strip()
        other = ({"user": self.owner.st_uid, "group": self.owner.st_gid, "extra_groups": []}
                 if os.getuid() == 0 else {})
        subprocess.run([folder + "/pg_ctl", "-D", str(self.data), "-w",
                        "-l", str(self.data.parent / "server.log"), *arguments],
                       cwd="/", check=True, stdout=subprocess.DEVNULL, **other)

    def start(self):
        self.ctl("-o", f"-p {self.server.env['PGPORT']}", "start")

    def save(self):
        self.ctl("-m", "fast", "stop")
        subprocess.run(["cp", "-a", str(self.data), str(self.saved)], check=True)
        self.start()

    def put_back(self, in_place):
        """In place: into the files that are there, so that not even an inode tells."""
        self.ctl("-m", "fast", "stop")
        for path in self.data.rglob("*"):
            kept = in_place and (self.saved / path.relative_to(self.data)).is_file()
            if path.is_file() and not kept:
                path.unlink()
        subprocess.run(["cp", "-a", f"{self.saved}/.", str(self.data)], check=True)
        self.start()


def put_back(t, in_place):
    peer = tracked(t, "peer")
    folder = DataFolder()
    db = folder.server.database("app")
    db.run(TASK)
    db.value("SELECT sync_enable('task')")
    put(db, 1, "saved")
    sync(db, peer)
    folder.save()
    put(db, 2, "lost with the folder")
    sync(db, peer)
    id_before = site(db)
    folder.put_back(in_place)
    assert ids(db) == [1]
    assert (site(db) == id_before) == in_place, "an inode tells"
    put(db, 3, "after it was put back")
    for _ in range(2):
        sync(peer, db)
    assert site(db) != id_before
    assert ids(db) == ids(peer) == [1, 2, 3], (ids(db), ids(peer))
    folder.server.stop()


@test("P16: a data directory put back from a file copy takes a new id, and loses nothing")
def _(t):
    put_back(t, in_place=False)


@test("P16: a data directory put back into the very same files does so, too")
def _(t):
    put_back(t, in_place=True)


if __name__ == "__main__":
    sys.exit(main())
