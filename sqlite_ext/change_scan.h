// Reading rows that may have news for the holder of a vector, in the order in which they travel.
//
// A table whose baseline the holder lacks is read whole: base rows, state rows and log entries that
// are not folded yet are merged in key order. So are all tables if everything is asked for; a table
// that is parked has state alone. Of the other tables only rows named in the log or in sync_relay
// since are read. Writes nothing: unfolded entries are overlaid.
#pragma once

#include <string>
#include <vector>

#include "sqlite_ext/access_pool.h"
#include "sqlite_ext/log_fold.h"
#include "syncline/fold.h"
#include "syncline/port.h"

namespace syncline {

// Rows named in the log or in sync_relay, sorted by table number and key. Kept from chunk to chunk
// of one exchange, so that each does not sort anew; read again when a bound moves.
struct ChangeList {
  struct Row {
    uint32_t table = 0;
    RowKey key;                             // as stored
    size_t event_begin = 0, event_end = 0;  // its entries that are not folded yet
  };
  struct Bounds {
    uint64_t folded = 0, log_from = 0, log_head = 0, relay_from = 0, relay_head = 0;
    std::string delta_tables;  // "3,7": tables that are not read whole
    bool operator==(const Bounds&) const = default;
  };
  Bounds bounds;
  bool loaded = false;
  Arena arena;
  std::vector<Row> rows;
  std::vector<LogEvent> events;
};

class ChangeScan {
 public:
  // `changes` must outlive the scan.
  ChangeScan(sqlite3* db, const Registry& registry, AccessPool* pool, ChangeList* changes)
      : db_(db), registry_(registry), pool_(*pool), list_(*changes) {}

  // `since` counts sites as the registry does, or beyond.
  Status open(const VersionVector& since, const ScanStart& start);
  Status next(size_t count_max, RowBatch* out);

 private:
  using Changed = ChangeList::Row;
  using Bounds = ChangeList::Bounds;

  bool reads_whole(const TableInfo& table) const {
    return everything_ || (table.present && !since_.knows(table.baseline));
  }
  Status find_bounds(const VersionVector& since, Bounds* out);
  Status find_relay_start(const VersionVector& since, Bounds* out);
  Status load_changes(const Bounds& bounds);
  struct Entry;
  Status read_entries(Statement* log, std::vector<Entry>* out);
  void list_entries(const std::vector<Entry>& entries);
  Status enter_table(const TableInfo& table, RowKey start);
  Status next_whole(size_t count_max, RowBatch* out);
  Status next_delta(size_t count_max, RowBatch* out);
  Status step(Statement* cursor, std::vector<Value>* key, bool* live);
  Status finish_row(const Changed* changed, RowKey stored, RowBatch* out, LocalRow* row);

  sqlite3* db_;
  const Registry& registry_;
  AccessPool& pool_;
  ChangeList& list_;
  size_t at_ = 0;  // position in the registry of the table last seen by read_entries

  // Where the scan stands.
  VersionVector since_;
  size_t table_ = 0;  // position in the registry
  bool entered_ = false, whole_ = false, everything_ = false;
  RowKey start_;  // as stored; for the first table only
  Arena start_arena_;
  TableAccess* access_ = nullptr;
  size_t change_ = 0, change_end_ = 0;
  Statement base_, state_;
  FoldWork fold_work_;
  std::vector<Value> base_key_, state_key_;
  bool base_live_ = false, state_live_ = false;
};

}  // namespace syncline
