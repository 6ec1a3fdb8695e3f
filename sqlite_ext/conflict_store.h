// The table sync_conflict: what sync_conflicts shows.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sqlite_ext/registry.h"
#include "syncline/port.h"

namespace syncline {

// Opens and closes conflicts. Opening one that is open brings it up to date.
Status record_conflicts(sqlite3* db, const SiteTable& sites,
                        std::span<const ConflictRecord> records);
// Rows that a constraint keeps out of the base tables, oldest first.
Status list_held(sqlite3* db, std::vector<RowRef>* out);

// After a local write: closes the row's open conflicts that are not among `still_open`.
Status close_superseded(sqlite3* db, uint32_t table, const std::string& key,
                        const std::vector<std::string>& still_open);
// Lists a row with NULL in its key, which has no identity and stays in this database; or, if none
// `exists` any more, closes the entry.
Status record_null_key(sqlite3* db, const TableInfo& table, RowKey key, bool exists);

}  // namespace syncline
