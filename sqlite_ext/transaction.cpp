// See transaction.h.
#include "sqlite_ext/transaction.h"

namespace syncline {

namespace {

int running_statements(sqlite3* db, bool writing_only) {
  int count = 0;
  for (sqlite3_stmt* s = sqlite3_next_stmt(db, nullptr); s != nullptr;
       s = sqlite3_next_stmt(db, s)) {
    if (sqlite3_stmt_busy(s) == 0) continue;
    if (!writing_only || sqlite3_stmt_readonly(s) == 0) ++count;
  }
  return count;
}

// Runs a statement that was prepared in advance; if that fails, `sql` anew. Takes no memory of
// ours: destructors end here.
void run_prepared(sqlite3* db, Statement* statement, const char* sql) {
  const int rc = sqlite3_step(statement->raw());
  *statement = Statement();
  if (rc != SQLITE_DONE) sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
}

}  // namespace

Status refuse_inside_writing_statement(sqlite3* db, const char* what) {
  if (running_statements(db, true) == 0) return {};
  return {StatusCode::refused, std::string(what) + " cannot run inside a statement that writes",
          std::string("call it alone: SELECT ") + what + "(...)"};
}

Status refuse_beside_running_statement(sqlite3* db, const char* what) {
  if (running_statements(db, false) <= 1) return {};
  return {StatusCode::refused,
          std::string(what) + " cannot run while another statement is running on this connection",
          "read the other statement to its end, or reset it, first"};
}

Status refuse_read_only(sqlite3* db, const char* what) {
  if (sqlite3_db_readonly(db, "main") != 1) return {};
  return {StatusCode::refused, std::string(what) + " cannot write: this database is read-only",
          "open the database for writing"};
}

Status WriteTransaction::begin(sqlite3* db, const char* what) {
  SYNCLINE_TRY(refuse_read_only(db, what));
  SYNCLINE_TRY(refuse_inside_writing_statement(db, what));
  savepoint_ = sqlite3_get_autocommit(db) == 0;
  last_rowid_ = sqlite3_last_insert_rowid(db);
  db_ = db;
  Status prepared = renew();
  db_ = nullptr;
  SYNCLINE_TRY(std::move(prepared));
  Status begun = execute(db, savepoint_ ? "SAVEPOINT sync_call" : "BEGIN IMMEDIATE");
  if (begun.ok()) {
    db_ = db;
    return {};
  }
  if (begun.code() != StatusCode::busy) return begun;
  return {StatusCode::busy, std::string(what) + ": " + begun.message(),
          "another connection is writing: try again, or set PRAGMA busy_timeout"};
}

Status WriteTransaction::commit() {
  if (db_ == nullptr) return {StatusCode::internal, "commit without a transaction"};
  SYNCLINE_TRY(execute(db_, savepoint_ ? "RELEASE sync_call" : "COMMIT"));
  undo_ = Statement();
  release_ = Statement();
  sqlite3_set_last_insert_rowid(db_, last_rowid_);
  db_ = nullptr;
  return {};
}

Status WriteTransaction::renew() {
  SYNCLINE_TRY(undo_.prepare(db_, savepoint_ ? "ROLLBACK TO sync_call" : "ROLLBACK"));
  return savepoint_ ? release_.prepare(db_, "RELEASE sync_call") : Status();
}

void WriteTransaction::roll_back() {
  if (db_ == nullptr) return;
  // A full disk or an I/O error may have rolled back already; then these fail, rightly.
  run_prepared(db_, &undo_, savepoint_ ? "ROLLBACK TO sync_call" : "ROLLBACK");
  if (savepoint_) run_prepared(db_, &release_, "RELEASE sync_call");
  sqlite3_set_last_insert_rowid(db_, last_rowid_);
  db_ = nullptr;
}

Status ReadTransaction::begin(sqlite3* db) {
  if (sqlite3_get_autocommit(db) == 0) return {};
  SYNCLINE_TRY(commit_.prepare(db, "COMMIT"));
  SYNCLINE_TRY(execute(db, "BEGIN"));
  db_ = db;
  return {};
}

void ReadTransaction::end() {
  if (db_ == nullptr) return;
  run_prepared(db_, &commit_, "COMMIT");
  db_ = nullptr;
}

ApplySwitches::ApplySwitches(sqlite3* db) : db_(db) {
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, -1, &triggers_);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, -1, &foreign_keys_);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, nullptr);
}

ApplySwitches::~ApplySwitches() {
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, triggers_, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_FKEY, foreign_keys_, nullptr);
}

namespace {

// In KiB, as PRAGMA cache_size counts below zero; above zero it counts pages.
constexpr int64_t kCacheKib = 64 * 1024;

}  // namespace

Status LargeCache::enlarge(sqlite3* db) {
  if (db_ != nullptr) return {};
  int64_t page_size = 0;
  SYNCLINE_TRY(query_integer(db, "PRAGMA main.cache_size", 0, &before_));
  SYNCLINE_TRY(query_integer(db, "PRAGMA main.page_size", 4096, &page_size));
  const int64_t kib = before_ < 0 ? -before_ : before_ * page_size / 1024;
  if (kib >= kCacheKib) return {};
  SYNCLINE_TRY(execute(db, "PRAGMA main.cache_size=-" + std::to_string(kCacheKib)));
  db_ = db;
  return {};
}

LargeCache::~LargeCache() {
  if (db_ == nullptr) return;
  char sql[64];
  sqlite3_snprintf(sizeof sql, sql, "PRAGMA main.cache_size=%lld", before_);
  int rc = SQLITE_NOMEM;
  for (int i = 0; i < 2 && rc == SQLITE_NOMEM; ++i)
    rc = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
}

bool enforces_foreign_keys(sqlite3* db) {
  int on = 0;
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, -1, &on);
  return on != 0;
}

Status make_durable(sqlite3* db) {
  std::string mode;
  SYNCLINE_TRY(query_text(db, "PRAGMA main.journal_mode", &mode));
  if (mode == "memory" || mode == "off") return {};  // the application renounced durability
  // SQLITE_FCNTL_JOURNAL_POINTER gives the WAL of a database in WAL mode.
  const int which = mode == "wal" ? SQLITE_FCNTL_JOURNAL_POINTER : SQLITE_FCNTL_FILE_POINTER;
  sqlite3_file* file = nullptr;
  const int rc = sqlite3_file_control(db, "main", which, &file);
  if (rc != SQLITE_OK || file == nullptr || file->pMethods == nullptr) return {};
  if (file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) == SQLITE_OK) return {};
  return {StatusCode::host_failed, "the disk would not confirm what was written to this database",
          "nothing was sent; check the disk"};
}

}  // namespace syncline
