"""Goal: every database registers itself and knows of the others what it was told; one that is given
up can be retired, and bad input is named. Method: two files, their views compared with what was
done."""
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "support"))
from harness import main, raises, test  # noqa: E402
from sqlite_pair import pair, sync  # noqa: E402

SCHEMA = "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)"


def site(db):
    return db.value("SELECT sync_site_id()")


@test("sites: every database registers, under its name, and tells who knows what")
def _(t):
    a, b = pair(t, SCHEMA)
    a.value("SELECT sync_site_name('office')")
    b.value("SELECT sync_site_name('phone')")
    a.run("INSERT INTO t VALUES(1, 1, 1)")
    sync(a, b)
    a.run("INSERT INTO t VALUES(2, 1, 1)")
    rows = a.rows("SELECT site, name, status, engine LIKE 'sqlite %', version, joined_at IS NULL, "
                  "behind_changes, holds_horizon FROM sync_sites")
    version = a.value("SELECT sync_version()")
    assert rows == [(site(a), "office", "self", 1, version, 0, 0, 0),
                    (site(b), "phone", "active", 1, version, 0, 1, 1)], rows
    assert b.rows("SELECT site, name, status FROM sync_sites")[1] == (site(a), "office", "active")
    assert json.loads(a.value("SELECT has FROM sync_sites WHERE status = 'active'"))
    assert a.value("SELECT clock_ahead_ms BETWEEN -5000 AND 5000 FROM sync_sites "
                   "WHERE site = ?", site(b)) == 1
    assert ("site",) not in a.rows("SELECT retired_at FROM sync_sites")
    matrix = a.rows("SELECT site, knows_site, seq, behind FROM sync_site_matrix")
    assert (site(b), site(a), 3, 1) in matrix or len(matrix) == 4, matrix
    behind = {(s, k): n for s, k, _, n in matrix}
    assert behind[site(b), site(a)] == 1 and behind[site(a), site(b)] == 0, matrix
    history = a.rows("SELECT event FROM sync_site_history(?)", site(b))
    assert [e for (e,) in history] == ["registered", "renamed", "acknowledged"], history
    old = site(a)
    fresh = a.value("SELECT sync_new_identity()")
    history = a.rows("SELECT detail FROM sync_site_history(?) WHERE event = 'incarnation'", fresh)
    assert len(history) == 1 and old in history[0][0], history
    sync(a, b)
    assert fresh in [s for (s,) in b.rows("SELECT site FROM sync_sites WHERE status = 'active'")]


@test("sites: bad input to sync_retire_site and sync_maintain is named")
def _(t):
    a, b = pair(t, SCHEMA)
    raises(lambda: a.value("SELECT sync_retire_site(?)", site(a)), "cannot retire itself")
    raises(lambda: a.value("SELECT sync_retire_site(?)", "00" * 16), "no site of id", "known")
    raises(lambda: a.value("SELECT sync_retire_site(NULL)"), "id of the site")
    sync(a, b)
    nearly = site(b)[:-1] + ("0" if site(b)[-1] != "0" else "1")
    raises(lambda: a.value("SELECT sync_retire_site(?)", nearly), "did you mean " + site(b))
    raises(lambda: a.value("SELECT sync_retire_site('office')"), "no site of id", site(b))
    raises(lambda: a.value("""SELECT sync_maintain('{"row_max": 1}')"""), "no option", "rows_max")
    raises(lambda: a.value("""SELECT sync_maintain('{"rows_max": 0}')"""), "rows_max")
    raises(lambda: a.value("SELECT sync_maintain('[]')"), "not a JSON object")
    raises(lambda: a.rows("SELECT * FROM sync_site_history('x')"), "32 hex digits")
    retired = a.json("SELECT sync_retire_site(?, 'sold')", site(b))
    assert retired["site"] == site(b) and retired["retired"] and retired["note"] == "sold"
    assert "sync_new_identity" in retired["effect"]
    assert a.json("SELECT sync_retire_site(?)", site(b))["already"]
    assert a.rows("SELECT detail FROM sync_site_history(?) WHERE event = 'retired'",
                  site(b)) == [(f"by {site(a)}: sold",)]
    fresh = t.sqlite("fresh")
    raises(lambda: fresh.value("SELECT sync_maintain()"), "tracks no table")
    assert fresh.rows("SELECT * FROM sync_sites") == []
    assert fresh.rows("SELECT name FROM sqlite_schema") == []


main()
