// SQLite's own session extension at the same work. It records in memory, on one connection, what is
// gone when the connection closes, and it knows nothing of merges: the floor, not a rival.
#include "suites.hpp"
#include "workload.hpp"

namespace bench {

#ifdef SQLITE_ENABLE_SESSION

namespace {

class Session {
 public:
  explicit Session(Database& db) {
    if (sqlite3session_create(db.handle(), "main", &session_) != SQLITE_OK ||
        sqlite3session_attach(session_, nullptr) != SQLITE_OK) {
      die("cannot create a session");
    }
  }
  ~Session() { sqlite3session_delete(session_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The changeset, or the smaller patchset, which cannot detect conflicts.
  std::string take(bool patchset) {
    int size = 0;
    void* data = nullptr;
    const int done = patchset ? sqlite3session_patchset(session_, &size, &data)
                              : sqlite3session_changeset(session_, &size, &data);
    if (done != SQLITE_OK) die("cannot make a changeset");
    std::string out(static_cast<const char*>(data), static_cast<size_t>(size));
    sqlite3_free(data);
    return out;
  }

 private:
  sqlite3_session* session_ = nullptr;
};

int refuse(void*, int, sqlite3_changeset_iter*) {
  return SQLITE_CHANGESET_ABORT;
}

Time apply_changeset(Database& db, std::string changes) {
  return timed([&] {
    if (sqlite3changeset_apply(db.handle(), static_cast<int>(changes.size()), changes.data(),
                               nullptr, refuse, nullptr) != SQLITE_OK) {
      die("cannot apply a changeset");
    }
  });
}

struct Written {
  Time insert, update, erase;
};

Written write(Database& db, size_t rows) {
  Written t;
  t.insert = insert(db, narrow(), 0, rows, 1000);
  t.update = by_key(db, narrow(), narrow().update, rows, rows / 5);
  t.erase = by_key(db, narrow(), delete_by_key(narrow()), rows, rows / 20);
  return t;
}

// Full and delta changesets of the same history as suite `exchange`, left in files for compression.
void measure_changesets(const Arguments& arguments, const Written& base) {
  const size_t rows = arguments.rows;
  Database from(arguments.folder + "/a.db", arguments.extension);
  Database to(arguments.folder + "/b.db", arguments.extension);
  from.run(narrow().create);
  to.run(narrow().create);
  std::string full, delta;
  {
    Session session(from);
    insert(from, narrow(), 0, rows, 1000);
    say_ratio("session.export.full", timed([&] { full = session.take(false); }), base.insert);
  }
  {
    Session session(from);
    by_key(from, narrow(), narrow().update, rows, rows / 5);
    say_ratio("session.export.delta", timed([&] { delta = session.take(false); }), base.update);
    write_file(arguments.folder + "/delta.patchset", session.take(true));
  }
  write_file(arguments.folder + "/full.changeset", full);
  write_file(arguments.folder + "/delta.changeset", delta);
  say_ratio("session.apply.full", apply_changeset(to, std::move(full)), base.insert);
  say_ratio("session.apply.delta", apply_changeset(to, std::move(delta)), base.update);
}

Written measure_recording(const Arguments& arguments, bool recorded) {
  Database db(arguments.folder + "/plain.db", arguments.extension);
  db.run(narrow().create);
  if (!recorded) return write(db, arguments.rows);
  Session session(db);
  return write(db, arguments.rows);
}

}  // namespace

void measure_session(const Arguments& arguments) {
  Written plain, recorded;
  if (arguments.repetition % 2 == 0) plain = measure_recording(arguments, false);
  recorded = measure_recording(arguments, true);
  if (arguments.repetition % 2 == 1) plain = measure_recording(arguments, false);
  say_ratio("session.write.insert", recorded.insert, plain.insert);
  say_ratio("session.write.update", recorded.update, plain.update);
  say_ratio("session.write.delete", recorded.erase, plain.erase);
  measure_changesets(arguments, plain);
}

#else

void measure_session(const Arguments&) {
  die("this SQLite library has no session extension");
}

#endif

}  // namespace bench
