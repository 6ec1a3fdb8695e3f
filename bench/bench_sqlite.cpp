// SQLite workload W1: what tracking costs a writer, and what export, apply and sync_now cost.
//
//   bench_sqlite EXTENSION FOLDER [ROWS] [REPETITIONS]
//
// W1 is task(id TEXT PRIMARY KEY, title, body, status, priority, updated_at) with random UUID keys,
// WAL, synchronous=NORMAL. Every figure is a ratio against the same statements on an untracked
// table in the same process; repetitions alternate the two and the median is printed. One line of
// JSON per figure goes to standard output, a table to standard error.
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "bench_sqlite: %s\n", what.c_str());
  std::exit(1);
}

struct Row {
  std::string id, title, body;
  int status;
  double priority;
  long long updated_at;
};

std::vector<Row> make_rows(size_t count) {
  std::mt19937_64 random(42);
  static const char* kWords[] = {"order", "invoice", "visit", "pump", "valve", "clinic", "north",
                                 "repair", "late", "urgent", "customer", "delivery", "stock"};
  const auto words = [&](int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += std::string(i ? " " : "") + kWords[random() % 13];
    return out;
  };
  std::vector<Row> rows(count);
  for (Row& row : rows) {
    char id[40];
    const unsigned long long a = random(), b = random();
    std::snprintf(id, sizeof id, "%08llx-%04llx-%04llx-%04llx-%012llx", a >> 32, (a >> 16) & 0xffff,
                  a & 0xffff, b >> 48, b & 0xffffffffffffULL);
    row = {id, words(4), words(14), static_cast<int>(random() % 5),
           static_cast<double>(random() % 1000) / 8, 1700000000000LL + static_cast<int>(random())};
  }
  return rows;
}

class Database {
 public:
  Database(const std::string& path, const std::string& extension) : path_(path) {
    for (const char* suffix : {"", "-wal", "-shm", "-sync"}) std::remove((path + suffix).c_str());
    if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) die("cannot open " + path);
    sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, nullptr);
    char* error = nullptr;
    if (sqlite3_load_extension(db_, extension.c_str(), nullptr, &error) != SQLITE_OK) die(error);
    run("PRAGMA journal_mode=WAL");
    run("PRAGMA synchronous=NORMAL");
    run("CREATE TABLE task(id TEXT PRIMARY KEY, title TEXT, body TEXT, status INTEGER, "
        "priority REAL, updated_at INTEGER)");
  }
  ~Database() { sqlite3_close(db_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& sql) {
    char* error = nullptr;
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error) != SQLITE_OK) {
      die(sql.substr(0, 80) + ": " + error);
    }
  }
  std::string value(const std::string& sql) {
    sqlite3_stmt* s = prepare(sql);
    std::string out;
    if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL) {
      out = reinterpret_cast<const char*>(sqlite3_column_text(s, 0));
    }
    if (sqlite3_finalize(s) != SQLITE_OK) die(sql + ": " + sqlite3_errmsg(db_));
    return out;
  }
  sqlite3_stmt* prepare(const std::string& sql) {
    sqlite3_stmt* s = nullptr;
    if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &s, nullptr) != SQLITE_OK) {
      die(sql + ": " + sqlite3_errmsg(db_));
    }
    return s;
  }
  void step(sqlite3_stmt* s) {
    if (sqlite3_step(s) != SQLITE_DONE) die(sqlite3_errmsg(db_));
    sqlite3_reset(s);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  sqlite3* db_ = nullptr;
};

