// A connection with the extension linked in, for tests that expect statements to fail.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <optional>
#include <string>

extern "C" int sqlite3_syncline_init(sqlite3* db, char** error,
                                     const sqlite3_api_routines* routines);

namespace syncline::test {

class SqliteFile {
 public:
  // Whether it could be opened: see ok().
  explicit SqliteFile(const std::string& path) {
    ok_ = sqlite3_open(path.c_str(), &db_) == SQLITE_OK;
    if (!ok_) return;
    sqlite3_busy_timeout(db_, 5000);
    ok_ = sqlite3_syncline_init(db_, nullptr, nullptr) == SQLITE_OK_LOAD_PERMANENTLY;
  }
  ~SqliteFile() { sqlite3_close(db_); }
  SqliteFile(const SqliteFile&) = delete;
  SqliteFile& operator=(const SqliteFile&) = delete;

  bool ok() const { return ok_; }
  sqlite3* db() const { return db_; }
  // What the last failed statement said.
  const std::string& error() const { return error_; }

  // Runs statements; results are thrown away.
  bool run(const std::string& sql) {
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return true;
    error_ = sqlite3_errmsg(db_);
    return false;
  }
  // Steps one statement to its end; returns the first value of its first row. ?1 is `blob`.
  std::optional<std::string> value(const std::string& sql, const std::string& blob = {}) {
    std::optional<std::string> out;
    sqlite3_stmt* made = nullptr;
    int rc = sqlite3_prepare_v2(db_, sql.c_str(), -1, &made, nullptr);
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(made, sqlite3_finalize);
    if (rc == SQLITE_OK && sqlite3_bind_parameter_count(made) > 0) {
      rc = sqlite3_bind_blob64(made, 1, blob.data(), blob.size(), SQLITE_STATIC);
    }
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
      rc = sqlite3_step(made);
      if (rc != SQLITE_ROW || out) continue;
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(made, 0));
      out.emplace(bytes != nullptr ? bytes : "",
                  static_cast<size_t>(sqlite3_column_bytes(made, 0)));
    }
    if (rc != SQLITE_DONE) {
      error_ = sqlite3_errmsg(db_);
      out.reset();
    }
    return out;
  }

 private:
  sqlite3* db_ = nullptr;
  bool ok_ = false;
  std::string error_;
};

}  // namespace syncline::test
