// See statement.h. The only place that turns SQLite's result codes into our status codes.
#include "sqlite_ext/statement.h"

#include <utility>

namespace syncline {

Status status_of(sqlite3* db, int rc, std::string_view doing) {
  std::string message(doing);
  if (!message.empty()) message += ": ";
  message += db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
  switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      if (rc == SQLITE_BUSY_SNAPSHOT) {
        return {StatusCode::busy, message + " (a read that began earlier is still open)",
                "finish the statement that reads, then try again"};
      }
      return {StatusCode::busy, message, "another connection is writing: try again"};
    case SQLITE_READONLY:
      return {StatusCode::refused, message, "open the database for writing"};
    case SQLITE_AUTH:
      return {StatusCode::refused, message,
              "the application's authorizer denies access to the sync_ tables"};
    case SQLITE_INTERRUPT:
      return {StatusCode::cancelled, message};
    case SQLITE_FULL:
      return {StatusCode::host_failed, message, "free some disk space"};
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return {StatusCode::host_failed, message, "the file is not an intact SQLite database"};
    default:
      return {StatusCode::host_failed, message};
  }
}

namespace {

std::string quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (char c : text) {
    out += c;
    if (c == quote) out += c;
  }
  return out += quote;
}

}  // namespace

std::string quote_name(std::string_view name) {
  return quoted(name, '"');
}
std::string quote_text(std::string_view text) {
  return quoted(text, '\'');
}

std::string key_list(size_t count, std::string_view prefix) {
  std::string out;
  for (size_t i = 1; i <= count; ++i) {
    if (i > 1) out += ",";
    out.append(prefix).append("k").append(std::to_string(i));
  }
  return out;
}

Statement::Statement(Statement&& other) noexcept {
  *this = std::move(other);
}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(stmt_, other.stmt_);
  std::swap(bind_rc_, other.bind_rc_);
  return *this;
}

Statement::~Statement() {
  sqlite3_finalize(stmt_);
}

Status Statement::prepare(sqlite3* db, const std::string& sql) {
  sqlite3_finalize(stmt_);
  stmt_ = nullptr;
  db_ = db;
  bind_rc_ = SQLITE_OK;
  const int rc = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &stmt_, nullptr);
  if (rc != SQLITE_OK) return status_of(db, rc, {});
  return {};
}

void Statement::bind(int position, const Value& value) {
  switch (value.kind()) {
    case ValueKind::integer:
      bind(position, value.as_integer());
      return;
    case ValueKind::real:
      note(sqlite3_bind_double(stmt_, position, value.as_real()));
      return;
    case ValueKind::text:
      bind(position, value.bytes());
      return;
    case ValueKind::blob:
      bind_blob(position, value.bytes());
      return;
    case ValueKind::absent:
    case ValueKind::null:
    case ValueKind::same:
      bind_null(position);
      return;
  }
}

void Statement::bind(int position, int64_t value) {
  note(sqlite3_bind_int64(stmt_, position, value));
}

void Statement::bind(int position, std::string_view text) {
  const char* data = text.data() != nullptr ? text.data() : "";
  note(sqlite3_bind_text64(stmt_, position, data, text.size(), SQLITE_STATIC, SQLITE_UTF8));
}

void Statement::bind_blob(int position, std::string_view bytes) {
  // A null pointer would bind NULL where an empty blob is meant.
  const char* data = bytes.data() != nullptr ? bytes.data() : "";
  note(sqlite3_bind_blob64(stmt_, position, data, bytes.size(), SQLITE_STATIC));
}

void Statement::bind_null(int position) {
  note(sqlite3_bind_null(stmt_, position));
}

int Statement::step() {
  if (bind_rc_ != SQLITE_OK) return bind_rc_;
  return sqlite3_step(stmt_);
}

Status Statement::next(bool* row) {
  const int rc = step();
  *row = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW || rc == SQLITE_DONE) return {};
  Status failed = status_of(db_, rc, {});
  reset();
  return failed;
}

Status Statement::run() {
  bool row = true;
  while (row)
    SYNCLINE_TRY(next(&row));
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(stmt_);
  bind_rc_ = SQLITE_OK;
}

// Through sqlite3_column_value, since each sqlite3_column_ call takes the connection's mutex: 0.4
// of the instructions. The value is read before anything else happens on the connection.
Value Statement::value(int column) const {
  sqlite3_value* value = sqlite3_column_value(stmt_, column);
  const auto view = [value](const void* data) {
    const auto size = static_cast<size_t>(sqlite3_value_bytes(value));
    return data != nullptr ? std::string_view(static_cast<const char*>(data), size) : "";
  };
  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER:
      return Value::integer(sqlite3_value_int64(value));
    case SQLITE_FLOAT:
      return Value::real(sqlite3_value_double(value));
    case SQLITE_TEXT:
      return Value::text(view(sqlite3_value_text(value)));
    case SQLITE_BLOB:
      return Value::blob(view(sqlite3_value_blob(value)));
    default:
      return Value::null();
  }
}

std::string_view Statement::bytes(int column) const {
  const void* data = sqlite3_column_type(stmt_, column) == SQLITE_BLOB
                         ? sqlite3_column_blob(stmt_, column)
                         : static_cast<const void*>(sqlite3_column_text(stmt_, column));
  const auto size = static_cast<size_t>(sqlite3_column_bytes(stmt_, column));
  return {data != nullptr ? static_cast<const char*>(data) : "", data != nullptr ? size : 0};
}

Status execute(sqlite3* db, const std::string& sql) {
  const char* rest = sql.c_str();
  while (*rest != '\0') {
    sqlite3_stmt* stmt = nullptr;
    int rc = sqlite3_prepare_v2(db, rest, -1, &stmt, &rest);
    if (rc != SQLITE_OK) return status_of(db, rc, {});
    if (stmt == nullptr) break;
    do {
      rc = sqlite3_step(stmt);
    } while (rc == SQLITE_ROW);
    Status failed;
    if (rc != SQLITE_DONE) failed = status_of(db, rc, {});
    sqlite3_finalize(stmt);
    if (!failed.ok()) return failed;
  }
  return {};
}

Status query_integer(sqlite3* db, const std::string& sql, int64_t otherwise, int64_t* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, sql));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  *out = row && !s.is_null(0) ? s.integer(0) : otherwise;
  return {};
}

Status query_text(sqlite3* db, const std::string& sql, std::string* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, sql));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  *out = row ? s.text(0) : std::string();
  return {};
}

Status query_texts(sqlite3* db, const std::string& sql, std::vector<std::string>* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, sql));
  out->clear();
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    out->push_back(s.text(0));
  }
}

}  // namespace syncline
