// Lets the application's triggers run on rows that arrive, for tables with "triggers": "fire".
//
// Their effects outside tracked tables (a full-text index, say) are wanted here. What they write
// into tracked tables was done where the row was written and travels from there: done again it
// would be doubled, and sent back. TEMP triggers on this connection skip such writes: of each of
// our statements only the first row event, its own, passes.
#pragma once

#include "sqlite_ext/registry.h"

namespace syncline {

class TriggerGuard {
 public:
  TriggerGuard(sqlite3* db, const Registry& registry) : db_(db), registry_(registry) {}
  TriggerGuard(const TriggerGuard&) = delete;
  TriggerGuard& operator=(const TriggerGuard&) = delete;
  ~TriggerGuard();  // takes the TEMP triggers away

  // Whether rows of this table are to be written between begin and end.
  bool fires(const TableInfo& table) const;
  // Switches triggers on.
  Status begin(const TableInfo& table);
  // Comes before each statement that writes the table.
  Status admit_one();
  // Switches triggers off and takes back what capture logged of our own writes. A status that is
  // not ok is passed on.
  Status end(Status written);

 private:
  Status create();

  sqlite3* db_;
  const Registry& registry_;
  bool created_ = false;
  std::string drop_;  // SQL that takes everything away; made in advance
  uint32_t table_ = 0;
  bool noted_ = false;  // capture also keeps what updates saw
  uint64_t log_head_ = 0;
  Statement admit_;
};

}  // namespace syncline
