// Read-only virtual tables: our views and functions that return rows, all through one module.
//
// They are eponymous, so nothing of them is stored in the user's schema (a stored view that names a
// tracked table would break later ALTERs). A row source makes rows one at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sqlite_ext/statement.h"

namespace syncline {

class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual Status next(bool* row) = 0;
  // Gives column `column` of the current row to SQLite.
  virtual void column(int column, sqlite3_context* context) = 0;
};

// An argument of a call: null, or bytes.
struct Argument {
  bool given = false;
  bool blob = false;
  bool integer = false;  // `bytes` are its digits
  std::string bytes;
};
using Arguments = std::vector<Argument>;

struct TableFunction {
  const char* name;
  const char* columns;    // "chunk, changes, row_count, last"
  const char* arguments;  // hidden columns, "" if none: "vector, options"
  int column_count;
  int argument_count;
  Status (*open)(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out);
};

// Registers `function`, which must live as long as the process, and a scalar function of the same
// name whose error says that it is read as a table. Returns SQLite's code.
int register_table_function(sqlite3* db, const TableFunction* function);

// Gives a value to SQLite, which copies its bytes.
void give_text(sqlite3_context* context, std::string_view text);
void give_blob(sqlite3_context* context, std::string_view bytes);
// Gives a status as the error of a function call.
void give_error(sqlite3_context* context, const Status& status);
// "message; hint"
std::string error_text(const Status& status);
// The result code that stands for a status.
int error_code(const Status& status);

// Rows of a query, read to the end when it opens: no statement is left running, so that a function
// that writes can be called for each row: SELECT sync_resolve(id, 'local') FROM sync_conflicts.
class CopiedSource : public RowSource {
 public:
  ~CopiedSource() override;
  Status open(sqlite3* db, const std::string& sql);
  Status next(bool* row) override {
    at_ = started_ ? at_ + columns_ : 0;
    started_ = true;
    *row = at_ < values_.size();
    return {};
  }
  void column(int column, sqlite3_context* context) override {
    sqlite3_result_value(context, values_[at_ + static_cast<size_t>(column)]);
  }

 private:
  std::vector<sqlite3_value*> values_;
  size_t columns_ = 1, at_ = 0;
  bool started_ = false;
};

class EmptySource : public RowSource {
 public:
  Status next(bool* row) override {
    *row = false;
    return {};
  }
  void column(int, sqlite3_context* context) override { sqlite3_result_null(context); }
};

}  // namespace syncline
