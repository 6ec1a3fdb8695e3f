#include "database.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace bench {

void die(const std::string& what) {
  std::fprintf(stderr, "bench_sqlite: %s\n", what.c_str());
  std::exit(1);
}

Time& Time::operator+=(const Time& other) {
  wall += other.wall;
  cpu += other.cpu;
  return *this;
}

namespace {

double processor_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

Time timed(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  const double cpu = processor_seconds();
  const auto begin = Clock::now();
  work();
  Time time;
  time.wall = std::chrono::duration<double>(Clock::now() - begin).count();
  time.cpu = processor_seconds() - cpu;
  return time;
}

void say(const std::string& figure, double value, double cpu) {
  std::printf("{\"figure\": \"%s\", \"value\": %.9g, \"cpu\": %.9g}\n", figure.c_str(), value, cpu);
  std::fflush(stdout);
}

void say_ratio(const std::string& figure, const Time& time, const Time& base) {
  say(figure, time.wall / base.wall, time.cpu / base.cpu);
}

double median(std::vector<double> values) {
  if (values.empty()) die("no values");
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Database::Database(const std::string& path, const std::string& extension, Start start)
    : path_(path) {
  if (start == Start::fresh) {
    for (const char* suffix : {"", "-wal", "-shm", "-sync"})
      std::remove((path + suffix).c_str());
  }
  if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) die("cannot open " + path);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, nullptr);
  char* error = nullptr;
  if (sqlite3_load_extension(db_, extension.c_str(), nullptr, &error) != SQLITE_OK) die(error);
  run("PRAGMA journal_mode=WAL");
  run("PRAGMA synchronous=NORMAL");
}

Database::~Database() {
  sqlite3_close(db_);
}

void Database::run(const std::string& sql) {
  char* error = nullptr;
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error) != SQLITE_OK) {
    die(sql.substr(0, 80) + ": " + error);
  }
}

std::string Database::value(const std::string& sql) {
  sqlite3_stmt* s = prepare(sql);
  std::string out;
  if (sqlite3_step(s) == SQLITE_ROW && sqlite3_column_type(s, 0) != SQLITE_NULL) {
    out = reinterpret_cast<const char*>(sqlite3_column_text(s, 0));
  }
  if (sqlite3_finalize(s) != SQLITE_OK) die(sql + ": " + sqlite3_errmsg(db_));
  return out;
}

double Database::number(const std::string& sql) {
  return std::atof(value(sql).c_str());
}

sqlite3_stmt* Database::prepare(const std::string& sql) {
  sqlite3_stmt* s = nullptr;
  if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &s, nullptr) != SQLITE_OK) {
    die(sql + ": " + sqlite3_errmsg(db_));
  }
  return s;
}

void Database::step(sqlite3_stmt* statement) {
  if (sqlite3_step(statement) != SQLITE_DONE) die(sqlite3_errmsg(db_));
  sqlite3_reset(statement);
}

std::vector<std::string> Database::changes_since(const std::string& vector) {
  std::vector<std::string> chunks;
  sqlite3_stmt* s = prepare("SELECT changes FROM sync_changes_since(?)");
  sqlite3_bind_text(s, 1, vector.c_str(), -1, SQLITE_STATIC);
  while (sqlite3_step(s) == SQLITE_ROW) {
    chunks.emplace_back(static_cast<const char*>(sqlite3_column_blob(s, 0)),
                        static_cast<size_t>(sqlite3_column_bytes(s, 0)));
  }
  if (sqlite3_finalize(s) != SQLITE_OK) die(std::string("export: ") + sqlite3_errmsg(db_));
  return chunks;
}

void Database::apply(const std::vector<std::string>& chunks) {
  for (const std::string& chunk : chunks) {
    sqlite3_stmt* s = prepare("SELECT sync_apply(?)");
    sqlite3_bind_blob(s, 1, chunk.data(), static_cast<int>(chunk.size()), SQLITE_STATIC);
    if (sqlite3_step(s) != SQLITE_ROW) die(std::string("sync_apply: ") + sqlite3_errmsg(db_));
    sqlite3_finalize(s);
  }
}

void Database::checkpoint() {
  run("PRAGMA wal_checkpoint(TRUNCATE)");
}

void write_file(const std::string& path, const std::string& content) {
  FILE* out = std::fopen(path.c_str(), "wb");
  if (out == nullptr || std::fwrite(content.data(), 1, content.size(), out) != content.size()) {
    die("cannot write " + path);
  }
  std::fclose(out);
}

size_t total_size(const std::vector<std::string>& parts) {
  size_t total = 0;
  for (const std::string& part : parts)
    total += part.size();
  return total;
}

}  // namespace bench
