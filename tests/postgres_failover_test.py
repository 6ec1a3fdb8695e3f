#!/usr/bin/env python3
"""Goal: rule P16 for whole servers (scenarios 10 and 11): a promoted standby, a restore to a point
in time, a base backup beside its origin, an upgraded cluster and a dump in another cluster take
one new id each, at once, and nothing that any of them wrote, or lost, is lost to their peers.
Method: real servers, of the binaries that are there; the peers are SQLite files and databases."""
import contextlib
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from harness import Cluster, main, same_rows, test  # noqa: E402
from pg_server import Server, program, stop_all  # noqa: E402

TASK = "CREATE TABLE task(id text PRIMARY KEY, title text)"


@contextlib.contextmanager
def primary(*options):
    """A server with a tracked database `app`."""
    server = Cluster(*options)
    try:
        db = server.database("app")
        db.run(TASK)
        db.value("SELECT sync_enable('task')")
        yield server, db
    finally:
        stop_all(server)


def device(t, name="device"):
    db = t.sqlite(name)
    db.run(TASK)
    db.value("SELECT sync_enable('task')")
    return db


def put(db, *names):
    for name in names:
        db.run(f"INSERT INTO task VALUES('{name}', 'x')")


def sync(a, b):
    return a.json(f"SELECT sync_now('{b.url}')")


def moved(report):
    return report["pulled"]["rows"] + report["pushed"]["rows"]


def site(db):
    return db.value("SELECT sync_site_id()")


def names(db):
    return sorted(row[0] for row in db.rows("SELECT id FROM task"))


def meet(hub, *others):
    for _ in range(2):
        for other in others:
            sync(hub, other)
    for other in others:
        same_rows(hub, other, ["task"])
        assert hub.value("SELECT count(*) FROM sync_conflicts") == 0


def end(server, mode):
    Server(server, server.data).run("pg_ctl", "-D", server.data, "-m", mode, "-w", "stop")


def standby_of(server, rows):
    standby = Server.base_backup(server, "standby", "-R").start()
    standby.wait_for("app", "SELECT count(*) FROM task", str(rows))
    return standby


@test("scenario 11: a switch to a standby that has everything costs one id, sends nothing again")
def _(t):
    hub = device(t)
    with primary() as (server, db):
        put(db, "one", "two")
        sync(hub, db)
        put(hub, "three")
        sync(hub, db)
        standby = standby_of(server, 3)
        copy = standby.database("app")
        old = site(db)
        assert site(copy) == old, "a standby is its primary"
        end(server, "fast")  # sends all there is
        standby.promote()
        assert moved(sync(hub, copy)) == 0, "what was shared is known to be so"
        new = site(copy)
        assert new != old and len(copy.json("SELECT sync_version_vector()")) == 3
        assert copy.value("SELECT count(*) FROM syncline.site") == "3"
        put(copy, "four")
        assert sync(hub, copy)["pulled"]["rows"] == 1
        standby.stop()
        standby.start()
        standby.stop("immediate")
        standby.start()
        put(copy, "five")
        sync(hub, copy)
        assert site(copy) == new, "restarts and crashes are no reason"
        meet(hub, copy)
        assert len(names(hub)) == 5


@test("scenario 11: a promoted standby that lacks what its primary had sent gets it back")
def _(t):
    hub = device(t)
    with primary() as (server, db):
        put(db, "before")
        sync(hub, db)
        standby = standby_of(server, 1)
        standby.stop()
        put(db, "lost 1", "lost 2")
        sync(hub, db)
        put(db, "never sent")
        end(server, "immediate")
        standby.start()
        standby.promote()
        copy = standby.database("app")
        put(copy, "after 1", "after 2", "after 3")
        meet(hub, copy)
        assert names(hub) == ["after 1", "after 2", "after 3", "before", "lost 1", "lost 2"]


def split(t, order):
    hub, other = device(t), device(t, "other")
    with primary() as (server, db):
        put(db, "before")
        sync(hub, db)
        standby = standby_of(server, 1)
        standby.promote()
        copy = standby.database("app")
        put(db, "primary 1", "primary 2")
        put(copy, "standby 1", "standby 2")
        for place in [(db, copy), (copy, db)][order]:
            sync(hub, place)
        sync(other, copy)
        meet(hub, db, copy, other)
        assert len(names(hub)) == 5 and site(db) != site(copy)


for direction in (0, 1):
    test(f"scenario 11: a standby promoted beside its primary, both write, "
         f"{'standby' if direction else 'primary'} first")(lambda t, d=direction: split(t, d))


