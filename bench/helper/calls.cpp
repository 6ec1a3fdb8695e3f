// Calls whose cost must not depend on the size of the database: sync_enable, ADD COLUMN, a sync_now
// with nothing to do, a sync_now with one row.
#include "suites.hpp"
#include "workload.hpp"

namespace bench {

namespace {

constexpr size_t kIdleCalls = 21;
constexpr size_t kSmallSyncs = 300;

double milliseconds(const std::function<void()>& work) {
  return timed(work).wall * 1000;
}

std::string table_name(size_t i) {
  return "task_" + std::to_string(i);
}

void make_tables(Database& db, size_t tables) {
  for (size_t i = 0; i < tables; ++i) {
    const std::string name = table_name(i);
    db.run("CREATE TABLE " + name + "(id TEXT PRIMARY KEY, title TEXT, status INTEGER)");
    db.value("SELECT sync_enable('" + name + "')");
  }
}

}  // namespace

void measure_enable(const Arguments& arguments) {
  Database db(arguments.folder + "/plain.db", arguments.extension, Database::Start::existing);
  for (size_t i = 0; i < arguments.repetitions; ++i) {
    say("sqlite.enable", milliseconds([&] { db.value("SELECT sync_enable('task')"); }));
    const std::string column = "note_" + std::to_string(i);
    say("sqlite.add_column", milliseconds([&] {
          db.run("ALTER TABLE task ADD COLUMN " + column + " TEXT DEFAULT 'none'");
          db.value("SELECT count(*) FROM sync_tables");
        }));
    db.value("SELECT sync_disable('task')");
  }
}

namespace {

// What SQLite itself takes to open a file and read its schema: the floor of a session with a file
// that is opened for it.
double open_and_close(const std::string& path) {
  return milliseconds([&] {
    sqlite3* db = nullptr;
    if (sqlite3_open(path.c_str(), &db) != SQLITE_OK ||
        sqlite3_exec(db, "SELECT 1 FROM task_0", nullptr, nullptr, nullptr) != SQLITE_OK) {
      die("cannot open " + path);
    }
    sqlite3_close(db);
  });
}

}  // namespace

void measure_idle(const Arguments& arguments) {
  Database a(arguments.folder + "/a.db", arguments.extension);
  Database b(arguments.folder + "/b.db", arguments.extension);
  make_tables(a, arguments.tables);
  make_tables(b, arguments.tables);
  const std::string row = "INSERT INTO task_0 VALUES('";
  for (size_t i = 1; i < arguments.peers; ++i) {  // b itself is the first
    Database peer(arguments.folder + "/peer.db", arguments.extension);
    make_tables(peer, 1);
    peer.run(row + std::to_string(i) + "', 'from a peer', 1)");
    peer.value("SELECT sync_now('" + a.path() + "')");
  }
  a.run(row + "a', 'from here', 1)");
  const std::string now = "SELECT sync_now('" + b.path() + "')";
  const std::string keeping = "SELECT sync_now('file:" + b.path() + "?keep=1')";
  a.value(now);
  a.value(keeping);
  std::vector<double> times, kept, floor;
  for (size_t i = 0; i < kIdleCalls; ++i) {
    times.push_back(milliseconds([&] { a.value(now); }));
    kept.push_back(milliseconds([&] { a.value(keeping); }));
    floor.push_back(open_and_close(b.path()));
  }
  const std::string size = ".tables_" + std::to_string(arguments.tables) + ".peers_" +
                           std::to_string(arguments.peers);
  say("sqlite.idle" + size, median(times));
  say("sqlite.kept" + size, median(kept));
  if (arguments.peers == 1) say("sqlite.open." + std::to_string(arguments.tables), median(floor));
}

// Does the hundredth sync cost more than the first?
void measure_small_syncs(const Arguments& arguments) {
  Database a(arguments.folder + "/a.db", arguments.extension);
  Database b(arguments.folder + "/b.db", arguments.extension);
  for (Database* db : {&a, &b}) {
    db->run(narrow().create);
    db->value("SELECT sync_enable('task')");
  }
  insert(a, narrow(), 0, arguments.rows, 1000);
  const std::string now = "SELECT sync_now('" + b.path() + "')";
  a.value(now);
  std::vector<double> early, late, all;
  for (size_t i = 0; i < kSmallSyncs; ++i) {
    by_key(a, narrow(), narrow().update, arguments.rows, 1);
    const double time = milliseconds([&] { a.value(now); });
    all.push_back(time);
    if (i < kSmallSyncs / 3) early.push_back(time);
    if (i >= kSmallSyncs - kSmallSyncs / 3) late.push_back(time);
  }
  say("sqlite.small.median", median(all));
  say("sqlite.small.growth", median(late) / median(early));
}

}  // namespace bench
