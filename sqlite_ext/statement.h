// Statements of one SQLite connection as RAII, with errors as Status.
//
//   Statement s;
//   SYNCLINE_TRY(s.prepare(db, "SELECT name FROM sync_table WHERE n = ?1"));
//   s.bind(1, int64_t{7});
//   bool row = false;
//   SYNCLINE_TRY(s.next(&row));
//   if (row) name = s.text(0);
//
// A statement lives inside one call: kept across calls it would make sqlite3_close return BUSY.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sqlite3ext.h>

#include "syncline/status.h"
#include "syncline/value.h"

SQLITE_EXTENSION_INIT3

namespace syncline {

// The status of a failed SQLite call, with the connection's own words. `doing` starts the message.
Status status_of(sqlite3* db, int rc, std::string_view doing);

// "name" with quotes doubled: every identifier goes through this.
std::string quote_name(std::string_view name);
// 'text' with quotes doubled.
std::string quote_text(std::string_view text);
// k1, k2, ... each with `prefix` before it: the key columns of companion tables.
std::string key_list(size_t count, std::string_view prefix = {});

class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Status prepare(sqlite3* db, const std::string& sql);
  bool prepared() const { return stmt_ != nullptr; }

  // Positions from 1. Bytes are not copied: they must live until the statement is reset.
  void bind(int position, const Value& value);
  void bind(int position, int64_t value);
  void bind(int position, uint64_t value) { bind(position, static_cast<int64_t>(value)); }
  void bind(int position, std::string_view text);
  void bind_blob(int position, std::string_view bytes);
  void bind_null(int position);

  // Steps; *row tells whether there is a row to read. Errors: whatever SQLite says.
  Status next(bool* row);
  // Steps and returns SQLite's own code, for callers that expect constraint errors.
  int step();
  // Runs to the end and resets.
  Status run();
  void reset();

  // Columns from 0. Views stay valid until the next step, reset or conversion.
  Value value(int column) const;
  int64_t integer(int column) const { return sqlite3_column_int64(stmt_, column); }
  double real(int column) const { return sqlite3_column_double(stmt_, column); }
  bool is_null(int column) const { return sqlite3_column_type(stmt_, column) == SQLITE_NULL; }
  std::string text(int column) const { return std::string(bytes(column)); }
  std::string_view bytes(int column) const;
  int column_count() const { return sqlite3_column_count(stmt_); }
  sqlite3_stmt* raw() const { return stmt_; }

 private:
  void note(int rc) {
    if (rc != SQLITE_OK && bind_rc_ == SQLITE_OK) bind_rc_ = rc;
  }
  sqlite3* db_ = nullptr;
  sqlite3_stmt* stmt_ = nullptr;
  int bind_rc_ = SQLITE_OK;  // the first failed bind; reported by the next step
};

// Runs one or several statements without results.
Status execute(sqlite3* db, const std::string& sql);
// The first column of the first row, or `otherwise` when there is none.
Status query_integer(sqlite3* db, const std::string& sql, int64_t otherwise, int64_t* out);
Status query_text(sqlite3* db, const std::string& sql, std::string* out);
// The first column of every row.
Status query_texts(sqlite3* db, const std::string& sql, std::vector<std::string>* out);

}  // namespace syncline
