// See trigger_guard.h. temp.sync_guard holds one number: 2, nothing is guarded; 1, the next write
// of a tracked row passes; 0, it is skipped.
#include "sqlite_ext/trigger_guard.h"

#include <algorithm>

namespace syncline {

namespace {

const char* const kEvents[] = {"INSERT", "UPDATE", "DELETE"};

std::string guard_name(uint32_t table, const char* event) {
  return quote_name("sync_guard_" + std::to_string(table) + "_" + event);
}

}  // namespace

TriggerGuard::~TriggerGuard() {
  if (!created_) return;
  admit_ = Statement();
  // What cannot be dropped guards nothing: the number is 2.
  sqlite3_exec(db_, drop_.c_str(), nullptr, nullptr, nullptr);
  sqlite3_exec(db_, "DROP TABLE IF EXISTS temp.sync_guard", nullptr, nullptr, nullptr);
}

bool TriggerGuard::fires(const TableInfo& table) const {
  const int64_t at = registry_.position(table.number);
  return at >= 0 && table.present && registry_.extras[static_cast<size_t>(at)].fire;
}

Status TriggerGuard::create() {
  drop_.clear();
  for (const TableInfo& table : registry_.tables) {
    for (const char* event : kEvents)
      drop_ += "DROP TRIGGER IF EXISTS temp." + guard_name(table.number, event) + ";";
  }
  created_ = true;
  SYNCLINE_TRY(execute(db_,
                       "CREATE TEMP TABLE IF NOT EXISTS sync_guard(n INTEGER);"
                       "DELETE FROM temp.sync_guard; INSERT INTO temp.sync_guard VALUES(2)"));
  for (const TableInfo& table : registry_.tables) {
    if (!table.present) continue;
    for (const char* event : kEvents) {
      SYNCLINE_TRY(execute(db_, "CREATE TEMP TRIGGER IF NOT EXISTS " +
                                    guard_name(table.number, event) + " BEFORE " + event +
                                    " ON main." + quote_name(table.name) +
                                    " BEGIN "
                                    "SELECT RAISE(IGNORE) FROM sync_guard WHERE n=0; "
                                    "UPDATE sync_guard SET n=0 WHERE n=1; END"));
    }
  }
  return {};
}

Status TriggerGuard::begin(const TableInfo& table) {
  if (!created_) SYNCLINE_TRY(create());
  table_ = table.number;
  noted_ = std::any_of(table.columns.begin(), table.columns.end(), [](const ColumnInfo& column) {
    return column.policy && column.policy->needs_notes();
  });
  VectorEntry head;
  SYNCLINE_TRY(log_head(db_, &head));
  log_head_ = head.seq;
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, nullptr);
  return {};
}

Status TriggerGuard::admit_one() {
  if (!admit_.prepared()) {
    SYNCLINE_TRY(admit_.prepare(db_, "UPDATE temp.sync_guard SET n=1"));
  }
  return admit_.run();
}

Status TriggerGuard::end(Status written) {
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  if (!written.ok()) return written;
  // Nobody else can have appended to the log in this transaction.
  const std::string beyond = " WHERE seq>" + std::to_string(log_head_);
  if (noted_) {
    SYNCLINE_TRY(
        execute(db_, "DELETE FROM main.sync_before_" + std::to_string(table_) + beyond));
  }
  return execute(db_, "DELETE FROM main.sync_log" + beyond + "; DELETE FROM main.sync_image_" +
                          std::to_string(table_) + beyond + "; UPDATE temp.sync_guard SET n=2");
}

}  // namespace syncline
