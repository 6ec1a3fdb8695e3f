"""What a newcomer may type at psql, and what each engine answers: the same columns, the same words.

Missing tables, NULL, options that are wrong, hidden schemas, roles without rights.
"""
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/support")
from harness import main, raises, test  # noqa: E402

VIEWS = ("sync_tables", "sync_peers", "sync_conflicts", "sync_changes")
TASK = "CREATE TABLE task (id text PRIMARY KEY, u text UNIQUE, n int)"


@test("postgres input: both engines' views have the same columns in the same order")
def _(t):
    lite, server = t.sqlite(), t.postgres()
    for view in VIEWS:
        ours = [r[0] for r in lite.rows(f"SELECT name FROM pragma_table_info('{view}')")]
        theirs = server.value("SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute"
                              f" WHERE attrelid = '{view}'::regclass AND attnum > 0").split()
        assert ours[:len(theirs)] == theirs, (view, ours, theirs)


@test("postgres input: both engines answer in the same words")
def _(t):
    lite, server = t.sqlite(), t.postgres()
    for database in (lite, server):
        database.run(TASK)
        database.run("SELECT sync_enable('task')")
        for sql, words in (
                ("SELECT sync_enable(NULL)", "the name of the table to track is missing or NULL"),
                ("SELECT sync_enable('tusk')", 'table "tusk" does not exist'),
                ("SELECT sync_enable('task', '[]')", "are not a JSON object"),
                ("SELECT sync_enable('task', '{\"x\": 1}')", 'sync_enable has no option "x"'),
                ("SELECT sync_enable('task', '{\"on_delete\": \"x\"}')",
                 'on_delete cannot be "x"'),
                ("SELECT sync_disable(NULL)", "the name of the table is missing or NULL"),
                ("SELECT sync_apply(NULL)", "sync_apply needs a chunk, not NULL"),
                ("SELECT sync_apply('', '{\"drift_ms\": 1}')",
                 'sync_apply has no option "drift_ms"'),
                ("SELECT sync_apply('', '{\"drift_ms_max\": -1}')", "must be a whole number"),
                ("SELECT * FROM sync_inspect(NULL)", "sync_inspect needs a chunk, not NULL"),
                ("SELECT * FROM sync_changes_since(NULL)", "needs the receiver's vector"),
                ("SELECT * FROM sync_changes_since('[]')", "malformed version vector"),
                ("SELECT sync_add_peer(NULL, 'postgresql:///x')", "the peer's name is missing"),
                ("SELECT sync_add_peer('a', NULL)", "the peer's URL is missing"),
                ("SELECT sync_add_peer('postgresql:///x', 'a')", "peer cannot be a URL"),
                ("SELECT sync_remove_peer('a')", 'there is no peer "a"'),
                ("SELECT sync_now()", "and there are none"),
                ("SELECT sync_now('postgresql:///x', '{\"direction\": \"up\"}')",
                 'option "direction" of sync_now'),
                (f"SELECT sync_site_name('{'x' * 1025}')",
                 "the site's name is longer than 1024 bytes"),
                ("SELECT * FROM sync_explain('task', NULL)", "the key of task is missing or NULL"),
                (f"SELECT sync_set_actor('{'x' * 1025}')",
                 "the actor's name is longer than 1024 bytes"),
                (f"SELECT sync_set_context('\"{'x' * 65535}\"')",
                 "the context is longer than 65536 bytes"),
        ):
            raises(lambda: database.run(sql), words)  # pylint: disable=cell-var-from-loop
        assert "true" in str(database.value("SELECT sync_enable('task', NULL)"))
        assert database.value("SELECT sync_version()") == "0.1.0"
        assert database.value("SELECT sync_site_name('here')") == "here"
        assert str(database.value("SELECT length(sync_site_name(''))")) == "0"


@test("postgres input: a table that search_path hides is named with its schema")
def _(t):
    db = t.postgres()
    db.run("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.far (id int PRIMARY KEY)")
    raises(lambda: db.run("SELECT sync_enable('far')"), "does not exist", "elsewhere.far")
    db.run("SELECT sync_enable('elsewhere.far')")


