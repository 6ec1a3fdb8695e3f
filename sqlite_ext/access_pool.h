// The accesses of one operation, opened when first needed.
#pragma once

#include <map>
#include <memory>

#include "sqlite_ext/registry.h"
#include "sqlite_ext/table_access.h"

namespace syncline {

class AccessPool {
 public:
  AccessPool(sqlite3* db, const Registry& registry) : db_(db), registry_(registry) {}

  // Errors: internal if no such table is registered.
  Status get(uint32_t table, TableAccess** out) {
    std::unique_ptr<TableAccess>& access = accesses_[table];
    if (access == nullptr) {
      const int64_t at = registry_.position(table);
      if (at < 0) return {StatusCode::internal, "no table has number " + std::to_string(table)};
      SYNCLINE_TRY(TableAccess::open(db_, registry_.tables[static_cast<size_t>(at)], &access));
    }
    *out = access.get();
    return {};
  }
  // Accesses refer to the registry's tables: call this when those change.
  void clear() { accesses_.clear(); }

 private:
  sqlite3* db_;
  const Registry& registry_;
  std::map<uint32_t, std::unique_ptr<TableAccess>> accesses_;
};

}  // namespace syncline
