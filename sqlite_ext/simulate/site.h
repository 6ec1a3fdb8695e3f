// One simulated database: a real SQLite connection with the extension, on a disk of its own.
#pragma once

#include <string>
#include <string_view>

#include "sqlite_ext/simulate/disk.h"
#include "sqlite_ext/statement.h"

namespace syncline::simulate {

// How a site's connection is set up. It stays so when it is opened again.
struct Connection {
  std::string journal = "delete";  // "delete", "memory", "truncate", "persist", "wal"
  int cache_pages = 500;           // few: what is not committed goes to the file early
  bool foreign_keys = true;
};

class Site {
 public:
  explicit Site(uint32_t number) : number_(number) {}
  ~Site() { close(); }

  // From 1: what it is called in reports.
  uint32_t number() const { return number_; }
  sqlite3* db() const { return db_; }
  Disk& disk() { return disk_; }
  const Connection& connection() const { return connection_; }

  Status open(const Connection& connection);
  void close();
  // What is left when the process dies with `files` on its disk.
  Status reopen(const Files& files);

  // From here on a call may take so many instructions of SQLite's; beyond, it is interrupted. Most
  // take some thousand.
  void allow() { ticks_ = 0; }
  bool endless() const { return ticks_ > kTicksMax; }

  Status run(const std::string& sql) {
    allow();
    return execute(db_, sql);
  }
  // The first value of one statement, run to its end; ?1 is `blob`, ?2 `text`.
  Status value(const std::string& sql, std::string_view blob, std::string_view text,
               std::string* out);
  Status value(const std::string& sql, std::string* out) { return value(sql, {}, {}, out); }

 private:
  static constexpr int kTick = 10'000;  // instructions
  static constexpr uint64_t kTicksMax = 300;
  static int tick(void* site);

  uint32_t number_;
  uint64_t ticks_ = 0;
  Disk disk_;
  Connection connection_;
  sqlite3* db_ = nullptr;
};

}  // namespace syncline::simulate