@test("postgres input: a table is named as SQL does wherever one is named")
def _(t):
    db = t.postgres()
    db.run(f"CREATE SCHEMA elsewhere; {TASK}; CREATE TABLE elsewhere.far (id int PRIMARY KEY)")
    db.run("SELECT sync_enable('task'), sync_enable('elsewhere.far')")
    assert db.value("SELECT sync_digest('public.task')") == db.value("SELECT sync_digest('task')")
    assert db.value("SELECT sync_digest('elsewhere.\"far\"')") == db.value(
        "SELECT sync_digest('far')")
    raises(lambda: db.run("SELECT * FROM sync_explain('far', 1)"), "search_path")
    raises(lambda: db.run("SELECT sync_digest('\"task')"), '""task" is not tracked')
    raises(lambda: db.run("SELECT * FROM sync_suggest_policies('task_pkey')"), "task_pkey")


@test("postgres input: columns of a table that is tracked can be made local with sync_enable")
def _(t):
    db = t.postgres()
    db.run(f"{TASK}; SELECT sync_enable('task')")
    db.run("INSERT INTO task VALUES ('a', 'b', 1)")
    raises(lambda: db.run("""SELECT sync_enable('task', '{"local": ["m"]}')"""), 'no column "m"')
    raises(lambda: db.run("""SELECT sync_enable('task', '{"local": ["id"]}')"""), "primary key")
    report = db.value("""SELECT sync_enable('task', '{"local": ["n"]}')""")
    assert '"already": true' in report and '"n"' not in report, report
    db.run("UPDATE task SET n = 2, u = 'c'")
    assert db.rows("SELECT DISTINCT column_name FROM sync_changes") == [("u",)]
    assert db.rows("SELECT column_name FROM sync_policies WHERE policy = 'local'") == [("n",)]


@test("postgres input: an invariant that would write or lock is refused in plain words")
def _(t):
    db = t.postgres()
    db.run(TASK)
    for query in ("DELETE FROM task RETURNING id", "EXPLAIN SELECT 1",
                  "WITH gone AS (DELETE FROM task RETURNING id) SELECT * FROM gone",
                  "SELECT id FROM task FOR UPDATE", "SELECT 1; SELECT 2", ""):
        raises(lambda: db.run(f"SELECT sync_invariant('i', '{query}')"),  # pylint: disable=W0640
               "must be a query that writes nothing")
    for query in ("SELECT id FROM task;", "TABLE task", "VALUES (true)"):
        db.run(f"SELECT sync_invariant('i', '{query}')")


@test("postgres input: sync_now under SET ROLE asks for a password and harms no server")
def _(t):
    db = t.postgres()
    db.run(f"{TASK}; SELECT sync_enable('task')")
    db.run("DROP ROLE IF EXISTS input_guest; CREATE ROLE input_guest")
    session = t.session(db)
    session.run("SET ROLE input_guest")
    raises(lambda: session.run("SELECT sync_now('postgresql:///nowhere')"), "password is required")
    assert session.run("SELECT 1") == "1"
    session.run("RESET ROLE")
    db.run("DROP ROLE input_guest")


@test("postgres input: the record of a held row names the site that wrote it")
def _(t):
    a, b = t.postgres("a"), t.postgres("b")
    for db in (a, b):
        db.run(f"{TASK}; SELECT sync_enable('task')")
    a.run("INSERT INTO task VALUES ('a', 'same', 1)")
    b.run("INSERT INTO task VALUES ('b', 'same', 2)")
    chunk = b.value("SELECT encode(changes, 'hex') FROM sync_changes_since('{}')")
    a.run(f"SELECT sync_apply('\\x{chunk}')")
    sites = {"a": a.value("SELECT sync_site_id()"), "b": b.value("SELECT sync_site_id()")}
    rows = a.rows("SELECT pk ->> 'id', kind, local IS NULL, remote ->> 'u', winner IS NULL,"
                  " remote_site, note IS NOT NULL FROM sync_conflicts WHERE status = 'open'")
    assert len(rows) == 1, rows
    assert rows[0] == (rows[0][0], "unique", "t", "same", "t", sites[rows[0][0]], "t"), rows


if __name__ == "__main__":
    main()