double seconds(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// --- the writes of W1 ---------------------------------------------------------------------------

void in_transactions(Database& db, size_t count, size_t per_transaction,
                     const std::function<void(size_t)>& one) {
  for (size_t i = 0; i < count; ++i) {
    if (i % per_transaction == 0) db.run("BEGIN IMMEDIATE");
    one(i);
    if (i % per_transaction == per_transaction - 1 || i + 1 == count) db.run("COMMIT");
  }
}

void insert(Database& db, const std::vector<Row>& rows, size_t begin, size_t end, size_t per) {
  sqlite3_stmt* s = db.prepare("INSERT INTO task VALUES(?,?,?,?,?,?)");
  in_transactions(db, end - begin, per, [&](size_t i) {
    const Row& row = rows[begin + i];
    sqlite3_bind_text(s, 1, row.id.c_str(), -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, row.title.c_str(), -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, row.body.c_str(), -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 4, row.status);
    sqlite3_bind_double(s, 5, row.priority);
    sqlite3_bind_int64(s, 6, row.updated_at);
    db.step(s);
  });
  sqlite3_finalize(s);
}

void by_key(Database& db, const std::string& sql, const std::vector<Row>& rows, size_t count) {
  sqlite3_stmt* s = db.prepare(sql);
  in_transactions(db, count, 1000, [&](size_t i) {
    const std::string& id = rows[(i * 7919) % rows.size()].id;
    sqlite3_bind_text(s, 1, id.c_str(), -1, SQLITE_STATIC);
    db.step(s);
  });
  sqlite3_finalize(s);
}

struct Figures {
  std::map<std::string, std::vector<double>> samples;
  std::vector<std::string> order;

  void add(const std::string& name, double value) {
    if (samples.find(name) == samples.end()) order.push_back(name);
    samples[name].push_back(value);
  }
  void print() {
    std::fprintf(stderr, "%-52s %10s %10s %10s\n", "figure", "median", "min", "max");
    for (const std::string& name : order) {
      std::vector<double>& v = samples[name];
      std::sort(v.begin(), v.end());
      std::fprintf(stderr, "%-52s %10.3f %10.3f %10.3f\n", name.c_str(), v[v.size() / 2], v.front(),
                   v.back());
      std::printf("{\"figure\": \"%s\", \"median\": %.6f, \"min\": %.6f, \"max\": %.6f}\n",
                  name.c_str(), v[v.size() / 2], v.front(), v.back());
    }
  }
};

struct WriteTimes {
  double insert, update, erase, big, single, whole_update, whole_delete;
};

WriteTimes measure_writes(const std::string& path, const std::string& extension,
                          const std::vector<Row>& rows, bool tracked) {
  const size_t main = rows.size(), updates = main / 5, deletes = main / 20;
  WriteTimes t{};
  {
    Database db(path, extension);
    if (tracked) db.value("SELECT sync_enable('task')");
    t.insert = seconds([&] { insert(db, rows, 0, main, 1000); });
    t.update = seconds(
        [&] { by_key(db, "UPDATE task SET status = status + 1 WHERE id = ?", rows, updates); });
    t.erase = seconds([&] { by_key(db, "DELETE FROM task WHERE id = ?", rows, deletes); });
    t.whole_update = seconds([&] { db.run("UPDATE task SET updated_at = updated_at + 1"); });
    t.whole_delete = seconds([&] { db.run("DELETE FROM task WHERE status >= 0"); });
  }
  Database db(path, extension);
  if (tracked) db.value("SELECT sync_enable('task')");
  const size_t single = std::min<size_t>(5000, main / 10);
  t.big = seconds([&] { insert(db, rows, single, main, main); });
  t.single = seconds([&] { insert(db, rows, 0, single, 1); });
  return t;
}

void compare_writes(const std::string& folder, const std::string& extension,
                    const std::vector<Row>& rows, Figures* figures) {
  const WriteTimes plain = measure_writes(folder + "/plain.db", extension, rows, false);
  const WriteTimes tracked = measure_writes(folder + "/tracked.db", extension, rows, true);
  figures->add("write: insert, 1000 a transaction (x)", tracked.insert / plain.insert);
  figures->add("write: update one column (x)", tracked.update / plain.update);
  figures->add("write: delete (x)", tracked.erase / plain.erase);
  figures->add("write: insert, one big transaction (x)", tracked.big / plain.big);
  figures->add("write: insert, one row a transaction (x)", tracked.single / plain.single);
  figures->add("write: update every row in one statement (x)",
               tracked.whole_update / plain.whole_update);
  figures->add("write: delete every row in one statement (x)",
               tracked.whole_delete / plain.whole_delete);
}

// --- export, apply, sync_now --------------------------------------------------------------------

void compare_exchange(const std::string& folder, const std::string& extension,
                      const std::vector<Row>& rows, Figures* figures) {
  Database plain(folder + "/plain.db", extension);
  const double base = seconds([&] { insert(plain, rows, 0, rows.size(), 1000); });

  Database a(folder + "/a.db", extension);
  a.value("SELECT sync_enable('task')");
  insert(a, rows, 0, rows.size(), 1000);
  Database b(folder + "/b.db", extension);
  b.value("SELECT sync_enable('task')");

  a.run("CREATE TEMP TABLE wire(chunk, changes, row_count, last)");
  const std::string all = "SELECT * FROM sync_changes_since('{}')";
  const std::string total = "SELECT sum(length(changes)) FROM (" + all + ")";
  const double unfolded = seconds([&] { a.value(total); });
  figures->add("export: full, log not folded (x plain insert)", unfolded / base);
  const auto count = static_cast<double>(rows.size());
  figures->add("wire: full, bytes a row", std::atof(a.value(total).c_str()) / count);

  const std::string now = "SELECT sync_now('" + b.path() + "')";
  const double first = seconds([&] { a.value(now); });
  figures->add("sync_now: full, file to empty file (x plain insert)", first / base);
  const double folded = seconds([&] { a.value(total); });
  figures->add("export: full, log folded (x plain insert)", folded / base);
  const double idle = seconds([&] { a.value(now); });
  figures->add("sync_now: nothing to do (ms)", idle * 1000);

  const size_t updates = rows.size() / 5;
  const double plain_update = seconds(
      [&] { by_key(plain, "UPDATE task SET status = status + 1 WHERE id = ?", rows, updates); });
  by_key(a, "UPDATE task SET status = status + 1 WHERE id = ?", rows, updates);
  const std::string vector = b.value("SELECT sync_version_vector()");
  const std::string delta = a.value(
      "SELECT sum(length(changes)) FROM sync_changes_since('" + vector + "')");
  figures->add("wire: one-column update, bytes a row", std::atof(delta.c_str()) /
                                                            static_cast<double>(updates));
  const double second = seconds([&] { a.value(now); });
  figures->add("sync_now: one-column updates (x making them plainly)", second / plain_update);
  const std::string metadata = b.value(
      "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name LIKE 'sync_state%'");
  figures->add("state: bytes a row, key included",
               std::atof(metadata.c_str()) / count);
}

// Full export to memory, then apply into an empty tracked replica, chunk by chunk.
void compare_apply(const std::string& folder, const std::string& extension,
                   const std::vector<Row>& rows, Figures* figures) {
  Database plain(folder + "/plain.db", extension);
  const double base = seconds([&] { insert(plain, rows, 0, rows.size(), 1000); });
  Database a(folder + "/a.db", extension);
  a.value("SELECT sync_enable('task')");
  insert(a, rows, 0, rows.size(), 1000);
  std::vector<std::string> chunks;
  sqlite3_stmt* s = a.prepare("SELECT changes FROM sync_changes_since('{}')");
  while (sqlite3_step(s) == SQLITE_ROW) {
    chunks.emplace_back(static_cast<const char*>(sqlite3_column_blob(s, 0)),
                        static_cast<size_t>(sqlite3_column_bytes(s, 0)));
  }
  sqlite3_finalize(s);
  Database b(folder + "/b.db", extension);
  b.value("SELECT sync_enable('task')");
  const double apply = seconds([&] {
    for (const std::string& chunk : chunks) {
      sqlite3_stmt* apply_one = b.prepare("SELECT sync_apply(?)");
      sqlite3_bind_blob(apply_one, 1, chunk.data(), static_cast<int>(chunk.size()), SQLITE_STATIC);
      if (sqlite3_step(apply_one) != SQLITE_ROW) die("sync_apply failed");
      sqlite3_finalize(apply_one);
    }
  });
  figures->add("apply: full into an empty tracked table (x plain insert)", apply / base);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) die("usage: bench_sqlite EXTENSION FOLDER [ROWS] [REPETITIONS]");
  const std::string extension = argv[1], folder = argv[2];
  const size_t count = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 100000;
  const int repetitions = argc > 4 ? std::atoi(argv[4]) : 5;
  const std::vector<Row> rows = make_rows(count);
  Figures figures;
  for (int i = 0; i < repetitions; ++i) {
    compare_writes(folder, extension, rows, &figures);
    compare_exchange(folder, extension, rows, &figures);
    compare_apply(folder, extension, rows, &figures);
  }
  figures.print();
  return 0;
}
