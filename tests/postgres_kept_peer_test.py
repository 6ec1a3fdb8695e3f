"""Goal: a connection to a PostgreSQL peer whose URL says keep=1 serves the next session, is in
nobody's way between two, and is replaced when it has ended, whoever ended it.
Method: a SQLite file and a server; the server's list of its processes and of their locks."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import cluster, main, raises, same_rows, test  # noqa: E402

MINE = "FROM pg_stat_activity WHERE application_name = 'syncline' AND datname = current_database()"


def pair(t, hub="hub"):
    device, server = t.sqlite("device"), t.postgres(hub)
    for db in (device, server):
        db.run("CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT)")
        db.value("SELECT sync_enable('task')")
    return device, server


def kept(server, more=""):
    return f"{server.url}&keep=1{more}"


def processes(server):
    return [int(row[0]) for row in server.rows(f"SELECT pid {MINE} ORDER BY backend_start")]


def write(device, key):
    device.run("INSERT INTO task VALUES (?, 'from the device')", key)


def pushed(device, url):
    return device.json("SELECT sync_now(?)", url)["pushed"]["rows"]


def until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


@test("kept server: one connection serves all sessions if the URL says so")
def _(t):
    device, server = pair(t)
    write(device, "one")
    for url in (server.url, server.url + "&keep=0"):
        device.value("SELECT sync_now(?)", url)
        until(lambda: not processes(server))
    device.value("SELECT sync_now(?)", kept(server))
    first = processes(server)
    assert len(first) == 1
    for i in range(3):
        write(device, f"more {i}")
        server.run(f"INSERT INTO task VALUES ('there {i}', 'from the server')")
        report = device.json("SELECT sync_now(?)", kept(server))
        assert (report["pushed"]["rows"], report["pulled"]["rows"]) == (1, 1)
    same_rows(device, server, ["task"])
    assert device.json("SELECT sync_verify(?)", kept(server))
    assert processes(server) == first
    device.close()
    until(lambda: not processes(server))


@test("kept server: between sessions it is idle: no transaction, no lock, an end if nobody calls")
def _(t):
    device, server = pair(t)
    write(device, "one")
    device.value("SELECT sync_now(?)", kept(server))
    assert server.rows(f"SELECT state, backend_xid, backend_xmin {MINE}") == [("idle", None, None)]
    assert server.value("SELECT count(*) FROM pg_locks WHERE pid IN "
                        f"(SELECT pid {MINE})") == "0"
    server.run("ALTER TABLE task ADD COLUMN note TEXT; TRUNCATE task")
    # a limit that was set for the role or in the URL is not raised
    if int(server.value("SELECT current_setting('server_version_num')")) >= 140000:
        short = kept(server, "&options=-c%20idle_session_timeout%3D4s")
        device.value("SELECT sync_now(?)", short)
        assert len(processes(server)) == 2
        until(lambda: len(processes(server)) == 1)
        write(device, "two")
        assert pushed(device, short) == 1


@test("kept server: a server that was restarted, or ended the connection, is connected to anew")
def _(t):
    device, server = pair(t)
    for number, end in enumerate((
            lambda: cluster().restart("fast"), lambda: cluster().restart("immediate"),
            lambda: server.value(f"SELECT pg_terminate_backend(pid) {MINE}"))):
        write(device, f"before {number}")
        assert pushed(device, kept(server)) == 1
        before = processes(server)
        server.run("CHECKPOINT")  # this server does not wait for its disk: it would forget the row
        end()
        write(device, f"after {number}")
        assert pushed(device, kept(server)) == 1
        assert len(processes(server)) == 1 and processes(server) != before
    same_rows(device, server, ["task"])


@test("kept server: rights that were taken away are; a session that failed is not kept")
def _(t):
    device, server = pair(t)
    server.run("CREATE ROLE kept_role LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON task "
               "TO kept_role; GRANT CONNECT ON DATABASE hub TO kept_role"
               .replace("DATABASE hub", f"DATABASE {server.name}"))
    try:
        url = kept(server).replace("user=postgres", "user=kept_role")
        write(device, "one")
        assert pushed(device, url) == 1
        server.run("REVOKE INSERT, SELECT ON task FROM kept_role")
        write(device, "two")
        raises(lambda: device.value("SELECT sync_now(?)", url), "permission denied")
        until(lambda: not processes(server))
        server.run("GRANT INSERT, SELECT ON task TO kept_role")
        assert pushed(device, url) == 1
        server.run("ALTER ROLE kept_role NOLOGIN")
        server.value(f"SELECT pg_terminate_backend(pid) {MINE}")
        raises(lambda: device.value("SELECT sync_now(?)", url), "not permitted to log in")
    finally:
        server.run("DROP OWNED BY kept_role; DROP ROLE kept_role")


@test("kept server: DROP DATABASE needs FORCE beside it; its successor is another database")
def _(t):
    device, server = pair(t)
    write(device, "one")
    assert pushed(device, kept(server)) == 1
    raises(lambda: cluster().postgres().run(f"DROP DATABASE {server.name}"), "55006")
    cluster().postgres().run(f"DROP DATABASE {server.name} WITH (FORCE)")
    raises(lambda: device.value("SELECT sync_now(?)", kept(server)), "does not exist")
    server = t.postgres("hub")
    server.run("CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT)")
    server.value("SELECT sync_enable('task')")
    assert pushed(device, kept(server)) == 1
    same_rows(device, server, ["task"])


@test("kept server: an extension that was made anew, in another schema, is found")
def _(t):
    device, server = pair(t)
    write(device, "one")
    assert pushed(device, kept(server)) == 1
    first = processes(server)
    server.run("DROP EXTENSION syncline CASCADE")
    raises(lambda: device.value("SELECT sync_now(?)", kept(server)), "does not have the extension")
    device.run("DELETE FROM task WHERE id = 'one'")
    server.run("CREATE SCHEMA other; CREATE EXTENSION syncline SCHEMA other")
    server.value("SELECT other.sync_enable('task')")
    write(device, "two")
    device.value("SELECT sync_now(?)", kept(server))
    assert processes(server) != first
    assert "two" in [row[0] for row in server.rows("SELECT id FROM task")]


@test("kept server: four stay, those used last")
def _(t):
    device, server = pair(t)
    urls = [kept(server, f"&application_name=peer%20{i}") for i in range(5)]
    for url in urls:
        device.value("SELECT sync_now(?)", url)
    names = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'peer %'"
    until(lambda: sorted(row[0] for row in server.rows(names)) ==
          [f"peer {i}" for i in range(1, 5)])


@test("kept server: to a server that synchronises by itself keep=1 says nothing")
def _(t):
    _, server = pair(t)
    other = t.postgres("other")
    other.run("CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT)")
    other.value("SELECT sync_enable('task')")
    other.run("INSERT INTO task VALUES ('one', 'from the other')")
    other.value(f"SELECT sync_now('{kept(server)}')")
    same_rows(other, server, ["task"])
    until(lambda: not processes(server))


main()