@test("scenario 11: a base backup that is started beside its origin is another site at once")
def _(t):
    one, two = device(t, "one"), device(t, "two")
    with primary() as (server, db):
        put(db, "before")
        sync(one, db)
        beside = Server.base_backup(server, "beside").start()
        copy = beside.database("app")
        put(db, "origin 1", "origin 2")
        put(copy, "copy 1", "copy 2", "copy 3")
        sync(one, db)
        sync(two, copy)
        assert site(db) != site(copy)
        sync(one, two)  # neither has met both
        meet(one, two, db, copy)
        assert len(names(one)) == 6


def birth(path):
    """When a file was made, in nanoseconds; 0 where the file system does not say."""
    seconds, text = subprocess.run(["stat", "-c", "%W %w", str(path)], capture_output=True,
                                   text=True, check=True).stdout.split(" ", 1)
    return int(seconds) * 1000000000 + int(text.split(".")[1][:9]) if int(seconds) > 0 else 0


def archived(folder):
    return ("--conf", "archive_mode = on", "--conf",
            f"archive_command = 'cp %p {folder}/%f'")


def restored_to_a_point(t, only_timeline):
    hub, second = device(t, "hub"), device(t, "second")
    folder = t.folder / "archive"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with primary(*archived(folder)) as (server, db):
        put(db, "before")
        sync(hub, db)
        sync(second, db)
        restored = Server.base_backup(server, "restored")
        put(db, "saved")
        db.value("SELECT sync_hello()")
        db.run("SELECT pg_create_restore_point('here')")
        put(db, "lost 1", "lost 2")
        sync(hub, db)
        old = site(db)
        db.run("SELECT pg_switch_wal()")
        server.postgres().run("CHECKPOINT")
        end(server, "fast")
        restored.configure(f"restore_command = 'cp {folder}/%f %p'", "archive_mode = off",
                           "recovery_target_name = 'here'", "recovery_target_action = promote")
        (restored.data / "recovery.signal").touch()
        restored.start()
        restored.wait_for("app", "SELECT pg_is_in_recovery()", "f")
        copy = restored.database("app")
        assert names(copy) == ["before", "saved"]
        if only_timeline:  # as if the files were the same, on a volume that was cloned
            oid = copy.value("SELECT oid FROM pg_database WHERE datname = 'app'")
            file = restored.data / "base" / oid / "PG_VERSION"
            copy.run(f"UPDATE syncline.self SET file_inode = {file.stat().st_ino},"
                     f" file_birth = {birth(file)}")
        assert site(copy) != old
        put(copy, "after")
        sync(second, copy)  # it has not seen what was lost
        sync(hub, second)
        meet(hub, second, copy)
        assert names(hub) == ["after", "before", "lost 1", "lost 2", "saved"]


@test("scenario 10: a restore to a point in time: noticed at once, what was lost comes back")
def _(t):
    restored_to_a_point(t, False)


@test("scenario 10: the timeline alone tells a restore on the same files")
def _(t):
    restored_to_a_point(t, True)


@test("P16: an upgraded cluster (pg_upgrade) takes one new id, sends nothing again, loses nothing")
def _(t):
    hub = device(t)
    with primary() as (server, db):
        put(db, "one", "two")
        sync(hub, db)
        put(db, "not folded yet")
        old = site(db)
        new = Server(server, pathlib.Path(server.data).parent / "new")
        new.run("initdb", "-D", str(new.data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", "-N")
        new.configure(f"unix_socket_directories = '{server.env['PGHOST']}'",
                      "listen_addresses = ''", "max_worker_processes = 40")
        end(server, "fast")
        folder = str(pathlib.Path(program("initdb")).parent)
        new.run("pg_upgrade", "-b", folder, "-B", folder, "-d", server.data, "-D", str(new.data),
                "-U", "postgres", "-s", server.env["PGHOST"], "-p", server.env["PGPORT"],
                "-P", new.env["PGPORT"])
        new.start()
        copy = new.database("app")
        put(copy, "after")
        report = sync(hub, copy)
        assert site(copy) != old and report["pulled"]["rows"] == 2, report
        put(hub, "from the device")
        meet(hub, copy)
        assert len(names(copy)) == 5
        assert copy.value("SELECT count(*) FROM syncline.site") == "3"


@test("P16: pg_dump into a database of another cluster: both write, nothing is lost")
def _(t):
    hub = device(t)
    with primary() as (server, db), primary() as (other, _):
        put(db, "before")
        sync(hub, db)
        put(db, "not folded yet")
        file = t.folder / "dump"
        subprocess.run([program("pg_dump"), "-Fc", "-f", str(file), "app"], env=db.env, check=True)
        copy = other.database("restored", extension=False)
        subprocess.run([program("pg_restore"), "-d", "restored", str(file)], env=copy.env,
                       check=True)
        put(db, "original")
        put(copy, "restored")
        sync(hub, copy)
        sync(hub, db)
        meet(hub, db, copy)
        assert names(copy) == ["before", "not folded yet", "original", "restored"]
        assert site(copy) != site(db)


if __name__ == "__main__":
    sys.exit(main())
