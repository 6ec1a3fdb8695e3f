// What columns show that no version says anything of (ColumnInfo::missing): their DEFAULT, where it
// is a constant. Found where the schema is looked at, kept in sync_meta under "missing": loading
// the registry asks SQLite nothing about the user's tables.
#pragma once

#include <optional>
#include <string>

#include "sqlite_ext/catalog.h"
#include "sqlite_ext/registry.h"

namespace syncline {

// Fills in ColumnInfo::missing of the columns that `base` has.
Status read_defaults(sqlite3* db, const BaseTable& base, TableInfo* table);

// `stored` is what save_defaults wrote. Without it nothing is known of any column. Errors:
// corrupt_input.
Status load_defaults(const std::optional<std::string>& stored, Registry* registry);
Status save_defaults(sqlite3* db, const Registry& registry);

}  // namespace syncline
