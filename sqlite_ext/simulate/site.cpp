// See site.h.
#include "sqlite_ext/simulate/site.h"

#include "sqlite_ext/randomness.h"

#ifdef SQLITE_CORE
static const sqlite3_api_routines* const routines = nullptr;
#else
static const sqlite3_api_routines* const& routines = sqlite3_api;
#endif

extern "C" int sqlite3_syncline_init(sqlite3* db, char** error, const sqlite3_api_routines* api);

namespace syncline::simulate {

namespace {

// Not a name that any file can have: the extension asks the file system about databases by name.
constexpr char kPath[] = "/dev/null/site.db";

// SQLite's own random() and randomblob() cannot be seeded, and defaults and triggers call them.
void random_number(sqlite3_context* context, int, sqlite3_value**) {
  int64_t number = 0;
  fill_random(&number, sizeof number);
  sqlite3_result_int64(context, number);
}

void random_blob(sqlite3_context* context, int, sqlite3_value** values) {
  char bytes[256];
  const int64_t asked = sqlite3_value_int64(values[0]);
  const int size = asked < 1 ? 1 : asked > 256 ? 256 : static_cast<int>(asked);
  fill_random(bytes, static_cast<size_t>(size));
  sqlite3_result_blob(context, bytes, size, SQLITE_TRANSIENT);
}

}  // namespace

int Site::tick(void* site) {
  return ++static_cast<Site*>(site)->ticks_ > kTicksMax ? 1 : 0;
}

Status Site::open(const Connection& connection) {
  allow();
  connection_ = connection;
  if (disk_.vfs() == nullptr) return {StatusCode::host_failed, "no memory for a simulated disk"};
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int rc = sqlite3_open_v2(kPath, &db_, flags, disk_.vfs());
  if (rc != SQLITE_OK) return status_of(db_, rc, "opening a simulated site");
  sqlite3_progress_handler(db_, kTick, tick, this);
  if (sqlite3_syncline_init(db_, nullptr, routines) != SQLITE_OK_LOAD_PERMANENTLY) {
    return {StatusCode::internal, "the extension could not be loaded into a simulated site"};
  }
  const int kind = SQLITE_UTF8 | SQLITE_INNOCUOUS;
  sqlite3_create_function_v2(db_, "random", 0, kind, nullptr, random_number, nullptr, nullptr,
                             nullptr);
  sqlite3_create_function_v2(db_, "randomblob", 1, kind, nullptr, random_blob, nullptr, nullptr,
                             nullptr);
  // Before 3.50 SQLite itself loses what is committed to a WAL after ROLLBACK TO has undone pages
  // that had left the cache: docs/limitations.md.
  const bool spills = connection.journal != "wal" || sqlite3_libversion_number() >= 3'050'004;
  return run("PRAGMA locking_mode=EXCLUSIVE;PRAGMA journal_mode=" + connection.journal +
             ";PRAGMA cache_size=" + std::to_string(connection.cache_pages) +
             ";PRAGMA cache_spill=" + (spills ? "ON" : "OFF") +
             ";PRAGMA synchronous=OFF;PRAGMA foreign_keys=" +
             (connection.foreign_keys ? "ON" : "OFF"));
}

void Site::close() {
  sqlite3_close_v2(db_);
  db_ = nullptr;
}

Status Site::reopen(const Files& files) {
  close();
  disk_.put(files);
  return open(connection_);
}

Status Site::value(const std::string& sql, std::string_view blob, std::string_view text,
                   std::string* out) {
  allow();
  Statement statement;
  SYNCLINE_TRY(statement.prepare(db_, sql));
  const int parameters = sqlite3_bind_parameter_count(statement.raw());
  if (parameters >= 1) statement.bind_blob(1, blob);
  if (parameters >= 2) statement.bind(2, text);
  bool row = false, first = true;
  do {
    SYNCLINE_TRY(statement.next(&row));
    if (row && first) *out = statement.text(0);
    first = false;
  } while (row);
  return {};
}

}  // namespace syncline::simulate
